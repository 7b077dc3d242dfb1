package postgres

import (
	"fmt"
	"testing"

	"tidings/hub"
)

// A stream that waits is neither written nor locked for commits that do not concern it: a lock alone makes a commit that
// is flushed to the disk.
func TestIdleStreamWritesNothing(t *testing.T) {
	s := open(t)
	stream := newStream(t, s, addParty(t, s, false))
	state := func() (row string) {
		if err := s.pool.QueryRow(t.Context(), `SELECT ctid::text || ' ' || xmin::text || ' ' || xmax::text FROM stream WHERE id = $1`,
			stream.ID[:]).Scan(&row); err != nil {
			t.Fatal(err)
		}
		return row
	}
	before := state()
	for i := range 3 {
		commitAll(t, s, create(fmt.Sprint("user", i)))
		if more, err := s.Issue(t.Context(), stream.ID, now, hub.Window, nil); err != nil || more {
			t.Fatal(more, err)
		}
		if now := state(); now != before {
			t.Errorf("the row is %s, not %s", now, before)
		}
	}
}
