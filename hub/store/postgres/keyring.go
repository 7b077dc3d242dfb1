package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"tidings/hub"
)

const secretColumns = `name, wrapped, created_at, version`

func readSecret(r *row) hub.Secret {
	return hub.Secret{Name: r.text(), Wrapped: r.bytes(), CreatedAt: r.int(), Version: r.int()}
}

// Secrets reads the wrapped keys in order of name.
func (s *Store) Secrets(ctx context.Context) (list []hub.Secret, err error) {
	err = s.query(ctx, func(r *row) { list = append(list, readSecret(r)) }, `SELECT `+secretColumns+` FROM secret ORDER BY name`)
	return list, fail("read secrets", err)
}

// Secret reads the one of a name.
func (s *Store) Secret(ctx context.Context, name string) (found hub.Secret, err error) {
	err = s.query(ctx, func(r *row) { found = readSecret(r) }, `SELECT `+secretColumns+` FROM secret WHERE name = $1`, name)
	if err == nil && found.Name == "" {
		err = hub.ErrNotFound
	}
	return found, fail("read secret", err)
}

// InitSecret keeps the first secret of a name only and returns what stands there afterwards.
func (s *Store) InitSecret(ctx context.Context, secret hub.Secret) (kept hub.Secret, err error) {
	// Two statements: the second sees what another process committed while the first waited for it.
	b := &pgx.Batch{}
	b.Queue(`INSERT INTO secret (name, wrapped, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
		secret.Name, append([]byte{}, secret.Wrapped...), secret.CreatedAt)
	b.Queue(`SELECT `+secretColumns+` FROM secret WHERE name = $1`, secret.Name).
		Query(into(func(r *row) { kept = readSecret(r) }))
	return kept, fail("keep secret", s.pool.SendBatch(ctx, b).Close())
}

// The keyring's lock: attempts begin under it together, a change of the keyring has it alone. So a token is either kept
// and counted before a key is dropped, or its attempt sees the new version and does not begin. It is an advisory lock
// because every attempt of every node takes it, and a row would be written for each.
const (
	keyringLock     = 0x746b // beside the locks of groups (counting)
	keyringShared   = `SELECT pg_advisory_xact_lock_shared($1::int, 0)`
	keyringAlone    = `SELECT pg_advisory_xact_lock($1::int, 0)`
	keyringVersion  = `SELECT version FROM secret WHERE name = $1`
	tokensSignedBy  = `set_token WHERE NOT settled AND kid IN ('', $1)`
	notifyEverybody = `SELECT pg_notify('tidings', '')`
)

// queueKeyring reads the keyring's version, 0 when there is none.
func queueKeyring(b *pgx.Batch, version *int64) {
	b.Queue(keyringVersion, hub.Keyring).Query(into(func(r *row) { *version = r.int() }))
}

// SwapKeyring replaces the keyring if it is still the one that was read.
func (s *Store) SwapKeyring(ctx context.Context, secret hub.Secret, dropped []string) (kept hub.Secret, err error) {
	err = s.write(ctx, func(tx pgx.Tx) error {
		version, left := int64(0), int64(0)
		b := &pgx.Batch{}
		b.Queue(keyringAlone, keyringLock)
		queueKeyring(b, &version)
		for _, kid := range dropped {
			b.Queue(`SELECT count(*) FROM `+tokensSignedBy, kid).Query(into(func(r *row) { left += r.int() }))
		}
		switch err := tx.SendBatch(ctx, b).Close(); {
		case err != nil:
			return err
		case version == 0:
			return hub.ErrNotFound
		case version != secret.Version:
			return hub.ErrConflict
		case left > 0:
			return hub.ErrInUse
		}
		b = &pgx.Batch{}
		b.Queue(`UPDATE secret SET wrapped = $2, version = version + 1 WHERE name = $1 RETURNING `+secretColumns,
			hub.Keyring, append([]byte{}, secret.Wrapped...)).Query(into(func(r *row) { kept = readSecret(r) }))
		b.Queue(notifyEverybody)
		return tx.SendBatch(ctx, b).Close()
	})
	if err == nil {
		s.hints.wake()
	}
	return kept, fail("swap keyring", err)
}

// Signed counts tokens that are not settled, by the key that signed them.
func (s *Store) Signed(ctx context.Context) (map[string]int, error) {
	counts := map[string]int{}
	err := s.query(ctx, func(r *row) { counts[r.text()] = int(r.int()) }, `SELECT kid, count(*) FROM set_token WHERE NOT settled GROUP BY kid`)
	return counts, fail("count signed tokens", err)
}

// Recall un-makes what a key signed. With the keyring's lock no attempt begins meanwhile; the streams' locks keep out who
// would issue, settle or lease beside it.
func (s *Store) Recall(ctx context.Context, kid string, now int64) (left int, err error) {
	err = s.write(ctx, func(tx pgx.Tx) error {
		streams, signed := map[hub.ID]bool{}, map[hub.ID]bool{}
		b := &pgx.Batch{}
		b.Queue(keyringAlone, keyringLock)
		b.Queue(`UPDATE secret SET version = version + 1 WHERE name = $1`, hub.Keyring)
		b.Queue(`SELECT DISTINCT d.stream FROM delivery d JOIN set_token t ON t.delivery = d.id WHERE NOT t.settled AND t.kid IN ('', $1)`, kid).
			Query(into(func(r *row) { streams[r.id()] = true }))
		if err := tx.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		list := blobs(keysOf(streams))
		b = &pgx.Batch{}
		b.Queue(`SELECT id FROM stream WHERE id = ANY($1::bytea[]) ORDER BY id `+besides, list)
		// What was settled before the streams were locked is out of it.
		b.Queue(`SELECT DISTINCT delivery FROM `+tokensSignedBy, kid).Query(into(func(r *row) { signed[r.id()] = true }))
		if err := tx.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		w, err := readWindow(ctx, tx, `WHERE stream = ANY($1::bytea[]) ORDER BY id FOR UPDATE`, list)
		if err != nil {
			return err
		}
		for id := range signed {
			if d := w.find(id); d != nil {
				w.apply(hub.Recalled(*d, w.of(d.Stream, d.Entry), now))
			}
		}
		b = &pgx.Batch{}
		w.queue(b)
		b.Queue(`SELECT count(*) FROM `+tokensSignedBy, kid).Query(into(func(r *row) { left = int(r.int()) }))
		b.Queue(notifyEverybody)
		return tx.SendBatch(ctx, b).Close()
	})
	if err == nil {
		s.hints.wake()
	}
	return left, fail("recall tokens", err)
}
