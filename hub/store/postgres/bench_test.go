package postgres

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"tidings/hub"
)

const batch = 500

// BenchmarkCreate and BenchmarkUpdate are to reach at least half of what BenchmarkBare does with the same rows.
func BenchmarkCreate(b *testing.B) {
	s := open(b)
	for n := 0; b.Loop(); n++ {
		b.StopTimer()
		items := people(n)
		b.StartTimer()
		commitAll(b, s, items...)
	}
	perSecond(b)
}

func BenchmarkUpdate(b *testing.B) {
	s := open(b)
	items := people(0)
	commitAll(b, s, items...)
	for n := int64(1); b.Loop(); n++ {
		b.StopTimer()
		for i := range items {
			items[i].Entry.Entry.Version = n
			items[i].Entry.Entry.Attributes["title"] = fmt.Sprint("title ", n)
			items[i].Lines = []hub.Change{{Kind: hub.Updated, Entry: items[i].Entry.Entry.ID, Attributes: []string{"title"}}}
		}
		b.StartTimer()
		commitAll(b, s, items...)
	}
	perSecond(b)
}

// BenchmarkBare inserts the same rows with nothing but a statement per table.
func BenchmarkBare(b *testing.B) {
	s := open(b)
	var position int64
	for n := 0; b.Loop(); n++ {
		b.StopTimer()
		items := people(n)
		b.StartTimer()
		var rows []*entry
		var keys []sourceKey
		var owners [][]byte
		c := newCommit(1000)
		for i := range items {
			w := items[i].Entry
			position++
			e := &entry{Entry: w.Entry, userName: w.UserName, state: created}
			e.Position = position
			rows = append(rows, e)
			keys, owners = append(keys, sourceKey{"s", w.UserName}), append(owners, w.Entry.ID[:])
			l := items[i].Lines[0]
			l.Position = position
			c.lines = append(c.lines, l)
		}
		if err := s.write(b.Context(), func(tx pgx.Tx) error {
			q := &pgx.Batch{}
			if err := queueEntriesWhole(q, rows, `INSERT INTO entry (`+entryNames+`) SELECT * FROM unnest(`+entryArrays+`)`); err != nil {
				return err
			}
			sources, texts := unzip(keys)
			q.Queue(`INSERT INTO entry_key SELECT * FROM unnest($1::text[], $2::bytea[], $3::bytea[])`, sources, texts, owners)
			c.writeLines(q)
			return tx.SendBatch(b.Context(), q).Close()
		}); err != nil {
			b.Fatal(err)
		}
	}
	perSecond(b)
}

func people(n int) []hub.Item {
	items := make([]hub.Item, batch)
	for i := range items {
		items[i] = create(fmt.Sprintf("person-%d-%d", n, i))
	}
	return items
}

func perSecond(b *testing.B) {
	b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkFeed reads pages of 200; at most one and a half times BenchmarkFeedBare, the same index range and join read
// by a statement of its own.
func BenchmarkFeed(b *testing.B) {
	s, p := feedOf(b, 5000)
	for b.Loop() {
		page, err := s.Feed(b.Context(), hub.FeedQuery{Party: p, After: 2000, Limit: 200, Values: true})
		if err != nil || len(page.Rows) != 200 {
			b.Fatal(len(page.Rows), err)
		}
	}
}

func BenchmarkFeedBare(b *testing.B) {
	s, p := feedOf(b, 5000)
	for b.Loop() {
		n := 0
		rows, err := s.pool.Query(b.Context(), `SELECT g.id, g.attributes, g.given, g.position, g.marks, e.id, e.marks, e.doc
			FROM grants g JOIN entry e ON e.id = g.entry WHERE g.party = $1 AND g.position > $2 ORDER BY g.position LIMIT 200`, p[:], 2000)
		if err != nil {
			b.Fatal(err)
		}
		var id, marks, entry, entryMarks []byte
		var names, doc string
		var given, position int64
		for rows.Next() {
			if err := rows.Scan(&id, &names, &given, &position, &marks, &entry, &entryMarks, &doc); err != nil {
				b.Fatal(err)
			}
			var attributes map[string]any
			if err := json.Unmarshal([]byte(doc), &attributes); err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != 200 {
			b.Fatal(n, rows.Err())
		}
	}
}

func feedOf(b *testing.B, n int) (*Store, hub.ID) {
	s := open(b)
	p := addParty(b, s, false)
	for i := 0; i < n/batch; i++ {
		items := people(i)
		commitAll(b, s, items...)
		gives := make([]hub.Item, batch)
		for j := range items {
			gives[j] = give(p, items[j].Entry.Entry.ID, "title", "name")
		}
		commitAll(b, s, gives...)
	}
	if _, err := s.pool.Exec(b.Context(), `ANALYZE`); err != nil {
		b.Fatal(err)
	}
	return s, p
}
