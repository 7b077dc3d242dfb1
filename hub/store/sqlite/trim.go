package sqlite

import (
	"context"
)

// Trim implements hub.Log. It moves Oldest before it forgets anything, in the same transaction: a cursor that would miss
// a tombstone must be refused from the first that is gone. The line at Oldest stays, since a cursor may stand there.
func (s *Store) Trim(ctx context.Context, upTo int64, limit int) (more bool, err error) {
	err = s.write(ctx, "trim", func(c *conn) error {
		h, err := s.head(c)
		if err != nil {
			return err
		}
		upTo := min(upTo, h.Position)
		if upTo > h.Oldest {
			if err := c.exec("UPDATE head SET oldest = ?", upTo); err != nil {
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
		return c.exec("DELETE FROM token WHERE party IS NOT NULL AND NOT EXISTS (SELECT 1 FROM party p WHERE p.id = token.party)")
	})
	return more, err
}

// forgets are tombstones, what ended parties leave, and lines, each at most so many rows. A grant goes before its entry
// and its party.
var forgets = []string{
	"DELETE FROM grants WHERE id IN (SELECT id FROM grants WHERE ended <> 0 AND position <= ? LIMIT ?)",
	"DELETE FROM grants WHERE id IN (SELECT g.id FROM party p JOIN grants g ON g.party = p.id WHERE p.removed <> 0 AND p.removed <= ? LIMIT ?)",
	"DELETE FROM entry WHERE id IN (SELECT e.id FROM entry e WHERE e.deleted <> 0 AND e.position <= ? " +
		"AND NOT EXISTS (SELECT 1 FROM grants g WHERE g.entry = e.id) LIMIT ?)",
	"DELETE FROM party WHERE id IN (SELECT p.id FROM party p WHERE p.removed <> 0 AND p.removed <= ? " +
		"AND NOT EXISTS (SELECT 1 FROM grants g WHERE g.party = p.id) LIMIT ?)",
	"DELETE FROM change WHERE position IN (SELECT position FROM change WHERE position < ? ORDER BY position LIMIT ?)",
}
