package storetest

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"tidings/consent"
	"tidings/hub"
	"tidings/subscriptions"
)

// soon is a time to expire at. Keep and Swap go by the real clock, as records are a matter of minutes.
func soon() int64 { return time.Now().Add(time.Hour).UnixMicro() }

var scratchTests = map[string]func(f *fixture){
	"kept and taken": func(f *fixture) {
		r := hub.Record{Key: "k", Group: "g", Value: []byte{0, 1, 255}, Expires: soon()}
		f.must(f.store.Keep(f.ctx, r, 10))
		if err := f.store.Keep(f.ctx, r, 10); err == nil {
			f.Error("kept twice")
		}
		got, err := f.store.Take(f.ctx, "k", f.now)
		f.must(err)
		f.equal("record", got, r)
		_, err = f.store.Take(f.ctx, "k", f.now)
		f.wants(err, hub.ErrNotFound)
		f.must(f.store.Keep(f.ctx, r, 10))
		_, err = f.store.Take(f.ctx, "k", r.Expires)
		f.wants(err, hub.ErrNotFound)
	},

	"one of many takes it": func(f *fixture) {
		stores := []hub.Store{f.store, f.open()}
		for i := range 10 {
			key := fmt.Sprint("k", i)
			f.must(f.store.Keep(f.ctx, hub.Record{Key: key, Group: "g", Value: []byte("v"), Expires: soon()}, 100))
			var wg sync.WaitGroup
			var mu sync.Mutex
			got := 0
			for j := range 6 {
				wg.Go(func() {
					_, err := stores[j%2].Take(f.ctx, key, f.now)
					mu.Lock()
					defer mu.Unlock()
					if err == nil {
						got++
					} else if !errors.Is(err, hub.ErrNotFound) {
						f.Error(err)
					}
				})
			}
			wg.Wait()
			if got != 1 {
				f.Fatalf("%d took it", got)
			}
		}
	},

	"as many as the limit": func(f *fixture) { // I11
		for i := range 3 {
			f.must(f.store.Keep(f.ctx, hub.Record{Key: fmt.Sprint("k", i), Group: "g", Expires: soon()}, 3))
		}
		f.wants(f.store.Keep(f.ctx, hub.Record{Key: "k3", Group: "g", Expires: soon()}, 3), hub.ErrLimit)
		f.must(f.store.Keep(f.ctx, hub.Record{Key: "k3", Group: "other", Expires: soon()}, 3))
		_, err := f.store.Take(f.ctx, "k0", f.now)
		f.must(err)
		f.must(f.store.Keep(f.ctx, hub.Record{Key: "k4", Group: "g", Expires: soon()}, 3))
	},

	"swapped while it is the same": func(f *fixture) {
		later := soon() + 500
		f.must(f.store.Keep(f.ctx, hub.Record{Key: "k", Group: "g", Value: []byte("a"), Expires: soon()}, 10))
		f.must(f.store.Swap(f.ctx, "k", []byte("a"), []byte("b"), later))
		f.wants(f.store.Swap(f.ctx, "k", []byte("a"), []byte("c"), later), hub.ErrConflict)
		got, err := f.store.Take(f.ctx, "k", later-1)
		f.must(err)
		if string(got.Value) != "b" || got.Expires != later {
			f.Errorf("%+v", got)
		}
		if err := f.store.Swap(f.ctx, "k", []byte("b"), []byte("c"), later); err == nil {
			f.Error("swapped what is gone")
		}
	},
}

var trimTests = map[string]func(f *fixture){
	"tombstones are forgotten": func(f *fixture) {
		p := f.party()
		users := f.users("u", 6)
		f.grantAll([]*hub.Party{p}, users, "title")
		ended, gone := f.row(p, users[0].ID).Grant, f.row(p, users[1].ID).Grant
		f.revoke(ended)
		f.commit(f.deletion(users[1]))
		upTo := f.head()
		f.update(users[2], "title")
		later := f.row(p, users[3].ID).Grant
		f.revoke(later)
		f.trim(upTo.Position)
		head := f.head()
		if head.Oldest != upTo.Position || head.Position != upTo.Position+2 {
			f.Errorf("head %+v", head)
		}
		for _, g := range []*hub.Grant{ended, gone} {
			_, err := f.store.Grant(f.ctx, g.ID)
			f.wants(err, hub.ErrNotFound)
		}
		_, err := f.store.Entry(f.ctx, users[1].ID)
		f.wants(err, hub.ErrNotFound)
		f.freshGrant(later)
		if f.entry(users[0].ID).Deleted != 0 {
			f.Error("a living entry went")
		}
		page := f.feed(hub.FeedQuery{Party: p.ID, Limit: 100, At: upTo.Position})
		if len(page.Rows) != 5-1+1-1 && len(page.Rows) != 4 {
			f.Errorf("%d rows", len(page.Rows))
		}
		if page.LineTag != upTo.Tag {
			f.Error("the line on which a cursor may stand went")
		}
		if l := f.lines(0); len(l) != 3 || l[0].Position != upTo.Position {
			f.Errorf("%d lines", len(l))
		}
		f.commit(f.newGrant(p, users[0].ID, both("title"))) // forgotten: a new grant
	},

	"in small steps": func(f *fixture) {
		p, gone := f.party(), f.party()
		users := f.users("u", 10)
		f.grantAll([]*hub.Party{p, gone}, users, "title")
		f.commit(f.changeParty(gone, hub.PartyRemoved))
		for _, u := range users {
			f.commit(f.deletion(u))
		}
		upTo := f.head().Position
		f.user("last")
		for limit := 1; ; limit++ {
			more, err := f.store.Trim(f.ctx, upTo, limit)
			f.must(err)
			f.check()
			if !more {
				break
			}
			if limit > 100 {
				f.Fatal("never ends")
			}
		}
		if h := f.head(); h.Oldest != upTo {
			f.Errorf("%+v", h)
		}
		if page := f.feed(hub.FeedQuery{Party: p.ID, Limit: 100}); len(page.Rows) != 0 {
			f.Errorf("%d rows", len(page.Rows))
		}
		if l := f.lines(0); len(l) != 2 {
			f.Errorf("%d lines", len(l))
		}
		if all, err := f.store.Parties(f.ctx); err != nil || len(all) != 1 {
			f.Errorf("parties: %+v, %v", all, err)
		}
	},

	"what lives stays": func(f *fixture) {
		p := f.party()
		users := f.users("u", 5)
		f.grantAll([]*hub.Party{p}, users, "title")
		s := f.stream(p)
		f.update(users[0], "title")
		f.issue(s)
		f.trim(f.head().Position)
		f.trim(f.head().Position)
		if page := f.feed(hub.FeedQuery{Party: p.ID, Limit: 100, Values: true}); len(page.Rows) != 5 {
			f.Errorf("%d rows", len(page.Rows))
		}
		if d := f.one(s).Delivery; d.Kind != consent.Updated {
			f.Errorf("%+v", d)
		}
		f.send(s)
		f.update(users[1], "title")
		if h := f.head(); h.Oldest >= h.Position {
			f.Errorf("%+v", h)
		}
	},

	"a stream that missed nothing moves along": func(f *fixture) {
		p, q, e, b := f.party(), f.party(), f.user("ada"), f.user("bob")
		f.grant(p, e.ID, "title")
		idle, behind := f.stream(p), f.stream(q)
		agreed := f.stream(f.agreement("title"))
		f.grant(q, b.ID, "title")
		upTo := f.head()
		f.user("cleo")
		f.trim(upTo.Position)
		for name, s := range map[string]*hub.Stream{"idle": idle, "agreed": agreed} {
			if now := f.streamNow(s); now.At != upTo.Position || now.Base != upTo.Position || now.Tag != upTo.Tag || now.Generation != s.Generation || now.Signal != s.Signal {
				f.Errorf("%s: %+v", name, now)
			}
		}
		f.equal("the one with something to read", f.streamNow(behind), behind)
		f.issue(behind)
		f.one(behind)
		f.update(e, "title")
		f.issue(idle)
		f.equal("names", f.one(idle).Delivery.Names, []string{"title"})
	},

	"a removal that was sent and is not settled": func(f *fixture) { // its key may be recalled, and what is made anew needs a row
		p, e := f.party(), f.user("ada")
		g := f.grant(p, e.ID, "title")
		s := f.stream(p)
		f.revoke(g)
		f.issue(s)
		f.settle(s, subscriptions.Retry, 0, f.send(s))
		upTo := f.head().Position
		f.user("bob")
		f.trim(upTo)
		f.issue(s)
		if d := f.one(s).Delivery; d.Type != "urn:test:feed-changed" {
			f.Errorf("%+v", d)
		}
	},

	"an ended party": func(f *fixture) {
		p, e := f.party(), f.user("ada")
		g := f.grant(p, e.ID, "title")
		f.commit(f.changeParty(p, hub.PartyRemoved))
		upTo := f.head().Position
		f.user("bob")
		f.trim(upTo)
		_, err := f.store.Grant(f.ctx, g.ID)
		f.wants(err, hub.ErrNotFound)
		f.update(e, "title")
	},
}

func (f *fixture) trim(upTo int64) {
	f.Helper()
	for steps := 0; ; steps++ {
		more, err := f.store.Trim(f.ctx, upTo, 100)
		f.must(err)
		if !more {
			return
		}
		if steps > 100 {
			f.Fatal("trimming never ends")
		}
	}
}
