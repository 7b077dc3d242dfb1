package sqlite

import (
	"context"

	"tidings/hub"
)

// Rewind implements hub.Outbox.
func (s *Store) Rewind(ctx context.Context, party, stream hub.ID, to hub.Place) (*hub.Stream, error) {
	var now hub.Stream
	err := s.write(ctx, "rewind a stream", func(c *conn) error {
		st, err := c.stream(party, stream)
		if err != nil {
			return err
		}
		p, err := c.party(st.Party)
		if err != nil {
			return err
		}
		h, err := s.head(c)
		if err != nil {
			return err
		}
		line, err := c.lineTag(to.At)
		if err != nil {
			return err
		}
		if now, err = st.Rewound(to, h, p, line); err != nil {
			return err
		}
		return c.exec("UPDATE stream SET base = ?, at = ?, tag = ?, quiet = ? WHERE id = ?", now.Base, now.At, now.Tag[:], now.Quiet, stream[:])
	})
	if err != nil {
		return nil, err
	}
	s.watchers.wake()
	return &now, nil
}
