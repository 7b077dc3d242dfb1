package postgres

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"tidings/hub"
	"tidings/hub/schema"
)

// row reads one result row's columns in order, in PostgreSQL's binary form. Pages are read a thousand rows a second on a
// hot path: no reflection, no plan per column. NULL is the zero value. All integers of this driver are bigint.
type row struct {
	columns [][]byte
	err     error
}

func (r *row) next() (c []byte) {
	c, r.columns = r.columns[0], r.columns[1:]
	return c
}

func (r *row) int() int64 {
	c := r.next()
	if c == nil {
		return 0
	}
	return int64(binary.BigEndian.Uint64(c))
}

func (r *row) bool() bool {
	c := r.next()
	return len(c) == 1 && c[0] == 1
}

func (r *row) text() string { return string(r.next()) }

// bytes copies: the connection uses its buffer again.
func (r *row) bytes() []byte { return bytes.Clone(r.next()) }

func (r *row) marks() hub.Marks {
	c := r.next()
	if len(c) == 0 {
		return nil
	}
	return bytes.Clone(c)
}

func (r *row) id() (id hub.ID) {
	copy(id[:], r.next())
	return id
}

func (r *row) tag() (t hub.Tag) {
	copy(t[:], r.next())
	return t
}

func (r *row) names() []string { return strings.Fields(string(r.next())) }

// json decodes into v; NULL leaves it alone.
func (r *row) json(v any) {
	if c := r.next(); c != nil && r.err == nil {
		if err := json.Unmarshal(c, v); err != nil {
			r.err = fmt.Errorf("decode row: %w", err)
		}
	}
}

// attributes decodes an entry's document as hub/schema has it (json.Number).
func (r *row) attributes() (a schema.Attributes) {
	c := r.next()
	if c == nil {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(c))
	d.UseNumber()
	if err := d.Decode(&a); err != nil && r.err == nil {
		r.err = fmt.Errorf("decode entry: %w", err)
	}
	return a
}

// each calls f for every row of a result, then closes it.
func each(rows pgx.Rows, f func(r *row)) error {
	defer rows.Close()
	for rows.Next() {
		r := row{columns: rows.RawValues()}
		f(&r)
		if r.err != nil {
			return r.err
		}
	}
	return rows.Err()
}

// into makes a batch's callback of f.
func into(f func(r *row)) func(pgx.Rows) error {
	return func(rows pgx.Rows) error { return each(rows, f) }
}

// null is an id as the database keeps it: NULL for the zero one.
func null(id hub.ID) []byte {
	if id.IsZero() {
		return nil
	}
	return id[:]
}

// blobs are ids as the elements of a bytea array.
func blobs(ids []hub.ID) [][]byte {
	out := make([][]byte, len(ids))
	for i := range ids {
		out[i] = ids[i][:]
	}
	return out
}

// plain is text as PostgreSQL can keep it: one odd byte in what a stranger wrote must not fail the batch of others.
func plain(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "\uFFFD")
}

func joined(names []string) string { return strings.Join(names, " ") }

// marked keeps empty marks apart from NULL.
func marked(m hub.Marks) []byte {
	if m == nil {
		return []byte{}
	}
	return m
}
