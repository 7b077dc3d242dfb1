package postgres

import (
	"context"

	"tidings/consent"
	"tidings/hub"
)

const grantColumns = `g.id, g.party, g.entry, g.attributes, g.purposes, g.until, g.given, g.ended, g.regraded, g.position,
	g.gone, g.version, g.marks, g.created_at, g.changed, g.opt`

func readGrant(r *row) hub.Grant {
	return hub.Grant{
		ID: r.id(), Party: r.id(), Entry: r.id(),
		Terms: consent.Terms{Attributes: r.names(), Purposes: consent.Purposes(r.int()), Until: r.int()},
		Given: r.int(), Ended: r.int(), Regraded: r.int(), Position: r.int(), Gone: r.bool(), Version: r.int(),
		Marks: r.marks(), CreatedAt: r.int(), Changed: r.int(), Opt: consent.Opt(r.text()),
	}
}

func (s *Store) grants(ctx context.Context, verb, condition string, arguments ...any) (list []hub.Grant, err error) {
	err = s.query(ctx, func(r *row) { list = append(list, readGrant(r)) },
		`SELECT `+grantColumns+` FROM grants g `+condition, arguments...)
	return list, fail(verb, err)
}

// Grants reads grants in order of id, after an id; of one party or, for the zero party, of all.
func (s *Store) Grants(ctx context.Context, party hub.ID, after hub.ID, limit int) ([]hub.Grant, error) {
	if party.IsZero() {
		return s.grants(ctx, "read grants", `WHERE g.id > $1 ORDER BY g.id LIMIT $2`, after[:], limit)
	}
	return s.grants(ctx, "read grants", `WHERE g.party = $1 AND g.id > $2 ORDER BY g.id LIMIT $3`, party[:], after[:], limit)
}

// Grant reads one grant.
func (s *Store) Grant(ctx context.Context, id hub.ID) (*hub.Grant, error) {
	list, err := s.grants(ctx, "read grant", `WHERE g.id = $1`, id[:])
	switch {
	case err != nil:
		return nil, err
	case len(list) == 0:
		return nil, fail("read grant", hub.ErrNotFound)
	}
	return &list[0], nil
}

// Expired reads grants whose end has come and that have no tombstone yet.
func (s *Store) Expired(ctx context.Context, now int64, limit int) ([]hub.Grant, error) {
	return s.grants(ctx, "read expired grants",
		`WHERE g.ended = 0 AND g.until <> 0 AND g.until <= $1 ORDER BY g.until, g.id LIMIT $2`, now, limit)
}

// Echoes lists wide lines that are unfinished.
func (s *Store) Echoes(ctx context.Context, limit int) (ids []hub.ID, err error) {
	err = s.query(ctx, func(r *row) { ids = append(ids, r.id()) }, `SELECT id FROM echo ORDER BY id LIMIT $1`, limit)
	return ids, fail("read echoes", err)
}
