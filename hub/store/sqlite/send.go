package sqlite

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"

	"tidings/events"
	"tidings/hub"
	"tidings/subscriptions"
)

// Begin implements hub.Outbox. It looks at every delivery's row once more, inside the write transaction: a revocation
// is either committed, and seen here, or waits until these attempts are on record as busy.
func (s *Store) Begin(ctx context.Context, now int64, attempts []hub.Attempt) (may []bool, err error) {
	ids := make([]hub.ID, len(attempts))
	for i := range attempts {
		ids[i] = attempts[i].Delivery
	}
	err = s.write(ctx, "begin to send", func(c *conn) error {
		may = make([]bool, len(attempts))
		t, err := c.attempts(ids)
		if err != nil {
			return err
		}
		if err := t.stand(now); err != nil {
			return err
		}
		for i, a := range attempts {
			if may[i], err = t.begin(now, a); err != nil {
				return err
			}
		}
		return t.finish()
	})
	return may, err
}

// Settle implements hub.Outbox. Tokens that this stream does not have are passed over: they were settled before, or
// are not the caller's.
func (s *Store) Settle(ctx context.Context, stream hub.ID, now int64, outcomes []hub.Outcome) (buried []hub.DeadLetter, err error) {
	found := false
	err = s.write(ctx, "settle", func(c *conn) error {
		st, err := c.stream(hub.ID{}, stream)
		if errors.Is(err, hub.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		was := st
		owners, err := c.owners(stream, outcomes)
		if err != nil {
			return err
		}
		found = len(owners) > 0
		t, err := c.attempts(slices.Collect(maps.Values(owners)))
		if err != nil {
			return err
		}
		for _, o := range outcomes {
			if err := t.settle(&st, owners[o.JTI], now, o); err != nil {
				return err
			}
		}
		if err := t.finish(); err != nil {
			return err
		}
		buried = t.buried
		if st.Failures == was.Failures && st.Problem == was.Problem {
			return nil
		}
		return c.exec("UPDATE stream SET failures = ?, failing = ?, problem = ? WHERE id = ?", st.Failures, st.Failing, st.Problem, stream[:])
	})
	if err == nil && found { // what a receiver says of tokens that are none disturbs nobody
		s.watchers.wake()
	}
	return buried, err
}

// owners finds the deliveries of the stream that the outcomes' tokens belong to.
func (c *conn) owners(stream hub.ID, outcomes []hub.Outcome) (map[string]hub.ID, error) {
	owners := make(map[string]hub.ID, len(outcomes))
	jtis := make([]any, len(outcomes))
	for i := range outcomes {
		jtis[i] = outcomes[i].JTI
	}
	err := c.among(func(r row) error {
		var jti string
		var owner hub.ID
		err := r.Scan(&jti, id(&owner))
		owners[jti] = owner
		return err
	}, jtis, "SELECT t.jti, t.delivery FROM security_event_token t CROSS JOIN delivery d ON d.id = t.delivery WHERE d.stream = ? AND t.jti IN (…)", stream[:])
	return owners, err
}

// hasWork says of a stream s and its party p whether there is anything to do: rows, signals, subjects that are back or
// another generation to issue, deliveries to send, or attempts that run: the node's own, or those of one that lost its
// lease. Where the window is full nothing but another generation is issued. Parameters: now, three times.
var hasWork = "((s.quiet <= ? AND CASE p.agreement WHEN 0 THEN EXISTS (SELECT 1 FROM grants g WHERE g.party = s.party AND g.position > s.at)" +
	" ELSE EXISTS (SELECT 1 FROM entry e WHERE e.position > s.at) END" +
	" OR EXISTS (SELECT 1 FROM signal_party x WHERE x.party = s.party AND x.position > s.signal)" +
	" OR EXISTS (SELECT 1 FROM exclusion x WHERE x.stream = s.id AND x.back <> 0))" +
	" AND (SELECT count(*) FROM delivery d WHERE d.stream = s.id AND d.entry IS NOT NULL) < " + strconv.Itoa(hub.Window) +
	" OR s.generation <> p.generation" +
	" OR EXISTS (SELECT 1 FROM delivery d WHERE d.stream = s.id AND (d.due <= ? OR d.busy > ?)))"

// announces says of a stream s that is not enabled whether something is due, or under way, that may leave it all the same
// (hub.MayLeave). Parameters: its type, now, twice.
const announces = "EXISTS (SELECT 1 FROM delivery d WHERE d.stream = s.id AND d.entry IS NULL AND d.type = ? AND (d.due <= ? OR d.busy > ?))"

// Lease implements hub.Outbox.
func (s *Store) Lease(ctx context.Context, node string, now, until int64, method string) (streams []hub.ID, next int64, err error) {
	var taken map[hub.ID]string
	look := func(c *conn) error {
		taken = map[hub.ID]string{}
		if err := c.value("SELECT coalesce(min(due), 0) FROM (SELECT d.due FROM stream s CROSS JOIN delivery d ON d.stream = s.id "+
			"WHERE s.method = ?1 AND (s.status = ?2 OR d.entry IS NULL AND d.type = ?3) AND d.due > ?4 AND d.busy <= ?4 "+
			"UNION ALL SELECT quiet FROM stream WHERE method = ?1 AND status = ?2 AND quiet > ?4)",
			[]any{method, string(subscriptions.Enabled), string(events.StreamUpdated), now}, &next); err != nil {
			return err
		}
		return c.each(func(r row) error {
			var stream hub.ID
			var owner string
			err := r.Scan(id(&stream), &owner)
			taken[stream] = owner
			return err
		}, "SELECT s.id, s.lease_owner FROM stream s JOIN party p ON p.id = s.party WHERE s.method = ? "+
			"AND (s.lease_owner IN ('', ?) OR s.lease_until <= ?) AND (s.status = ? AND "+hasWork+" OR s.status <> ? AND "+announces+") ORDER BY s.id",
			method, node, now, string(subscriptions.Enabled), now, now, now,
			string(subscriptions.Enabled), string(events.StreamUpdated), now, now)
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
	w := c.window(ds)
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
	const over = "(s.expires <= ? OR NOT EXISTS (SELECT 1 FROM signal_party x WHERE x.position = s.position) " +
		"AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.signal = s.position AND d.signal <> 0) " +
		"AND NOT EXISTS (SELECT 1 FROM dead_letter l WHERE l.signal = s.position AND l.signal <> 0 AND l.expires > ?))"
	var parties []hub.ID // of rows that their streams passed, with their positions first among those of signals
	var positions []any
	// Looking reads every row, so it is done without the lock. What is found is looked at again under it.
	err = s.read(ctx, "look for settled signals", func(c *conn) error {
		if err := c.each(func(r row) error {
			var party hub.ID
			var position int64
			err := r.Scan(id(&party), &position)
			parties, positions = append(parties, party), append(positions, position)
			return err
		}, "SELECT x.party, x.position FROM signal_party x WHERE "+passed+" LIMIT ?", limit); err != nil {
			return err
		}
		return c.each(func(r row) error {
			var position int64
			err := r.Scan(&position)
			positions = append(positions, position)
			return err
		}, "SELECT s.position FROM signal s WHERE "+over+" LIMIT ?", now, now, limit-len(parties))
	})
	if err != nil || len(positions) == 0 {
		return 0, err
	}
	err = s.write(ctx, "erase signals", func(c *conn) error {
		for i, party := range parties {
			if err := c.exec("DELETE FROM signal_party AS x WHERE x.party = ? AND x.position = ? AND "+passed, party[:], positions[i]); err != nil {
				return err
			}
		}
		gone := map[any]bool{}
		if err := c.among(func(r row) error {
			var position int64
			err := r.Scan(&position)
			gone[position] = true
			return err
		}, positions, "SELECT s.position FROM signal s WHERE "+over+" AND s.position IN (…)", now, now); err != nil {
			return err
		}
		n = len(gone)
		erased := slices.Collect(maps.Keys(gone))
		if err := c.affectAmong(erased, "DELETE FROM signal_party WHERE position IN (…)"); err != nil {
			return err
		}
		return c.affectAmong(erased, "DELETE FROM signal WHERE position IN (…)")
	})
	return n, err
}
