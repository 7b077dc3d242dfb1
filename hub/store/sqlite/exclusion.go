package sqlite

import (
	"context"
	"slices"

	"tidings/hub"
	"tidings/hub/schema"
)

// Choose implements hub.Outbox. What waits about a subject that is taken off goes in the same transaction: Issue and Begin
// come before it and are seen, or after it and see it.
func (s *Store) Choose(ctx context.Context, party, stream hub.ID, named hub.Naming, now int64, choose func(hub.Choosing) (hub.Chosen, error)) error {
	err := s.write(ctx, "choose subjects", func(c *conn) error {
		in, err := s.choosing(c, party, stream, named)
		if err != nil {
			return err
		}
		in.Now = now
		out, err := choose(*in)
		if err != nil {
			return err
		}
		for _, x := range out.Put {
			if err := c.exec("INSERT INTO exclusion (stream, entry, back) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET back = excluded.back",
				stream[:], x.Entry[:], x.Back); err != nil {
				return err
			}
		}
		if err := c.endExclusions(stream, out.Drop); err != nil {
			return err
		}
		return c.keep(out.Kept)
	})
	if err == nil {
		s.watchers.wake()
	}
	return err
}

func (s *Store) choosing(c *conn, party, stream hub.ID, by hub.Naming) (*hub.Choosing, error) {
	st, err := c.stream(party, stream)
	if err != nil {
		return nil, err
	}
	page, err := s.page(c, st.Party)
	if err != nil {
		return nil, err
	}
	in := &hub.Choosing{Stream: st, Page: *page}
	named, err := c.named(page.Party, by)
	if err != nil {
		return nil, err
	}
	if in.Page.Rows, err = c.told(page.Party, named, true); err != nil {
		return nil, err
	}
	if err := c.value("SELECT count(*) FROM exclusion WHERE stream = ?", []any{stream[:]}, &in.Count); err != nil {
		return nil, err
	}
	if in.Excluded, err = c.exclusions(stream, named); err != nil {
		return nil, err
	}
	err = c.among(func(r row) error {
		var d hub.Delivery
		err := r.Scan(deliveryTargets(&d)...)
		in.Unsettled = append(in.Unsettled, d)
		return err
	}, blobs(named), "SELECT "+deliveryColumns+" FROM delivery d WHERE d.stream = ? AND d.entry IN (…)", stream[:])
	return in, err
}

// named finds the entries that a subject may name.
func (c *conn) named(p hub.Party, by hub.Naming) (found []hub.ID, err error) {
	found = slices.Clone(by.Entries)
	add := func(r row) error {
		var e hub.ID
		err := r.Scan(id(&e))
		found = append(found, e)
		return err
	}
	userNames := make([]any, len(by.UserNames))
	for i, name := range by.UserNames {
		userNames[i] = name
	}
	if err := c.among(add, userNames, "SELECT id FROM entry WHERE type = ? AND user_name IN (…)", string(schema.User)); err != nil {
		return nil, err
	}
	for _, key := range by.Keys {
		if err := c.each(add, "SELECT i.entry FROM identifier i WHERE i.key = ? AND (? OR EXISTS "+
			"(SELECT 1 FROM grants g WHERE g.party = ? AND g.entry = i.entry AND g.ended = 0)) LIMIT ?", key[:], p.Agreement, p.ID[:], hub.MaxNamed); err != nil {
			return nil, err
		}
	}
	return distinct(found), nil
}

// reidentify makes the keys of all persons anew, for a store that was written before there were any.
func (c *conn) reidentify() error {
	keys := map[hub.ID][]hub.ID{}
	if err := c.each(func(r row) error {
		var e hub.ID
		var doc string
		if err := r.Scan(id(&e), &doc); err != nil {
			return err
		}
		attributes, err := decodeAttributes(doc)
		keys[e] = hub.Identifiers(schema.User, attributes)
		return err
	}, "SELECT id, doc FROM entry WHERE type = ? AND doc IS NOT NULL", string(schema.User)); err != nil {
		return err
	}
	for e, of := range keys {
		if err := c.identify(e, of); err != nil {
			return err
		}
	}
	return nil
}

// identify keeps the keys of an entry that has none.
func (c *conn) identify(entry hub.ID, keys []hub.ID) error {
	for _, key := range keys {
		if err := c.exec("INSERT INTO identifier (key, entry) VALUES (?, ?)", key[:], entry[:]); err != nil {
			return err
		}
	}
	return nil
}

// exclusions reads which of the entries are off a stream.
func (c *conn) exclusions(stream hub.ID, entries []hub.ID) (found []hub.Exclusion, err error) {
	err = c.among(func(r row) error {
		var x hub.Exclusion
		err := r.Scan(id(&x.Entry), &x.Back)
		found = append(found, x)
		return err
	}, blobs(distinct(entries)), "SELECT entry, back FROM exclusion WHERE stream = ? AND entry IN (…)", stream[:])
	return found, err
}

func (c *conn) endExclusions(stream hub.ID, entries []hub.ID) error {
	return c.affectAmong(blobs(entries), "DELETE FROM exclusion WHERE stream = ? AND entry IN (…)", stream[:])
}

// issuingBack reads who is on the way back to the stream, for the room that signals leave.
func (c *conn) issuingBack(in *hub.Issuing) error {
	room := in.Room - len(in.Signals)
	err := c.each(func(r row) error {
		var e hub.ID
		err := r.Scan(id(&e))
		in.Back = append(in.Back, e)
		return err
	}, "SELECT entry FROM exclusion WHERE stream = ? AND back <> 0 ORDER BY entry LIMIT ?", in.Stream.ID[:], room+1)
	if len(in.Back) > room {
		in.Back, in.MoreBack = in.Back[:room], true
	}
	return err
}

// off says who of rows and signals is off the stream. Most streams have nobody off: they are not asked row by row.
func (c *conn) off(stream hub.ID, rows []hub.FeedRow, signals []hub.Signal) (map[hub.ID]bool, error) {
	var some bool
	err := c.value("SELECT EXISTS (SELECT 1 FROM exclusion WHERE stream = ?)", []any{stream[:]}, &some)
	if err != nil || !some {
		return nil, err
	}
	var entries []hub.ID
	for i := range rows {
		entries = append(entries, rows[i].Entry.ID)
	}
	for i := range signals {
		entries = append(entries, signals[i].Entry)
	}
	found, err := c.exclusions(stream, entries)
	off := make(map[hub.ID]bool, len(found))
	for _, x := range found {
		off[x.Entry] = x.Back
	}
	return off, err
}
