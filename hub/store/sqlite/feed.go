package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"tidings/consent"
	"tidings/hub"
)

// policyText is a policy with the text it was read from: the policy is read with every page, and decoded when it
// changed.
type policyText struct {
	text   string
	policy consent.Policy
}

func (s *Store) head(c *conn) (h hub.Head, err error) {
	var text string
	if err := c.value("SELECT position, tag, oldest, policy FROM head", nil, &h.Position, tag(&h.Tag), &h.Oldest, &text); err != nil {
		return h, err
	}
	known := s.policy.Load()
	if known == nil || known.text != text {
		known = &policyText{text: text}
		if err := json.Unmarshal([]byte(text), &known.policy); err != nil {
			return h, fmt.Errorf("decode the policy: %w", err)
		}
		s.policy.Store(known)
	}
	h.Policy = known.policy
	return h, nil
}

// Head implements hub.Log.
func (s *Store) Head(ctx context.Context) (h hub.Head, err error) {
	err = s.read(ctx, "read the head", func(c *conn) (err error) {
		h, err = s.head(c)
		return err
	})
	return h, err
}

// Changes implements hub.Log.
func (s *Store) Changes(ctx context.Context, after int64, limit int) (lines []hub.Change, err error) {
	err = s.read(ctx, "read changes", func(c *conn) error {
		return c.each(func(r row) error {
			var l hub.Change
			err := r.Scan(&l.Position, tag(&l.Tag), &l.Time, id(&l.Entry), id(&l.Party), &l.Kind, names(&l.Attributes), &l.Actor, &l.Source, &l.Txn)
			lines = append(lines, l)
			return err
		}, "SELECT position, tag, time, entry, party, kind, names, actor, source, txn FROM change WHERE position > ? ORDER BY position LIMIT ?", after, limit)
	})
	return lines, err
}

// Feed implements hub.State. hub.ErrNotFound for a party that was removed or never was.
func (s *Store) Feed(ctx context.Context, q hub.FeedQuery) (page *hub.FeedPage, err error) {
	err = s.read(ctx, "read a feed", func(c *conn) (err error) {
		page, err = s.feed(c, q)
		return err
	})
	return page, err
}

// Told implements hub.State.
func (s *Store) Told(ctx context.Context, party hub.ID, entries []hub.ID) (page *hub.FeedPage, err error) {
	err = s.read(ctx, "read rows of a feed", func(c *conn) (err error) {
		if page, err = s.page(c, party); err != nil {
			return err
		}
		page.Rows, err = c.told(page.Party, entries, true)
		return err
	})
	return page, err
}

// page begins a page with what stands on every one.
func (s *Store) page(c *conn, party hub.ID) (page *hub.FeedPage, err error) {
	page = &hub.FeedPage{}
	if page.Party, err = c.livingParty(party); err != nil {
		return nil, err
	}
	page.Head, err = s.head(c)
	return page, err
}

func (s *Store) feed(c *conn, q hub.FeedQuery) (*hub.FeedPage, error) {
	page, err := s.page(c, q.Party)
	if err != nil {
		return nil, err
	}
	if q.At != 0 {
		if page.LineTag, err = c.lineTag(q.At); err != nil {
			return nil, err
		}
	}
	if err := c.feedRows(page, q); err != nil {
		return nil, err
	}
	page.Last = q.After
	if n := len(page.Rows); n > 0 {
		page.Last = rowPosition(page.Rows[n-1])
	}
	page.LastTag, err = c.lineTag(page.Last)
	return page, err
}

// rowPosition is the place of a row in its feed.
func rowPosition(r hub.FeedRow) int64 {
	if r.Grant == nil {
		return r.Entry.Position
	}
	return r.Grant.Position
}

// feedRows reads a page from the party's index of grants, or for a party under an agreement from the entries' own. The
// order of the join is pinned: whatever statistics say, the index holds the rows in the page's order.
func (c *conn) feedRows(page *hub.FeedPage, q hub.FeedQuery) error {
	doc := "NULL"
	if q.Values {
		doc = "e.doc"
	}
	add := func(r row) error {
		if len(page.Rows) == q.Limit {
			page.More = true
			return nil
		}
		found, err := scanFeedRow(r, page.Party.Agreement)
		page.Rows = append(page.Rows, found)
		return err
	}
	if page.Party.Agreement {
		return c.each(add, "SELECT "+entryColumns+", "+doc+" FROM entry e WHERE e.position > ? ORDER BY e.position LIMIT ?",
			q.After, q.Limit+1)
	}
	return c.each(add, "SELECT "+grantColumns+", "+entryColumns+", "+doc+" FROM grants g CROSS JOIN entry e ON e.id = g.entry "+
		"WHERE g.party = ? AND g.position > ? ORDER BY g.position LIMIT ?", q.Party[:], q.After, q.Limit+1)
}

func scanFeedRow(r row, agreement bool) (found hub.FeedRow, err error) {
	var doc sql.NullString
	var into []any
	if !agreement {
		found.Grant = &hub.Grant{}
		into = grantTargets(found.Grant)
	}
	if err := r.Scan(append(append(into, entryTargets(&found.Entry)...), &doc)...); err != nil {
		return found, err
	}
	if doc.Valid {
		found.Entry.Attributes, err = decodeAttributes(doc.String)
	}
	return found, err
}

// told reads the party's rows of the entries.
func (c *conn) told(p hub.Party, entries []hub.ID, values bool) (rows []hub.FeedRow, err error) {
	doc := "NULL"
	if values {
		doc = "e.doc"
	}
	add := func(r row) error {
		found, err := scanFeedRow(r, p.Agreement)
		rows = append(rows, found)
		return err
	}
	if p.Agreement {
		err = c.among(add, blobs(entries), "SELECT "+entryColumns+", "+doc+" FROM entry e WHERE e.id IN (…)")
	} else {
		err = c.among(add, blobs(entries), "SELECT "+grantColumns+", "+entryColumns+", "+doc+" FROM grants g CROSS JOIN entry e ON e.id = g.entry "+
			"WHERE g.party = ? AND g.entry IN (…)", p.ID[:])
	}
	return rows, err
}

// lineTag is the tag of the line at a position; zero when there is none.
func (c *conn) lineTag(position int64) (t hub.Tag, err error) {
	err = c.each(func(r row) error { return r.Scan(tag(&t)) }, "SELECT tag FROM change WHERE position = ?", position)
	return t, err
}
