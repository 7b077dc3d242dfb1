// Package postgres keeps the hub in PostgreSQL (15 or newer), for several nodes on one database.
//
// # Life of a commit
//
//  1. The head row is locked (READ COMMITTED, SELECT … FOR UPDATE): from here on nobody else takes a position, and
//     nothing that was read before is believed.
//  2. In the same round trip what the batch touches is read, set by set: entries, keys, user names, references, grants
//     that its lines may concern (by the mask of their roots), parties.
//  3. Items are decided in memory, one after another; a refused one leaves nothing. Lines take positions and move the
//     rows they concern, up to hub.MaxMoves; what is left of a wide line becomes an echo.
//  4. References are resolved when all entries and keys are in; whoever has to be told of that gets lines of their own.
//  5. Everything is written with one statement per table and one round trip, the head last, and a notification with it.
//
// A crash before the commit leaves nothing, after it everything: the caller that got no answer reads again and finds
// either.
//
// # Locks
//
// All that takes a position goes through the head lock, so commits never meet each other. Attempts to tell (Begin,
// Issue) do not take it: they hold the rows by which telling may end with FOR KEY SHARE, which plain updates of them do
// not wait for, and a commit that ends a telling takes those rows FOR UPDATE. So a revocation waits for the attempts
// that began before it, and an attempt that begins after it sees it. Everybody locks in the same order: head or keyring,
// streams, parties, entries, deliveries; within each by id.
//
// # Promises
//
// Text that strangers write is compared as bytes; the database folds, sorts and matches nothing. Rows are found by
// indexes that may select too many; what they mean is decided by the functions of package hub. Notifications are hints:
// with none of them arriving the watchers still wake, by a poll, within a second.
package postgres
