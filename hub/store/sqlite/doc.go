// Package sqlite is the embedded store: one file, nothing to install. It implements hub.Store.
//
// It promises what hub.Store promises, and besides:
//
//   - Durable: a commit that was answered survives a power loss (synchronous=FULL, see dsn).
//   - One writer at a time, in this process by a lock that respects the caller's context, between processes by BEGIN
//     IMMEDIATE; readers never wait for it (WAL), each reading one snapshot.
//   - The file and what stands beside it are readable by their owner only, and what is deleted is overwritten
//     (secure_delete): an erased person is gone from the file's pages too.
//   - A bulk writer does not starve another process (Yielding).
//
// # Life of a commit
//
//  1. Commit takes the writer and begins immediately, which is the lock on the head row: from here on nobody else
//     takes a position, and nothing that was read before is believed.
//  2. What the batch touches is read set by set: head, entries, the owners of its names and keys, grants, parties.
//  3. Item after item is checked against that state and, if it stands, applied to it in memory: a refused item has
//     touched nothing. Lines take positions, stamp entries and move the feed rows that they concern.
//  4. When all entries and keys are known, references find their targets, and what follows from that becomes lines
//     too. What is over the budget of moves is kept as an echo.
//  5. All changed rows are written, then the head, then COMMIT. If we crash before it, nothing happened; the source
//     was not answered. If we crash after it, all of it happened, and the source's repeat finds no difference.
//  6. Watchers of this process are woken; other processes see PRAGMA data_version move.
//
// A file per noun or verb: open, driver, conn, migrate (the file), commit, load, effects, references and flush (the
// one door), entry, feed, grants, parties (state), stream, window, issue, send (the outbox), scratch, watch, trim, check.
package sqlite
