package storetest

import (
	"tidings/hub"
	"tidings/subscriptions"
)

// still issues a stream on which there is nothing to tell: nobody is asked to decide, and it stays as it is.
func (f *fixture) still(why string, s *hub.Stream, window int) {
	f.Helper()
	before := f.streamNow(s)
	more, err := f.store.Issue(f.ctx, s.ID, f.tick(), window, func(hub.Issuing) hub.Issued {
		f.Errorf("%s: asked", why)
		return hub.Issued{}
	})
	f.must(err)
	if more {
		f.Errorf("%s: says that there is more", why)
	}
	f.equal(why+": the stream", f.streamNow(s), before)
}

// idleTests are about streams that wait for something to be told: until then commits of others cost them a look, and no
// write.
var idleTests = map[string]func(f *fixture){
	"what concerns others": func(f *fixture) {
		p, q, e, b := f.party(), f.party(), f.user("ada"), f.user("bob")
		f.grant(p, e.ID, "title")
		s := f.stream(p)
		f.grant(q, b.ID, "title")
		f.update(b, "title")
		f.raise(b.ID, "title", "said")
		f.update(e, "nickName") // not granted
		f.still("others", s, hub.Window)
		if got, _ := f.leased(s); got {
			f.Error("leased for others")
		}
		f.update(e, "title")
		f.issue(s)
		f.equal("names", f.one(s).Delivery.Names, []string{"title"})
		if now := f.streamNow(s); now.At != f.head().Position {
			f.Errorf("%+v", now)
		}
	},

	"what is about no entry, under an agreement": func(f *fixture) {
		p, e := f.agreement("title"), f.user("ada")
		s := f.stream(p)
		f.grant(f.party(), e.ID, "title")
		f.still("grants", s, hub.Window)
		if got, _ := f.leased(s); got {
			f.Error("leased for others' grants")
		}
		f.update(e, "title")
		if got, _ := f.leased(s); !got {
			f.Error("not leased for an entry")
		}
		f.issue(s)
		f.one(s)
	},

	"a full window": func(f *fixture) {
		p := f.party()
		users := f.users("u", 3)
		f.grantAll([]*hub.Party{p}, users, "title")
		s := f.stream(p)
		for _, u := range users {
			f.raise(u.ID, "", "said")
		}
		_, err := f.store.Issue(f.ctx, s.ID, f.tick(), 3, decide)
		f.must(err)
		f.raise(users[0].ID, "", "once more")
		f.still("full", s, 3)
		f.commit(f.changeParty(p, hub.PartyChanged))
		more, err := f.store.Issue(f.ctx, s.ID, f.tick(), 3, decide)
		f.must(err)
		if n := len(f.sendable(s)); n != 4 || !more { // one at a time of an entry: three signals and feed-changed
			f.Errorf("%d sendable, more %v", n, more)
		}
	},

	"a full window has no work for a pusher": func(f *fixture) {
		p := f.party()
		users := f.users("u", hub.Window+1)
		s := f.stream(p)
		f.grantAll([]*hub.Party{p}, users, "title")
		f.issue(s)
		all, err := f.store.Sendable(f.ctx, s.ID, f.tick(), hub.Window)
		f.must(err)
		var attempts []hub.Attempt
		var jtis []string
		for _, sending := range all {
			a := f.attempt(sending)
			attempts, jtis = append(attempts, a), append(jtis, a.Tokens[0].JTI)
		}
		f.begin(attempts...)
		f.settle(s, subscriptions.Retry, f.now+1_000_000, jtis...)
		if got, _ := f.leased(s); got {
			f.Error("leased, though nothing is due and nothing has room")
		}
		f.settle(s, subscriptions.Done, 0, jtis[0])
		if got, _ := f.leased(s); !got {
			f.Error("not leased, though there is room")
		}
	},

	"a place that has not caught up": func(f *fixture) {
		p, _, _, s := f.changed()
		f.settle(s, subscriptions.Done, 0, f.send(s))
		at := f.streamNow(s).At
		_, err := f.store.Rewind(f.ctx, p.ID, s.ID, hub.Place{Base: 1, At: at, Generation: p.Generation})
		f.must(err)
		f.issue(s)
		if now := f.streamNow(s); now.Base != now.At || now.At != f.head().Position {
			f.Errorf("%+v", now)
		}
	},
}
