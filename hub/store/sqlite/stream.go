package sqlite

import (
	"context"

	"tidings/hub"
)

const streamColumns = "s.id, s.party, s.settings, s.status, s.reason, s.base, s.at, s.tag, s.signal, s.generation, s.version, s.created_at, " +
	"s.verified, s.failures, s.problem, s.set_by, s.failing, s.quiet"

func streamTargets(s *hub.Stream) []any {
	return []any{id(&s.ID), id(&s.Party), jsonColumn{&s.Settings}, &s.Status, &s.Reason, &s.Base, &s.At, tag(&s.Tag), &s.Signal,
		&s.Generation, &s.Version, &s.CreatedAt, &s.Verified, &s.Failures, &s.Problem, &s.By, &s.Failing, &s.Quiet}
}

func (c *conn) streams(query string, args ...any) (found []hub.Stream, err error) {
	err = c.each(func(r row) error {
		var s hub.Stream
		err := r.Scan(streamTargets(&s)...)
		found = append(found, s)
		return err
	}, "SELECT "+streamColumns+" FROM stream s WHERE "+query, args...)
	return found, err
}

// stream reads a stream; of the party only unless that is zero. Not there and not the party's are one answer.
func (c *conn) stream(party, id hub.ID) (hub.Stream, error) {
	found, err := c.streams("s.id = ?", id[:])
	if err != nil {
		return hub.Stream{}, err
	}
	if len(found) == 0 || !party.IsZero() && found[0].Party != party {
		return hub.Stream{}, hub.ErrNotFound
	}
	return found[0], nil
}

// CreateStream implements hub.Outbox. hub.ErrNotFound when the party is not there.
func (s *Store) CreateStream(ctx context.Context, st hub.Stream, limit int) (*hub.Stream, error) {
	err := s.write(ctx, "create a stream", func(c *conn) error {
		p, err := c.livingParty(st.Party)
		if err != nil {
			return err
		}
		var count int
		if err := c.value("SELECT count(*) FROM stream WHERE party = ?", []any{p.ID[:]}, &count); err != nil {
			return err
		}
		if count >= limit {
			return hub.ErrLimit
		}
		st.Version = 1
		if err := s.toHead(c, &st, p); err != nil {
			return err
		}
		settings, err := jsonText(st.Settings)
		if err != nil {
			return err
		}
		return c.exec("INSERT INTO stream (id, party, method, settings, status, reason, base, at, tag, signal, generation, version, created_at, "+
			"verified, failures, problem, set_by, failing, quiet, next_order, lease_owner, lease_until) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, '', 0)",
			st.ID[:], st.Party[:], st.Settings.Delivery.Method, settings, string(st.Status), st.Reason, st.Base, st.At, st.Tag[:], st.Signal,
			st.Generation, st.Version, st.CreatedAt, st.Verified, st.Failures, st.Problem, string(st.By), st.Failing, st.Quiet)
	})
	if err != nil {
		return nil, err
	}
	s.watchers.wake()
	return &st, nil
}

// toHead moves a stream to the head: what came before is not told on it.
func (s *Store) toHead(c *conn, st *hub.Stream, p hub.Party) error {
	h, err := s.head(c)
	st.Base, st.At, st.Signal, st.Tag, st.Generation = h.Position, h.Position, h.Position, h.Tag, p.Generation
	return err
}

// Stream implements hub.Outbox.
func (s *Store) Stream(ctx context.Context, party, id hub.ID) (*hub.Stream, error) {
	var st hub.Stream
	err := s.read(ctx, "read a stream", func(c *conn) (err error) {
		st, err = c.stream(party, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &st, nil
}

// Streams implements hub.Outbox.
func (s *Store) Streams(ctx context.Context, party hub.ID) (found []hub.Stream, err error) {
	err = s.read(ctx, "read streams", func(c *conn) (err error) {
		if party.IsZero() {
			found, err = c.streams("true ORDER BY s.id")
		} else {
			found, err = c.streams("s.party = ? ORDER BY s.id", party[:])
		}
		return err
	})
	return found, err
}

// Backlogs implements hub.Outbox.
func (s *Store) Backlogs(ctx context.Context, stream hub.ID) (found []hub.Backlog, err error) {
	const query = "SELECT " + streamColumns + ", (SELECT count(*) FROM delivery d WHERE d.stream = s.id), " +
		"CASE WHEN s.status = 'disabled' THEN 0 ELSE " +
		"(SELECT count(*) FROM (SELECT 1 FROM signal_party x WHERE x.party = s.party AND x.position > s.signal LIMIT ?1)) + " +
		"CASE p.agreement WHEN 0 THEN (SELECT count(*) FROM (SELECT 1 FROM grants g WHERE g.party = s.party AND g.position > s.at LIMIT ?1)) " +
		"ELSE (SELECT count(*) FROM (SELECT 1 FROM entry e WHERE e.position > s.at LIMIT ?1)) END END " +
		"FROM stream s JOIN party p ON p.id = s.party WHERE ?2 IS NULL OR s.id = ?2 ORDER BY s.id"
	err = s.read(ctx, "read backlogs", func(c *conn) error {
		return c.each(func(r row) error {
			var b hub.Backlog
			err := r.Scan(append(streamTargets(&b.Stream), &b.Waiting, &b.Behind)...)
			b.Behind = min(b.Behind, hub.MaxBehind)
			found = append(found, b)
			return err
		}, query, hub.MaxBehind, blob(stream))
	})
	return found, err
}

// SetStream implements hub.Outbox. hub.ErrConflict when Version moved on.
func (s *Store) SetStream(ctx context.Context, st hub.Stream, own []hub.Delivery) (written *hub.Stream, dropped int, err error) {
	err = s.write(ctx, "set a stream", func(c *conn) error {
		was, err := c.stream(st.Party, st.ID)
		if err != nil {
			return err
		}
		if was.Version != st.Version {
			return hub.ErrConflict
		}
		waiting, err := c.unsettled(was.ID, hub.ID{})
		if err != nil {
			return err
		}
		r, err := hub.Rewrite(was, st, waiting, own)
		if err != nil {
			return err
		}
		written, dropped = &r.Stream, 0
		if r.ToHead {
			p, err := c.livingParty(was.Party)
			if err != nil {
				return err
			}
			if err := s.toHead(c, written, p); err != nil {
				return err
			}
		}
		if err := c.setStream(*written); err != nil {
			return err
		}
		if dropped, err = c.rewritten(r); err != nil {
			return err
		}
		return c.addOwn(*written, own)
	})
	if err != nil {
		return nil, 0, err
	}
	s.watchers.wake()
	return written, dropped, nil
}

// rewritten does to what waits on a stream what follows from its write.
func (c *conn) rewritten(r hub.Rewritten) (dropped int, err error) {
	if r.Forget {
		if err := c.value("SELECT count(*) FROM delivery WHERE stream = ?", []any{r.Stream.ID[:]}, &dropped); err != nil {
			return 0, err
		}
		return dropped, c.dropAll(r.Stream.ID)
	}
	if err := c.keep(hub.Kept{Drop: r.Drop}); err != nil || !r.Hurry {
		return 0, err
	}
	return 0, c.exec("UPDATE delivery SET due = 0 WHERE stream = ?", r.Stream.ID[:])
}

// setStream writes all of a stream but what never changes.
func (c *conn) setStream(s hub.Stream) error {
	settings, err := jsonText(s.Settings)
	if err != nil {
		return err
	}
	return c.exec("UPDATE stream SET method = ?, settings = ?, status = ?, reason = ?, base = ?, at = ?, tag = ?, signal = ?, generation = ?, "+
		"version = ?, verified = ?, failures = ?, problem = ?, set_by = ?, failing = ?, quiet = ? WHERE id = ?",
		s.Settings.Delivery.Method, settings, string(s.Status), s.Reason, s.Base, s.At, s.Tag[:], s.Signal, s.Generation,
		s.Version, s.Verified, s.Failures, s.Problem, string(s.By), s.Failing, s.Quiet, s.ID[:])
}

// addOwn keeps deliveries that belong to the stream itself.
func (c *conn) addOwn(s hub.Stream, own []hub.Delivery) error {
	if len(own) == 0 {
		return nil
	}
	order, err := c.takeOrders(s.ID, len(own))
	if err != nil {
		return err
	}
	for i, d := range own {
		d.Stream, d.Party, d.Order = s.ID, s.Party, order+int64(i)
		if err := c.putDelivery(d); err != nil {
			return err
		}
	}
	return nil
}

// takeOrders takes the stream's next n orders and returns the first.
func (c *conn) takeOrders(stream hub.ID, n int) (first int64, err error) {
	err = c.value("UPDATE stream SET next_order = next_order + ? WHERE id = ? RETURNING next_order", []any{n, stream[:]}, &first)
	return first - int64(n), err
}

// DeleteStream implements hub.Outbox.
func (s *Store) DeleteStream(ctx context.Context, party, id hub.ID) error {
	return s.write(ctx, "delete a stream", func(c *conn) error {
		if _, err := c.stream(party, id); err != nil {
			return err
		}
		return c.deleteStream(id)
	})
}

func (c *conn) deleteStream(id hub.ID) error {
	if err := c.dropAll(id); err != nil {
		return err
	}
	if err := c.exec("DELETE FROM dead_letter WHERE stream = ?", id[:]); err != nil {
		return err
	}
	if err := c.exec("DELETE FROM exclusion WHERE stream = ?", id[:]); err != nil {
		return err
	}
	return c.exec("DELETE FROM stream WHERE id = ?", id[:])
}
