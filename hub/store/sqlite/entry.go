package sqlite

import (
	"context"
	"database/sql"

	"tidings/hub"
)

// entryColumns are the columns of an entry e without its document; scanEntry reads them.
const entryColumns = "e.id, e.type, e.source, e.active, e.version, e.created, e.position, e.deleted, e.created_at, e.changed, e.marks"

func entryTargets(e *hub.Entry) []any {
	return []any{id(&e.ID), &e.Type, &e.Source, &e.Active, &e.Version, &e.Created, &e.Position, &e.Deleted, &e.CreatedAt,
		&e.Changed, bytesOf((*[]byte)(&e.Marks))}
}

// scanEntry reads entryColumns and the document, with further columns before them.
func scanEntry(r row, before ...any) (*hub.Entry, error) {
	e := &hub.Entry{}
	var doc sql.NullString
	if err := r.Scan(append(append(before, entryTargets(e)...), &doc)...); err != nil {
		return nil, err
	}
	var err error
	if doc.Valid {
		e.Attributes, err = decodeAttributes(doc.String)
	}
	return e, err
}

// Entries implements hub.State.
func (s *Store) Entries(ctx context.Context, source string, keys []string) ([]*hub.Entry, error) {
	values := make([]any, len(keys))
	for i, k := range keys {
		values[i] = k
	}
	known := map[string]*hub.Entry{}
	err := s.read(ctx, "read entries", func(c *conn) error {
		return c.among(func(r row) error {
			var key string
			e, err := scanEntry(r, &key)
			known[key] = e
			return err
		}, values, "SELECT k.key, "+entryColumns+", e.doc FROM entry_key k JOIN entry e ON e.id = k.entry WHERE k.source = ? AND k.key IN (…)", source)
	})
	if err != nil {
		return nil, err
	}
	found := make([]*hub.Entry, len(keys))
	for i, k := range keys {
		found[i] = known[k]
	}
	return found, nil
}

// Entry implements hub.State.
func (s *Store) Entry(ctx context.Context, id hub.ID) (e *hub.Entry, err error) {
	err = s.read(ctx, "read an entry", func(c *conn) error {
		return c.one(func(r row) (err error) { e, err = scanEntry(r); return err },
			"SELECT "+entryColumns+", e.doc FROM entry e WHERE e.id = ?", id[:])
	})
	return e, err
}

// ByUserName implements hub.State.
func (s *Store) ByUserName(ctx context.Context, folded string) (e *hub.Entry, err error) {
	err = s.read(ctx, "find a userName", func(c *conn) error {
		return c.one(func(r row) (err error) { e, err = scanEntry(r); return err },
			"SELECT "+entryColumns+", e.doc FROM entry e WHERE e.type = 'User' AND e.user_name = ?", folded)
	})
	return e, err
}

// List implements hub.State.
func (s *Store) List(ctx context.Context, t string, after hub.ID, limit int) (page []*hub.Entry, total int, err error) {
	err = s.read(ctx, "list entries", func(c *conn) error {
		if err := c.value("SELECT count(*) FROM entry WHERE type = ? AND deleted = 0", []any{t}, &total); err != nil {
			return err
		}
		return c.each(func(r row) error {
			e, err := scanEntry(r)
			page = append(page, e)
			return err
		}, "SELECT "+entryColumns+", e.doc FROM entry e WHERE e.type = ? AND e.deleted = 0 AND e.id > ? ORDER BY e.id LIMIT ?", t, after[:], limit)
	})
	return page, total, err
}

const referenceColumns = "from_entry, name, key, source, target"

// reference is a pointer as stored: hub.Reference does not carry the source, which is its owner's.
type reference struct {
	hub.Reference
	source string
}

func scanReference(r row) (p reference, err error) {
	err = r.Scan(id(&p.From), &p.Name, &p.Key, &p.source, id(&p.Target))
	return p, err
}

func (c *conn) references(query string, args ...any) (found []hub.Reference, err error) {
	err = c.each(func(r row) error {
		p, err := scanReference(r)
		found = append(found, p.Reference)
		return err
	}, "SELECT "+referenceColumns+" FROM reference WHERE "+query, args...)
	return found, err
}

// References implements hub.State.
func (s *Store) References(ctx context.Context, entry hub.ID) (from, to []hub.Reference, err error) {
	err = s.read(ctx, "read references", func(c *conn) (err error) {
		if from, err = c.references("from_entry = ? ORDER BY name, key", entry[:]); err != nil {
			return err
		}
		to, err = c.references("target = ? ORDER BY from_entry, name, key", entry[:])
		return err
	})
	return from, to, err
}

// Unresolved implements hub.State.
func (s *Store) Unresolved(ctx context.Context, source string, limit int) (found []hub.Reference, err error) {
	err = s.read(ctx, "read unresolved references", func(c *conn) (err error) {
		found, err = c.references("target IS NULL AND source = ? ORDER BY key LIMIT ?", source, limit)
		return err
	})
	return found, err
}

// Cookie implements hub.State.
func (s *Store) Cookie(ctx context.Context, source string) (value []byte, err error) {
	err = s.read(ctx, "read a cookie", func(c *conn) error {
		return c.each(func(r row) error { return r.Scan(bytesOf(&value)) }, "SELECT value FROM cookie WHERE source = ?", source)
	})
	return value, err
}
