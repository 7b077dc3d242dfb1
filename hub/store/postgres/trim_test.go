package postgres

import (
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// plan is how the store's connections run a statement with two numbers.
func plan(t *testing.T, s *Store, statement string) string {
	t.Helper()
	var lines []string
	if err := s.write(t.Context(), func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), `PREPARE planned (bigint, bigint) AS `+statement, pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
		rows, err := tx.Query(t.Context(), `EXPLAIN EXECUTE planned (1, 1)`, pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			return err
		}
		if err := each(rows, func(r *row) { lines = append(lines, r.text()) }); err != nil {
			return err
		}
		_, err = tx.Exec(t.Context(), `DEALLOCATE planned`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

// Trim holds the head, so that it reads the tombstones that go, and nothing of what lives or ended later.
func TestTrimReadsWhatGoes(t *testing.T) {
	s := open(t)
	ended, deleted := `grants_ended.*\n.*Index Cond: .*ended <= \$1`, `entry_deleted.*\n.*Index Cond: .*deleted <= \$1`
	for i, want := range map[int]string{0: ended, 2: deleted, 3: deleted} {
		if p := plan(t, s, forgetting[i]); !regexp.MustCompile(want).MatchString(p) {
			t.Errorf("%s\n%s", forgetting[i], p)
		}
	}
}
