package sqlite

import (
	"bytes"
	"context"
	"time"

	"tidings/hub"
)

// Keep implements hub.Scratch. hub.ErrTaken when an unexpired record stands under the key. Expired records of all
// groups go on the way.
func (s *Store) Keep(ctx context.Context, r hub.Record, limit int) error {
	now := time.Now().UnixMicro()
	return s.write(ctx, "keep a record", func(c *conn) error {
		if err := c.exec("DELETE FROM scratch WHERE expires <= ?", now); err != nil {
			return err
		}
		var count int
		if err := c.value("SELECT count(*) FROM scratch WHERE kin = ?", []any{r.Group}, &count); err != nil {
			return err
		}
		if count >= limit {
			return hub.ErrLimit
		}
		n, err := c.affect("INSERT INTO scratch (key, kin, value, expires) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
			r.Key, r.Group, nonNil(r.Value), r.Expires)
		if err == nil && n == 0 {
			err = hub.ErrTaken
		}
		return err
	})
}

// Take implements hub.Scratch.
func (s *Store) Take(ctx context.Context, key string, now int64) (*hub.Record, error) {
	r := &hub.Record{Key: key}
	// Anybody can bring a key that is none: looking for it needs no lock.
	err := s.read(ctx, "look for a record", func(c *conn) error {
		var there int
		return c.value("SELECT 1 FROM scratch WHERE key = ? AND expires > ?", []any{key, now}, &there)
	})
	if err != nil {
		return nil, err
	}
	err = s.write(ctx, "take a record", func(c *conn) error {
		return c.value("DELETE FROM scratch WHERE key = ? AND expires > ? RETURNING kin, value, expires", []any{key, now},
			&r.Group, bytesOf(&r.Value), &r.Expires)
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Swap implements hub.Scratch. hub.ErrNotFound when there is no such record, hub.ErrConflict when it holds another
// value.
func (s *Store) Swap(ctx context.Context, key string, old, value []byte, expires int64) error {
	return s.write(ctx, "swap a record", func(c *conn) error {
		var holds []byte
		if err := c.value("SELECT value FROM scratch WHERE key = ?", []any{key}, bytesOf(&holds)); err != nil {
			return err
		}
		if !bytes.Equal(holds, old) {
			return hub.ErrConflict
		}
		return c.exec("UPDATE scratch SET value = ?, expires = ? WHERE key = ?", nonNil(value), expires, key)
	})
}
