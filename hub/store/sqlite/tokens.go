package sqlite

import (
	"context"

	"tidings/hub"
)

const tokenColumns = "t.id, t.role, t.party, t.name, t.hash, t.jwk, t.scopes, t.created_at, t.expires, t.used, t.revoked"

func scanToken(r row) (t hub.Token, err error) {
	var hash []byte
	var scopes string
	err = r.Scan(id(&t.ID), &t.Role, id(&t.Party), &t.Name, bytesOf(&hash), bytesOf(&t.Key), &scopes, &t.CreatedAt, &t.Expires, &t.Used, &t.Revoked)
	copy(t.Hash[:], hash)
	t.Scopes = hub.ReadScopes(scopes)
	return t, err
}

func (c *conn) addToken(t hub.Token) error {
	err := c.exec("INSERT INTO token (id, role, party, name, hash, jwk, scopes, created_at, expires, used, revoked) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		t.ID[:], string(t.Role), blob(t.Party), t.Name, t.Hash[:], orNull(t.Key), hub.ScopeText(t.Scopes), t.CreatedAt, t.Expires, t.Used, t.Revoked)
	if err != nil && isUnique(err) {
		return hub.ErrTaken
	}
	return err
}

// AddToken implements hub.State.
func (s *Store) AddToken(ctx context.Context, t hub.Token) error {
	return s.write(ctx, "add a token", func(c *conn) error {
		if t.Party.IsZero() {
			return c.addToken(t)
		}
		if _, err := c.livingParty(t.Party); err != nil {
			return err
		}
		if err := c.addToken(t); err != nil {
			return err
		}
		var valid int
		err := c.value("SELECT count(*) FROM token WHERE party = ? AND jwk IS NULL AND revoked = 0 AND (expires = 0 OR expires > ?)",
			[]any{t.Party[:], t.CreatedAt}, &valid)
		if err == nil && valid > hub.MaxPartyTokens {
			err = hub.ErrLimit
		}
		return err
	})
}

// RevokeToken implements hub.State. Revoking again changes nothing.
func (s *Store) RevokeToken(ctx context.Context, id hub.ID, now int64) error {
	return s.write(ctx, "revoke a token", func(c *conn) error {
		n, err := c.affect("UPDATE token SET revoked = CASE revoked WHEN 0 THEN ? ELSE revoked END WHERE id = ?", now, id[:])
		if err == nil && n == 0 {
			err = hub.ErrNotFound
		}
		return err
	})
}

// UseTokens implements hub.State.
func (s *Store) UseTokens(ctx context.Context, last map[hub.ID]int64) error {
	return s.write(ctx, "note uses of tokens", func(c *conn) error {
		for id, used := range last {
			if err := c.exec("UPDATE token SET used = max(used, ?) WHERE id = ?", used, id[:]); err != nil {
				return err
			}
		}
		return nil
	})
}

// Tokens implements hub.State.
func (s *Store) Tokens(ctx context.Context) (found []hub.Token, err error) {
	err = s.read(ctx, "read tokens", func(c *conn) error {
		return c.each(func(r row) error {
			t, err := scanToken(r)
			found = append(found, t)
			return err
		}, "SELECT "+tokenColumns+" FROM token t ORDER BY t.id")
	})
	return found, err
}

const validToken = "SELECT " + tokenColumns + " FROM token t LEFT JOIN party p ON p.id = t.party " +
	"WHERE t.revoked = 0 AND (t.party IS NULL OR p.removed = 0) AND "

// Token implements hub.State.
func (s *Store) Token(ctx context.Context, id hub.ID) (*hub.Token, error) {
	return s.token(ctx, "t.id = ?", id[:])
}

// TokenByHash implements hub.State.
func (s *Store) TokenByHash(ctx context.Context, hash [32]byte) (*hub.Token, error) {
	return s.token(ctx, "t.hash = ? AND t.jwk IS NULL", hash[:])
}

func (s *Store) token(ctx context.Context, which string, arg any) (*hub.Token, error) {
	var t hub.Token
	err := s.read(ctx, "find a token", func(c *conn) error {
		return c.one(func(r row) (err error) { t, err = scanToken(r); return err }, validToken+which, arg)
	})
	if err != nil {
		return nil, err
	}
	return &t, nil
}

func (c *conn) keys(party hub.ID) (found []hub.Token, err error) {
	err = c.each(func(r row) error {
		t, err := scanToken(r)
		found = append(found, t)
		return err
	}, validToken+"t.party = ? AND t.jwk IS NOT NULL ORDER BY t.id", party[:])
	return found, err
}

// Keys implements hub.State.
func (s *Store) Keys(ctx context.Context, party hub.ID) (found []hub.Token, err error) {
	err = s.read(ctx, "read keys", func(c *conn) (err error) {
		found, err = c.keys(party)
		return err
	})
	return found, err
}

// SetKeys implements hub.State.
func (s *Store) SetKeys(ctx context.Context, party hub.ID, keys []hub.Token, now int64) error {
	return s.write(ctx, "set keys", func(c *conn) error {
		if _, err := c.livingParty(party); err != nil {
			return err
		}
		have, err := c.keys(party)
		if err != nil {
			return err
		}
		end, begin := hub.ExchangeKeys(have, keys)
		for _, id := range end {
			if err := c.exec("UPDATE token SET revoked = ? WHERE id = ?", now, id[:]); err != nil {
				return err
			}
		}
		for _, t := range begin {
			if err := c.addToken(t); err != nil {
				return err
			}
		}
		return nil
	})
}
