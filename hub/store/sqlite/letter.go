package sqlite

import (
	"context"
	"strings"

	"tidings/hub"
	"tidings/subscriptions"
)

const letterColumns = "id, stream, party, entry, kind, gone, names, type, given, signal, attempts, jti, reason, description, time, expires"

func (c *conn) letters(query string, args ...any) (found []hub.DeadLetter, err error) {
	err = c.each(func(r row) error {
		var l hub.DeadLetter
		err := r.Scan(id(&l.ID), id(&l.Stream), id(&l.Party), id(&l.Entry), &l.Kind, &l.Gone, names(&l.Names), &l.Type, &l.Given, &l.Signal,
			&l.Attempts, &l.JTI, &l.Reason, bytesOf(&l.Description), &l.Time, &l.Expires)
		found = append(found, l)
		return err
	}, "SELECT "+letterColumns+" FROM dead_letter WHERE "+query, args...)
	return found, err
}

// matching is a letter query as a condition.
func matching(q hub.LetterQuery) (condition string, args []any) {
	all := []string{"true"}
	for _, by := range []struct {
		column string
		id     hub.ID
	}{{"id", q.ID}, {"party", q.Party}, {"stream", q.Stream}} {
		if !by.id.IsZero() {
			all, args = append(all, by.column+" = ?"), append(args, by.id[:])
		}
	}
	if q.Expired != 0 {
		all, args = append(all, "expires <= ?"), append(args, q.Expired)
	}
	return strings.Join(all, " AND "), args
}

// DeadLetters implements hub.Outbox.
func (s *Store) DeadLetters(ctx context.Context, q hub.LetterQuery) (found []hub.DeadLetter, err error) {
	condition, args := matching(q)
	err = s.read(ctx, "read dead letters", func(c *conn) (err error) {
		found, err = c.letters(condition+" ORDER BY time DESC, id DESC LIMIT ?", append(args, q.Limit)...)
		return err
	})
	return found, err
}

// DropLetters implements hub.Outbox.
func (s *Store) DropLetters(ctx context.Context, q hub.LetterQuery) (n int, err error) {
	condition, args := matching(q)
	err = s.write(ctx, "drop dead letters", func(c *conn) error {
		dropped, err := c.affect("DELETE FROM dead_letter WHERE id IN (SELECT id FROM dead_letter WHERE "+condition+" LIMIT ?)", append(args, q.Limit)...)
		n = int(dropped)
		return err
	})
	return n, err
}

// bury gives a delivery up. Of a person who is gone nothing is kept that a receiver wrote.
func (c *conn) bury(d hub.Delivery, o hub.Outcome, now int64) (hub.DeadLetter, error) {
	l := hub.Bury(d, o, now)
	if err := c.exec("INSERT INTO dead_letter ("+letterColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "+
		"CASE WHEN ? IS NULL OR EXISTS (SELECT 1 FROM entry WHERE id = ? AND deleted = 0) THEN ? END, ?, ?)",
		l.ID[:], l.Stream[:], l.Party[:], blob(l.Entry), string(l.Kind), l.Gone, joined(l.Names), string(l.Type), l.Given, l.Signal, l.Attempts,
		l.JTI, l.Reason, blob(l.Entry), blob(l.Entry), orNull(l.Description), l.Time, l.Expires); err != nil {
		return l, err
	}
	return l, c.dropDelivery(d.ID)
}

// tidy makes room for the letters that were buried in a transaction.
func (c *conn) tidy(buried []hub.DeadLetter) error {
	streams := map[hub.ID]bool{}
	for _, l := range buried {
		if streams[l.Stream] {
			continue
		}
		streams[l.Stream] = true
		if err := c.exec("DELETE FROM dead_letter WHERE id IN (SELECT id FROM dead_letter WHERE stream = ? ORDER BY time DESC, id DESC LIMIT -1 OFFSET ?)",
			l.Stream[:], hub.MaxLetters); err != nil {
			return err
		}
	}
	return nil
}

// Revive implements hub.Outbox.
func (s *Store) Revive(ctx context.Context, stream, letter hub.ID, now int64, window, limit int) (r hub.Revived, err error) {
	err = s.write(ctx, "replay dead letters", func(c *conn) error {
		st, err := c.stream(hub.ID{}, stream)
		if err != nil {
			return err
		}
		if st.Status == subscriptions.Disabled {
			return hub.ErrDisabled
		}
		in, err := s.reviving(c, st, letter, now, limit)
		if err != nil {
			return err
		}
		if len(in.Letters) == 0 && !letter.IsZero() {
			return hub.ErrNotFound
		}
		in.Window = window
		again, settled := in.Decide()
		if err := c.window(in.Unsettled).add(st, again); err != nil {
			return err
		}
		if err := c.affectAmong(blobs(settled), "DELETE FROM dead_letter WHERE id IN (…)"); err != nil {
			return err
		}
		r = hub.Revived{Replayed: len(again), Withdrawn: len(settled) - len(again)}
		return c.value("SELECT count(*) FROM dead_letter WHERE stream = ? AND expires > ?", []any{stream[:], now}, &r.Left)
	})
	if err == nil && r.Replayed > 0 {
		s.watchers.wake()
	}
	return r, err
}

// reviving reads letters of a stream that have not expired, the oldest first, and what stands behind them.
func (s *Store) reviving(c *conn, st hub.Stream, letter hub.ID, now int64, limit int) (in hub.Reviving, err error) {
	in = hub.Reviving{Rows: map[hub.ID]*hub.FeedRow{}, Now: now}
	if in.Letters, err = c.letters("stream = ? AND (? IS NULL OR id = ?) AND expires > ? ORDER BY time, id LIMIT ?",
		st.ID[:], blob(letter), blob(letter), now, limit); err != nil {
		return in, err
	}
	var entries []hub.ID
	var positions []any
	for _, l := range in.Letters {
		if !l.Entry.IsZero() {
			entries = append(entries, l.Entry)
		}
		if l.Signal != 0 {
			positions = append(positions, l.Signal)
		}
	}
	if in.Party, err = c.party(st.Party); err != nil {
		return in, err
	}
	rows, err := c.told(in.Party, distinct(entries), false)
	if err != nil {
		return in, err
	}
	for i := range rows {
		in.Rows[rows[i].Entry.ID] = &rows[i]
	}
	if in.Excluded, err = c.exclusions(st.ID, entries); err != nil {
		return in, err
	}
	if in.Signals, err = c.signalsAt(positions); err != nil {
		return in, err
	}
	in.Unsettled, err = c.deliveries("d.stream = ?", st.ID[:])
	return in, err
}
