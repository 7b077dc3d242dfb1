// Package website is a small website of a relying party, written as a stranger would write it: it has a bearer token,
// the public HTTP faces of a hub and the SDK (package receiver), and nothing else of this module.
//
// It registers a push stream, makes a list of the people who shared something with it, keeps copies of what they shared
// no longer than it may, and shows each as a profile card. A visitor's browser holds a socket to the hub, with a ticket
// that the website got for it; when a notice comes, the page fetches its card anew, and nothing else.
//
// Promises:
//   - Nothing is written to disk; a restart begins with a snapshot.
//   - A value is shown only from a copy whose lifetime runs. When consent ends the card empties.
//   - A hub that is away, a stream that was lost or stopped: Run goes on trying, makes the stream anew and takes a
//     snapshot.
//
// It asks no visitor who they are. A real website shows a card to the person it is about.
package website
