package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"tidings/hub"
	"tidings/subscriptions"
)

// Trim forgets tombstones, ended parties and lines up to a position.
//
// Oldest moves first: a reader that stands before it gets 410 from then on, so that what is deleted after that is missed
// by nobody, also if we crash in between (the next Trim finds what was left). A stream that had not read its removals
// falls off likewise: its generation is made an old one, by which it tells its receiver to take a snapshot.
func (s *Store) Trim(ctx context.Context, upTo int64, limit int) (more bool, err error) {
	err = s.write(ctx, func(tx pgx.Tx) error {
		var head hub.Head
		rows, err := tx.Query(ctx, `SELECT `+headColumns+` FROM head FOR UPDATE`)
		if err != nil {
			return err
		}
		if err := each(rows, func(r *row) { head = readHead(r) }); err != nil {
			return err
		}
		upTo = max(min(upTo, head.Position), head.Oldest)
		if upTo > head.Oldest {
			if err := fallOff(ctx, tx, upTo); err != nil {
				return err
			}
		}
		left := int64(limit)
		for _, statement := range forgetting {
			tag, err := tx.Exec(ctx, statement, upTo, left)
			if err != nil {
				return err
			}
			if left -= tag.RowsAffected(); left <= 0 {
				more = true
				return nil
			}
		}
		return nil
	})
	return more, fail("trim", err)
}

// fallOff moves Oldest, and with it the streams that stand before a tombstone that is about to go, or whose removal is not
// settled: without the tombstone no token can be made of it, nor anew if its key is recalled. One that nothing concerned since stands still (hub.Prospect)
// and is moved along, so that a digest's cursor is one that /delta takes; one that has something to read, but no tombstone, stays.
func fallOff(ctx context.Context, tx pgx.Tx, upTo int64) error {
	const waits = `EXISTS (SELECT FROM delivery d WHERE d.stream = s.id AND d.kind = 'removed' AND d.position <= $1)`
	b := &pgx.Batch{}
	b.Queue(`SELECT id FROM stream s WHERE status <> $2 AND (at < $1 OR `+waits+`) ORDER BY id FOR NO KEY UPDATE`,
		upTo, string(subscriptions.Disabled))
	b.Queue(`UPDATE stream s SET generation = 0 WHERE `+waits, upTo)
	b.Queue(`UPDATE stream s SET generation = 0 FROM party p
		WHERE p.id = s.party AND s.status <> $2 AND s.at < $1 AND (
			NOT p.agreement AND EXISTS (SELECT FROM grants g
				WHERE g.party = s.party AND g.position > s.at AND g.position <= $1 AND g.ended <> 0)
			OR p.agreement AND EXISTS (SELECT FROM entry e
				WHERE e.position > s.at AND e.position <= $1 AND e.deleted <> 0))`, upTo, string(subscriptions.Disabled))
	b.Queue(`UPDATE stream s SET base = $1, at = $1, tag = (SELECT tag FROM change WHERE position = $1) FROM party p
		WHERE p.id = s.party AND s.status <> $2 AND s.at < $1 AND s.base = s.at AND NOT (
			NOT p.agreement AND EXISTS (SELECT FROM grants g WHERE g.party = s.party AND g.position > s.at AND g.position <= $1)
			OR p.agreement AND EXISTS (SELECT FROM entry e WHERE e.position > s.at AND e.position <= $1))`,
		upTo, string(subscriptions.Disabled))
	b.Queue(`UPDATE head SET oldest = $1`, upTo)
	return tx.SendBatch(ctx, b).Close()
}

// forgetting are the statements by which tombstones, parties and lines go, in this order: what refers to something goes
// before it. The line at Oldest stays, cursors that stand there are compared with it. What ended did so at its position or
// before it, and is found by that (TestTrimReadsWhatGoes).
var forgetting = []string{
	`DELETE FROM grants WHERE id IN (SELECT id FROM grants WHERE ended <> 0 AND ended <= $1 AND position <= $1 ORDER BY ended LIMIT $2)`,
	`DELETE FROM grants WHERE id IN (SELECT g.id FROM party p JOIN grants g ON g.party = p.id
		WHERE p.removed <> 0 AND p.removed <= $1 LIMIT $2)`,
	`DELETE FROM exclusion WHERE entry IN (SELECT id FROM entry e WHERE deleted <> 0 AND deleted <= $1 AND position <= $1
		AND EXISTS (SELECT FROM exclusion x WHERE x.entry = e.id)
		AND NOT EXISTS (SELECT FROM grants g WHERE g.entry = e.id) ORDER BY deleted LIMIT $2)`,
	`DELETE FROM entry WHERE id IN (SELECT id FROM entry e WHERE deleted <> 0 AND deleted <= $1 AND position <= $1
		AND NOT EXISTS (SELECT FROM grants g WHERE g.entry = e.id)
		AND NOT EXISTS (SELECT FROM exclusion x WHERE x.entry = e.id)
		AND NOT EXISTS (SELECT FROM delivery d WHERE d.entry = e.id) ORDER BY deleted LIMIT $2)`,
	`DELETE FROM token WHERE id IN (SELECT t.id FROM party p JOIN token t ON t.party = p.id
		WHERE p.removed <> 0 AND p.removed <= $1 LIMIT $2)`,
	`DELETE FROM party WHERE id IN (SELECT id FROM party WHERE removed <> 0 AND removed <= $1 ORDER BY id LIMIT $2)`,
	`DELETE FROM change WHERE position IN (SELECT position FROM change WHERE position < $1 ORDER BY position LIMIT $2)`,
}

// EraseSignals erases payloads that all parties have settled or whose life is over, and forgets what nobody needs of
// signals. It returns how many payloads it erased.
func (s *Store) EraseSignals(ctx context.Context, now int64, limit int) (int, error) {
	erased := 0
	err := s.write(ctx, func(tx pgx.Tx) error {
		b := &pgx.Batch{}
		// A party's row is needed while one of its streams has still to pass it.
		b.Queue(`DELETE FROM signal_party WHERE (party, position) IN (SELECT sp.party, sp.position FROM signal_party sp
			WHERE NOT EXISTS (SELECT FROM stream s WHERE s.party = sp.party AND s.status <> $1 AND s.signal < sp.position)
				OR EXISTS (SELECT FROM signal g WHERE g.position = sp.position AND g.expires <= $2)
			ORDER BY sp.position LIMIT $3)`, string(subscriptions.Disabled), now, limit)
		b.Queue(`UPDATE signal SET payload = NULL WHERE position IN (SELECT position FROM signal g
			WHERE payload IS NOT NULL AND (expires <= $1
				OR NOT EXISTS (SELECT FROM signal_party sp WHERE sp.position = g.position)
				AND NOT EXISTS (SELECT FROM delivery d WHERE d.signal = g.position AND d.signal <> 0)
				AND NOT EXISTS (SELECT FROM dead_letter l WHERE l.signal = g.position AND l.signal <> 0 AND l.expires > $1))
			ORDER BY position LIMIT $2) RETURNING position`, now, limit).Query(into(func(*row) { erased++ }))
		b.Queue(`DELETE FROM signal WHERE position IN (SELECT position FROM signal g WHERE payload IS NULL
			AND NOT EXISTS (SELECT FROM signal_party sp WHERE sp.position = g.position)
			AND NOT EXISTS (SELECT FROM delivery d WHERE d.signal = g.position AND d.signal <> 0)
			ORDER BY position LIMIT $1)`, limit)
		return tx.SendBatch(ctx, b).Close()
	})
	return erased, fail("erase signals", err)
}
