package postgres

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"

	"tidings/hub"
	"tidings/hub/schema"
)

// entryColumns are those of an entry without its values.
const entryColumns = `id, type, source, active, version, created, position, deleted, marks, created_at, changed`

func readEntry(r *row) hub.Entry {
	return hub.Entry{
		ID: r.id(), Type: schema.Type(r.text()), Source: r.text(), Active: r.bool(), Version: r.int(), Created: r.int(),
		Position: r.int(), Deleted: r.int(), Marks: r.marks(), CreatedAt: r.int(), Changed: r.int(),
	}
}

func readWholeEntry(r *row) *hub.Entry {
	e := readEntry(r)
	e.Attributes = r.attributes()
	return &e
}

// query runs one statement outside of any transaction.
func (s *Store) query(ctx context.Context, f func(*row), sql string, arguments ...any) error {
	rows, err := s.pool.Query(ctx, sql, arguments...)
	if err != nil {
		return err
	}
	return each(rows, f)
}

// Entries reads living entries by source and folded key, in the order asked; nil where there is none.
func (s *Store) Entries(ctx context.Context, source string, keys []string) ([]*hub.Entry, error) {
	list := make([]*hub.Entry, len(keys))
	if len(keys) == 0 {
		return list, nil
	}
	wanted := make([][]byte, len(keys))
	for i, k := range keys {
		wanted[i] = []byte(k)
	}
	err := s.query(ctx, func(r *row) { list[r.int()-1] = readWholeEntry(r) },
		`SELECT w.n, `+columnsOf("e", entryColumns)+`, e.doc FROM unnest($2::bytea[]) WITH ORDINALITY AS w(key, n)
		CROSS JOIN LATERAL (SELECT entry FROM entry_key WHERE source = $1 AND key = w.key LIMIT 1) AS k
		CROSS JOIN LATERAL (SELECT * FROM entry WHERE id = k.entry LIMIT 1) AS e`, plain(source), wanted)
	return list, fail("read entries", err)
}

// Entry reads one entry, deleted ones as tombstones.
func (s *Store) Entry(ctx context.Context, id hub.ID) (*hub.Entry, error) {
	return s.oneEntry(ctx, `WHERE id = $1`, id[:])
}

// ByUserName finds a living entry by folded userName.
func (s *Store) ByUserName(ctx context.Context, folded string) (*hub.Entry, error) {
	return s.oneEntry(ctx, `WHERE type = $1 AND user_name = $2`, string(schema.User), []byte(folded))
}

func (s *Store) oneEntry(ctx context.Context, condition string, arguments ...any) (e *hub.Entry, err error) {
	err = s.query(ctx, func(r *row) { e = readWholeEntry(r) }, `SELECT `+entryColumns+`, doc FROM entry `+condition, arguments...)
	if err == nil && e == nil {
		err = hub.ErrNotFound
	}
	return e, fail("read entry", err)
}

// List reads living entries of a type in order of id, after an id. Total counts all of them.
func (s *Store) List(ctx context.Context, t string, after hub.ID, limit int) (page []*hub.Entry, total int, err error) {
	err = s.snapshot(ctx, func(b *pgx.Batch) {
		b.Queue(`SELECT count(*) FROM entry WHERE type = $1 AND deleted = 0`, plain(t)).
			Query(into(func(r *row) { total = int(r.int()) }))
		b.Queue(`SELECT `+entryColumns+`, doc FROM entry WHERE type = $1 AND deleted = 0 AND id > $2 ORDER BY id LIMIT $3`,
			plain(t), after[:], limit).Query(into(func(r *row) { page = append(page, readWholeEntry(r)) }))
	})
	return page, total, fail("list entries", err)
}

// Cookie reads a source's position; nil when it never had one.
func (s *Store) Cookie(ctx context.Context, source string) (value []byte, err error) {
	err = s.query(ctx, func(r *row) { value = r.bytes() }, `SELECT value FROM cookie WHERE source = $1`, plain(source))
	return value, fail("read cookie", err)
}

// columnsOf puts a table's short name before each column.
func columnsOf(table, columns string) string {
	list := strings.Split(columns, ",")
	for i := range list {
		list[i] = table + "." + strings.TrimSpace(list[i])
	}
	return strings.Join(list, ", ")
}
