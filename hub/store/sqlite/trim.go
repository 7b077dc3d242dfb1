package sqlite

import (
	"context"
)

// Trim implements hub.Log. It moves Oldest before it forgets anything, in the same transaction: a cursor that would miss
// a tombstone must be refused from the first that is gone, also if we crash between two steps (the next call finds what
// is left). The line at Oldest stays, since a cursor may stand there.
func (s *Store) Trim(ctx context.Context, upTo int64, limit int) (more bool, err error) {
	err = s.write(ctx, "trim", func(c *conn) error {
		h, err := s.head(c)
		if err != nil {
			return err
		}
		upTo := max(min(upTo, h.Position), h.Oldest)
		if upTo > h.Oldest {
			if err := c.fallOff(upTo); err != nil {
				return err
			}
		}
		left := int64(limit)
		for _, forget := range forgets {
			n, err := c.affect(forget, upTo, left)
			if err != nil {
				return err
			}
			left -= n
			if left <= 0 {
				more = true
				return nil
			}
		}
		return nil
	})
	return more, err
}

// fallOff moves Oldest, and makes the generation of streams that stand before a tombstone about to go an old one: that is
// how a stream learns to tell its receiver that a snapshot is needed. So does one whose removal is not settled: without the
// tombstone no token can be made of it, nor anew if its key is recalled. One that nothing concerned since stands still (hub.Prospect) and is moved along,
// so that a digest's cursor is one that /delta takes; one that has something to read, but no tombstone, stays.
func (c *conn) fallOff(upTo int64) error {
	if err := c.exec("UPDATE stream AS s SET generation = 0 WHERE EXISTS (SELECT 1 FROM delivery d WHERE d.stream = s.id "+
		"AND d.kind = 'removed' AND d.position <= ?)", upTo); err != nil {
		return err
	}
	if err := c.exec("UPDATE stream AS s SET generation = 0 WHERE s.at < ?1 AND CASE (SELECT p.agreement FROM party p WHERE p.id = s.party) "+
		"WHEN 0 THEN EXISTS (SELECT 1 FROM grants g WHERE g.party = s.party AND g.position > s.at AND g.position <= ?1 AND g.ended <> 0) "+
		"ELSE EXISTS (SELECT 1 FROM entry e WHERE e.position > s.at AND e.position <= ?1 AND e.deleted <> 0) END", upTo); err != nil {
		return err
	}
	if err := c.exec("UPDATE stream AS s SET base = ?1, at = ?1, tag = (SELECT tag FROM change WHERE position = ?1) "+
		"WHERE s.at < ?1 AND s.base = s.at AND CASE (SELECT p.agreement FROM party p WHERE p.id = s.party) "+
		"WHEN 0 THEN NOT EXISTS (SELECT 1 FROM grants g WHERE g.party = s.party AND g.position > s.at AND g.position <= ?1) "+
		"ELSE NOT EXISTS (SELECT 1 FROM entry e WHERE e.position > s.at AND e.position <= ?1) END", upTo); err != nil {
		return err
	}
	return c.exec("UPDATE head SET oldest = ?", upTo)
}

// forgets are tombstones, what ended parties leave, and lines, each at most so many rows. What belongs to an entry or a
// party goes before it.
var forgets = []string{
	"DELETE FROM grants WHERE id IN (SELECT id FROM grants WHERE ended <> 0 AND position <= ? LIMIT ?)",
	"DELETE FROM grants WHERE id IN (SELECT g.id FROM party p JOIN grants g ON g.party = p.id WHERE p.removed <> 0 AND p.removed <= ? LIMIT ?)",
	"DELETE FROM exclusion WHERE entry IN (SELECT e.id FROM entry e WHERE e.deleted <> 0 AND e.position <= ? " +
		"AND EXISTS (SELECT 1 FROM exclusion x WHERE x.entry = e.id) AND NOT EXISTS (SELECT 1 FROM grants g WHERE g.entry = e.id) LIMIT ?)",
	"DELETE FROM entry WHERE id IN (SELECT e.id FROM entry e WHERE e.deleted <> 0 AND e.position <= ? " +
		"AND NOT EXISTS (SELECT 1 FROM grants g WHERE g.entry = e.id) AND NOT EXISTS (SELECT 1 FROM exclusion x WHERE x.entry = e.id) LIMIT ?)",
	"DELETE FROM token WHERE id IN (SELECT t.id FROM party p JOIN token t ON t.party = p.id WHERE p.removed <> 0 AND p.removed <= ? LIMIT ?)",
	"DELETE FROM party WHERE id IN (SELECT p.id FROM party p WHERE p.removed <> 0 AND p.removed <= ? " +
		"AND NOT EXISTS (SELECT 1 FROM grants g WHERE g.party = p.id) LIMIT ?)",
	"DELETE FROM change WHERE position IN (SELECT position FROM change WHERE position < ? ORDER BY position LIMIT ?)",
}
