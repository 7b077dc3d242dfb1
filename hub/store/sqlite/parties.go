package sqlite

import (
	"context"

	"tidings/hub"
)

const partyColumns = "p.id, p.name, p.audience, p.profile, p.sector, p.subject_format, p.events, p.claims, p.bounds, p.origins, p.agreement, p.generation, p.removed, p.created_at"

func partyTargets(p *hub.Party) []any {
	return []any{id(&p.ID), &p.Name, &p.Audience, &p.Profile, id(&p.Sector), &p.SubjectFormat, jsonColumn{&p.Events},
		jsonColumn{&p.Claims}, jsonColumn{&p.Bounds}, jsonColumn{&p.Origins}, &p.Agreement, &p.Generation, &p.Removed, &p.CreatedAt}
}

func (c *conn) parties(query string, args ...any) (found []hub.Party, err error) {
	err = c.each(func(r row) error {
		var p hub.Party
		err := r.Scan(partyTargets(&p)...)
		found = append(found, p)
		return err
	}, "SELECT "+partyColumns+" FROM party p WHERE "+query, args...)
	return found, err
}

// party reads one; hub.ErrNotFound when it was forgotten or never was.
func (c *conn) party(id hub.ID) (p hub.Party, err error) {
	err = c.value("SELECT "+partyColumns+" FROM party p WHERE p.id = ?", []any{id[:]}, partyTargets(&p)...)
	return p, err
}

// livingParty is party without removed ones.
func (c *conn) livingParty(id hub.ID) (p hub.Party, err error) {
	if p, err = c.party(id); err == nil && p.Removed != 0 {
		err = hub.ErrNotFound
	}
	return p, err
}

// Parties implements hub.State.
func (s *Store) Parties(ctx context.Context) (found []hub.Party, err error) {
	err = s.read(ctx, "read parties", func(c *conn) (err error) {
		found, err = c.parties("true ORDER BY p.id")
		return err
	})
	return found, err
}

// Party implements hub.State.
func (s *Store) Party(ctx context.Context, id hub.ID) (*hub.Party, error) {
	var p hub.Party
	err := s.read(ctx, "read a party", func(c *conn) (err error) {
		p, err = c.party(id)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &p, nil
}

// nonNil is b, empty where it is nil, for columns that are NOT NULL.
func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
