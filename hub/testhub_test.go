package hub_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"tidings/consent"
	"tidings/events"
	"tidings/hub"
	"tidings/hub/schema"
	"tidings/hub/store/postgres"
	"tidings/hub/store/postgres/pgtest"
	"tidings/hub/store/sqlite"
)

// both runs a test of the engine on both stores.
func both(t *testing.T, test func(t *testing.T, w *world)) {
	t.Run("sqlite", func(t *testing.T) {
		test(t, newWorld(t, func() hub.Store {
			return must(sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "hub.db")))(t)
		}))
	})
	t.Run("postgres", func(t *testing.T) {
		test(t, newWorld(t, func() hub.Store { return must(postgres.Open(t.Context(), pgtest.URL(t)))(t) }))
	})
}

// must unwraps a value whose error ends the test.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// world is a hub on a store of its own, with a clock that the test moves.
type world struct {
	t     *testing.T
	h     *hub.Hub
	store hub.Store
	fresh func() hub.Store
	key   []byte
	clock time.Time
}

func newWorld(t *testing.T, fresh func() hub.Store) *world {
	w := &world{t: t, fresh: fresh, key: hub.NewKeyFile(), clock: time.Now()}
	w.store = fresh()
	w.h = must(hub.Open(t.Context(), w.store, w.key, w.config()))(t)
	t.Cleanup(func() {
		problems, err := w.store.Check(context.WithoutCancel(t.Context()))
		if err != nil || len(problems) > 0 {
			t.Errorf("fsck: %v %q", err, problems)
		}
		w.store.Close()
	})
	return w
}

func (w *world) config() hub.Config {
	return hub.Config{Issuer: "https://hub.example.com", Now: func() time.Time { return w.clock }}
}

// reopen goes on as another process on the store.
func (w *world) reopen() {
	w.t.Helper()
	w.h = must(hub.Open(w.ctx(), w.store, w.key, w.config()))(w.t)
}

func (w *world) ctx() context.Context { return w.t.Context() }

// person makes or replaces a person by userName.
func (w *world) person(name string, attributes map[string]any) *hub.Entry {
	w.t.Helper()
	body := map[string]any{"userName": name}
	for k, v := range attributes {
		body[k] = v
	}
	r, err := schema.Normalize(schema.User, body)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.ingest(hub.Report{Source: "test", Key: name, Type: schema.User, Resource: &r}).Entry
}

func (w *world) ingest(r hub.Report) hub.Result {
	w.t.Helper()
	results, err := w.h.Ingest(w.ctx(), r)
	if err == nil {
		err = results[0].Err
	}
	if err != nil {
		w.t.Fatalf("ingest: %v", err)
	}
	return results[0]
}

// patch applies SCIM operations to an entry.
func (w *world) patch(e *hub.Entry, operations ...map[string]any) hub.Result {
	w.t.Helper()
	return w.ingest(hub.Report{Entry: e.ID, Patch: patchBody(w.t, operations...)})
}

func patchBody(t testing.TB, operations ...map[string]any) []byte {
	t.Helper()
	return must(json.Marshal(map[string]any{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"}, "Operations": operations}))(t)
}

func replace(path string, value any) map[string]any {
	return map[string]any{"op": "replace", "path": path, "value": value}
}

type testParty struct {
	hub.Party
	caller hub.Caller
}

func (w *world) party(r hub.PartyRequest) testParty {
	w.t.Helper()
	if r.Name == "" {
		r.Name = "shop"
	}
	p, token, err := w.h.AddParty(w.ctx(), "test", r)
	if err != nil {
		w.t.Fatal(err)
	}
	return testParty{p, must(w.h.Authenticate(w.ctx(), token))(w.t)}
}

func (w *world) grant(p testParty, e *hub.Entry, attributes ...string) *hub.Grant {
	w.t.Helper()
	return must(w.h.Grant(w.ctx(), "test", hub.GrantRequest{Entry: e.ID, Party: p.ID, Attributes: attributes}))(w.t)
}

func (w *world) grantFor(p testParty, e *hub.Entry, purposes consent.Purposes, attributes ...string) *hub.Grant {
	w.t.Helper()
	return must(w.h.Grant(w.ctx(), "test", hub.GrantRequest{Entry: e.ID, Party: p.ID, Attributes: attributes, Purposes: purposes}))(w.t)
}

func (w *world) delta(p testParty, cursor string, limit int) events.Page {
	w.t.Helper()
	return must(w.h.Delta(w.ctx(), p.caller, cursor, limit, 0))(w.t)
}

// now is a cursor at the head.
func (w *world) now(p testParty) string { return w.delta(p, "now", 1).Cursor }

func (w *world) subjectID(p testParty, e *hub.Entry) string {
	w.t.Helper()
	s := must(w.h.SubjectFor(w.ctx(), p.Party, e))(w.t)
	return s.Member("uri")[len("/Users/"):]
}

// crowd makes many people with a grant each, in few transactions.
func (w *world) crowd(p testParty, n int, attributes ...string) (people []*hub.Entry) {
	w.t.Helper()
	var reports []hub.Report
	for i := range n {
		name := fmt.Sprintf("person%d", i)
		r := must(schema.Normalize(schema.User, map[string]any{"userName": name}))(w.t)
		reports = append(reports, hub.Report{Source: "test", Key: name, Type: schema.User, Resource: &r})
	}
	var items []hub.Item
	for _, r := range must(w.h.Ingest(w.ctx(), reports...))(w.t) {
		people = append(people, r.Entry)
		g := hub.Grant{ID: hub.NewID(), Party: p.ID, Entry: r.Entry.ID, Terms: consent.Terms{Attributes: attributes, Purposes: consent.Transfer | consent.Notify}}
		line := hub.Change{Kind: hub.Granted, Entry: r.Entry.ID, Party: p.ID, Time: 1}
		items = append(items, hub.Item{Grant: &hub.GrantWrite{Grant: g}, Lines: []hub.Change{line}})
	}
	for len(items) > 0 {
		receipt := must(w.store.Commit(w.ctx(), hub.Batch{Now: 1, Items: items[:min(len(items), 500)]}))(w.t)
		items = items[receipt.Done:]
	}
	return people
}

// patchAll gives all of them the same patch, in one call.
func (w *world) patchAll(people []*hub.Entry, operations ...map[string]any) {
	w.t.Helper()
	var reports []hub.Report
	for _, e := range people {
		reports = append(reports, hub.Report{Entry: e.ID, Patch: patchBody(w.t, operations...)})
	}
	for _, r := range must(w.h.Ingest(w.ctx(), reports...))(w.t) {
		if r.Err != nil || r.Kind != hub.Updated {
			w.t.Fatalf("a change was not taken: %+v", r)
		}
	}
}

func (w *world) revoke(g *hub.Grant) {
	w.t.Helper()
	if err := w.h.Revoke(w.ctx(), "test", g.ID); err != nil {
		w.t.Fatal(err)
	}
}

// restore shows a world whose log took another course: as after a restored backup it has the same secrets and the same
// party, and other lines at the positions that were taken already.
func (w *world) restore(p testParty, show func(other *world)) {
	w.t.Helper()
	other := *w
	other.store = w.fresh()
	w.t.Cleanup(func() { other.store.Close() })
	for _, s := range must(w.store.Secrets(w.ctx()))(w.t) {
		must(other.store.InitSecret(w.ctx(), s))(w.t)
	}
	other.h = must(hub.Open(w.ctx(), other.store, w.key, w.config()))(w.t)
	party := p.Party
	party.Generation = 0
	line := hub.Change{Kind: hub.PartyAdded, Party: p.ID, Time: 1}
	must(other.store.Commit(w.ctx(), hub.Batch{Now: 1, Items: []hub.Item{{Party: &hub.PartyWrite{Party: party}, Lines: []hub.Change{line}}}}))(w.t)
	for head := must(w.store.Head(w.ctx()))(w.t); must(other.store.Head(w.ctx()))(w.t).Position < head.Position+2; {
		other.person(hub.NewID().String(), nil)
	}
	show(&other)
}
