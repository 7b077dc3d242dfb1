package sqlite

import (
	"context"
	"errors"

	"tidings/hub"
	"tidings/subscriptions"
)

// Begin implements hub.Outbox. It looks at every delivery's row once more, inside the write transaction: a revocation
// is either committed, and seen here, or waits until these attempts are on record as busy.
func (s *Store) Begin(ctx context.Context, now int64, attempts []hub.Attempt) (may []bool, err error) {
	err = s.write(ctx, "begin to send", func(c *conn) error {
		may = make([]bool, len(attempts))
		for i, a := range attempts {
			var err error
			if may[i], err = c.begin(now, a); err != nil {
				return err
			}
		}
		return nil
	})
	return may, err
}

func (c *conn) begin(now int64, a hub.Attempt) (bool, error) {
	ds, err := c.deliveries("d.id = ?", a.Delivery[:])
	if err != nil || len(ds) == 0 || ds[0].Busy > now {
		return false, err
	}
	if err := c.withTokens(ds); err != nil {
		return false, err
	}
	d := ds[0]
	st, err := c.stream(hub.ID{}, d.Stream)
	if err != nil || st.Status != subscriptions.Enabled {
		return false, err
	}
	p, row, err := c.stands(d)
	if err != nil {
		return false, err
	}
	switch hub.Judge(d, a, row, p, now) {
	case hub.Go:
		return true, c.start(d, a)
	case hub.WithdrawIt:
		if a.Dead != "" && !d.Void {
			return false, c.bury(d, a.Dead, now)
		}
		return false, c.dropDelivery(d.ID)
	}
	return false, c.remake(d, now)
}

// stands reads a delivery's party and the row of its entry as they are now.
func (c *conn) stands(d hub.Delivery) (p hub.Party, row *hub.FeedRow, err error) {
	if p, err = c.party(d.Party); err != nil || d.Entry.IsZero() {
		return p, nil, err
	}
	rows, err := c.told(p, []hub.ID{d.Entry}, false)
	if err == nil && len(rows) > 0 {
		row = &rows[0]
	}
	return p, row, err
}

// remake un-makes tokens of wider terms whose attempt was lost with its node. Nothing else that waits changes: bytes that
// have begun to leave stay as they are.
func (c *conn) remake(d hub.Delivery, now int64) error {
	if !d.Remake {
		return nil
	}
	unsettled, err := c.unsettled(d.Stream, d.Entry)
	if err != nil {
		return err
	}
	return c.keep(hub.Released(d, unsettled, now))
}

// start puts an attempt on record, with the tokens it sends: if we crash from here on, the same bytes are sent again.
func (c *conn) start(d hub.Delivery, a hub.Attempt) error {
	d.Sent, d.Busy, d.Owner = true, a.Busy, a.Owner
	d.Attempts++
	if err := c.putDelivery(d); err != nil {
		return err
	}
	for i, t := range a.Tokens {
		if err := c.exec("INSERT INTO security_event_token (delivery, ord, jti, compact, settled) VALUES (?, ?, ?, ?, ?)",
			d.ID[:], i, t.JTI, t.Compact, t.Settled); err != nil {
			return err
		}
	}
	return nil
}

// Settle implements hub.Outbox. Tokens that this stream does not have are passed over: they were settled before, or
// are not the caller's.
func (s *Store) Settle(ctx context.Context, stream hub.ID, now int64, outcomes []hub.Outcome) error {
	err := s.write(ctx, "settle", func(c *conn) error {
		st, err := c.stream(hub.ID{}, stream)
		if errors.Is(err, hub.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		failures, problem := st.Failures, st.Problem
		for _, o := range outcomes {
			if err := c.settle(&st, now, o); err != nil {
				return err
			}
		}
		if st.Failures == failures && st.Problem == problem {
			return nil
		}
		return c.exec("UPDATE stream SET failures = ?, problem = ? WHERE id = ?", st.Failures, st.Problem, stream[:])
	})
	if err == nil {
		s.watchers.wake()
	}
	return err
}

func (c *conn) settle(st *hub.Stream, now int64, o hub.Outcome) error {
	ds, err := c.deliveries("d.stream = ? AND d.id IN (SELECT delivery FROM security_event_token WHERE jti = ?)", st.ID[:], o.JTI)
	if err != nil || len(ds) == 0 {
		return err
	}
	if err := c.withTokens(ds); err != nil {
		return err
	}
	d := ds[0]
	if o.Next == subscriptions.Dead && !d.Void {
		return c.bury(d, o.Reason, now)
	}
	unsettled, err := c.unsettled(d.Stream, d.Entry)
	if err != nil {
		return err
	}
	switch o.Next {
	case subscriptions.Done:
		st.Failures, st.Problem = 0, ""
		return c.keep(hub.Settled(d, unsettled, o.JTI))
	case subscriptions.Retry, subscriptions.Hold:
		if o.Reason != "" {
			st.Failures, st.Problem = st.Failures+1, o.Reason
		}
	}
	return c.keep(hub.Released(d, unsettled, o.Due))
}

// hasWork says of a stream s and its party p whether there is anything to do: rows, signals or another generation to
// issue, deliveries to send, or attempts that run: the node's own, or those of one that lost its lease. Parameters: now,
// twice.
const hasWork = "(p.agreement <> 0 AND (SELECT position FROM head) > s.at" +
	" OR p.agreement = 0 AND EXISTS (SELECT 1 FROM grants g WHERE g.party = s.party AND g.position > s.at)" +
	" OR EXISTS (SELECT 1 FROM signal_party x WHERE x.party = s.party AND x.position > s.signal)" +
	" OR s.generation <> p.generation" +
	" OR EXISTS (SELECT 1 FROM delivery d WHERE d.stream = s.id AND (d.due <= ? OR d.busy > ?)))"

// Lease implements hub.Outbox.
func (s *Store) Lease(ctx context.Context, node string, now, until int64, method string) (streams []hub.ID, next int64, err error) {
	var taken map[hub.ID]string
	look := func(c *conn) error {
		taken = map[hub.ID]string{}
		if err := c.value("SELECT coalesce(min(d.due), 0) FROM stream s CROSS JOIN delivery d ON d.stream = s.id "+
			"WHERE s.method = ? AND s.status = ? AND d.due > ? AND d.busy <= ?",
			[]any{method, string(subscriptions.Enabled), now, now}, &next); err != nil {
			return err
		}
		return c.each(func(r row) error {
			var stream hub.ID
			var owner string
			err := r.Scan(id(&stream), &owner)
			taken[stream] = owner
			return err
		}, "SELECT s.id, s.lease_owner FROM stream s JOIN party p ON p.id = s.party WHERE s.method = ? AND s.status = ? "+
			"AND (s.lease_owner IN ('', ?) OR s.lease_until <= ?) AND "+hasWork+" ORDER BY s.id",
			method, string(subscriptions.Enabled), node, now, now, now)
	}
	// Most looks find nothing, and looking needs no lock. What is found is looked at again under it.
	if err := s.read(ctx, "look for work", look); err != nil || len(taken) == 0 {
		return nil, next, err
	}
	err = s.write(ctx, "lease streams", func(c *conn) error {
		if err := look(c); err != nil {
			return err
		}
		streams = nil
		for stream, owner := range taken {
			streams = append(streams, stream)
			if err := c.lease(stream, owner, node, now, until); err != nil {
				return err
			}
		}
		return nil
	})
	return streams, next, err
}

// lease gives a stream to a node. Attempts of the node that lost it have ended, as far as anybody will ever know.
func (c *conn) lease(stream hub.ID, owner, node string, now, until int64) error {
	if err := c.exec("UPDATE stream SET lease_owner = ?, lease_until = ? WHERE id = ?", node, until, stream[:]); err != nil {
		return err
	}
	if owner == node {
		return nil
	}
	ds, err := c.deliveries("d.stream = ?", stream[:])
	if err != nil {
		return err
	}
	w := &window{c: c, unsettled: ds}
	for _, d := range ds {
		if d.Busy == 0 || d.Owner == node {
			continue
		}
		if err := w.keep(hub.Released(d, w.of(d.Entry), now)); err != nil {
			return err
		}
	}
	return nil
}

// EraseSignals implements hub.Outbox. A signal that nobody needs any more goes with its rows; a delivery that still
// names it finds nothing to tell. It returns how many payloads went.
func (s *Store) EraseSignals(ctx context.Context, now int64, limit int) (n int, err error) {
	const passed = "NOT EXISTS (SELECT 1 FROM stream t WHERE t.party = x.party AND t.status <> 'disabled' AND t.signal < x.position)"
	err = s.write(ctx, "erase signals", func(c *conn) error {
		if err := c.exec("DELETE FROM signal_party AS x WHERE " + passed); err != nil {
			return err
		}
		var positions []any
		if err := c.each(func(r row) error {
			var p int64
			err := r.Scan(&p)
			positions = append(positions, p)
			return err
		}, "SELECT s.position FROM signal s WHERE s.expires <= ? OR NOT EXISTS (SELECT 1 FROM signal_party x WHERE x.position = s.position) "+
			"AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.signal = s.position AND d.signal <> 0) LIMIT ?", now, limit); err != nil {
			return err
		}
		n = len(positions)
		if err := c.affectAmong(positions, "DELETE FROM signal_party WHERE position IN (…)"); err != nil {
			return err
		}
		return c.affectAmong(positions, "DELETE FROM signal WHERE position IN (…)")
	})
	return n, err
}
