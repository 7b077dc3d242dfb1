package hub_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"tidings/hub"
	"tidings/hub/schema"
)

// gate is a store with something to do before a commit.
type gate struct {
	hub.Store
	commit func()
}

func (g gate) Commit(ctx context.Context, b hub.Batch) (hub.Receipt, error) {
	g.commit()
	return g.Store.Commit(ctx, b)
}

// gated puts a hub on the world's store, behind a gate.
func (w *world) gated(commit func()) *hub.Hub {
	w.t.Helper()
	return must(hub.Open(w.ctx(), gate{w.store, commit}, w.key, w.config()))(w.t)
}

func (w *world) report(name, title string) hub.Report {
	w.t.Helper()
	r := must(schema.Normalize(schema.User, map[string]any{"userName": name, "title": title}))(w.t)
	return hub.Report{Source: "test", Key: name, Type: schema.User, Resource: &r}
}

// An object may be changed and deleted, made and deleted, deleted and made again by reports that meet in one batch: each
// of them is done, in order, and told what it did.
func TestReportedAndGoneAtOnce(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		anna, carla := w.person("anna", nil), w.person("carla", nil)
		gone := func(name string) hub.Report { return hub.Report{Source: "test", Key: name, Gone: true} }
		results := must(w.h.Ingest(w.ctx(),
			hub.Report{Entry: anna.ID, Patch: patchBody(t, replace("title", "Cook"))}, hub.Report{Entry: anna.ID, Gone: true},
			w.report("bert", "Cook"), gone("bert"),
			hub.Report{Entry: carla.ID, Patch: patchBody(t, replace("userName", "carla"))}, gone("carla"), w.report("carla", "Clerk"), gone("carla"), w.report("carla", "Cook"),
		))(t)
		for i, want := range []hub.ChangeKind{hub.Updated, hub.Deleted, hub.Created, hub.Deleted, "", hub.Deleted, hub.Created, hub.Deleted, hub.Created} {
			if r := results[i]; r.Err != nil || r.Kind != want || (r.Entry == nil) != (want == hub.Deleted) {
				t.Errorf("report %d: %+v", i, r)
			}
		}
		for name, lives := range map[string]bool{"anna": false, "bert": false, "carla": true} {
			e, err := w.h.EntryByUserName(w.ctx(), name)
			if lives != (err == nil) || !lives && !errors.Is(err, hub.ErrNotFound) || lives && e.Attributes["title"] != "Cook" {
				t.Errorf("%s: %+v, %v", name, e, err)
			}
		}
	})
}

// What has to be decided again keeps its order with what waited for it: here somebody is deleted and made again by one
// call, while another node changes the first of the two.
func TestDecidedAgainInOrder(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		anna := w.person("anna", nil)
		var once sync.Once
		h := w.gated(func() { once.Do(func() { w.patch(anna, replace("title", "Cook")) }) })
		results := must(h.Ingest(w.ctx(), hub.Report{Source: "test", Key: "anna", Gone: true}, w.report("anna", "Clerk")))(t)
		if results[0].Kind != hub.Deleted || results[1].Kind != hub.Created {
			t.Errorf("%+v", results)
		}
		if e, err := w.h.EntryByUserName(w.ctx(), "anna"); err != nil || e.ID == anna.ID {
			t.Errorf("%+v, %v", e, err)
		}
	})
}
