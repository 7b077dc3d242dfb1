package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tidings/consent"
	"tidings/hub"
	"tidings/hub/schema"
)

func open(t testing.TB) *Store {
	t.Helper()
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "tidings.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if problems, err := s.Check(context.Background()); err != nil || len(problems) > 0 {
			t.Errorf("check: %v %v", problems, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

const now = int64(1_700_000_000_000_000)

func user(n int) (hub.ID, hub.Item) {
	id := hub.NewID()
	name := fmt.Sprintf("user%d", n)
	return id, hub.Item{
		Entry: &hub.EntryWrite{
			Entry: hub.Entry{ID: id, Type: schema.User, Source: "ldap", Active: true, Attributes: schema.Attributes{
				"userName": name, "title": "Engineer", "name": map[string]any{"givenName": "Given", "familyName": "Family"},
				"emails": []any{map[string]any{"value": name + "@example.org", "type": "work", "primary": true}}}},
			UserName: name, Keys: []string{"uid=" + name + ",ou=people,dc=example,dc=org"},
		},
		Lines: []hub.Change{{Entry: id, Kind: hub.Created, Attributes: []string{"userName", "title", "name.givenName", "name.familyName", "emails", "active"}, Actor: "importer", Source: "ldap", Txn: "txn-1"}},
	}
}

func update(e *hub.Entry, item hub.Item, title string) hub.Item {
	w := *item.Entry
	w.Entry = *e
	w.Entry.Attributes = schema.Attributes{"userName": item.Entry.UserName, "title": title, "name": map[string]any{"givenName": "Given", "familyName": "Family"},
		"emails": []any{map[string]any{"value": item.Entry.UserName + "@example.org", "type": "work", "primary": true}}}
	return hub.Item{Entry: &w, Lines: []hub.Change{{Entry: e.ID, Kind: hub.Updated, Attributes: []string{"title"}, Actor: "importer", Source: "ldap", Txn: "txn-2"}}}
}

func commitAll(t testing.TB, s hub.Store, items ...hub.Item) hub.Receipt {
	t.Helper()
	r, err := s.Commit(context.Background(), hub.Batch{Now: now, Items: items})
	if err != nil {
		t.Fatal(err)
	}
	if r.Done != len(items) {
		t.Fatalf("took %d of %d items", r.Done, len(items))
	}
	for _, err := range r.Errors {
		if err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func addParty(t testing.TB, s hub.Store, agreement bool) hub.ID {
	t.Helper()
	id := hub.NewID()
	commitAll(t, s, hub.Item{
		Party: &hub.PartyWrite{Party: hub.Party{ID: id, Name: "shop", Audience: "https://shop.example", Profile: "tidings", Sector: id, Agreement: agreement,
			Bounds: consent.Bounds{Attributes: []string{"title", "emails", "groups"}}, Origins: []string{"https://shop.example"}}},
		Lines: []hub.Change{{Party: id, Kind: hub.PartyAdded}},
	})
	return id
}

func granting(party, entry hub.ID) hub.Item {
	return hub.Item{
		Grant: &hub.GrantWrite{Grant: hub.Grant{ID: hub.NewID(), Party: party, Entry: entry,
			Terms: consent.Terms{Attributes: []string{"title", "emails", "groups"}, Purposes: consent.Notify | consent.Transfer}}},
		Lines: []hub.Change{{Entry: entry, Party: party, Kind: hub.Granted, Attributes: []string{"title", "emails"}}},
	}
}

func TestCommitAndRead(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	id, item := user(1)
	r := commitAll(t, s, item)
	if r.Entries[0].Version != 1 || r.Entries[0].Position != 1 || r.Head.Position != 1 {
		t.Fatalf("receipt %+v", r.Entries[0])
	}
	party := addParty(t, s, false)
	all := addParty(t, s, true)
	commitAll(t, s, granting(party, id))
	r = commitAll(t, s, update(r.Entries[0], item, "Chief"))
	page, err := s.Feed(ctx, hub.FeedQuery{Party: party, After: 4, Limit: 10, Values: true, At: 4})
	if err != nil || len(page.Rows) != 1 || page.Rows[0].Grant.Position != 5 || page.Rows[0].Grant.Version != 2 || page.Rows[0].Entry.Attributes["title"] != "Chief" {
		t.Fatalf("feed %+v %v", page, err)
	}
	if page.Head.Position != 5 || page.LastTag != page.Head.Tag || page.LineTag == (hub.Tag{}) || page.More {
		t.Fatalf("page %+v", page)
	}
	page, err = s.Feed(ctx, hub.FeedQuery{Party: all, Limit: 10})
	if err != nil || len(page.Rows) != 1 || page.Rows[0].Grant != nil || page.Rows[0].Entry.Attributes != nil {
		t.Fatalf("feed of the agreement %+v %v", page, err)
	}
	es, err := s.Entries(ctx, "ldap", []string{"nobody", item.Entry.Keys[0]})
	if err != nil || es[0] != nil || es[1].ID != id || es[1].Version != 2 {
		t.Fatalf("entries %v %v", es, err)
	}
	lines, err := s.Changes(ctx, 0, 10)
	if err != nil || len(lines) != 5 || lines[0].Attributes[0] != "userName" || lines[4].Tag != r.Head.Tag {
		t.Fatalf("changes %v %v", lines, err)
	}
	del := hub.Item{Entry: &hub.EntryWrite{Entry: hub.Entry{ID: id, Type: schema.User, Source: "ldap", Version: 2}, Delete: true},
		Lines: []hub.Change{{Entry: id, Kind: hub.Deleted}}}
	commitAll(t, s, del)
	page, err = s.Feed(ctx, hub.FeedQuery{Party: party, After: 5, Limit: 10, Values: true})
	if err != nil || len(page.Rows) != 1 || !page.Rows[0].Grant.Gone || page.Rows[0].Grant.Ended != 6 || page.Rows[0].Entry.Deleted != 6 {
		t.Fatalf("feed %+v %v", page.Rows[0], err)
	}
	if _, err := s.ByUserName(ctx, "user1"); !errors.Is(err, hub.ErrNotFound) {
		t.Fatal(err)
	}
	_, again := user(1)
	commitAll(t, s, again)
}

func TestOpenRefusals(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "letter.txt")
	if err := os.WriteFile(path, []byte("this is a letter and surely no database, however long it may get"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path); !errors.Is(err, ErrForeign) {
		t.Errorf("a letter: %v", err)
	}
	if _, err := Open(t.Context(), filepath.Join(dir, "no", "such", "folder.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	if _, err := Open(t.Context(), filepath.Join(path, "below.db")); err == nil {
		t.Error("a store below a file")
	}
	if _, err := Open(t.Context(), dir); err == nil {
		t.Error("a folder as a store")
	}
	path = filepath.Join(dir, "a ?#%.db")
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{path, path + "-wal", path + "-shm"} {
		if i, err := os.Stat(f); err != nil || i.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", f, i, err)
		}
	}
	if err := s.write(t.Context(), "age", func(c *conn) error { return c.exec("UPDATE schema_version SET version = 99") }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path); !errors.Is(err, hub.ErrNewer) {
		t.Errorf("newer: %v", err)
	}
}

// TestForeignDatabase: another program's database is not taken for an empty store.
func TestForeignDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "other.db")
	db, err := sql.Open(driverName, dsn(path, true))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE head (id)"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path); !errors.Is(err, ErrForeign) {
		t.Errorf("another program's database: %v", err)
	}
}

// TestOneWriter: while one process writes the other is pushed back with hub.ErrBusy, and a bulk writer rests as long as
// it wrote.
func TestOneWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tidings.db")
	serve, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer serve.Close()
	bulk, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	bulk.Yielding()
	defer bulk.Close()
	serve.patience = time.Millisecond
	_, item := user(1)
	var held time.Duration
	began := time.Now()
	if err := bulk.write(t.Context(), "import", func(c *conn) error {
		locked := time.Now()
		_, err := serve.Commit(t.Context(), hub.Batch{Now: now, Items: []hub.Item{item}})
		if !errors.Is(err, hub.ErrBusy) {
			t.Errorf("beside a writer: %v", err)
		}
		held = time.Since(locked)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 2*held {
		t.Errorf("held the lock for %v and was back after %v", held, took)
	}
	commitAll(t, serve, item)
}

// BenchmarkIngest compares batches of 500 creates and updates with the bare inserts of the same rows.
func BenchmarkIngest(b *testing.B) {
	const size = 500
	b.Run("create", func(b *testing.B) {
		s := open(b)
		n := 0
		for b.Loop() {
			items := make([]hub.Item, size)
			for i := range items {
				n++
				_, items[i] = user(n)
			}
			commitAll(b, s, items...)
		}
		b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "rows/s")
	})
	b.Run("update", func(b *testing.B) {
		s := open(b)
		items := make([]hub.Item, size)
		for i := range items {
			_, items[i] = user(i)
		}
		last := commitAll(b, s, items...)
		n := 0
		for b.Loop() {
			n++
			next := make([]hub.Item, size)
			for i := range next {
				next[i] = update(last.Entries[i], items[i], fmt.Sprint("title ", n))
			}
			last = commitAll(b, s, next...)
		}
		b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "rows/s")
	})
	b.Run("bare", func(b *testing.B) {
		s := open(b)
		n := int64(0)
		for b.Loop() {
			err := s.write(context.Background(), "bare", func(c *conn) error {
				for range size {
					n++
					id, it := user(int(n))
					w := it.Entry
					tag := hub.NewTag()
					doc, _ := jsonText(w.Entry.Attributes)
					marks := hub.Marks(nil).Stamp(n, it.Lines[0].Attributes...)
					if err := c.exec("INSERT INTO entry (type, source, active, version, created, position, deleted, created_at, changed, marks, user_name, doc, id) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
						"User", "ldap", true, 1, n, n, 0, now, now, []byte(marks), w.UserName, doc, id[:]); err != nil {
						return err
					}
					if err := c.exec("INSERT INTO entry_key (source, key, entry) VALUES (?, ?, ?)", "ldap", w.Keys[0], id[:]); err != nil {
						return err
					}
					if err := c.exec("INSERT INTO change (position, tag, time, entry, party, kind, names, actor, source, txn) VALUES (?,?,?,?,?,?,?,?,?,?)",
						n, tag[:], now, id[:], nil, "created", joined(it.Lines[0].Attributes), "importer", "ldap", "txn-1"); err != nil {
						return err
					}
				}
				return c.exec("UPDATE head SET (position, tag) = (SELECT position, tag FROM change ORDER BY position DESC LIMIT 1)")
			})
			if err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "rows/s")
	})
}

// BenchmarkFeed compares a page of 200 rows with the bare read of the same index range.
func BenchmarkFeed(b *testing.B) {
	s := open(b)
	party := addParty(b, s, false)
	for n := range 20 {
		var users, grants []hub.Item
		for i := range 500 {
			id, item := user(n*500 + i)
			users, grants = append(users, item), append(grants, granting(party, id))
		}
		commitAll(b, s, users...)
		commitAll(b, s, grants...)
	}
	ctx := context.Background()
	b.Run("page", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			page, err := s.Feed(ctx, hub.FeedQuery{Party: party, After: int64(i % 50 * 200), Limit: 200})
			if err != nil || len(page.Rows) != 200 {
				b.Fatal(err)
			}
		}
	})
	b.Run("bare", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			n := 0
			err := s.read(ctx, "bare", func(c *conn) error {
				return c.each(func(r row) error {
					n++
					var g hub.Grant
					var e hub.Entry
					return r.Scan(append(grantTargets(&g), entryTargets(&e)...)...)
				}, "SELECT "+grantColumns+", "+entryColumns+" FROM grants g CROSS JOIN entry e ON e.id = g.entry "+
					"WHERE g.party = ? AND g.position > ? ORDER BY g.position LIMIT 200", party[:], int64(i%50*200))
			})
			if err != nil || n != 200 {
				b.Fatal(n, err)
			}
		}
	})
}
