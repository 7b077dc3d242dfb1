package postgres

import (
	"bytes"
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"tidings/hub"
)

// Keep implements hub.Scratch; hub.ErrTaken when an unexpired record stands under the key. Expired records go on the way.
func (s *Store) Keep(ctx context.Context, r hub.Record, limit int) error {
	now := time.Now().UnixMicro()
	err := s.write(ctx, func(tx pgx.Tx) error {
		var count int64
		kept := false
		b := &pgx.Batch{}
		// One at a time per group, or two would count the same and both come in.
		b.Queue(`SELECT pg_advisory_xact_lock($1, hashtext(encode($2::bytea, 'hex')))`, counting, []byte(r.Group))
		b.Queue(`DELETE FROM scratch WHERE key IN (SELECT key FROM scratch WHERE expires <= $1 ORDER BY key
			FOR UPDATE SKIP LOCKED)`, now)
		b.Queue(`SELECT count(*) FROM scratch WHERE kin = $1 AND expires > $2`, []byte(r.Group), now).
			Query(into(func(r *row) { count = r.int() }))
		b.Queue(`INSERT INTO scratch (key, kin, value, expires) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING RETURNING key`,
			[]byte(r.Key), []byte(r.Group), append([]byte{}, r.Value...), r.Expires).Query(into(func(*row) { kept = true }))
		switch err := tx.SendBatch(ctx, b).Close(); {
		case err != nil:
			return err
		case count >= int64(limit):
			return hub.ErrLimit
		case !kept:
			return hub.ErrTaken
		}
		return nil
	})
	return fail("keep record", err)
}

// counting is the class of the advisory locks of groups.
const counting = 0x7469

// Take implements hub.Scratch.
func (s *Store) Take(ctx context.Context, key string, now int64) (record *hub.Record, err error) {
	err = s.query(ctx, func(r *row) {
		record = &hub.Record{Key: key, Group: r.text(), Value: r.bytes(), Expires: r.int()}
	}, `DELETE FROM scratch WHERE key = $1 AND expires > $2 RETURNING kin, value, expires`, []byte(key), now)
	if err == nil && record == nil {
		err = hub.ErrNotFound
	}
	return record, fail("take record", err)
}

// Swap implements hub.Scratch; hub.ErrNotFound when there is no such record, hub.ErrConflict when it holds another value.
func (s *Store) Swap(ctx context.Context, key string, old, value []byte, expires int64) error {
	err := s.write(ctx, func(tx pgx.Tx) error {
		var holds []byte
		found := false
		rows, err := tx.Query(ctx, `SELECT value FROM scratch WHERE key = $1 FOR UPDATE`, []byte(key))
		if err != nil {
			return err
		}
		if err := each(rows, func(r *row) { holds, found = r.bytes(), true }); err != nil {
			return err
		}
		switch {
		case !found:
			return hub.ErrNotFound
		case !bytes.Equal(holds, old):
			return hub.ErrConflict
		}
		_, err = tx.Exec(ctx, `UPDATE scratch SET value = $2, expires = $3 WHERE key = $1`,
			[]byte(key), append([]byte{}, value...), expires)
		return err
	})
	return fail("swap record", err)
}
