package storetest

import (
	"sync"

	"tidings/consent"
	"tidings/events"
	"tidings/hub"
	"tidings/subscriptions"
)

func (f *fixture) raise(e hub.ID, covers string, payload string) int64 {
	f.Helper()
	f.commit(f.newSignal(e, covers, payload))
	return f.head().Position
}

func (f *fixture) newSignal(e hub.ID, covers, payload string) hub.Item {
	return hub.Item{Signals: []hub.Signal{{Entry: e, Type: events.SessionRevoked, Covers: covers, Payload: []byte(payload), Expires: f.clock() + 1_000_000, Txn: f.word(), Time: f.tick()}}}
}

var signalTests = map[string]func(f *fixture){
	"raised and told once": func(f *fixture) { // never coalesced
		p, e := f.party(), f.user("ada")
		f.grant(p, e.ID, "title")
		s := f.stream(p)
		it := f.newSignal(e.ID, "", "first")
		f.commit(it)
		line := f.lines(f.head().Position - 1)[0]
		if line.Kind != hub.Signalled || line.Entry != e.ID || len(line.Attributes) != 0 || line.Txn != it.Signals[0].Txn {
			f.Errorf("line: %+v", line)
		}
		second := f.raise(e.ID, "title", "second")
		f.update(e, "title")
		f.issue(s)
		first := f.one(s)
		if d := first.Delivery; d.Signal != line.Position || d.Txn != it.Signals[0].Txn || first.Signal == nil || string(first.Signal.Payload) != "first" ||
			first.Signal.Type != events.SessionRevoked || first.Signal.Position != line.Position || first.Row == nil {
			f.Errorf("%+v", first)
		}
		f.settle(s, subscriptions.Done, 0, f.send(s))
		if d := f.one(s).Delivery; d.Signal != second {
			f.Errorf("%+v", d)
		}
		f.settle(s, subscriptions.Done, 0, f.send(s))
		if d := f.one(s).Delivery; d.Signal != 0 || d.Kind != consent.Updated {
			f.Errorf("%+v", d)
		}
		if now := f.streamNow(s); now.Signal != f.head().Position {
			f.Errorf("%+v", now)
		}
	},

	"to whom": func(f *fixture) {
		e := f.user("ada")
		covered, uncovered, transfer, none := f.party(), f.party(), f.party(), f.party()
		all, narrow := f.agreement("emails", "title"), f.agreement("title")
		f.grant(covered, e.ID, "emails")
		f.grant(uncovered, e.ID, "title")
		f.commit(f.newGrant(transfer, e.ID, consent.Terms{Attributes: []string{"emails"}, Purposes: consent.Transfer}))
		streams := map[string]*hub.Stream{}
		for name, p := range map[string]*hub.Party{"covered": covered, "uncovered": uncovered, "transfer": transfer, "none": none, "all": all, "narrow": narrow} {
			streams[name] = f.stream(p)
		}
		it := f.newSignal(e.ID, "emails", "old")
		it.Lines = []hub.Change{f.line(hub.Updated, e.ID, "locale")}
		own := &it.Signals[0]
		own.Actor, own.Source = f.word(), f.word()
		f.commit(it)
		lines := f.lines(f.head().Position - 2)
		if l := lines[1]; l.Kind != hub.Signalled || l.Txn != own.Txn || l.Actor != own.Actor || l.Source != own.Source {
			f.Errorf("%+v", lines)
		}
		for name, want := range map[string]bool{"covered": true, "all": true, "uncovered": false, "transfer": false, "none": false, "narrow": false} {
			s := streams[name]
			got := false
			_, err := f.store.Issue(f.ctx, s.ID, f.tick(), hub.Window, func(in hub.Issuing) hub.Issued {
				got = len(in.Signals) > 0
				for _, signal := range in.Signals {
					if _, ok := in.SignalRows[signal.Entry]; !ok {
						f.Error("a signal without its row")
					}
				}
				return decide(in)
			})
			f.must(err)
			if got != want {
				f.Errorf("%s: a signal %v", name, got)
			}
		}
		f.raise(e.ID, "", "all of them")
		f.issue(streams["uncovered"])
		f.one(streams["uncovered"])
		f.issue(streams["transfer"])
		if len(f.sendable(streams["transfer"])) != 0 {
			f.Error("signalled without notify")
		}
	},

	"an end ends signals": func(f *fixture) {
		p, e := f.party(), f.user("ada")
		g := f.grant(p, e.ID, "title")
		s := f.stream(p)
		f.raise(e.ID, "", "one")
		f.issue(s)
		a := f.attempt(f.one(s))
		f.raise(e.ID, "", "two")
		f.revoke(g)
		if f.begin(a)[0] {
			f.Error("a signal begins after the revocation")
		}
		f.issue(s)
		if d := f.one(s).Delivery; d.Kind != consent.Removed || d.Signal != 0 {
			f.Errorf("%+v", d)
		}
	},

	"signals of a deletion": func(f *fixture) {
		p, e := f.party(), f.user("ada")
		f.grant(p, e.ID, "title")
		s := f.stream(p)
		f.raise(e.ID, "", "kept payload")
		f.issue(s)
		f.commit(f.deletion(e))
		f.issue(s)
		d := f.one(s).Delivery
		if d.Kind != consent.Removed {
			f.Errorf("%+v", d)
		}
		f.refused(hub.ErrNotFound, f.newSignal(e.ID, "", "x"))
	},

	"signals first, more to come": func(f *fixture) {
		p := f.party()
		users := f.users("u", 6)
		f.grantAll([]*hub.Party{p}, users, "title")
		s := f.stream(p)
		var raised []int64
		for _, u := range users {
			raised = append(raised, f.raise(u.ID, "", "x"))
		}
		f.update(users[0], "title")
		for more := true; more; {
			var err error
			more, err = f.store.Issue(f.ctx, s.ID, f.tick(), 4, decide)
			f.must(err)
			if n := len(f.sendable(s)); n > 4 {
				f.Errorf("%d deliveries in a window of 4", n)
			}
			for _, sending := range f.sendable(s) {
				a := f.attempt(sending)
				if !f.begin(a)[0] {
					f.Fatal("did not begin")
				}
				if sending.Delivery.Signal != 0 {
					if sending.Delivery.Signal != raised[0] {
						f.Errorf("signal %d before %d", sending.Delivery.Signal, raised[0])
					}
					raised = raised[1:]
				}
				f.settle(s, subscriptions.Done, 0, a.Tokens[0].JTI)
			}
		}
		if len(raised) != 0 {
			f.Errorf("not told: %v", raised)
		}
		if now := f.streamNow(s); now.At != f.head().Position || now.Signal != f.head().Position {
			f.Errorf("%+v", now)
		}
	},

	"payloads are erased when all have settled": func(f *fixture) {
		p, q, e := f.party(), f.party(), f.user("ada")
		f.grantAll([]*hub.Party{p, q}, []*hub.Entry{e}, "title")
		s, t := f.stream(p), f.stream(q)
		f.raise(e.ID, "", "payload")
		if n, err := f.store.EraseSignals(f.ctx, f.tick(), 100); err != nil || n != 0 {
			f.Errorf("too early: %d, %v", n, err)
		}
		f.issue(s)
		f.issue(t)
		jti := f.send(s)
		f.settle(s, subscriptions.Done, 0, jti)
		if n, err := f.store.EraseSignals(f.ctx, f.tick(), 100); err != nil || n != 0 {
			f.Errorf("before the other: %d, %v", n, err)
		}
		other := f.one(t)
		if other.Signal == nil || string(other.Signal.Payload) != "payload" {
			f.Errorf("%+v", other)
		}
		f.settle(t, subscriptions.Done, 0, f.send(t))
		if n, err := f.store.EraseSignals(f.ctx, f.tick(), 100); err != nil || n != 1 {
			f.Errorf("erased: %d, %v", n, err)
		}
		if n, err := f.store.EraseSignals(f.ctx, f.tick(), 100); err != nil || n != 0 {
			f.Errorf("erased again: %d, %v", n, err)
		}
	},

	"payloads are erased when their life is over": func(f *fixture) {
		p, e := f.party(), f.user("ada")
		f.grant(p, e.ID, "title")
		s := f.stream(p)
		it := f.newSignal(e.ID, "", "payload")
		f.commit(it)
		f.issue(s)
		if n, err := f.store.EraseSignals(f.ctx, it.Signals[0].Expires+1, 100); err != nil || n != 1 {
			f.Errorf("erased: %d, %v", n, err)
		}
		for _, sending := range f.sendable(s) {
			if sending.Signal != nil && len(sending.Signal.Payload) != 0 {
				f.Errorf("%+v", sending.Signal)
			}
			a := f.attempt(sending)
			a.Tokens, a.Withdraw = nil, true
			f.begin(a)
		}
		if len(f.sendable(s)) != 0 {
			f.Error("still there")
		}
	},

	"nobody's payload is not kept": func(f *fixture) {
		e := f.user("ada")
		f.raise(e.ID, "", "payload")
		if n, err := f.store.EraseSignals(f.ctx, f.tick(), 100); err != nil || n != 0 {
			f.Errorf("erased: %d, %v", n, err)
		}
	},
}

var leaseTests = map[string]func(f *fixture){
	"streams with something to do": func(f *fixture) {
		p, _, _, s := f.changed()
		f.stream(f.party())
		_, err := f.store.CreateStream(f.ctx, hub.Stream{ID: hub.NewID(), Party: p.ID, Status: subscriptions.Enabled, Settings: subscriptions.Settings{Delivery: subscriptions.Delivery{Method: events.MethodPoll}}}, 5)
		f.must(err)
		lease := func(node string) []hub.ID {
			got, _, err := f.store.Lease(f.ctx, node, f.tick(), f.now+100, events.MethodPush)
			f.must(err)
			return got
		}
		f.equal("leased", lease("a"), []hub.ID{s.ID})
		if got := lease("b"); len(got) != 0 {
			f.Errorf("two nodes have %v", got)
		}
		f.equal("kept", lease("a"), []hub.ID{s.ID})
		f.now += 1000
		f.equal("taken over", lease("b"), []hub.ID{s.ID})
	},

	"every kind of work": func(f *fixture) {
		work := func(name string, want ...*hub.Stream) {
			f.Helper()
			f.now += 10_000
			got, _, err := f.store.Lease(f.ctx, name, f.tick(), f.now+1, events.MethodPush)
			f.must(err)
			ids := map[hub.ID]bool{}
			for _, id := range got {
				ids[id] = true
			}
			for _, s := range want {
				if !ids[s.ID] {
					f.Errorf("%s: not leased", name)
				}
			}
			if len(got) != len(want) {
				f.Errorf("%s: %d streams, not %d", name, len(got), len(want))
			}
		}
		p, e := f.party(), f.user("ada")
		a := f.agreement("title")
		f.grant(p, e.ID, "title")
		s, t := f.stream(p), f.stream(a)
		work("nothing")
		f.update(e, "title")
		work("rows", s, t)
		f.issue(t)
		f.issue(s)
		work("deliveries", s, t)
		f.settle(s, subscriptions.Done, 0, f.send(s))
		f.settle(t, subscriptions.Done, 0, f.send(t))
		work("settled")
		f.raise(e.ID, "", "x")
		work("signals", s, t)
		f.issue(s)
		f.issue(t)
		f.settle(s, subscriptions.Done, 0, f.send(s))
		f.settle(t, subscriptions.Done, 0, f.send(t))
		f.commit(f.changeParty(p, hub.PartyChanged))
		f.issue(t)
		work("generation", s)
		f.issue(s)
		f.settle(s, subscriptions.Done, 0, f.send(s))
		_, _, err := f.store.SetStream(f.ctx, *f.streamNow(s), []hub.Delivery{own(s, "urn:test:verification")})
		f.must(err)
		work("own", s)
		paused := *f.streamNow(s)
		paused.Status = subscriptions.Paused
		_, _, err = f.store.SetStream(f.ctx, paused, nil)
		f.must(err)
		work("paused")
	},

	"attempts of a dead node have ended": func(f *fixture) {
		_, _, _, s := f.changed()
		got, _, err := f.store.Lease(f.ctx, "a", f.tick(), f.now+100, events.MethodPush)
		f.must(err)
		if len(got) != 1 {
			f.Fatalf("%v", got)
		}
		a := f.attempt(f.one(s))
		a.Owner, a.Busy = "a", f.now+1_000_000
		f.begin(a)
		f.now += 200
		if len(f.sendable(s)) != 0 {
			f.Error("not busy any more")
		}
		got, _, err = f.store.Lease(f.ctx, "b", f.tick(), f.now+100, events.MethodPush)
		f.must(err)
		if len(got) != 1 {
			f.Fatalf("not taken over: %v", got)
		}
		f.equal("tokens", f.one(s).Delivery.Tokens, a.Tokens)
	},

	"void attempts of a dead node": func(f *fixture) {
		_, _, g, s := f.changed()
		_, _, err := f.store.Lease(f.ctx, "a", f.tick(), f.now+100, events.MethodPush)
		f.must(err)
		a := f.attempt(f.one(s))
		a.Owner, a.Busy = "a", f.now+1_000_000
		f.begin(a)
		f.revoke(g)
		f.issue(s)
		f.now += 200
		_, _, err = f.store.Lease(f.ctx, "b", f.tick(), f.now+100, events.MethodPush)
		f.must(err)
		if d := f.one(s).Delivery; d.Kind != consent.Removed {
			f.Errorf("%+v", d)
		}
	},

	"when the next is due": func(f *fixture) {
		_, _, _, s := f.changed()
		due := f.now + 5000
		f.settle(s, subscriptions.Retry, due, f.send(s))
		got, next, err := f.store.Lease(f.ctx, "a", f.tick(), f.now+100, events.MethodPush)
		f.must(err)
		if next != due || len(got) != 0 {
			f.Errorf("%v, next %d, not %d", got, next, due)
		}
		f.now = due
		got, next, err = f.store.Lease(f.ctx, "a", f.tick(), f.now+100, events.MethodPush)
		f.must(err)
		if len(got) != 1 || next != 0 {
			f.Errorf("%v, next %d", got, next)
		}
	},

	"one node each": func(f *fixture) {
		for range 6 {
			f.changed()
		}
		stores := []hub.Store{f.store, f.open()}
		now := f.tick()
		var wg sync.WaitGroup
		var mu sync.Mutex
		owners := map[hub.ID]int{}
		for i := range 6 {
			wg.Go(func() {
				got, _, err := stores[i%2].Lease(f.ctx, f.word(), now, now+1000, events.MethodPush)
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
		wg.Wait()
		for id, n := range owners {
			if n != 1 {
				f.Errorf("%v has %d owners", id, n)
			}
		}
		if len(owners) != 6 {
			f.Errorf("%d streams leased", len(owners))
		}
	},
}
