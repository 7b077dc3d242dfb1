package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"tidings/hub"
)

const headColumns = `position, tag, oldest, policy`

func readHead(r *row) (h hub.Head) {
	h.Position, h.Tag, h.Oldest = r.int(), r.tag(), r.int()
	r.json(&h.Policy)
	return h
}

// Head is the last position taken and its tag.
func (s *Store) Head(ctx context.Context) (h hub.Head, err error) {
	err = s.query(ctx, func(r *row) { h = readHead(r) }, `SELECT `+headColumns+` FROM head`)
	return h, fail("read head", err)
}

const changeColumns = `position, tag, time, entry, party, kind, attributes, actor, source, txn`

// Changes reads lines with position > after, oldest first.
func (s *Store) Changes(ctx context.Context, after int64, limit int) (lines []hub.Change, err error) {
	err = s.query(ctx, func(r *row) {
		lines = append(lines, hub.Change{Position: r.int(), Tag: r.tag(), Time: r.int(), Entry: r.id(), Party: r.id(),
			Kind: hub.ChangeKind(r.text()), Attributes: r.names(), Actor: r.text(), Source: r.text(), Txn: r.text()})
	}, `SELECT `+changeColumns+` FROM change WHERE position > $1 ORDER BY position LIMIT $2`, after, limit)
	return lines, fail("read changes", err)
}

// A page is read from the grants' index by position or, under an agreement for everybody, from the entries' own. Which
// of the two is the party's is found in the same statement: the other costs one look at the party.
var (
	feedByGrant = `SELECT g.tag, ` + grantColumns + `, ` + columnsOf("e", entryColumns) + `, CASE WHEN $4 THEN e.doc END
		FROM grants g JOIN entry e ON e.id = g.entry
		WHERE NOT (SELECT agreement FROM party WHERE id = $1) AND g.party = $1 AND g.position > $2
		ORDER BY g.position LIMIT $3`

	feedByEntry = `SELECT e.tag, ` + columnsOf("e", entryColumns) + `, CASE WHEN $4 THEN e.doc END FROM entry e
		WHERE (SELECT agreement FROM party WHERE id = $1) AND e.position > $2
		ORDER BY e.position LIMIT $3`

	toldByGrant = `SELECT g.tag, ` + grantColumns + `, ` + columnsOf("e", entryColumns) + `, CASE WHEN $3 THEN e.doc END
		FROM unnest($2::bytea[]) AS w(entry)
		CROSS JOIN LATERAL (SELECT * FROM grants WHERE entry = w.entry AND party = $1 LIMIT 1) AS g
		CROSS JOIN LATERAL (SELECT * FROM entry WHERE id = w.entry LIMIT 1) AS e
		WHERE NOT (SELECT agreement FROM party WHERE id = $1)`

	toldByEntry = `SELECT e.tag, ` + columnsOf("e", entryColumns) + `, CASE WHEN $3 THEN e.doc END
		FROM unnest($2::bytea[]) AS w(entry) JOIN entry e ON e.id = w.entry
		WHERE (SELECT agreement FROM party WHERE id = $1)`
)

func readGrantRow(r *row) (hub.FeedRow, hub.Tag) {
	tag, g := r.tag(), readGrant(r)
	row := hub.FeedRow{Grant: &g, Entry: readEntry(r)}
	row.Entry.Attributes = r.attributes()
	return row, tag
}

func readEntryRow(r *row) (hub.FeedRow, hub.Tag) {
	tag := r.tag()
	row := hub.FeedRow{Entry: readEntry(r)}
	row.Entry.Attributes = r.attributes()
	return row, tag
}

// queuePage adds the reads of a feed page to a batch.
func queuePage(b *pgx.Batch, q hub.FeedQuery, page *hub.FeedPage) {
	queuePlace(b, q, page)
	queueRows(b, q, page)
}

// queuePlace reads the head, the party and the tags of lines.
func queuePlace(b *pgx.Batch, q hub.FeedQuery, page *hub.FeedPage) {
	page.Last = q.After
	b.Queue(`SELECT `+columnsOf("h", headColumns)+`, (SELECT tag FROM change WHERE position = $2),
		(SELECT tag FROM change WHERE position = $3), `+columnsOf("p", partyColumns)+`
		FROM head h CROSS JOIN party p WHERE p.id = $1`, q.Party[:], q.At, q.After).
		Query(into(func(r *row) {
			page.Head, page.LineTag, page.LastTag = readHead(r), r.tag(), r.tag()
			page.Party = readParty(r)
		}))
}

// queueRows reads the rows up to the page's head. Where the head was read by an earlier statement of a transaction that
// is no snapshot, rows that moved past it meanwhile are left for the next page. The end is not reached then: a reader that
// took this for the end would move its base past what had moved them before, and lose that.
func queueRows(b *pgx.Batch, q hub.FeedQuery, page *hub.FeedPage) {
	keep := func(read func(*row) (hub.FeedRow, hub.Tag)) func(*row) {
		return func(r *row) {
			row, tag := read(r)
			position := row.Entry.Position
			if row.Grant != nil {
				position = row.Grant.Position
			}
			switch {
			case position > page.Head.Position:
				page.More = true
			case len(page.Rows) >= q.Limit:
				page.More = true
			default:
				page.Rows = append(page.Rows, row)
				page.Last, page.LastTag = position, tag
			}
		}
	}
	b.Queue(feedByGrant, q.Party[:], q.After, q.Limit+1, q.Values).Query(into(keep(readGrantRow)))
	b.Queue(feedByEntry, q.Party[:], q.After, q.Limit+1, q.Values).Query(into(keep(readEntryRow)))
}

// Feed reads one page of a party's feed in one snapshot.
func (s *Store) Feed(ctx context.Context, q hub.FeedQuery) (*hub.FeedPage, error) {
	page := &hub.FeedPage{Rows: make([]hub.FeedRow, 0, min(q.Limit, 1024))}
	err := s.snapshot(ctx, func(b *pgx.Batch) { queuePage(b, q, page) })
	if err == nil && (page.Party.ID.IsZero() || page.Party.Removed != 0) {
		err = hub.ErrNotFound
	}
	if err != nil {
		return nil, fail("read feed", err)
	}
	return page, nil
}

// Told reads the rows of the given entries in the party's feed, in one snapshot.
func (s *Store) Told(ctx context.Context, party hub.ID, entries []hub.ID) (*hub.FeedPage, error) {
	page := &hub.FeedPage{}
	err := s.snapshot(ctx, func(b *pgx.Batch) { queueTold(b, party, entries, true, page) })
	if err == nil && (page.Party.ID.IsZero() || page.Party.Removed != 0) {
		err = hub.ErrNotFound
	}
	if err != nil {
		return nil, fail("read told", err)
	}
	return page, nil
}

func queueTold(b *pgx.Batch, party hub.ID, entries []hub.ID, values bool, page *hub.FeedPage) {
	b.Queue(`SELECT `+columnsOf("h", headColumns)+`, `+columnsOf("p", partyColumns)+`
		FROM head h CROSS JOIN party p WHERE p.id = $1`, party[:]).Query(into(func(r *row) {
		page.Head, page.Party = readHead(r), readParty(r)
	}))
	keep := func(read func(*row) (hub.FeedRow, hub.Tag)) func(*row) {
		return func(r *row) {
			row, _ := read(r)
			page.Rows = append(page.Rows, row)
		}
	}
	b.Queue(toldByGrant, party[:], blobs(entries), values).Query(into(keep(readGrantRow)))
	b.Queue(toldByEntry, party[:], blobs(entries), values).Query(into(keep(readEntryRow)))
}
