package postgres

import (
	"testing"

	"github.com/jackc/pgx/v5"
)

// A store that was written before persons had identifiers gets them when it is brought up to date.
func TestReidentify(t *testing.T) {
	s := open(t)
	a, b := create("anna"), create("bert")
	a.Entry.Entry.Attributes["emails"] = []any{map[string]any{"value": "anna@example.com"}}
	commitAll(t, s, a, b)
	n := 0
	if err := s.write(t.Context(), func(tx pgx.Tx) error {
		if err := reidentify(t.Context(), tx); err != nil {
			return err
		}
		return tx.QueryRow(t.Context(), `SELECT count(*) FROM identifier`).Scan(&n)
	}); err != nil || n != 1 {
		t.Errorf("%d identifiers, %v", n, err)
	}
	wantSound(t, s)
}
