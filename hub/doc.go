// Package hub is the engine of Tidings: the log, the feeds that follow from it, and what is on its way to parties. It is
// the only rememberer; rules stand in consent and subscriptions, SQL in the drivers under hub/store, HTTP and LDAP at
// the edges.
//
// # The map
//
//	report.go ingest.go decide.go   what sources saw, and how it becomes changes (Ingest)
//	store.go stamp.go               the one door (Log.Commit) and what a line does to the rows it concerns
//	grant.go opt.go policy.go       consent: a person's yes, what she says of account events, what the operator allows
//	party.go token.go client.go     parties, and what they call with
//	caller.go scope.go              who calls, and what they may
//	delta.go subject.go cursor.go   the pull path: feed pages, values, a reader's place
//	streams.go issue.go send.go     the push path: streams, the bounded window, tokens
//	window.go                       the rules of that window
//	exclude.go                      subjects that were taken off a stream
//	standing.go suspend.go          a stream that stands still, and how it comes to go on
//	signal.go raise.go              what is to be done once
//	letter.go letters.go rewind.go  what was given up, and what is told again
//	digest.go                       one notice in place of many
//	live.go                         tickets and notices of browsers
//	run.go                          what nobody calls for: echoes, the sweeper, erasure, trimming, hints
//	keys.go                         secrets, wrapped by one key file
//	keyring.go rotate.go            the keys that sign, and how one follows another
//
// # Promises
//
//   - A change and the state it describes are committed together or not at all, and the source is answered after that.
//   - The log is the only queue. Committing a change writes nothing per stream: each grant stands once in its party's
//     feed and moves; a reader is a cursor.
//   - A cursor has two positions, and what is told follows from positions kept on entry and grant, never from log rows,
//     so no reader misses a name, a kind, a removal or a signal, and trimming the log harms nobody.
//   - Every send about a subject begins with a check of its grant as committed at that moment.
//   - With every hint removed the hub is still right, only slower.
package hub
