package sqlite

import (
	"context"

	"tidings/hub"
)

const grantColumns = "g.id, g.party, g.entry, g.position, g.given, g.ended, g.regraded, g.gone, g.version, g.attributes, g.purposes, " +
	"g.until, g.created_at, g.changed, g.opt, g.marks"

func grantTargets(g *hub.Grant) []any {
	return []any{id(&g.ID), id(&g.Party), id(&g.Entry), &g.Position, &g.Given, &g.Ended, &g.Regraded, &g.Gone, &g.Version,
		names(&g.Terms.Attributes), &g.Terms.Purposes, &g.Terms.Until, &g.CreatedAt, &g.Changed, &g.Opt, bytesOf((*[]byte)(&g.Marks))}
}

func (c *conn) grants(query string, args ...any) (found []hub.Grant, err error) {
	err = c.each(func(r row) error {
		var g hub.Grant
		err := r.Scan(grantTargets(&g)...)
		found = append(found, g)
		return err
	}, "SELECT "+grantColumns+" FROM grants g WHERE "+query, args...)
	return found, err
}

// Grants implements hub.State.
func (s *Store) Grants(ctx context.Context, party, after hub.ID, limit int) (found []hub.Grant, err error) {
	err = s.read(ctx, "read grants", func(c *conn) (err error) {
		if party.IsZero() {
			found, err = c.grants("g.id > ? ORDER BY g.id LIMIT ?", after[:], limit)
		} else {
			// +id: through the primary key the page would look at every party's grants.
			found, err = c.grants("g.party = ? AND +g.id > ? ORDER BY +g.id LIMIT ?", party[:], after[:], limit)
		}
		return err
	})
	return found, err
}

// Grant implements hub.State.
func (s *Store) Grant(ctx context.Context, id hub.ID) (*hub.Grant, error) {
	var g hub.Grant
	err := s.read(ctx, "read a grant", func(c *conn) error {
		return c.value("SELECT "+grantColumns+" FROM grants g WHERE g.id = ?", []any{id[:]}, grantTargets(&g)...)
	})
	if err != nil {
		return nil, err
	}
	return &g, nil
}

// Expired implements hub.State.
func (s *Store) Expired(ctx context.Context, now int64, limit int) (found []hub.Grant, err error) {
	err = s.read(ctx, "read expired grants", func(c *conn) (err error) {
		found, err = c.grants("g.ended = 0 AND g.until <> 0 AND g.until <= ? ORDER BY g.until LIMIT ?", now, limit)
		return err
	})
	return found, err
}

// Echoes implements hub.State.
func (s *Store) Echoes(ctx context.Context, limit int) (found []hub.ID, err error) {
	err = s.read(ctx, "read echoes", func(c *conn) error {
		return c.each(func(r row) error {
			var e hub.ID
			err := r.Scan(id(&e))
			found = append(found, e)
			return err
		}, "SELECT id FROM echo ORDER BY id LIMIT ?", limit)
	})
	return found, err
}
