package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"tidings/hub"
)

const tokenColumns = `t.id, t.role, t.party, t.name, t.hash, t.jwk, t.scopes, t.created_at, t.expires, t.used, t.revoked`

func readToken(r *row) (t hub.Token) {
	t.ID, t.Role, t.Party, t.Name = r.id(), hub.Role(r.text()), r.id(), r.text()
	copy(t.Hash[:], r.next())
	t.Key = r.bytes()
	t.Scopes = hub.ReadScopes(r.text())
	t.CreatedAt, t.Expires, t.Used, t.Revoked = r.int(), r.int(), r.int(), r.int()
	return t
}

func queueToken(b *pgx.Batch, t *hub.Token) *pgx.QueuedQuery {
	return b.Queue(`INSERT INTO token (id, role, party, name, hash, jwk, scopes, created_at, expires, used, revoked)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING RETURNING id`,
		t.ID[:], string(t.Role), null(t.Party), plain(t.Name), t.Hash[:], t.Key, hub.ScopeText(t.Scopes), t.CreatedAt, t.Expires, t.Used, t.Revoked)
}

// AddToken implements hub.State.
func (s *Store) AddToken(ctx context.Context, t hub.Token) error {
	err := s.write(ctx, func(tx pgx.Tx) error {
		b := &pgx.Batch{}
		alive, kept, valid := t.Party.IsZero(), false, int64(0)
		if !alive {
			// The removal of a party waits for this, so that no credential of it is left behind; and so does whoever adds
			// another, or two would count the same and both come in.
			b.Queue(`SELECT id FROM party WHERE id = $1 AND removed = 0 FOR NO KEY UPDATE`, t.Party[:]).
				Query(into(func(*row) { alive = true }))
		}
		queueToken(b, &t).Query(into(func(*row) { kept = true }))
		b.Queue(`SELECT count(*) FROM token WHERE party = $1 AND jwk IS NULL AND revoked = 0 AND (expires = 0 OR expires > $2)`, t.Party[:], t.CreatedAt).
			Query(into(func(r *row) { valid = r.int() }))
		switch err := tx.SendBatch(ctx, b).Close(); {
		case err != nil:
			return err
		case !alive:
			return hub.ErrNotFound
		case !kept:
			return hub.ErrTaken
		case valid > hub.MaxPartyTokens:
			return hub.ErrLimit
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

// UseTokens implements hub.State. Rows that are held are passed over: two nodes that note the same ones would else wait
// for each other.
func (s *Store) UseTokens(ctx context.Context, last map[hub.ID]int64) error {
	var ids [][]byte
	var times []int64
	for id, used := range last {
		ids, times = append(ids, id[:]), append(times, used)
	}
	_, err := s.pool.Exec(ctx, `UPDATE token t SET used = greatest(t.used, free.used) FROM
		(SELECT t.id, u.used FROM unnest($1::bytea[], $2::bigint[]) AS u(id, used) JOIN token t ON t.id = u.id FOR UPDATE OF t SKIP LOCKED) free
		WHERE t.id = free.id`, ids, times)
	return fail("note uses of tokens", err)
}

// Tokens reads all credentials, revoked ones too.
func (s *Store) Tokens(ctx context.Context) (list []hub.Token, err error) {
	err = s.query(ctx, func(r *row) { list = append(list, readToken(r)) }, `SELECT `+tokenColumns+` FROM token t ORDER BY id`)
	return list, fail("read tokens", err)
}

const validToken = `SELECT ` + tokenColumns + ` FROM token t LEFT JOIN party p ON p.id = t.party
	WHERE t.revoked = 0 AND (t.party IS NULL OR p.removed = 0) AND `

// Token implements hub.State.
func (s *Store) Token(ctx context.Context, id hub.ID) (*hub.Token, error) {
	return s.token(ctx, `t.id = $1`, id[:])
}

// TokenByHash implements hub.State.
func (s *Store) TokenByHash(ctx context.Context, hash [32]byte) (*hub.Token, error) {
	return s.token(ctx, `t.hash = $1 AND t.jwk IS NULL`, hash[:])
}

func (s *Store) token(ctx context.Context, which string, argument []byte) (t *hub.Token, err error) {
	err = s.query(ctx, func(r *row) {
		found := readToken(r)
		t = &found
	}, validToken+which, argument)
	if err == nil && t == nil {
		err = hub.ErrNotFound
	}
	return t, fail("read token", err)
}

const partyKeys = validToken + `t.party = $1 AND t.jwk IS NOT NULL ORDER BY t.id`

// Keys implements hub.State.
func (s *Store) Keys(ctx context.Context, party hub.ID) (list []hub.Token, err error) {
	err = s.query(ctx, func(r *row) { list = append(list, readToken(r)) }, partyKeys, party[:])
	return list, fail("read keys", err)
}

// SetKeys implements hub.State. The party's row is locked, so that two sets never mix.
func (s *Store) SetKeys(ctx context.Context, party hub.ID, keys []hub.Token, now int64) error {
	err := s.write(ctx, func(tx pgx.Tx) error {
		alive := false
		var have []hub.Token
		b := &pgx.Batch{}
		b.Queue(`SELECT id FROM party WHERE id = $1 AND removed = 0 FOR NO KEY UPDATE`, party[:]).Query(into(func(*row) { alive = true }))
		b.Queue(partyKeys, party[:]).Query(into(func(r *row) { have = append(have, readToken(r)) }))
		if err := tx.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		if !alive {
			return hub.ErrNotFound
		}
		end, begin := hub.ExchangeKeys(have, keys)
		kept := 0
		b = &pgx.Batch{}
		b.Queue(`UPDATE token SET revoked = $2 WHERE id = ANY($1::bytea[])`, blobs(end), now)
		for i := range begin {
			queueToken(b, &begin[i]).Query(into(func(*row) { kept++ }))
		}
		if err := tx.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		if kept < len(begin) {
			return hub.ErrTaken
		}
		return nil
	})
	return fail("set keys", err)
}
