package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"tidings/hub"
)

// conn is one connection with its prepared statements, used by one goroutine at a time. Statements run to their end
// whatever becomes of the caller: each is short, and an interrupted COMMIT would leave open what happened.
type conn struct {
	c        *sql.Conn
	prepared map[string]*sql.Stmt
}

func connect(ctx context.Context, db *sql.DB) (*conn, error) {
	c, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{c: c, prepared: map[string]*sql.Stmt{}}, nil
}

func (c *conn) close() error {
	for _, s := range c.prepared {
		s.Close()
	}
	return c.c.Close()
}

func (c *conn) stmt(query string) (*sql.Stmt, error) {
	if s := c.prepared[query]; s != nil {
		return s, nil
	}
	s, err := c.c.PrepareContext(context.Background(), query)
	if err == nil {
		c.prepared[query] = s
	}
	return s, err
}

func (c *conn) exec(query string, args ...any) error {
	_, err := c.affect(query, args...)
	return err
}

// affect is exec that tells how many rows it touched.
func (c *conn) affect(query string, args ...any) (int64, error) {
	s, err := c.stmt(query)
	if err != nil {
		return 0, err
	}
	r, err := s.Exec(args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// row is what a scanner reads from: *sql.Rows or *sql.Row.
type row interface{ Scan(dest ...any) error }

// each calls f for every row.
func (c *conn) each(f func(r row) error, query string, args ...any) error {
	s, err := c.stmt(query)
	if err != nil {
		return err
	}
	rows, err := s.Query(args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// one scans the only row; hub.ErrNotFound when there is none.
func (c *conn) one(f func(r row) error, query string, args ...any) error {
	s, err := c.stmt(query)
	if err != nil {
		return err
	}
	err = f(s.QueryRow(args...))
	if errors.Is(err, sql.ErrNoRows) {
		return hub.ErrNotFound
	}
	return err
}

// value scans a single row of plain columns.
func (c *conn) value(query string, args []any, dest ...any) error {
	return c.one(func(r row) error { return r.Scan(dest...) }, query, args...)
}

// chunk bounds the parameters of one statement.
const chunk = 512

// among runs a query with "IN (…)" over any number of values, in chunks whose length is rounded up to a power of two
// so that few statements are prepared. Further arguments stand before the values.
func (c *conn) among(f func(r row) error, values []any, query string, args ...any) error {
	for len(values) > 0 {
		n := min(len(values), chunk)
		q, all := spread(query, values[:n], args)
		if err := c.each(f, q, all...); err != nil {
			return err
		}
		values = values[n:]
	}
	return nil
}

// affectAmong is among for statements that return nothing.
func (c *conn) affectAmong(values []any, query string, args ...any) error {
	for len(values) > 0 {
		n := min(len(values), chunk)
		q, all := spread(query, values[:n], args)
		if err := c.exec(q, all...); err != nil {
			return err
		}
		values = values[n:]
	}
	return nil
}

func spread(query string, values, args []any) (string, []any) {
	size := 1
	for size < len(values) {
		size *= 2
	}
	all := append(append(make([]any, 0, len(args)+size), args...), values...)
	for range size - len(values) {
		all = append(all, values[0])
	}
	return strings.Replace(query, "…", strings.Repeat("?,", size-1)+"?", 1), all
}
