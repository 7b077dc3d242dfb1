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

const tokenColumns = `t.id, t.role, t.party, t.name, t.hash, t.created_at, t.revoked`

func readToken(r *row) (t hub.Token) {
	t.ID, t.Role, t.Party, t.Name = r.id(), hub.Role(r.text()), r.id(), r.text()
	copy(t.Hash[:], r.next())
	t.CreatedAt, t.Revoked = r.int(), r.int()
	return t
}

func queueToken(b *pgx.Batch, t *hub.Token) *pgx.QueuedQuery {
	return b.Queue(`INSERT INTO token (id, role, party, name, hash, created_at, revoked) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT DO NOTHING RETURNING id`,
		t.ID[:], string(t.Role), null(t.Party), plain(t.Name), t.Hash[:], t.CreatedAt, t.Revoked)
}

// AddToken keeps a credential; hub.ErrTaken when its id or hash is there already, hub.ErrNotFound when it is of a party
// that is not or no longer.
func (s *Store) AddToken(ctx context.Context, t hub.Token) error {
	err := s.write(ctx, func(tx pgx.Tx) error {
		b := &pgx.Batch{}
		alive := t.Party.IsZero()
		if !alive {
			// The removal of a party waits for this, so that no credential of it is left behind.
			b.Queue(`SELECT id FROM party WHERE id = $1 AND removed = 0 FOR KEY SHARE`, t.Party[:]).
				Query(into(func(*row) { alive = true }))
		}
		kept := false
		queueToken(b, &t).Query(into(func(*row) { kept = true }))
		switch err := tx.SendBatch(ctx, b).Close(); {
		case err != nil:
			return err
		case !alive:
			return hub.ErrNotFound
		case !kept:
			return hub.ErrTaken
		}
		return nil
	})
	return fail("add token", err)
}

// RevokeToken ends a credential; one that ended before keeps its time.
func (s *Store) RevokeToken(ctx context.Context, id hub.ID, now int64) error {
	tag, err := s.pool.Exec(ctx, `UPDATE token SET revoked = CASE revoked WHEN 0 THEN $2 ELSE revoked END WHERE id = $1`, id[:], now)
	if err == nil && tag.RowsAffected() == 0 {
		err = hub.ErrNotFound
	}
	return fail("revoke token", err)
}

// Tokens reads all credentials, revoked ones too.
func (s *Store) Tokens(ctx context.Context) (list []hub.Token, err error) {
	err = s.query(ctx, func(r *row) { list = append(list, readToken(r)) }, `SELECT `+tokenColumns+` FROM token t ORDER BY id`)
	return list, fail("read tokens", err)
}

// TokenByHash finds a credential that is neither revoked nor of a removed party.
func (s *Store) TokenByHash(ctx context.Context, hash [32]byte) (t *hub.Token, err error) {
	err = s.query(ctx, func(r *row) {
		found := readToken(r)
		t = &found
	}, `SELECT `+tokenColumns+` FROM token t LEFT JOIN party p ON p.id = t.party
		WHERE t.hash = $1 AND t.revoked = 0 AND (t.party IS NULL OR p.removed = 0)`, hash[:])
	if err == nil && t == nil {
		err = hub.ErrNotFound
	}
	return t, fail("read token", err)
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
