package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"tidings/hub"
)

// Rewind moves a stream back. The head is held first, as by everybody: a Trim that comes at the same time either is seen,
// and refuses what is too old, or sees the stream where it stands then.
func (s *Store) Rewind(ctx context.Context, party, stream hub.ID, to hub.Place) (*hub.Stream, error) {
	var now hub.Stream
	err := s.write(ctx, func(tx pgx.Tx) error {
		var head hub.Head
		rows, err := tx.Query(ctx, `SELECT `+headColumns+` FROM head FOR SHARE`)
		if err != nil {
			return err
		}
		if err := each(rows, func(r *row) { head = readHead(r) }); err != nil {
			return err
		}
		held, err := lockStream(ctx, tx, stream, besides)
		if err != nil {
			return err
		}
		if held == nil || !party.IsZero() && held.Party != party {
			return hub.ErrNotFound
		}
		var p hub.Party
		var line hub.Tag
		b := &pgx.Batch{}
		b.Queue(`SELECT `+partyColumns+` FROM party WHERE id = $1`, held.Party[:]).Query(into(func(r *row) { p = readParty(r) }))
		b.Queue(`SELECT tag FROM change WHERE position = $1`, to.At).Query(into(func(r *row) { line = r.tag() }))
		if err := tx.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		if now, err = held.Rewound(to, head, p, line); err != nil {
			return err
		}
		b = &pgx.Batch{}
		b.Queue(`UPDATE stream SET base = $2, at = $3, tag = $4, quiet = $5 WHERE id = $1`, stream[:], now.Base, now.At, now.Tag[:], now.Quiet)
		b.Queue(`SELECT pg_notify('tidings', '')`)
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return nil, fail("rewind stream", err)
	}
	s.hints.wake()
	return &now, nil
}
