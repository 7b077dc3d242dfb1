package hub_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"tidings/hub"
	"tidings/hub/schema"
	"tidings/hub/store/postgres"
	"tidings/hub/store/postgres/pgtest"
	"tidings/hub/store/sqlite"
)

// bare is what benchmarks measure the hub against: a store's own tables, written and read by plain SQL that decides
// nothing, with the same transactions and the same durability.
type bare interface {
	// create inserts entries with their keys and lines; update rewrites entries with the row of one grant each, and
	// inserts lines. Each is one transaction.
	create(rows []bareRow)
	update(rows []bareRow)
	// page reads up to limit rows of a party's feed and counts them.
	page(party hub.ID, after int64, limit int) int
}

// bareRow is one changed entry, encoded as the store keeps it.
type bareRow struct {
	entry, grant        []byte
	key, doc, names     string
	marks, tag          []byte
	position, version   int64
	time                int64
	actor, source, txns string
	identifiers         []hub.ID
}

// site is where a store keeps its tables, for the hub and for bare SQL.
type site struct {
	open func() hub.Store
	bare func() bare
}

func sqliteSite(b *testing.B) site {
	path := filepath.Join(b.TempDir(), "hub.db")
	return site{
		open: func() hub.Store { return must(sqlite.Open(b.Context(), path))(b) },
		bare: func() bare { return newBareSQLite(b, path) },
	}
}

func postgresSite(b *testing.B) site {
	url := pgtest.URL(b)
	return site{
		open: func() hub.Store { return must(postgres.Open(b.Context(), url))(b) },
		bare: func() bare { return newBarePostgres(b, url) },
	}
}

// onBoth runs a benchmark on both stores; sites makes fresh ones.
func onBoth(b *testing.B, bench func(b *testing.B, sites func() site)) {
	b.Run("sqlite", func(b *testing.B) { bench(b, func() site { return sqliteSite(b) }) })
	b.Run("postgres", func(b *testing.B) { bench(b, func() site { return postgresSite(b) }) })
}

// encode makes what a driver would write of a person whose names changed at a position.
func encode(id hub.ID, key string, attributes schema.Attributes, marks hub.Marks, names string, position, version int64) bareRow {
	doc, err := json.Marshal(attributes)
	if err != nil {
		panic(err)
	}
	tag := hub.NewTag()
	return bareRow{
		entry: id[:], key: key, doc: string(doc), names: names, marks: marks, tag: tag[:], position: position, version: version,
		time: 1_700_000_000_000_000, source: "bench", txns: "0123456789abcdef", identifiers: hub.Identifiers(schema.User, attributes),
	}
}

type bareSQLite struct {
	b                                                  *testing.B
	db                                                 *sql.DB
	entry, key, line, rewrite, move, head, begin, span *sql.Stmt
	commit, identifier                                 *sql.Stmt
}

func newBareSQLite(b *testing.B, path string) *bareSQLite {
	db := must(sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)&_pragma=synchronous(full)"+
		"&_pragma=temp_store(memory)&_pragma=secure_delete(1)&_pragma=cache_size(-65536)&_pragma=wal_autocheckpoint(4000)"))(b)
	db.SetMaxOpenConns(1)
	b.Cleanup(func() { db.Close() })
	stmt := func(query string) *sql.Stmt { return must(db.Prepare(query))(b) }
	return &bareSQLite{
		b: b, db: db, begin: stmt("BEGIN IMMEDIATE"), commit: stmt("COMMIT"),
		entry: stmt("INSERT INTO entry (id, type, source, active, version, created, position, deleted, created_at, changed, marks, user_name, doc) " +
			"VALUES (?, 'User', ?, 1, 1, ?, ?, 0, ?, ?, ?, ?, ?)"),
		key:        stmt("INSERT INTO entry_key (source, key, entry) VALUES (?, ?, ?)"),
		identifier: stmt("INSERT INTO identifier (key, entry) VALUES (?, ?)"),
		line:       stmt("INSERT INTO change (position, tag, time, entry, party, kind, names, actor, source, txn) VALUES (?, ?, ?, ?, NULL, ?, ?, ?, ?, ?)"),
		rewrite:    stmt("UPDATE entry SET version = ?, position = ?, changed = ?, marks = ?, doc = ? WHERE id = ?"),
		move:       stmt("UPDATE grants SET position = ?, version = version + 1, changed = ? WHERE id = ?"),
		head:       stmt("UPDATE head SET position = ?, tag = ?"),
		span: stmt("SELECT " + bareColumns + " FROM grants g CROSS JOIN entry e ON e.id = g.entry " +
			"WHERE g.party = ? AND g.position > ? ORDER BY g.position LIMIT ?"),
	}
}

// bareColumns are those that a page of the feed needs.
const bareColumns = "g.id, g.party, g.entry, g.attributes, g.purposes, g.until, g.given, g.ended, g.regraded, g.position, g.gone, g.version, " +
	"g.marks, g.created_at, g.changed, e.id, e.type, e.source, e.active, e.version, e.created, e.position, e.deleted, e.marks, e.created_at, e.changed"

// bareTargets are what bareColumns are scanned into.
func bareTargets() []any {
	var id, party, entry, marks, id2, marks2 []byte
	var names, kind, source string
	var n [14]int64
	var gone, active bool
	return []any{&id, &party, &entry, &names, &n[0], &n[1], &n[2], &n[3], &n[4], &n[5], &gone, &n[6], &marks, &n[7], &n[8],
		&id2, &kind, &source, &active, &n[9], &n[10], &n[11], &n[12], &marks2, &n[13], &n[0]}
}

func (s *bareSQLite) exec(stmt *sql.Stmt, args ...any) {
	if _, err := stmt.Exec(args...); err != nil {
		s.b.Fatal(err)
	}
}

func (s *bareSQLite) create(rows []bareRow) {
	s.exec(s.begin)
	for i := range rows {
		r := &rows[i]
		s.exec(s.entry, r.entry, r.source, r.position, r.position, r.time, r.time, r.marks, r.key, r.doc)
		s.exec(s.key, r.source, r.key, r.entry)
		for _, id := range r.identifiers {
			s.exec(s.identifier, id[:], r.entry)
		}
		s.exec(s.line, r.position, r.tag, r.time, r.entry, "created", r.names, r.actor, r.source, r.txns)
	}
	s.finish(&rows[len(rows)-1])
}

func (s *bareSQLite) update(rows []bareRow) {
	s.exec(s.begin)
	for i := range rows {
		r := &rows[i]
		s.exec(s.rewrite, r.version, r.position, r.time, r.marks, r.doc, r.entry)
		s.exec(s.move, r.position, r.time, r.grant)
		s.exec(s.line, r.position, r.tag, r.time, r.entry, "updated", r.names, r.actor, r.source, r.txns)
	}
	s.finish(&rows[len(rows)-1])
}

func (s *bareSQLite) finish(last *bareRow) {
	s.exec(s.head, last.position, last.tag)
	s.exec(s.commit)
}

func (s *bareSQLite) page(party hub.ID, after int64, limit int) (n int) {
	rows := must(s.span.Query(party[:], after, limit))(s.b)
	defer rows.Close()
	for ; rows.Next(); n++ {
		if err := rows.Scan(bareTargets()...); err != nil {
			s.b.Fatal(err)
		}
	}
	return n
}

type barePostgres struct {
	b    *testing.B
	conn *pgx.Conn
}

func newBarePostgres(b *testing.B, url string) *barePostgres {
	config := must(pgx.ParseConfig(url))(b)
	// As the driver has it: with plans made for each array the baseline would be slower.
	config.RuntimeParams["plan_cache_mode"] = "force_generic_plan"
	for _, way := range []string{"enable_seqscan", "enable_hashjoin", "enable_mergejoin", "jit"} {
		config.RuntimeParams[way] = "off"
	}
	conn := must(pgx.ConnectConfig(b.Context(), config))(b)
	b.Cleanup(func() { conn.Close(context.WithoutCancel(b.Context())) })
	return &barePostgres{b, conn}
}

// transaction sends the statements with one round trip.
func (s *barePostgres) transaction(queue func(q *pgx.Batch)) {
	q := &pgx.Batch{}
	q.Queue("BEGIN")
	queue(q)
	q.Queue("COMMIT")
	if err := s.conn.SendBatch(s.b.Context(), q).Close(); err != nil {
		s.b.Fatal(err)
	}
}

// column makes an array of one member of each row.
func column[T any](rows []bareRow, of func(r *bareRow) T) []T {
	out := make([]T, len(rows))
	for i := range rows {
		out[i] = of(&rows[i])
	}
	return out
}

func (s *barePostgres) create(rows []bareRow) {
	entries, keys := column(rows, entryOf), column(rows, func(r *bareRow) []byte { return []byte(r.key) })
	positions, times := column(rows, positionOf), column(rows, timeOf)
	s.transaction(func(q *pgx.Batch) {
		q.Queue(`INSERT INTO entry (id, type, source, user_name, doc, active, version, created, position, tag, deleted, marks, created_at, changed)
			SELECT id, 'User', source, name, doc, true, 1, position, position, tag, 0, marks, time, time
			FROM unnest($1::bytea[], $2::text[], $3::bytea[], $4::text[], $5::bigint[], $6::bytea[], $7::bytea[], $8::bigint[])
				AS w(id, source, name, doc, position, tag, marks, time)`,
			entries, column(rows, sourceOf), keys, column(rows, docOf), positions, column(rows, tagOf), column(rows, marksOf), times)
		var identifiers, identified [][]byte
		for i := range rows {
			for n := range rows[i].identifiers {
				identifiers, identified = append(identifiers, rows[i].identifiers[n][:]), append(identified, rows[i].entry)
			}
		}
		q.Queue(`INSERT INTO identifier (key, entry) SELECT * FROM unnest($1::bytea[], $2::bytea[])`, identifiers, identified)
		q.Queue(`INSERT INTO entry_key (source, key, entry) SELECT * FROM unnest($1::text[], $2::bytea[], $3::bytea[])`,
			column(rows, sourceOf), keys, entries)
		s.lines(q, rows, "created")
	})
}

func (s *barePostgres) update(rows []bareRow) {
	s.transaction(func(q *pgx.Batch) {
		q.Queue(`UPDATE entry e SET version = w.version, position = w.position, tag = w.tag, changed = w.time, marks = w.marks, doc = w.doc
			FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bytea[], $5::bigint[], $6::bytea[], $7::text[])
				AS w(id, version, position, tag, time, marks, doc) WHERE e.id = w.id`,
			column(rows, entryOf), column(rows, func(r *bareRow) int64 { return r.version }), column(rows, positionOf), column(rows, tagOf),
			column(rows, timeOf), column(rows, marksOf), column(rows, docOf))
		q.Queue(`UPDATE grants g SET position = w.position, tag = w.tag, version = g.version + 1, changed = w.time
			FROM unnest($1::bytea[], $2::bigint[], $3::bytea[], $4::bigint[]) AS w(id, position, tag, time) WHERE g.id = w.id`,
			column(rows, func(r *bareRow) []byte { return r.grant }), column(rows, positionOf), column(rows, tagOf), column(rows, timeOf))
		s.lines(q, rows, "updated")
	})
}

func (s *barePostgres) lines(q *pgx.Batch, rows []bareRow, kind string) {
	q.Queue(`INSERT INTO change (position, tag, time, entry, party, kind, attributes, actor, source, txn)
		SELECT position, tag, time, entry, NULL, $1, names, '', source, txn
		FROM unnest($2::bigint[], $3::bytea[], $4::bigint[], $5::bytea[], $6::text[], $7::text[], $8::text[])
			AS w(position, tag, time, entry, names, source, txn)`,
		kind, column(rows, positionOf), column(rows, tagOf), column(rows, timeOf), column(rows, entryOf),
		column(rows, func(r *bareRow) string { return r.names }), column(rows, sourceOf), column(rows, func(r *bareRow) string { return r.txns }))
	last := &rows[len(rows)-1]
	q.Queue(`UPDATE head SET position = $1, tag = $2`, last.position, last.tag)
}

func entryOf(r *bareRow) []byte   { return r.entry }
func marksOf(r *bareRow) []byte   { return r.marks }
func tagOf(r *bareRow) []byte     { return r.tag }
func docOf(r *bareRow) string     { return r.doc }
func sourceOf(r *bareRow) string  { return r.source }
func positionOf(r *bareRow) int64 { return r.position }
func timeOf(r *bareRow) int64     { return r.time }

func (s *barePostgres) page(party hub.ID, after int64, limit int) (n int) {
	rows := must(s.conn.Query(s.b.Context(), `SELECT `+bareColumns+` FROM grants g JOIN entry e ON e.id = g.entry
		WHERE g.party = $1 AND g.position > $2 ORDER BY g.position LIMIT $3`, party[:], after, limit))(s.b)
	defer rows.Close()
	for ; rows.Next(); n++ {
		if err := rows.Scan(bareTargets()...); err != nil {
			s.b.Fatal(err)
		}
	}
	return n
}
