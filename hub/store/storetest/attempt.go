package storetest

import (
	"tidings/hub"
	"tidings/subscriptions"
)

// several is an attempt with n tokens of a delivery that was not sent yet.
func (f *fixture) several(s hub.Sending, n int) hub.Attempt {
	a := f.attempt(s)
	for len(a.Tokens) < n {
		jti := f.word()
		a.Tokens = append(a.Tokens, hub.SignedToken{JTI: jti, Compact: []byte("token " + jti)})
	}
	return a
}

// end ends an attempt as the node that began it would.
func (f *fixture) end(s *hub.Stream, attempt int, next subscriptions.Next, due int64, jti string) {
	f.Helper()
	_, err := f.store.Settle(f.ctx, s.ID, f.tick(), []hub.Outcome{{JTI: jti, Next: next, Due: due, Attempt: attempt, Reason: "invalid_request"}})
	f.must(err)
}

var attemptTests = map[string]func(f *fixture){
	"the rest of what was cut is due at once": func(f *fixture) { // PO-01
		_, _, _, s := f.changed()
		a := f.several(f.one(s), 3)
		a.Cut = 1
		f.begin(a)
		lease := f.now + 1000
		f.end(s, 1, subscriptions.Retry, lease, a.Tokens[0].JTI)
		if len(f.sendable(s)) != 0 {
			f.Error("sendable though leased")
		}
		f.settle(s, subscriptions.Done, 0, a.Tokens[0].JTI)
		rest := f.one(s)
		if d := rest.Delivery; left(d) != 2 || d.Busy != 0 || d.Cut != 0 {
			f.Errorf("%+v", d)
		}
		// The rest as a whole is an attempt as any other: a part of it ends nothing.
		if !f.begin(f.attempt(rest))[0] {
			f.Fatal("the rest did not begin")
		}
		f.end(s, 2, subscriptions.Retry, lease, a.Tokens[1].JTI)
		f.settle(s, subscriptions.Done, 0, a.Tokens[1].JTI)
		if len(f.sendable(s)) != 0 {
			f.Error("the third token is handed out again though leased")
		}
		f.settle(s, subscriptions.Done, 0, a.Tokens[2].JTI)
		f.now = lease
		if len(f.sendable(s)) != 0 {
			f.Error("a settled delivery came back")
		}
	},

	"acknowledged faster than its answer was written": func(f *fixture) {
		_, _, _, s := f.changed()
		a := f.several(f.one(s), 2)
		a.Cut = 1
		f.begin(a)
		f.settle(s, subscriptions.Done, 0, a.Tokens[0].JTI)
		f.end(s, 1, subscriptions.Retry, f.now+1000, a.Tokens[0].JTI) // the lease of what is settled
		if d := f.one(s).Delivery; left(d) != 1 {
			f.Errorf("%+v", d)
		}
	},

	"revoked while a cut part is out": func(f *fixture) { // I5
		_, _, g, s := f.changed()
		a := f.several(f.one(s), 2)
		a.Cut = 1
		f.begin(a)
		f.revoke(g)
		f.issue(s)
		if len(f.sendable(s)) != 0 {
			f.Error("the removal may go before the attempt has ended")
		}
		f.settle(s, subscriptions.Done, 0, a.Tokens[0].JTI)
		f.send(s) // the removal, and nothing of the rest
	},

	"narrowed while a cut part is out": func(f *fixture) {
		_, e, g, s := f.changed()
		a := f.several(f.one(s), 2)
		a.Cut = 1
		f.begin(a)
		f.commit(f.regrade(g, true, both("nickName"), "title"))
		f.update(e, "nickName")
		f.issue(s)
		f.settle(s, subscriptions.Done, 0, a.Tokens[0].JTI)
		d := f.one(s).Delivery // one: it was un-made and took what waited
		if d.Sent || d.Cut != 0 || len(d.Tokens) != 0 {
			f.Errorf("%+v", d)
		}
		f.equal("names", d.Names, []string{"nickName", "title"})
	},

	"a second word on a settled token": func(f *fixture) { // PB-12
		p, _, _, s := f.changed()
		a := f.several(f.one(s), 2)
		f.begin(a)
		f.settle(s, subscriptions.Done, 0, a.Tokens[0].JTI)
		for _, next := range []subscriptions.Next{subscriptions.Dead, subscriptions.Retry, subscriptions.Hold} {
			f.settle(s, next, f.now, a.Tokens[0].JTI)
			if len(f.sendable(s)) != 0 {
				f.Fatal("its sibling was released")
			}
		}
		if letters := f.letters(p); len(letters) != 0 {
			f.Errorf("its sibling was buried: %+v", letters)
		}
		f.now = a.Busy + 1
		if d := f.one(s).Delivery; left(d) != 1 {
			f.Errorf("%+v", d)
		}
	},

	"one attempt of an entry at a time": func(f *fixture) {
		// Two polls look at once. One reads a signal; it is put back before it begins, and the other reads the feed's row of
		// the same entry, since the signal is not due: begun both, the receiver would have them in any order.
		p, e := f.party(), f.user("ada")
		f.grant(p, e.ID, "title")
		s := f.stream(p)
		f.update(e, "title")
		f.issue(s)
		row := f.attempt(f.one(s))
		f.commit(f.newSignal(e.ID, "", "sealed"))
		f.issue(s)
		signal := f.attempt(f.one(s))
		if got := f.begin(signal); !got[0] {
			f.Fatal("the signal did not begin")
		}
		if f.begin(row)[0] {
			f.Error("both deliveries of the entry are under way")
		}
		f.settle(s, subscriptions.Done, 0, signal.Tokens[0].JTI)
		if both := f.begin(row, row); !both[0] || both[1] {
			f.Errorf("begun: %v", both)
		}
	},

	"a lost attempt of a grant that ended, beside one under way": func(f *fixture) {
		_, _, g, s := f.changed()
		lost := f.attempt(f.one(s))
		f.begin(lost)
		f.revoke(g) // void while its attempt is under way
		f.now = lost.Busy + 1
		f.commit(f.grantLine(f.freshGrant(g), hub.Granted))
		f.issue(s)
		void := f.attempt(f.sendable(s)[0])
		void.Tokens = nil
		row := f.attempt(f.sendable(s)[1])
		if row.Delivery == lost.Delivery || void.Delivery != lost.Delivery {
			f.Fatalf("%+v", f.sendable(s))
		}
		if got := f.begin(row); !got[0] {
			f.Fatal("the new grant's did not begin")
		}
		f.begin(void)
		if n := len(f.sendable(s)); n != 0 {
			f.Errorf("%d are offered again and again", n)
		}
	},

	"the end of an attempt that was outlived": func(f *fixture) {
		for _, next := range []subscriptions.Next{subscriptions.Retry, subscriptions.Hold, subscriptions.Dead} {
			p, _, g, s := f.changed()
			first := f.attempt(f.one(s))
			f.begin(first)
			f.now = first.Busy + 1 // its node is slow, or was thought dead
			second := f.attempt(f.one(s))
			if !f.begin(second)[0] {
				f.Fatal("did not begin again")
			}
			jti := first.Tokens[0].JTI
			f.end(s, 1, next, 0, jti)
			if len(f.sendable(s)) != 0 || len(f.letters(p)) != 0 {
				f.Fatalf("an old attempt's end %v ended the one under way", next)
			}
			f.revoke(g)
			f.issue(s)
			if len(f.sendable(s)) != 0 {
				f.Error("the removal may go while the second attempt is under way")
			}
			f.end(s, 2, subscriptions.Retry, 0, jti)
			f.send(s)
		}
	},

	"arrived, though its attempt was outlived": func(f *fixture) { // I7
		_, _, _, s := f.changed()
		first := f.attempt(f.one(s))
		f.begin(first)
		f.now = first.Busy + 1
		second := f.attempt(f.one(s))
		f.begin(second)
		f.end(s, 1, subscriptions.Done, 0, first.Tokens[0].JTI)
		f.now = second.Busy + 1
		if len(f.sendable(s)) != 0 {
			f.Error("a settled token returns")
		}
	},

	"acknowledged between reading and beginning": func(f *fixture) { // I7: what is settled may not leave again
		_, _, _, s := f.changed()
		a := f.several(f.one(s), 2)
		f.begin(a)
		f.settle(s, subscriptions.Retry, 0, a.Tokens[0].JTI)
		again := f.attempt(f.one(s))
		f.settle(s, subscriptions.Done, 0, a.Tokens[0].JTI)
		if f.begin(again)[0] {
			f.Error("an acknowledged token leaves again")
		}
		if !f.begin(f.attempt(f.one(s)))[0] {
			f.Error("the other token does not leave")
		}
	},
}
