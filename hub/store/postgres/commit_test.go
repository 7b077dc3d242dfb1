package postgres

import (
	"fmt"
	"testing"

	"tidings/consent"
	"tidings/hub"
	"tidings/hub/schema"
	"tidings/hub/store/postgres/pgtest"
)

func open(t testing.TB) *Store {
	t.Helper()
	s, err := Open(t.Context(), pgtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func create(name string) hub.Item {
	id := hub.NewID()
	return hub.Item{
		Entry: &hub.EntryWrite{
			Entry: hub.Entry{ID: id, Type: schema.User, Source: "s", Active: true,
				Attributes: schema.Attributes{"userName": name, "title": "x", "name": map[string]any{"familyName": name}}},
			UserName: name, Keys: []string{name},
		},
		Lines: []hub.Change{{Kind: hub.Created, Entry: id, Attributes: []string{"userName", "title", "name.familyName"}}},
	}
}

func commitAll(t testing.TB, s *Store, items ...hub.Item) hub.Receipt {
	t.Helper()
	r, err := s.Commit(t.Context(), hub.Batch{Now: 1000, Items: items})
	if err != nil {
		t.Fatal(err)
	}
	for i, err := range r.Errors {
		if err != nil {
			t.Fatalf("item %d: %v", i, err)
		}
	}
	return r
}

func addParty(t testing.TB, s *Store, agreement bool) hub.ID {
	t.Helper()
	id := hub.NewID()
	commitAll(t, s, hub.Item{
		Party: &hub.PartyWrite{Party: hub.Party{ID: id, Name: "p", Sector: id, Agreement: agreement}},
		Lines: []hub.Change{{Kind: hub.PartyAdded, Party: id}},
	})
	return id
}

func give(party, entry hub.ID, names ...string) hub.Item {
	return hub.Item{
		Grant: &hub.GrantWrite{Grant: hub.Grant{ID: hub.NewID(), Party: party, Entry: entry,
			Terms: consent.Terms{Attributes: names, Purposes: consent.Transfer | consent.Notify}}},
		Lines: []hub.Change{{Kind: hub.Granted, Party: party, Entry: entry}},
	}
}

func TestCommitMovesTheRowsItConcerns(t *testing.T) {
	s := open(t)
	p, all := addParty(t, s, false), addParty(t, s, true)
	one := create("ann")
	r := commitAll(t, s, one, give(p, one.Entry.Entry.ID, "title"))
	e := *r.Entries[0]
	if e.Version != 1 || e.Created != 3 || r.Grants[1].Position != 4 || r.Grants[1].Version != 1 {
		t.Fatalf("written %+v, %+v", e, r.Grants[1])
	}
	e.Attributes["title"] = "y"
	r = commitAll(t, s,
		hub.Item{Entry: &hub.EntryWrite{Entry: e, UserName: "ann", Keys: []string{"ann", "a2"}},
			Lines: []hub.Change{{Kind: hub.Updated, Attributes: []string{"title"}}}},
		hub.Item{Lines: []hub.Change{{Kind: hub.Updated, Entry: e.ID, Attributes: []string{"emails"}}}})
	if r.Head.Position != 6 {
		t.Fatalf("head %d", r.Head.Position)
	}
	page, err := s.Feed(t.Context(), hub.FeedQuery{Party: p, Limit: 10, Values: true, At: 5})
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Rows) != 1 || page.Last != 5 || page.LineTag != page.LastTag || page.LineTag == (hub.Tag{}) || page.More {
		t.Fatalf("page %+v", page)
	}
	if row := page.Rows[0]; row.Entry.Attributes["title"] != "y" || row.Grant.Version != 2 || row.Entry.Position != 6 {
		t.Fatalf("row %+v %+v", row, row.Grant)
	}
	page, err = s.Feed(t.Context(), hub.FeedQuery{Party: all, Limit: 10})
	if err != nil || len(page.Rows) != 1 || page.Rows[0].Grant != nil || page.Last != 6 || page.Rows[0].Entry.Attributes != nil {
		t.Fatalf("agreement page %+v, %v", page, err)
	}
	found, err := s.Entries(t.Context(), "s", []string{"none", "a2", "ann"})
	if err != nil || found[0] != nil || found[1] == nil || found[2].ID != e.ID {
		t.Fatalf("entries %v, %v", found, err)
	}
	e.Version = 2
	commitAll(t, s, hub.Item{Entry: &hub.EntryWrite{Entry: hub.Entry{ID: e.ID, Type: e.Type, Source: "s", Version: 2}, Delete: true},
		Lines: []hub.Change{{Kind: hub.Deleted, Entry: e.ID}}}, func() hub.Item {
		again := create("ann")
		return again
	}())
	page, err = s.Told(t.Context(), p, []hub.ID{e.ID})
	if err != nil || len(page.Rows) != 1 || !page.Rows[0].Grant.Gone || page.Rows[0].Grant.Ended != 7 || page.Rows[0].Entry.Attributes != nil {
		t.Fatalf("told %+v, %v", page, err)
	}
}

func TestWideLineBecomesAnEcho(t *testing.T) {
	s := open(t)
	one := create("ann")
	commitAll(t, s, one)
	id := one.Entry.Entry.ID
	const parties = 2500
	var items []hub.Item
	for range parties {
		p := hub.NewID()
		items = append(items, hub.Item{Party: &hub.PartyWrite{Party: hub.Party{ID: p}}, Lines: []hub.Change{{Kind: hub.PartyAdded}}},
			give(p, id, "title"))
	}
	for len(items) > 0 {
		r := commitAll(t, s, items...)
		items = items[r.Done:]
	}
	r := commitAll(t, s, hub.Item{Lines: []hub.Change{{Kind: hub.Updated, Entry: id, Attributes: []string{"title"}}}})
	if !r.Echoing {
		t.Fatal("no echo")
	}
	first, steps := r.Head.Position, 0
	for ; ; steps++ {
		echoes, err := s.Echoes(t.Context(), 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(echoes) == 0 {
			break
		}
		commitAll(t, s, hub.Item{Echo: echoes[0]})
	}
	list, err := s.Grants(t.Context(), hub.ID{}, hub.ID{}, 5000)
	if err != nil {
		t.Fatal(err)
	}
	at := map[int64]int{}
	for _, g := range list {
		at[g.Position]++
	}
	if want := fmt.Sprint(map[int64]int{first: 1000, first + 1: 1000, first + 2: 500}); fmt.Sprint(at) != want || steps != 2 {
		t.Fatalf("rows per position %v, %d steps, want %s", at, steps, want)
	}
}
