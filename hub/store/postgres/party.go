package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"tidings/hub"
)

const partyColumns = `doc, generation, removed, created_at`

func readParty(r *row) (p hub.Party) {
	r.json(&p)
	p.Generation, p.Removed, p.CreatedAt = r.int(), r.int(), r.int()
	return p
}

// Parties reads all parties, removed ones too, in order of id.
func (s *Store) Parties(ctx context.Context) (list []hub.Party, err error) {
	err = s.query(ctx, func(r *row) { list = append(list, readParty(r)) }, `SELECT `+partyColumns+` FROM party ORDER BY id`)
	return list, fail("read parties", err)
}

// Party reads one party, also a removed one.
func (s *Store) Party(ctx context.Context, id hub.ID) (p *hub.Party, err error) {
	err = s.query(ctx, func(r *row) {
		found := readParty(r)
		p = &found
	}, `SELECT `+partyColumns+` FROM party WHERE id = $1`, id[:])
	if err == nil && p == nil {
		err = hub.ErrNotFound
	}
	return p, fail("read party", err)
}

func readSecret(r *row) hub.Secret {
	return hub.Secret{Name: r.text(), Wrapped: r.bytes(), CreatedAt: r.int()}
}

// Secrets reads the wrapped keys in order of name.
func (s *Store) Secrets(ctx context.Context) (list []hub.Secret, err error) {
	err = s.query(ctx, func(r *row) { list = append(list, readSecret(r)) },
		`SELECT name, wrapped, created_at FROM secret ORDER BY name`)
	return list, fail("read secrets", err)
}

// InitSecret keeps the first secret of a name only and returns what stands there afterwards.
func (s *Store) InitSecret(ctx context.Context, secret hub.Secret) (kept hub.Secret, err error) {
	// Two statements: the second sees what another process committed while the first waited for it.
	b := &pgx.Batch{}
	b.Queue(`INSERT INTO secret VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, secret.Name, append([]byte{}, secret.Wrapped...), secret.CreatedAt)
	b.Queue(`SELECT name, wrapped, created_at FROM secret WHERE name = $1`, secret.Name).
		Query(into(func(r *row) { kept = readSecret(r) }))
	return kept, fail("keep secret", s.pool.SendBatch(ctx, b).Close())
}
