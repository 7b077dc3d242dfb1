package postgres

import (
	"context"

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
