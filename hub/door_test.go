package hub_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"tidings/hub"
	"tidings/hub/schema"
	"tidings/hub/store/storetest"
)

// gate is a store with something to do before a commit, and before an object is looked for.
type gate struct {
	hub.Store
	commit func()
	read   func(key string)
}

func (g gate) Commit(ctx context.Context, b hub.Batch) (hub.Receipt, error) {
	if g.commit != nil {
		g.commit()
	}
	return g.Store.Commit(ctx, b)
}

func (g gate) Entries(ctx context.Context, source string, keys []string) ([]*hub.Entry, error) {
	if g.read != nil {
		g.read(keys[0])
	}
	return g.Store.Entries(ctx, source, keys)
}

// gated puts a hub on the world's store, behind a gate.
func (w *world) gated(g gate) *hub.Hub {
	w.t.Helper()
	g.Store = w.store
	return must(hub.Open(w.ctx(), g, w.key, w.config()))(w.t)
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
		h := w.gated(gate{commit: func() { once.Do(func() { w.patch(anna, replace("title", "Cook")) }) }})
		results := must(h.Ingest(w.ctx(), hub.Report{Source: "test", Key: "anna", Gone: true}, w.report("anna", "Clerk")))(t)
		if results[0].Kind != hub.Deleted || results[1].Kind != hub.Created {
			t.Errorf("%+v", results)
		}
		if e, err := w.h.EntryByUserName(w.ctx(), "anna"); err != nil || e.ID == anna.ID {
			t.Errorf("%+v, %v", e, err)
		}
	})
}

// A report whose caller gave up before it was taken is never applied: what was reported since would be undone by it.
func TestGivenUpBeforeItWasTaken(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		commits, reads, release := make(chan struct{}), make(chan struct{}), make(chan struct{})
		var commit, read sync.Once
		h := w.gated(gate{
			commit: func() {
				commit.Do(func() {
					close(commits)
					<-release
				})
			},
			read: func(key string) {
				if key == "bert" {
					read.Do(func() { close(reads) })
				}
			},
		})
		var calls sync.WaitGroup
		ingest := func(name string) {
			calls.Go(func() {
				if _, err := h.Ingest(w.ctx(), w.report(name, "Clerk")); err != nil {
					t.Error(err)
				}
			})
		}
		ingest("anna")
		<-commits
		ingest("bert")
		<-reads // whoever reads has the door, and keeps it until it is its turn
		ctx, cancel := context.WithCancel(w.ctx())
		cancel()
		if _, err := h.Ingest(ctx, w.report("carla", "Clerk"), w.report("dora", "Clerk")); !errors.Is(err, context.Canceled) {
			t.Errorf("given up: %v", err)
		}
		close(release)
		calls.Wait()
		w.person("carla", map[string]any{"title": "Cook"})
		must(h.Ingest(w.ctx(), w.report("emil", "Clerk")))(t)
		if e := must(w.h.EntryByUserName(w.ctx(), "carla"))(t); e.Attributes["title"] != "Cook" {
			t.Errorf("undone by a report that was given up: %+v", e.Attributes)
		}
		if _, err := w.h.EntryByUserName(w.ctx(), "dora"); !errors.Is(err, hub.ErrNotFound) {
			t.Errorf("made by a report that was given up: %v", err)
		}
	})
}

// What is left of a call that failed is not applied later either.
func TestRestOfAFailedCall(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		var broken atomic.Bool
		broken.Store(true)
		h := w.faulty(func(verb string) storetest.Fault {
			if verb == "Entries" && broken.Load() {
				return storetest.Before
			}
			return storetest.Pass
		})
		var reports []hub.Report
		for i := range 3000 { // several batches, the first of which fails
			reports = append(reports, w.report(fmt.Sprint("p", i), "Clerk"))
		}
		if _, err := h.Ingest(w.ctx(), reports...); !errors.Is(err, storetest.ErrInjected) {
			t.Errorf("%v", err)
		}
		broken.Store(false)
		must(h.Ingest(w.ctx(), w.report("emil", "Clerk")))(t)
		if _, total, err := h.Entries(w.ctx(), schema.User, hub.ID{}, 1); total != 1 || err != nil {
			t.Errorf("%d people, %v", total, err)
		}
	})
}

// Reports of one object that follow one another at leisure are read once each.
func TestReadOnce(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		reads := 0
		h := w.gated(gate{read: func(string) { reads++ }})
		for i := range 3 {
			must(h.Ingest(w.ctx(), w.report("anna", fmt.Sprint("title", i))))(t)
		}
		if reads != 3 {
			t.Errorf("3 reports took %d reads", reads)
		}
	})
}

// Reports of one object that meet in a batch share a transaction, not their causes: a signal names who raised it.
func TestSignalNamesItsCause(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", nil)
		w.grant(p, anna, "title")
		head := must(w.h.Head(w.ctx()))(t)
		must(w.h.Ingest(w.ctx(),
			hub.Report{Entry: anna.ID, Actor: "clerk", Txn: "1", Patch: patchBody(t, replace("title", "Cook"))},
			hub.Report{Entry: anna.ID, Actor: "boss", Source: "payroll", Txn: "2", Patch: patchBody(t, replace("active", false))}))(t)
		lines := must(w.h.Changes(w.ctx(), head.Position, 10))(t)
		if len(lines) != 3 {
			t.Fatalf("%+v", lines)
		}
		if l := lines[2]; l.Kind != hub.Signalled || l.Actor != "boss" || l.Source != "payroll" || l.Txn != "2" {
			t.Errorf("%+v", l)
		}
	})
}

// What did not fit a transaction goes with the next as it was decided: nothing of it is read again.
func TestReadOnceForManyTransactions(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		for _, name := range []string{"a", "b", "c"} {
			w.crowd(w.party(hub.PartyRequest{Name: name}), 400, "title")
		}
		reads, commits := 0, 0
		h := w.gated(gate{read: func(string) { reads++ }, commit: func() { commits++ }})
		var reports []hub.Report
		for i := range 400 {
			reports = append(reports, w.report(fmt.Sprintf("person%d", i), "Cook"))
		}
		reports = append(reports, hub.Report{Source: "test", Key: "person399", Gone: true}, w.report("person399", "Clerk"))
		for i, r := range must(h.Ingest(w.ctx(), reports...))(t) {
			if want := map[int]hub.ChangeKind{400: hub.Deleted, 401: hub.Created}[i]; r.Err != nil || r.Kind != want && i >= 400 || r.Kind != hub.Updated && i < 400 {
				t.Errorf("report %d: %+v", i, r)
			}
		}
		if commits != 4 || reads != 3 {
			t.Errorf("%d reads, %d commits", reads, commits) // two for the crowd, one each for the end and the new person
		}
	})
}
