package storetest

import (
	"errors"
	"slices"
	"sync"

	"tidings/consent"
	"tidings/events"
	"tidings/hub"
	"tidings/subscriptions"
)

// off takes entries off a stream as the engine does, and returns what it was shown.
func (f *fixture) off(s *hub.Stream, entries ...hub.ID) hub.Choosing {
	f.Helper()
	in, err := f.offOn(f.store, s, f.tick(), entries...)
	f.must(err)
	return in
}

func (f *fixture) offOn(store hub.Store, s *hub.Stream, now int64, entries ...hub.ID) (seen hub.Choosing, err error) {
	err = store.Choose(f.ctx, s.Party, s.ID, hub.Naming{Entries: entries}, now, func(in hub.Choosing) (out hub.Chosen, _ error) {
		seen = in
		for _, r := range in.Page.Rows {
			if hub.Live(&r, in.Page.Party, now) {
				out.Put = append(out.Put, hub.Exclusion{Entry: r.Entry.ID})
			}
		}
		out.Kept = hub.Silence(in.Unsettled, in.Now)
		return out, nil
	})
	return seen, err
}

// on puts entries back.
func (f *fixture) on(s *hub.Stream, entries ...hub.ID) {
	f.Helper()
	f.must(f.store.Choose(f.ctx, s.Party, s.ID, hub.Naming{Entries: entries}, f.tick(), func(in hub.Choosing) (out hub.Chosen, _ error) {
		for _, x := range in.Excluded {
			out.Put = append(out.Put, hub.Exclusion{Entry: x.Entry, Back: true})
		}
		return out, nil
	}))
}

var chooseTests = map[string]func(f *fixture){
	"what a choice is made from": func(f *fixture) {
		p, e, _, s := f.changed()
		ungranted, other := f.user(f.word()), f.user(f.word())
		f.grant(p, other.ID, "title")
		f.off(s, other.ID)
		in := f.off(s, e.ID, ungranted.ID, hub.NewID(), other.ID)
		if in.Stream.ID != s.ID || in.Page.Party.ID != p.ID || in.Count != 1 || in.Now == 0 || len(in.Page.Head.Policy.Classes) == 0 {
			f.Errorf("%+v", in)
		}
		if len(in.Page.Rows) != 2 || in.Page.Rows[0].Grant == nil || in.Page.Rows[0].Entry.Attributes == nil {
			f.Errorf("%+v", in.Page.Rows)
		}
		f.equal("excluded", in.Excluded, []hub.Exclusion{{Entry: other.ID}})
		if len(in.Unsettled) != 1 || in.Unsettled[0].Entry != e.ID {
			f.Errorf("%+v", in.Unsettled)
		}
		if in = f.off(s); in.Count != 2 || len(in.Page.Rows)+len(in.Excluded)+len(in.Unsettled) != 0 {
			f.Errorf("nobody named: %+v", in)
		}
	},

	"found by what names them": func(f *fixture) { // among those that the party was told of
		p, q := f.party(), f.party()
		s, theirs := f.stream(p), f.stream(q)
		key, other := hub.NewID(), hub.NewID()
		var all []*hub.Entry
		for range 2 {
			it := f.newUser(f.word())
			it.Entry.Identifiers, it.Entry.UserName = []hub.ID{key}, f.word()
			all = append(all, f.commit(it).Entries[0])
			f.grant(p, it.Entry.Entry.ID, "title")
			all[len(all)-1].Attributes = map[string]any{"userName": it.Entry.UserName}
		}
		finds := func(s *hub.Stream, by hub.Naming) (n int) {
			f.Helper()
			f.must(f.store.Choose(f.ctx, s.Party, s.ID, by, f.tick(), func(in hub.Choosing) (hub.Chosen, error) {
				n = len(in.Page.Rows)
				return hub.Chosen{}, nil
			}))
			return n
		}
		name, _ := all[0].Attributes["userName"].(string)
		f.equal("by key", finds(s, hub.Naming{Keys: []hub.ID{key, other}}), 2)
		f.equal("by name and id", finds(s, hub.Naming{UserNames: []string{name, "nobody"}, Entries: []hub.ID{all[0].ID}}), 1)
		f.equal("by another party", finds(theirs, hub.Naming{Keys: []hub.ID{key}, UserNames: []string{name}}), 0)
		for _, c := range []struct {
			keys []hub.ID
			n    int
		}{{nil, 2}, {[]hub.ID{other}, 1}, {[]hub.ID{key, other}, 2}} {
			it := f.change(f.entry(all[0].ID))
			it.Entry.Identifiers = c.keys
			f.commit(it)
			f.equal("after a change", finds(s, hub.Naming{Keys: []hub.ID{key}}), c.n)
		}
		f.commit(f.deletion(f.entry(all[0].ID)))
		f.equal("after the end of one", finds(s, hub.Naming{Keys: []hub.ID{key}}), 1)
	},

	"found among many whose grants ended": func(f *fixture) {
		p := f.party()
		s, key := f.stream(p), hub.NewID()
		var people, ends []hub.Item
		for range 5 * hub.MaxNamed {
			it := f.newUser(f.word())
			it.Entry.Identifiers = []hub.ID{key}
			people = append(people, it)
		}
		for _, e := range f.commit(people...).Entries {
			ends = append(ends, f.newGrant(p, e.ID, both("title")))
		}
		granted := f.commit(ends...).Grants
		alive := granted[len(granted)-1]
		ends = nil
		for _, g := range granted[:len(granted)-1] {
			ends = append(ends, f.grantLine(g, hub.Revoked))
		}
		f.commit(ends...)
		var found []hub.ID
		f.must(f.store.Choose(f.ctx, p.ID, s.ID, hub.Naming{Keys: []hub.ID{key}}, f.tick(), func(in hub.Choosing) (hub.Chosen, error) {
			for _, r := range in.Page.Rows {
				found = append(found, r.Entry.ID)
			}
			return hub.Chosen{}, nil
		}))
		if !slices.Contains(found, alive.Entry) {
			f.Errorf("the one who may be told is not among the %d found", len(found))
		}
	},

	"what waits goes with the choice": func(f *fixture) { // I5
		_, e, _, s := f.changed()
		a := f.attempt(f.one(s))
		f.off(s, e.ID)
		if f.begin(a)[0] {
			f.Error("begun after the choice")
		}
		f.update(e, "title")
		f.issue(s)
		if len(f.sendable(s)) != 0 {
			f.Error("something may be sent of a subject that is off")
		}
	},

	"what is under way ends": func(f *fixture) {
		_, e, _, s := f.changed()
		jti := f.send(s)
		f.off(s, e.ID)
		f.settle(s, subscriptions.Retry, f.now, jti)
		if len(f.sendable(s)) != 0 {
			f.Error("tried again")
		}
	},

	"back, and told": func(f *fixture) {
		p, e, _, s := f.changed()
		f.off(s, e.ID)
		f.update(e, "title")
		f.raise(e.ID, "", "secret")
		f.issue(s)
		f.on(s, e.ID)
		leased, _, err := f.store.Lease(f.ctx, "node", f.now, f.now+1000, events.MethodPush)
		f.must(err)
		if len(leased) != 1 {
			f.Error("a stream that somebody is back on has nothing to do")
		}
		f.issue(s)
		if d := f.one(s).Delivery; d.Kind != consent.Added || d.Position != f.row(p, e.ID).Grant.Position {
			f.Errorf("%+v", d)
		}
		f.settle(s, subscriptions.Done, 0, f.send(s))
		f.issue(s)
		if len(f.sendable(s)) != 0 || f.off(s).Count != 0 {
			f.Error("told twice, or off still")
		}
	},

	"back, portion by portion": func(f *fixture) { // the window bounds what returns as well
		p, s := f.party(), (*hub.Stream)(nil)
		users := f.users("u", 5)
		s = f.stream(p)
		f.grantAll([]*hub.Party{p}, users, "title")
		var ids []hub.ID
		for _, u := range users {
			ids = append(ids, u.ID)
		}
		f.off(s, ids...)
		f.issue(s)
		f.on(s, ids...)
		f.raise(users[4].ID, "", "secret") // of one that is not yet told
		more, err := f.store.Issue(f.ctx, s.ID, f.tick(), 3, decide)
		f.must(err)
		if n := len(f.sendable(s)); n > 3 || !more { // two where the signal's own entry is among the first
			f.Errorf("%d may be sent, more is %t", n, more)
		}
		signals, told := 0, map[hub.ID]int{}
		for range 10 {
			for _, sending := range f.sendable(s) {
				a := f.attempt(sending)
				if !f.begin(a)[0] {
					continue
				}
				if sending.Delivery.Signal != 0 {
					signals++
				} else {
					told[sending.Delivery.Entry]++
				}
				f.settle(s, subscriptions.Done, 0, a.Tokens[0].JTI)
			}
			_, err := f.store.Issue(f.ctx, s.ID, f.tick(), 3, decide)
			f.must(err)
		}
		if signals != 1 || len(told) != 5 || f.off(s).Count != 0 {
			f.Errorf("%d signals, %d of 5 told", signals, len(told))
		}
	},

	"a refused choice leaves nothing": func(f *fixture) {
		p, e, _, s := f.changed()
		refusal := errors.New("no")
		err := f.store.Choose(f.ctx, p.ID, s.ID, hub.Naming{Entries: []hub.ID{e.ID}}, f.tick(), func(in hub.Choosing) (hub.Chosen, error) {
			return hub.Chosen{Put: []hub.Exclusion{{Entry: e.ID}}, Kept: hub.Silence(in.Unsettled, in.Now)}, refusal
		})
		f.wants(err, refusal)
		f.one(s)
		if f.off(s).Count != 0 {
			f.Error("it left something")
		}
	},

	"somebody else's stream": func(f *fixture) { // I10
		_, e, _, s := f.changed()
		q := f.party()
		for _, stranger := range []hub.Stream{{Party: q.ID, ID: s.ID}, {Party: s.Party, ID: hub.NewID()}} {
			_, err := f.offOn(f.store, &stranger, f.tick(), e.ID)
			f.wants(err, hub.ErrNotFound)
		}
		f.one(s)
	},

	"settings and status": func(f *fixture) { // SU-12
		_, e, _, s := f.changed()
		f.off(s, e.ID)
		for _, status := range []subscriptions.Status{subscriptions.Paused, subscriptions.Disabled, subscriptions.Enabled} {
			now := f.streamNow(s)
			now.Status, now.Settings.Description = status, f.word()
			_, _, err := f.store.SetStream(f.ctx, *now, nil)
			f.must(err)
		}
		if f.off(s).Count != 1 {
			f.Error("the exclusion is gone")
		}
		f.must(f.store.DeleteStream(f.ctx, s.Party, s.ID)) // and Check finds nothing left of it
	},

	"on its way back when the stream is disabled": func(f *fixture) {
		_, e, _, s := f.changed()
		f.off(s, e.ID)
		f.on(s, e.ID)
		now := f.streamNow(s)
		now.Status = subscriptions.Disabled
		now, _, err := f.store.SetStream(f.ctx, *now, nil)
		f.must(err)
		now.Status = subscriptions.Enabled
		_, _, err = f.store.SetStream(f.ctx, *now, nil)
		f.must(err)
		f.issue(s)
		if len(f.sendable(s)) != 0 || f.off(s).Count != 0 {
			f.Error("it came back from the gap")
		}
	},

	"the party goes": func(f *fixture) {
		p, e, _, s := f.changed()
		f.off(s, e.ID)
		f.commit(hub.Item{Party: &hub.PartyWrite{Party: *p}, Lines: []hub.Change{{Kind: hub.PartyRemoved, Time: f.tick()}}})
	},

	"the entry goes": func(f *fixture) {
		_, e, _, s := f.changed()
		f.off(s, e.ID)
		f.commit(f.deletion(f.entry(e.ID)))
		f.issue(s)
		if len(f.sendable(s)) != 0 {
			f.Error("its removal is told")
		}
		f.user(f.word())
		for more := true; more; {
			var err error
			more, err = f.store.Trim(f.ctx, f.head().Position, 1)
			f.must(err)
		}
		if f.off(s).Count != 0 {
			f.Error("the exclusion outlived the tombstone")
		}
	},

	"choices, attempts and issuing race": func(f *fixture) {
		other := f.open()
		for range rounds {
			_, e, _, s := f.changed()
			a := f.attempt(f.one(s))
			f.update(e, "nickName")
			now := f.tick()
			var begun bool
			var wg sync.WaitGroup
			wg.Go(func() {
				ok, err := other.Begin(f.ctx, now, []hub.Attempt{a})
				if err != nil {
					f.Error(err)
					return
				}
				begun = ok[0]
			})
			wg.Go(func() {
				if _, err := other.Issue(f.ctx, s.ID, now, hub.Window, decide); err != nil {
					f.Error(err)
				}
			})
			wg.Go(func() {
				if _, err := f.offOn(f.store, s, now, e.ID); err != nil {
					f.Error(err)
				}
			})
			wg.Wait()
			f.issue(s)
			if begun {
				f.settle(s, subscriptions.Retry, f.now, a.Tokens[0].JTI)
			}
			if left := f.sendable(s); len(left) != 0 {
				f.Fatalf("%+v", left)
			}
		}
	},

	"choices and deletions race": func(f *fixture) {
		other := f.open()
		for range rounds {
			_, e, _, s := f.changed()
			now, it := f.tick(), f.deletion(f.entry(e.ID))
			var wg sync.WaitGroup
			wg.Go(func() { f.tryOn(other, it) })
			wg.Go(func() {
				if _, err := f.offOn(f.store, s, now, e.ID); err != nil {
					f.Error(err)
				}
			})
			wg.Wait()
			f.issue(s)
			for _, sending := range f.sendable(s) {
				if sending.Delivery.Kind != consent.Removed {
					f.Errorf("%+v", sending.Delivery)
				}
			}
		}
	},
}
