package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"tidings/events"
	"tidings/hub"
	"tidings/subscriptions"
)

// atOnce lets calls begin together.
func atOnce(calls ...func()) {
	start := make(chan struct{})
	var wg sync.WaitGroup
	for _, call := range calls {
		wg.Go(func() {
			<-start
			call()
		})
	}
	close(start)
	wg.Wait()
}

// rounds is how often a race is run.
const rounds = 15

// raceTests run pairs of verbs against each other on two handles. Whoever is first, the end has to be one of the two
// that are allowed.
var raceTests = map[string]func(f *fixture){
	"attempts": func(f *fixture) { // one of many begins, and its bytes stay
		other := f.open()
		_, e, _, s := f.changed()
		for range rounds {
			sending := f.one(s)
			var began atomic.Int32
			var calls []func()
			for i := range 8 {
				a, store, now := f.attempt(sending), []hub.Store{f.store, other}[i%2], f.tick()
				calls = append(calls, func() {
					may, err := store.Begin(f.ctx, now, []hub.Attempt{a})
					if err != nil {
						f.Error(err)
					} else if may[0] {
						began.Add(1)
					}
				})
			}
			atOnce(calls...)
			if n := began.Load(); n != 1 {
				f.Fatalf("%d began", n)
			}
			f.now += 10_000
			jti := f.one(s).Delivery.Tokens[0].JTI
			f.settle(s, subscriptions.Done, 0, jti)
			f.changeNow(e.ID, "title")
			f.issue(s)
		}
	},

	"an attempt and a change": func(f *fixture) { // I3: what is absorbed has not left, what has left is not absorbed
		other := f.open()
		_, e, _, s := f.changed()
		for range rounds {
			a := f.attempt(f.one(s))
			f.changeNow(e.ID, "nickName")
			now := f.tick()
			var began bool
			atOnce(func() {
				may, err := other.Begin(f.ctx, now, []hub.Attempt{a})
				if err != nil {
					f.Error(err)
				} else {
					began = may[0]
				}
			}, func() {
				if _, err := f.store.Issue(f.ctx, s.ID, now, hub.Window, decide); err != nil {
					f.Error(err)
				}
			})
			if began {
				f.settle(s, subscriptions.Done, 0, a.Tokens[0].JTI)
			}
			names := f.one(s).Delivery.Names
			if !slices.Contains(names, "nickName") || !began && !slices.Contains(names, "title") {
				f.Fatalf("began %v, and left is %v", began, names)
			}
			f.settle(s, subscriptions.Done, 0, f.send(s))
			f.changeNow(e.ID, "title")
			f.issue(s)
		}
	},

	"an attempt and a narrowing": func(f *fixture) { // I4
		other := f.open()
		for range rounds {
			_, _, g, s := f.changed()
			a, it, now := f.attempt(f.one(s)), f.regrade(g, true, both("nickName"), "title"), f.tick()
			var began bool
			atOnce(func() {
				may, err := other.Begin(f.ctx, now, []hub.Attempt{a})
				if err != nil {
					f.Error(err)
				} else {
					began = may[0]
				}
			}, func() { f.tryOn(f.store, it) })
			if began {
				f.settle(s, subscriptions.Retry, f.now, a.Tokens[0].JTI)
			}
			if d := f.one(s).Delivery; d.Sent || len(d.Tokens) != 0 || !slices.Contains(d.Names, "title") {
				f.Fatalf("began %v, and left is %+v", began, d)
			}
		}
	},

	"telling and a revocation": func(f *fixture) { // I5: nothing but the removal is begun afterwards
		other := f.open()
		for range rounds {
			_, e, g, s := f.changed()
			f.changeNow(e.ID, "nickName")
			it, now := f.grantLine(f.freshGrant(g), hub.Revoked), f.tick()
			atOnce(func() {
				if _, err := other.Issue(f.ctx, s.ID, now, hub.Window, decide); err != nil {
					f.Error(err)
				}
			}, func() { f.tryOn(f.store, it) })
			f.issue(s)
			removed := false
			for range 3 {
				for _, sending := range f.sendable(s) {
					a := f.attempt(sending)
					if !f.begin(a)[0] {
						continue
					}
					if sending.Delivery.Kind != "removed" {
						f.Fatalf("begun: %+v", sending.Delivery)
					}
					removed = true
					f.settle(s, subscriptions.Done, 0, a.Tokens[0].JTI)
				}
			}
			if !removed {
				f.Fatal("the removal was not told")
			}
		}
	},

	"answers and a revocation": func(f *fixture) {
		other := f.open()
		for range rounds {
			_, _, g, s := f.changed()
			jti := f.send(s)
			it, now := f.grantLine(f.freshGrant(g), hub.Revoked), f.tick()
			atOnce(func() {
				if _, err := other.Settle(f.ctx, s.ID, now, []hub.Outcome{{JTI: jti, Next: subscriptions.Retry, Due: now}}); err != nil {
					f.Error(err)
				}
			}, func() { f.tryOn(f.store, it) })
			f.issue(s)
			if d := f.one(s).Delivery; d.Kind != "removed" {
				f.Fatalf("left is %+v", d)
			}
		}
	},

	"leases": func(f *fixture) {
		other := f.open()
		for range 4 {
			f.changed()
		}
		for range rounds {
			f.now += 10_000
			now := f.tick()
			var mu sync.Mutex
			owners := map[hub.ID]int{}
			var calls []func()
			for i := range 6 {
				node := f.word()
				calls = append(calls, func() {
					got, _, err := []hub.Store{f.store, other}[i%2].Lease(f.ctx, node, now, now+100, events.MethodPush)
					if err != nil {
						f.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					for _, id := range got {
						owners[id]++
					}
				})
			}
			atOnce(calls...)
			if len(owners) != 4 {
				f.Fatalf("%d streams leased", len(owners))
			}
			for id, n := range owners {
				if n != 1 {
					f.Fatalf("%v has %d owners", id, n)
				}
			}
		}
	},

	"settings": func(f *fixture) { // compare and swap
		other := f.open()
		s := f.stream(f.party())
		for range rounds {
			now := f.streamNow(s)
			var set atomic.Int32
			var calls []func()
			for i := range 6 {
				own := own(s, "urn:test:updated")
				calls = append(calls, func() {
					switch _, _, err := []hub.Store{f.store, other}[i%2].SetStream(f.ctx, *now, []hub.Delivery{own}); {
					case err == nil:
						set.Add(1)
					case !errors.Is(err, hub.ErrConflict):
						f.Error(err)
					}
				})
			}
			atOnce(calls...)
			if n := set.Load(); n != 1 {
				f.Fatalf("%d were set", n)
			}
			f.settle(s, subscriptions.Done, 0, f.send(s))
		}
	},

	"records of one group": func(f *fixture) { // I11
		other := f.open()
		for round := range rounds {
			var kept atomic.Int32
			var calls []func()
			for i := range 8 {
				r := hub.Record{Key: fmt.Sprint(round, "-", i), Group: fmt.Sprint(round), Expires: soon()}
				calls = append(calls, func() {
					switch err := []hub.Store{f.store, other}[i%2].Keep(f.ctx, r, 3); {
					case err == nil:
						kept.Add(1)
					case !errors.Is(err, hub.ErrLimit):
						f.Error(err)
					}
				})
			}
			atOnce(calls...)
			if n := kept.Load(); n != 3 {
				f.Fatalf("%d were kept", n)
			}
		}
	},

	"revocation and deletion, both ways": func(f *fixture) { // no deadlock, one end
		other := f.open()
		for range rounds {
			p, e, g, _ := f.changed()
			revoke, del := f.grantLine(f.freshGrant(g), hub.Revoked), f.deletion(f.entry(e.ID))
			commit := func(s hub.Store, it hub.Item) func() {
				return func() {
					if _, err := s.Commit(f.ctx, hub.Batch{Now: 1, Items: []hub.Item{it}}); err != nil {
						f.Error(err)
					}
				}
			}
			atOnce(commit(f.store, revoke), commit(other, del))
			if row := f.row(p, e.ID); row.Grant.Ended == 0 || row.Entry.Deleted == 0 {
				f.Fatalf("%+v", row)
			}
		}
	},
}
