package storetest

import (
	"sync"

	"tidings/consent"
	"tidings/hub"
	"tidings/subscriptions"
)

// changed is a stream with one update that may be sent.
func (f *fixture) changed() (p *hub.Party, e *hub.Entry, g *hub.Grant, s *hub.Stream) {
	f.Helper()
	p, e = f.party(), f.user(f.word())
	g = f.grant(p, e.ID, "title", "nickName")
	s = f.stream(p)
	f.update(e, "title")
	f.issue(s)
	return p, e, g, s
}

var sendTests = map[string]func(f *fixture){
	"an attempt has its bytes until it is settled": func(f *fixture) { // I7
		_, _, _, s := f.changed()
		a := f.attempt(f.one(s))
		a.Tokens = append(a.Tokens, hub.SignedToken{JTI: f.word(), Compact: []byte("second")})
		if !f.begin(a)[0] {
			f.Fatal("did not begin")
		}
		if len(f.sendable(s)) != 0 {
			f.Error("a busy delivery may be sent")
		}
		if f.begin(a)[0] {
			f.Error("begun twice")
		}
		due := f.now + 100
		f.settle(s, subscriptions.Retry, due, a.Tokens[0].JTI)
		if len(f.sendable(s)) != 0 {
			f.Error("sendable before it is due")
		}
		f.now = due
		again := f.one(s)
		d := again.Delivery
		if !d.Sent || d.Attempts != 1 || d.Busy != 0 {
			f.Errorf("%+v", d)
		}
		f.equal("tokens", d.Tokens, a.Tokens)
		if now := f.streamNow(s); now.Failures != 1 || now.Problem == "" {
			f.Errorf("%+v", now)
		}
		retry := f.attempt(again)
		if len(retry.Tokens) != 0 || !f.begin(retry)[0] {
			f.Error("the retry did not begin")
		}
		f.settle(s, subscriptions.Done, 0, a.Tokens[0].JTI)
		f.settle(s, subscriptions.Retry, 0, a.Tokens[1].JTI)
		d = f.one(s).Delivery
		if len(d.Tokens) != 2 || !d.Tokens[0].Settled || d.Tokens[0].Compact != nil || d.Tokens[1].Settled || string(d.Tokens[1].Compact) != "second" {
			f.Errorf("%+v", d.Tokens)
		}
		f.begin(f.attempt(f.one(s)))
		f.settle(s, subscriptions.Done, 0, a.Tokens[1].JTI)
		f.now += 10_000
		if len(f.sendable(s)) != 0 {
			f.Error("a settled delivery came back")
		}
		if now := f.streamNow(s); now.Failures != 0 {
			f.Errorf("%+v", now)
		}
	},

	"all in one settle": func(f *fixture) {
		_, _, _, s := f.changed()
		a := f.attempt(f.one(s))
		a.Tokens = append(a.Tokens, hub.SignedToken{JTI: f.word(), Compact: []byte("second")})
		f.begin(a)
		f.settle(s, subscriptions.Done, 0, a.Tokens[0].JTI, "unknown", a.Tokens[1].JTI) // PB-12: an unknown jti is passed over
		f.now += 10_000
		if len(f.sendable(s)) != 0 {
			f.Error("not settled")
		}
	},

	"another stream's token": func(f *fixture) { // I10
		p, _, _, s := f.changed()
		jti := f.send(s)
		t := f.stream(p)
		f.settle(t, subscriptions.Done, 0, jti)
		f.settle(s, subscriptions.Retry, 0, jti)
		f.one(s)
	},

	"a busy attempt runs out": func(f *fixture) {
		_, _, _, s := f.changed()
		a := f.attempt(f.one(s))
		f.begin(a)
		f.now = a.Busy + 1
		again := f.one(s)
		f.equal("tokens", again.Delivery.Tokens, a.Tokens)
		if !f.begin(f.attempt(again))[0] {
			f.Error("did not begin again")
		}
	},

	"one of two nodes begins": func(f *fixture) {
		_, _, _, s := f.changed()
		sending := f.one(s)
		stores := []hub.Store{f.store, f.open()}
		var wg sync.WaitGroup
		var mu sync.Mutex
		var won []hub.Attempt
		for i := range 8 {
			a := f.attempt(sending)
			wg.Go(func() {
				ok, err := stores[i%2].Begin(f.ctx, f.now, []hub.Attempt{a})
				if err != nil {
					f.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				if ok[0] {
					won = append(won, a)
				}
			})
		}
		wg.Wait()
		if len(won) != 1 {
			f.Fatalf("%d began", len(won))
		}
		f.settle(s, subscriptions.Retry, 0, won[0].Tokens[0].JTI)
		f.equal("tokens", f.one(s).Delivery.Tokens, won[0].Tokens)
		// The loser made other bytes; they may not replace those that have begun to leave.
		late := f.attempt(sending)
		if f.begin(late)[0] {
			f.Error("other bytes began")
		}
		f.equal("tokens", f.one(s).Delivery.Tokens, won[0].Tokens)
	},

	"a change between making and beginning": func(f *fixture) { // I3: what was absorbed meanwhile is not in the token
		_, e, _, s := f.changed()
		a := f.attempt(f.one(s))
		f.update(e, "nickName")
		f.issue(s)
		if f.begin(a)[0] {
			f.Error("a token without the second change began")
		}
		f.equal("names", f.one(s).Delivery.Names, []string{"nickName", "title"})
		f.send(s)
	},

	"a change between saying nothing and withdrawing": func(f *fixture) { // I3
		for _, dead := range []string{"", "cannot be made"} {
			p, e, _, s := f.changed()
			a := f.attempt(f.one(s))
			a.Tokens, a.Withdraw, a.Dead = nil, dead == "", dead
			f.update(e, "nickName")
			f.issue(s)
			f.begin(a)
			f.equal("names", f.one(s).Delivery.Names, []string{"nickName", "title"})
			if letters := f.letters(p); len(letters) != 0 {
				f.Errorf("%+v", letters)
			}
		}
	},

	"revoked before it begins": func(f *fixture) { // I4, I5
		_, e, g, s := f.changed()
		a := f.attempt(f.one(s))
		f.revoke(g)
		if len(f.sendable(s)) != 0 {
			f.Error("a revoked grant's delivery may be sent")
		}
		if f.begin(a)[0] {
			f.Error("an attempt begins after the revocation")
		}
		f.issue(s)
		if d := f.one(s).Delivery; d.Kind != consent.Removed || d.Entry != e.ID {
			f.Errorf("%+v", d)
		}
		jti := f.send(s)
		f.settle(s, subscriptions.Done, 0, jti)
		f.update(e, "title")
		f.issue(s)
		if len(f.sendable(s)) != 0 {
			f.Error("something follows the removal")
		}
	},

	"revoked while it is under way": func(f *fixture) { // I5: the attempt ends, then the removal goes
		_, e, g, s := f.changed()
		jti := f.send(s)
		f.update(e, "title")
		f.issue(s)
		f.revoke(g)
		f.issue(s)
		if len(f.sendable(s)) != 0 {
			f.Error("the removal may go before the attempt has ended")
		}
		f.settle(s, subscriptions.Retry, f.now, jti)
		if d := f.one(s).Delivery; d.Kind != consent.Removed {
			f.Errorf("%+v", d)
		}
		f.send(s)
	},

	"revoked while its node dies": func(f *fixture) {
		_, _, g, s := f.changed()
		a := f.attempt(f.one(s))
		f.begin(a)
		f.revoke(g)
		f.issue(s)
		f.now = a.Busy + 1
		for range 3 { // the void one is dropped by Begin, the removal goes
			for _, sending := range f.sendable(s) {
				if f.begin(f.attempt(sending))[0] && sending.Delivery.Kind != consent.Removed {
					f.Error("a void delivery is sent")
				}
			}
		}
		if n := len(f.sendable(s)); n != 0 {
			f.Errorf("%d deliveries remain", n)
		}
	},

	"nothing is kept of what ended under way": func(f *fixture) {
		_, e, _, s := f.changed()
		jti := f.send(s)
		f.commit(f.deletion(f.entry(e.ID)))
		f.check()
		f.silent("token " + jti)
		_, _, g, t := f.changed()
		jti = f.send(t)
		f.revoke(g)
		f.silent("token " + jti)
	},

	"its tokens are answered one by one": func(f *fixture) { // I5
		_, _, g, s := f.changed()
		a := f.several(f.one(s), 2)
		f.begin(a)
		f.revoke(g)
		f.issue(s)
		f.settle(s, subscriptions.Done, 0, a.Tokens[0].JTI)
		if len(f.sendable(s)) != 0 {
			f.Error("the removal may go before the attempt has ended")
		}
		f.settle(s, subscriptions.Done, 0, a.Tokens[1].JTI)
		if d := f.one(s).Delivery; d.Kind != consent.Removed {
			f.Errorf("%+v", d)
		}
	},

	"revoked and deleted": func(f *fixture) { // I5: the removal outlives the entry
		_, e, g, s := f.changed()
		f.settle(s, subscriptions.Done, 0, f.send(s))
		f.revoke(g)
		f.issue(s)
		f.commit(f.deletion(f.entry(e.ID)))
		f.issue(s)
		if d := f.one(s).Delivery; d.Kind != consent.Removed {
			f.Errorf("%+v", d)
		}
		f.send(s)
	},

	"given again meanwhile": func(f *fixture) {
		_, _, g, s := f.changed()
		f.revoke(g)
		f.issue(s)
		removal := f.attempt(f.one(s))
		it := f.grantLine(g, hub.Granted)
		f.commit(it)
		if f.begin(removal)[0] {
			f.Error("a removal is sent of what was given again")
		}
		f.issue(s)
		if d := f.one(s).Delivery; d.Kind != consent.Added || d.Given != f.head().Position {
			f.Errorf("%+v", d)
		}
		f.send(s)
	},

	"expired before it begins": func(f *fixture) { // long before the sweeper
		p, e := f.party(), f.user("ada")
		terms := both("title")
		terms.Until = f.now + 500
		s := f.stream(p)
		f.commit(f.newGrant(p, e.ID, terms))
		f.issue(s)
		a := f.attempt(f.one(s))
		f.now = terms.Until
		if f.begin(a)[0] {
			f.Error("an expired grant's delivery began")
		}
	},

	"narrowed before it begins": func(f *fixture) {
		_, _, g, s := f.changed()
		a := f.attempt(f.one(s))
		f.commit(f.regrade(g, true, both("nickName"), "title"))
		if f.begin(a)[0] {
			f.Error("a token of the wider terms began")
		}
		f.issue(s)
		f.equal("names", f.one(s).Delivery.Names, []string{"title"})
		f.send(s)
	},

	"narrowed after it was sent": func(f *fixture) { // I7: same names, new token
		_, _, g, s := f.changed()
		jti := f.send(s)
		f.settle(s, subscriptions.Retry, f.now, jti)
		f.commit(f.regrade(g, true, both("nickName"), "title"))
		d := f.one(s).Delivery
		if d.Sent || len(d.Tokens) != 0 {
			f.Errorf("%+v", d)
		}
		f.equal("names", d.Names, []string{"title"})
		f.silent("token " + jti)
		f.settle(s, subscriptions.Done, 0, jti) // a late answer for a token that is gone
		if again := f.send(s); again == jti {
			f.Error("the same token")
		}
	},

	"asked for no longer after it was sent": func(f *fixture) { // I7: as narrowed, by the stream itself
		_, _, _, s := f.changed()
		jti := f.send(s)
		f.settle(s, subscriptions.Retry, 0, jti)
		sent := f.one(s)
		a := f.attempt(sent)
		a.Tokens, a.Remake = nil, true
		if f.begin(a)[0] {
			f.Error("a token that is asked for no longer begins")
		}
		d := f.one(s).Delivery
		f.equal("names", d.Names, sent.Delivery.Names)
		if len(d.Tokens) != 0 || d.Sent {
			f.Errorf("the old token stands: %+v", d)
		}
		if f.send(s) == jti {
			f.Error("the same token again")
		}
	},

	"narrowed while it is under way": func(f *fixture) {
		_, e, g, s := f.changed()
		jti := f.send(s)
		f.commit(f.regrade(g, true, both("nickName"), "title"))
		f.update(e, "nickName")
		f.issue(s)
		if len(f.sendable(s)) != 0 {
			f.Error("a second one goes while the first is under way")
		}
		f.settle(s, subscriptions.Retry, f.now, jti)
		d := f.one(s).Delivery
		if d.Sent || len(d.Tokens) != 0 {
			f.Errorf("%+v", d)
		}
		f.equal("names", d.Names, []string{"nickName", "title"})
		f.send(s)
	},

	"narrowed while its node dies": func(f *fixture) {
		_, _, g, s := f.changed()
		a := f.attempt(f.one(s))
		f.begin(a)
		f.commit(f.regrade(g, true, both("nickName"), "title"))
		f.now = a.Busy + 1
		sending := f.one(s)
		if sending.Delivery.Sent && f.begin(f.attempt(sending))[0] {
			f.Error("the tokens of the wider terms left again")
		}
		d := f.one(s).Delivery
		if d.Sent || len(d.Tokens) != 0 {
			f.Errorf("%+v", d)
		}
		f.send(s)
	},

	"widened after it was sent": func(f *fixture) { // I7: not narrowed, so the bytes stay
		_, _, g, s := f.changed()
		jti := f.send(s)
		f.settle(s, subscriptions.Retry, f.now, jti)
		read := f.one(s)
		f.commit(f.regrade(g, false, both("nickName", "title", "emails"), "emails"))
		f.begin(f.attempt(read))
		f.now += 10_000
		again := f.sendable(s)
		if len(again) != 1 || len(again[0].Delivery.Tokens) != 1 || again[0].Delivery.Tokens[0].JTI != jti {
			f.Errorf("%+v", again)
		}
	},

	"revocations and attempts race": func(f *fixture) { // I4: whoever is first
		other := f.open()
		for range rounds {
			_, _, g, s := f.changed()
			a := f.attempt(f.one(s))
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
			it := f.grantLine(f.freshGrant(g), hub.Revoked)
			wg.Go(func() { f.tryOn(f.store, it) })
			wg.Wait()
			f.issue(s)
			left := f.sendable(s)
			if begun && len(left) != 0 {
				f.Fatalf("the removal may go while the attempt is under way: %+v", left)
			}
			if !begun && (len(left) != 1 || left[0].Delivery.Kind != consent.Removed) {
				f.Fatalf("%+v", left)
			}
			if begun {
				f.settle(s, subscriptions.Retry, f.now, a.Tokens[0].JTI)
				if d := f.one(s).Delivery; d.Kind != consent.Removed {
					f.Fatalf("%+v", d)
				}
			}
		}
	},

	"what says nothing is withdrawn": func(f *fixture) {
		_, _, _, s := f.changed()
		a := f.attempt(f.one(s))
		a.Withdraw, a.Tokens = true, nil
		if f.begin(a)[0] {
			f.Error("begun")
		}
		if len(f.sendable(s)) != 0 {
			f.Error("still there")
		}
	},

	"a refusal as a whole holds": func(f *fixture) {
		_, _, _, s := f.changed()
		jti := f.send(s)
		f.settle(s, subscriptions.Hold, f.now+50, jti)
		if len(f.sendable(s)) != 0 {
			f.Error("not held")
		}
		f.now += 60
		if d := f.one(s).Delivery; d.Tokens[0].JTI != jti {
			f.Errorf("%+v", d)
		}
	},

	"in order, up to a limit": func(f *fixture) {
		p := f.party()
		users := f.users("u", 12)
		s := f.stream(p)
		f.grantAll([]*hub.Party{p}, users, "title")
		f.issue(s)
		all, err := f.store.Sendable(f.ctx, s.ID, f.tick(), 5)
		f.must(err)
		if len(all) != 5 {
			f.Fatalf("%d", len(all))
		}
		for i, sending := range all {
			if sending.Delivery.Entry != users[i].ID || sending.Row == nil || sending.Row.Entry.Attributes == nil {
				f.Errorf("%d: %+v", i, sending)
			}
		}
	},
}
