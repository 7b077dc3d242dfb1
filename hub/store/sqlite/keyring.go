package sqlite

import (
	"context"
	"errors"

	"tidings/hub"
)

const secretColumns = "name, wrapped, created_at, version"

func scanSecret(r row) (s hub.Secret, err error) {
	err = r.Scan(&s.Name, bytesOf(&s.Wrapped), &s.CreatedAt, &s.Version)
	return s, err
}

func (c *conn) secret(name string) (s hub.Secret, err error) {
	err = c.one(func(r row) (err error) { s, err = scanSecret(r); return err }, "SELECT "+secretColumns+" FROM secret WHERE name = ?", name)
	return s, err
}

// Secrets implements hub.State.
func (s *Store) Secrets(ctx context.Context) (found []hub.Secret, err error) {
	err = s.read(ctx, "read secrets", func(c *conn) error {
		return c.each(func(r row) error {
			k, err := scanSecret(r)
			found = append(found, k)
			return err
		}, "SELECT "+secretColumns+" FROM secret ORDER BY name")
	})
	return found, err
}

// Secret implements hub.State.
func (s *Store) Secret(ctx context.Context, name string) (found hub.Secret, err error) {
	err = s.read(ctx, "read a secret", func(c *conn) (err error) {
		found, err = c.secret(name)
		return err
	})
	return found, err
}

// InitSecret implements hub.State.
func (s *Store) InitSecret(ctx context.Context, k hub.Secret) (kept hub.Secret, err error) {
	err = s.write(ctx, "keep a secret", func(c *conn) error {
		err := c.exec("INSERT INTO secret (name, wrapped, created_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", k.Name, nonNil(k.Wrapped), k.CreatedAt)
		if err != nil {
			return err
		}
		kept, err = c.secret(k.Name)
		return err
	})
	return kept, err
}

// SwapKeyring implements hub.State. The tokens are counted under the write lock that every Begin needs: none can be kept
// between the count and the swap.
func (s *Store) SwapKeyring(ctx context.Context, k hub.Secret, dropped []string) (kept hub.Secret, err error) {
	err = s.write(ctx, "swap the keyring", func(c *conn) error {
		stands, err := c.secret(hub.Keyring)
		switch {
		case err != nil:
			return err
		case stands.Version != k.Version:
			return hub.ErrConflict
		}
		for _, kid := range dropped {
			if left, err := c.signedWith(kid); err != nil {
				return err
			} else if left > 0 {
				return hub.ErrInUse
			}
		}
		if err := c.exec("UPDATE secret SET wrapped = ?, version = version + 1 WHERE name = ?", nonNil(k.Wrapped), hub.Keyring); err != nil {
			return err
		}
		kept, err = c.secret(hub.Keyring)
		return err
	})
	if err == nil {
		s.watchers.wake()
	}
	return kept, err
}

// keyring is the keyring's version.
func (c *conn) keyring() (version int64, err error) {
	err = c.value("SELECT version FROM secret WHERE name = ?", []any{hub.Keyring}, &version)
	if errors.Is(err, hub.ErrNotFound) {
		return 0, nil
	}
	return version, err
}

// signedWith counts tokens of a key that are not settled; what was kept before ids were may be of any key.
func (c *conn) signedWith(kid string) (n int, err error) {
	err = c.value("SELECT count(*) FROM security_event_token WHERE settled = 0 AND kid IN ('', ?)", []any{kid}, &n)
	return n, err
}

// Signed implements hub.Outbox.
func (s *Store) Signed(ctx context.Context) (counts map[string]int, err error) {
	counts = map[string]int{}
	err = s.read(ctx, "count signed tokens", func(c *conn) error {
		return c.each(func(r row) error {
			var kid string
			var n int
			err := r.Scan(&kid, &n)
			counts[kid] = n
			return err
		}, "SELECT kid, count(*) FROM security_event_token WHERE settled = 0 GROUP BY kid")
	})
	return counts, err
}

// Recall implements hub.Outbox.
func (s *Store) Recall(ctx context.Context, kid string, now int64) (left int, err error) {
	err = s.write(ctx, "recall tokens", func(c *conn) error {
		if err := c.exec("UPDATE secret SET version = version + 1 WHERE name = ?", hub.Keyring); err != nil {
			return err
		}
		ds, err := c.deliveries("d.id IN (SELECT delivery FROM security_event_token WHERE settled = 0 AND kid IN ('', ?))", kid)
		if err != nil {
			return err
		}
		for _, d := range ds {
			// Read for each: two of one entry may have become one.
			beside, err := c.unsettled(d.Stream, d.Entry)
			if err != nil {
				return err
			}
			if err := c.keep(hub.Recalled(d, beside, now)); err != nil {
				return err
			}
		}
		left, err = c.signedWith(kid)
		return err
	})
	if err == nil {
		s.watchers.wake()
	}
	return left, err
}
