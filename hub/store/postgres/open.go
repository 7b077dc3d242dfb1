package postgres

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"tidings/consent"
	"tidings/hub"
)

// Store is a hub.Store on one PostgreSQL database, shared by any number of processes.
type Store struct {
	pool  *pgxpool.Pool
	hints *hints
}

var _ hub.Store = (*Store)(nil)

// connections bounds the pool where the URL does not (pool_max_conns). Commits queue for one row lock anyway; this many
// let readers and senders go on meanwhile.
const connections = 16

// Open connects to the database at url (a libpq URL) and brings its tables up to date. It returns hub.ErrNewer when a
// newer version of the program made them.
func Open(ctx context.Context, url string) (*Store, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fail("open store", err)
	}
	if !strings.Contains(url, "pool_max_conns") {
		config.MaxConns = connections
	}
	connection := config.ConnConfig
	// Rows are read in the binary form that only described statements have.
	if m := connection.DefaultQueryExecMode; m != pgx.QueryExecModeCacheStatement && m != pgx.QueryExecModeCacheDescribe {
		connection.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement
	}
	// Every statement of the hot paths finds its rows by an index. Planning each anew for the arrays it is given costs
	// more than it finds, and a plan made while a table was still empty would read all of it for good: creates were
	// twenty times slower.
	connection.RuntimeParams["plan_cache_mode"] = "force_generic_plan"
	for _, whole := range wholeTable {
		connection.RuntimeParams[whole] = "off"
	}
	connection.RuntimeParams["jit"] = "off"
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fail("open store", err)
	}
	if err := migrate(ctx, pool); err != nil {
		pool.Close()
		return nil, fail("open store", err)
	}
	return &Store{pool: pool, hints: newHints(connection)}, nil
}

// wholeTable are the ways to read a table that the hot paths do without.
//
// They are not the only ones: of an index over (source, key), a plan made while the table was empty reads all keys of the
// source for each that it is asked for, since that seemed to cost the same. Where a list is joined by part of a key and a
// constant, a LATERAL … LIMIT 1 says that each finds one row.
var wholeTable = []string{"enable_seqscan", "enable_hashjoin", "enable_mergejoin"}

// Close ends the watches and waits until every connection is given back.
func (s *Store) Close() error {
	s.hints.close()
	s.pool.Close()
	return nil
}

//go:embed migrations/*.sql
var migrations embed.FS

// migrating is the advisory lock under which one process at a time brings the tables up to date.
const migrating = 0x746964696e6773 // "tidings"

// migrate runs what is missing of the numbered files, all in one transaction: a crash leaves the version before.
func migrate(ctx context.Context, pool *pgxpool.Pool) error {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	return pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, migrating); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `CREATE TABLE IF NOT EXISTS schema_version (version bigint NOT NULL)`); err != nil {
			return err
		}
		var version int
		if err := tx.QueryRow(ctx, `SELECT coalesce(max(version), 0) FROM schema_version`).Scan(&version); err != nil {
			return err
		}
		if version > len(files) {
			return fmt.Errorf("%w: version %d, known are %d", hub.ErrNewer, version, len(files))
		}
		for i, name := range files[version:] {
			text, err := migrations.ReadFile(name)
			if err != nil {
				return err
			}
			if _, err := tx.Conn().PgConn().Exec(ctx, string(text)).ReadAll(); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if name == "migrations/0011.sql" {
				if err := reidentify(ctx, tx); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
			if _, err := tx.Exec(ctx, `INSERT INTO schema_version VALUES ($1)`, version+i+1); err != nil {
				return err
			}
		}
		policy, err := json.Marshal(consent.Default())
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO head VALUES (true, 0, $1, 0, $2) ON CONFLICT DO NOTHING`,
			make([]byte, len(hub.Tag{})), string(policy))
		return err
	})
}

// write runs f in one transaction. READ COMMITTED on purpose: a statement that waited for a row lock sees what the one
// before it committed.
func (s *Store) write(ctx context.Context, f func(tx pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, f)
}

// snapshot runs queued reads in one snapshot and one round trip.
func (s *Store) snapshot(ctx context.Context, queue func(b *pgx.Batch)) error {
	b := &pgx.Batch{}
	b.Queue(`BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`)
	queue(b)
	b.Queue(`COMMIT`)
	return s.pool.SendBatch(ctx, b).Close()
}

// fail wraps err with the verb that failed. What the database says while it is short of something, or when two
// transactions met, is hub.ErrBusy: the caller may try again.
func fail(verb string, err error) error {
	if err == nil {
		return nil
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch {
		case pg.Code == "40001", pg.Code == "40P01", pg.Code == "55P03", pg.Code == "57P03", strings.HasPrefix(pg.Code, "53"):
			return fmt.Errorf("%s: %w: %w", verb, hub.ErrBusy, err)
		}
	}
	return fmt.Errorf("%s: %w", verb, err)
}
