// Package subscriptions holds the rules of what parties asked to be told and how it gets to them: parties and their
// profiles, streams (OpenID Shared Signals Framework 1.0), the translation from a change into events, and what to do
// with a receiver's answer.
//
// It is a rule book: values in, values out. The engine (package hub) remembers, the ways out (subscriptions/delivery)
// talk; both ask here.
//
// Promises:
//   - Only event types in a stream's events_delivered leave it, except verification, stream-updated and feed-changed,
//     which belong to the stream itself (SSF 1.0 sections 8.1.4, 8.1.5).
//   - An Event is one event of one type (CAEP interoperability profile 1.0 section 2.8.1); its payload names attributes
//     and never holds their values. A value is told only as the subject: an address by which the party asked to know
//     people, or the old one of an identifier that changed.
//   - The same answer of a receiver always leads to the same next step (NextStep); a report of a poll or a socket is
//     judged as a push's last attempt (PollError).
//   - No reason, error or default text holds anything that a receiver wrote but a well-formed error code.
package subscriptions
