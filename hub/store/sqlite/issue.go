package sqlite

import (
	"cmp"
	"context"
	"slices"

	"tidings/events"
	"tidings/hub"
	"tidings/subscriptions"
)

// Issue implements hub.Outbox. It decides while it holds the writer, so that neither cursor nor rows can move
// meanwhile; deciding is pure and short. Most looks find nothing, and looking needs no lock.
func (s *Store) Issue(ctx context.Context, stream hub.ID, now int64, window int, decide func(hub.Issuing) hub.Issued) (more bool, err error) {
	idle := false
	if err := s.read(ctx, "look what to issue", func(c *conn) error {
		p, err := s.prospect(c, stream)
		idle = err == nil && p.Idle(now, window)
		return err
	}); err != nil || idle {
		return false, err
	}
	issued := false
	err = s.write(ctx, "issue", func(c *conn) error {
		in, unsettled, err := s.issuing(c, stream, now, window)
		if err != nil || in == nil {
			return err
		}
		out := decide(*in)
		more, issued = in.Remains(out), len(out.Deliveries) > 0
		return c.issue(*in, unsettled, out)
	})
	if err != nil {
		return false, err
	}
	if issued {
		s.watchers.wake()
	}
	return more, nil
}

// prospect reads what hub.Prospect says.
func (s *Store) prospect(c *conn, stream hub.ID) (p hub.Prospect, err error) {
	if p.Stream, err = c.stream(hub.ID{}, stream); err != nil || p.Stream.Status != subscriptions.Enabled {
		return p, err
	}
	page, err := s.page(c, p.Stream.Party)
	if err != nil {
		return p, err
	}
	p.Party, p.Policy = page.Party, page.Head.Policy
	return p, c.value("SELECT (SELECT count(*) FROM delivery WHERE stream = ?1 AND entry IS NOT NULL), "+
		"EXISTS (SELECT 1 FROM delivery WHERE stream = ?1 AND entry IS NULL AND type = ?2), "+
		"EXISTS (SELECT 1 FROM signal_party WHERE party = ?3 AND position > ?4), "+
		"EXISTS (SELECT 1 FROM exclusion WHERE stream = ?1 AND back <> 0), "+
		"CASE ?5 WHEN 0 THEN EXISTS (SELECT 1 FROM grants WHERE party = ?3 AND position > ?6) "+
		"ELSE EXISTS (SELECT 1 FROM entry WHERE position > ?6) END",
		[]any{stream[:], string(events.Digest), p.Party.ID[:], p.Stream.Signal, p.Party.Agreement, p.Stream.At},
		&p.Unsettled, &p.Digest, &p.Signals, &p.Back, &p.Rows)
}

// issuing reads what a decision is made from, and what the stream has not settled; nil when there is nothing to decide:
// the stream is not enabled, or there is no room.
func (s *Store) issuing(c *conn, stream hub.ID, now int64, window int) (*hub.Issuing, []hub.Delivery, error) {
	st, err := c.stream(hub.ID{}, stream)
	if err != nil || st.Status != subscriptions.Enabled {
		return nil, nil, err
	}
	unsettled, err := c.deliveries("d.stream = ?", stream[:])
	if err != nil {
		return nil, nil, err
	}
	in := &hub.Issuing{Stream: st, SignalRows: map[hub.ID]hub.FeedRow{}, Room: window, Now: now}
	for _, d := range unsettled {
		if !d.Entry.IsZero() {
			in.Room--
		}
		in.Digest = in.Digest || d.Entry.IsZero() && d.Type == events.Digest
	}
	if in.Room <= 0 {
		in.Room = 0
		if p, err := c.party(st.Party); err != nil || p.Generation == st.Generation {
			return nil, nil, err
		}
	}
	if err := c.issuingSignals(in); err != nil {
		return nil, nil, err
	}
	if err := c.issuingBack(in); err != nil {
		return nil, nil, err
	}
	page, err := s.feed(c, hub.FeedQuery{Party: st.Party, After: st.At, Limit: in.Room - len(in.Signals) - len(in.Back)})
	if err != nil {
		return nil, nil, err
	}
	in.Page = *page
	if err := c.issuingRows(in); err != nil {
		return nil, nil, err
	}
	in.Excluded, err = c.off(st.ID, in.Page.Rows, in.Signals)
	return in, unsettled, err
}

// issuingSignals reads signals first: the feed has the room that they leave.
func (c *conn) issuingSignals(in *hub.Issuing) error {
	signals, err := c.signals("JOIN signal_party p ON p.position = s.position WHERE p.party = ? AND p.position > ? ORDER BY p.position LIMIT ?",
		in.Stream.Party[:], in.Stream.Signal, in.Room+1)
	if err != nil || len(signals) == 0 {
		return err
	}
	if len(signals) > in.Room {
		in.MoreSignals, signals = true, signals[:in.Room]
	}
	in.Signals = signals
	return nil
}

// issuingRows reads the rows of the entries that the signals are about, and of those that are on their way back.
func (c *conn) issuingRows(in *hub.Issuing) error {
	entries := slices.Clone(in.Back)
	for _, s := range in.Signals {
		entries = append(entries, s.Entry)
	}
	rows, err := c.told(in.Page.Party, distinct(entries), false)
	for _, r := range rows {
		in.SignalRows[r.Entry.ID] = r
	}
	return err
}

func (c *conn) signals(query string, args ...any) (found []hub.Signal, err error) {
	err = c.each(func(r row) error {
		var s hub.Signal
		err := r.Scan(&s.Position, id(&s.Entry), &s.Type, &s.Covers, bytesOf(&s.Payload), &s.Expires, &s.Txn, &s.Time)
		found = append(found, s)
		return err
	}, "SELECT s.position, s.entry, s.type, s.covers, s.payload, s.expires, s.txn, s.time FROM signal s "+query, args...)
	return found, err
}

// issue records a decision.
func (c *conn) issue(in hub.Issuing, unsettled []hub.Delivery, out hub.Issued) error {
	if !out.Records(in.Stream) {
		return nil
	}
	w := c.window(unsettled)
	if out.Anew {
		if err := w.keep(hub.Regenerate(unsettled, out.Generation, in.Now)); err != nil {
			return err
		}
	}
	if err := w.add(in.Stream, out.Deliveries); err != nil {
		return err
	}
	if err := c.endExclusions(in.Stream.ID, out.Back); err != nil {
		return err
	}
	return c.exec("UPDATE stream SET base = ?, at = ?, signal = ?, tag = ?, generation = ?, quiet = ? WHERE id = ?",
		out.Base, out.At, out.Signal, out.Tag[:], out.Generation, out.Quiet, in.Stream.ID[:])
}

// window is what a stream has not settled, in a transaction.
type window struct {
	c    *conn
	byID map[hub.ID]hub.Delivery
	// byEntry may name some that were dropped.
	byEntry map[hub.ID][]hub.ID
}

func (c *conn) window(unsettled []hub.Delivery) *window {
	w := &window{c: c, byID: make(map[hub.ID]hub.Delivery, len(unsettled)), byEntry: make(map[hub.ID][]hub.ID, len(unsettled))}
	for _, d := range unsettled {
		w.byID[d.ID] = d
		w.byEntry[d.Entry] = append(w.byEntry[d.Entry], d.ID)
	}
	return w
}

// keep writes what a rule left and remembers it for the next rule.
func (w *window) keep(k hub.Kept) error {
	for _, id := range k.Drop {
		delete(w.byID, id)
	}
	for _, d := range k.Put {
		if _, known := w.byID[d.ID]; !known {
			w.byEntry[d.Entry] = append(w.byEntry[d.Entry], d.ID)
		}
		w.byID[d.ID] = d
	}
	return w.c.keep(k)
}

// of lists what is unsettled of an entry.
func (w *window) of(entry hub.ID) (found []hub.Delivery) {
	for _, id := range w.byEntry[entry] {
		if d, there := w.byID[id]; there {
			found = append(found, d)
		}
	}
	return found
}

// add issues deliveries, each absorbed by what waits of its entry. Orders are taken for all; a gap means nothing.
func (w *window) add(s hub.Stream, ds []hub.Delivery) error {
	if len(ds) == 0 {
		return nil
	}
	order, err := w.c.takeOrders(s.ID, len(ds))
	if err != nil {
		return err
	}
	for i, d := range ds {
		d.Stream, d.Party, d.Order = s.ID, s.Party, order+int64(i)
		if err := w.keep(hub.Absorb(w.of(d.Entry), d)); err != nil {
			return err
		}
	}
	return nil
}

// Sendable implements hub.Outbox.
func (s *Store) Sendable(ctx context.Context, stream hub.ID, now int64, limit int) (sendings []hub.Sending, err error) {
	err = s.read(ctx, "read what to send", func(c *conn) error {
		st, err := c.stream(hub.ID{}, stream)
		if err != nil {
			return err
		}
		turns, err := c.turns(st, now, limit)
		if err != nil || len(turns) == 0 {
			return err
		}
		sendings, err = s.sendings(c, st, turns)
		return err
	})
	return sendings, err
}

// turns reads the deliveries whose turn it is. Of the others it reads only what hub.Turns looks at: the window is looked
// through for each portion.
func (c *conn) turns(st hub.Stream, now int64, limit int) ([]hub.Delivery, error) {
	var unsettled []hub.Delivery
	if err := c.each(func(r row) error {
		var d hub.Delivery
		err := r.Scan(id(&d.ID), id(&d.Entry), &d.Order, &d.Signal, &d.Busy, &d.Due, &d.Void, &d.Attempts, &d.Type)
		if hub.MayLeave(st.Status, d) {
			unsettled = append(unsettled, d)
		}
		return err
	}, "SELECT id, entry, ord, signal, busy, due, void, attempts, type FROM delivery WHERE stream = ? ORDER BY ord", st.ID[:]); err != nil {
		return nil, err
	}
	turns := hub.Turns(unsettled, now, limit)
	whole := make(map[hub.ID]hub.Delivery, len(turns))
	ids := make([]hub.ID, len(turns))
	for i, d := range turns {
		ids[i] = d.ID
	}
	found, err := c.deliveriesByID(ids)
	for _, d := range found {
		whole[d.ID] = d
	}
	for i, d := range turns {
		turns[i] = whole[d.ID]
	}
	return turns, err
}

// sendings adds to deliveries what stands behind them.
func (s *Store) sendings(c *conn, st hub.Stream, turns []hub.Delivery) (sendings []hub.Sending, err error) {
	if err := c.withTokens(turns); err != nil {
		return nil, err
	}
	causes, err := c.causes(turns)
	if err != nil {
		return nil, err
	}
	page, err := s.page(c, st.Party)
	if err != nil {
		return nil, err
	}
	var entries []hub.ID
	var positions []any
	for _, d := range turns {
		if !d.Entry.IsZero() {
			entries = append(entries, d.Entry)
		}
		if d.Signal != 0 {
			positions = append(positions, d.Signal)
		}
	}
	rows, err := c.told(page.Party, distinct(entries), true)
	if err != nil {
		return nil, err
	}
	byEntry := map[hub.ID]*hub.FeedRow{}
	for i := range rows {
		byEntry[rows[i].Entry.ID] = &rows[i]
	}
	keyring, err := c.keyring()
	if err != nil {
		return nil, err
	}
	signals, err := c.signalsAt(positions)
	if err != nil {
		return nil, err
	}
	for _, d := range turns {
		cause := causes[d.Position]
		d.Txn = cmp.Or(d.Txn, cause.Txn)
		sendings = append(sendings, hub.Sending{Delivery: d, Row: byEntry[d.Entry], Party: page.Party, Settings: st.Settings,
			Signal: signals[d.Signal], Policy: page.Head.Policy, Actor: cause.Actor, Source: cause.Source, Keyring: keyring})
	}
	return sendings, nil
}

// causes reads of the lines that the deliveries come from who or what was behind them.
func (c *conn) causes(turns []hub.Delivery) (map[int64]hub.Change, error) {
	causes := make(map[int64]hub.Change, len(turns))
	var positions []any
	for _, d := range turns {
		if d.Position != 0 {
			positions = append(positions, d.Position)
		}
	}
	err := c.among(func(r row) error {
		var l hub.Change
		err := r.Scan(&l.Position, &l.Txn, &l.Actor, &l.Source)
		causes[l.Position] = l
		return err
	}, positions, "SELECT position, txn, actor, source FROM change WHERE position IN (…)")
	return causes, err
}

func (c *conn) signalsAt(positions []any) (map[int64]*hub.Signal, error) {
	found := map[int64]*hub.Signal{}
	for len(positions) > 0 {
		n := min(len(positions), chunk)
		query, args := spread("WHERE s.position IN (…)", positions[:n], nil)
		signals, err := c.signals(query, args...)
		if err != nil {
			return nil, err
		}
		for i := range signals {
			found[signals[i].Position] = &signals[i]
		}
		positions = positions[n:]
	}
	return found, nil
}
