package storetest

import (
	"errors"
	"sync"

	"tidings/consent"
	"tidings/hub"
	"tidings/subscriptions"
)

var streamTests = map[string]func(f *fixture){
	"a stream starts at the head": func(f *fixture) {
		p, e := f.party(), f.user("ada")
		f.grant(p, e.ID, "title")
		f.update(e, "title")
		head := f.head()
		s := f.stream(p)
		if s.Base != head.Position || s.At != head.Position || s.Signal != head.Position || s.Tag != head.Tag || s.Generation != p.Generation || s.Status != subscriptions.Enabled {
			f.Errorf("%+v", s)
		}
		f.equal("stream", f.streamNow(s), s)
		any, err := f.store.Stream(f.ctx, hub.ID{}, s.ID)
		f.must(err)
		f.equal("stream", any, s)
		if f.issue(s) || len(f.sendable(s)) != 0 {
			f.Error("the past is told")
		}
	},

	"one party's only": func(f *fixture) { // I10
		p, other := f.party(), f.party()
		s, t := f.stream(p), f.stream(other)
		_, err := f.store.Stream(f.ctx, other.ID, s.ID)
		f.wants(err, hub.ErrNotFound)
		f.wants(f.store.DeleteStream(f.ctx, other.ID, s.ID), hub.ErrNotFound)
		mine, err := f.store.Streams(f.ctx, p.ID)
		f.must(err)
		f.equal("streams", mine, []*hub.Stream{s})
		all, err := f.store.Streams(f.ctx, hub.ID{})
		f.must(err)
		if len(all) != 2 {
			f.Errorf("%+v", all)
		}
		f.must(f.store.DeleteStream(f.ctx, p.ID, s.ID))
		_, err = f.store.Stream(f.ctx, p.ID, s.ID)
		f.wants(err, hub.ErrNotFound)
		f.wants(f.store.DeleteStream(f.ctx, p.ID, s.ID), hub.ErrNotFound)
		f.streamNow(t)
	},

	"as many as the limit": func(f *fixture) { // I11
		p := f.party()
		stores := []hub.Store{f.store, f.open()}
		var wg sync.WaitGroup
		var mu sync.Mutex
		made := 0
		for i := range 8 {
			wg.Go(func() {
				_, err := stores[i%2].CreateStream(f.ctx, hub.Stream{ID: hub.NewID(), Party: p.ID, Status: subscriptions.Enabled}, 3)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					made++
				} else if !errors.Is(err, hub.ErrLimit) {
					f.Error(err)
				}
			})
		}
		wg.Wait()
		if made != 3 {
			f.Errorf("%d streams", made)
		}
		f.stream(f.party())
	},

	"settings are compared and swapped": func(f *fixture) {
		s := f.stream(f.party())
		changed := *s
		changed.Settings.Description, changed.Reason, changed.Verified = "other", "why", 77
		now, _, err := f.store.SetStream(f.ctx, changed, nil)
		f.must(err)
		if now.Version != s.Version+1 || now.Settings.Description != "other" || now.Reason != "why" || now.Verified != 77 || now.At != s.At {
			f.Errorf("%+v", now)
		}
		f.equal("stream", f.streamNow(s), now)
		_, _, err = f.store.SetStream(f.ctx, changed, []hub.Delivery{own(s, "urn:test:verification")})
		f.wants(err, hub.ErrConflict)
		if len(f.sendable(s)) != 0 {
			f.Error("a refused write left a delivery")
		}
		changed.ID = hub.NewID()
		_, _, err = f.store.SetStream(f.ctx, changed, nil)
		f.wants(err, hub.ErrNotFound)
	},

	"the stream's own goes first": func(f *fixture) {
		p, e := f.party(), f.user("ada")
		f.grant(p, e.ID, "title")
		s := f.stream(p)
		f.update(e, "title")
		f.issue(s)
		first, second := own(s, "urn:test:verification"), own(s, "urn:test:updated")
		_, _, err := f.store.SetStream(f.ctx, *s, []hub.Delivery{first, second})
		f.must(err)
		all := f.sendable(s)
		if len(all) != 3 || all[0].Delivery.ID != first.ID || all[1].Delivery.ID != second.ID || all[2].Delivery.Entry != e.ID {
			f.Fatalf("%+v", all)
		}
		if d := all[0].Delivery; d.Type != first.Type || string(d.Payload) != string(first.Payload) || all[0].Row != nil || all[0].Party.ID != p.ID {
			f.Errorf("%+v", all[0])
		}
		for i, ok := range f.begin(f.attempt(all[0]), f.attempt(all[1]), f.attempt(all[2])) {
			if !ok {
				f.Errorf("%d did not begin", i)
			}
		}
	},

	"disabled drops, enabled starts at the head": func(f *fixture) {
		p, e := f.party(), f.user("ada")
		f.grant(p, e.ID, "title")
		s := f.stream(p)
		f.update(e, "title")
		f.issue(s)
		disabled := *f.streamNow(s)
		disabled.Status = subscriptions.Disabled
		now, _, err := f.store.SetStream(f.ctx, disabled, nil)
		f.must(err)
		f.update(e, "title")
		f.commit(f.changeParty(p, hub.PartyChanged))
		if more, err := f.store.Issue(f.ctx, s.ID, f.tick(), hub.Window, func(hub.Issuing) hub.Issued { panic("asked") }); err != nil || more {
			f.Errorf("issue: %v, %v", more, err)
		}
		if len(f.sendable(s)) != 0 {
			f.Error("sendable although disabled")
		}
		now.Status = subscriptions.Enabled
		now, _, err = f.store.SetStream(f.ctx, *now, nil)
		f.must(err)
		head := f.head()
		if now.Base != head.Position || now.At != head.Position || now.Signal != head.Position || now.Tag != head.Tag || now.Generation != p.Generation+1 {
			f.Errorf("%+v, head %+v", now, head)
		}
		f.issue(s)
		if len(f.sendable(s)) != 0 {
			f.Error("what was dropped is told")
		}
		f.update(e, "title")
		f.issue(s)
		f.one(s)
	},

	"paused stands still": func(f *fixture) {
		p, e := f.party(), f.user("ada")
		f.grant(p, e.ID, "title")
		s := f.stream(p)
		f.update(e, "title")
		f.issue(s)
		before := f.one(s)
		paused := *f.streamNow(s)
		paused.Status = subscriptions.Paused
		now, _, err := f.store.SetStream(f.ctx, paused, []hub.Delivery{own(s, "urn:test:updated")})
		f.must(err)
		if len(f.sendable(s)) != 0 {
			f.Error("sendable although paused")
		}
		if f.begin(f.attempt(before))[0] {
			f.Error("an attempt begins although the stream was paused meanwhile")
		}
		f.update(e, "nickName")
		f.issue(s)
		if now.At != paused.At || f.streamNow(s).At != paused.At {
			f.Errorf("the cursor moved from %d to %d", paused.At, f.streamNow(s).At)
		}
		now.Status = subscriptions.Enabled
		_, _, err = f.store.SetStream(f.ctx, *now, nil)
		f.must(err)
		if n := len(f.sendable(s)); n != 2 {
			f.Errorf("%d deliveries after the pause", n)
		}
	},

	"a deleted stream leaves nothing": func(f *fixture) {
		p, e := f.party(), f.user("ada")
		f.grant(p, e.ID, "title")
		s := f.stream(p)
		f.update(e, "title")
		f.issue(s)
		sending := f.one(s)
		jti := f.send(s)
		f.must(f.store.DeleteStream(f.ctx, p.ID, s.ID))
		f.settle(s, subscriptions.Retry, 0, jti)
		if f.begin(f.attempt(sending))[0] {
			f.Error("an attempt begins")
		}
		if got, err := f.store.Sendable(f.ctx, s.ID, f.tick(), 10); err == nil && len(got) != 0 || err != nil && !errors.Is(err, hub.ErrNotFound) {
			f.Errorf("%+v, %v", got, err)
		}
	},
}

var issueTests = map[string]func(f *fixture){
	"what changed is recorded once": func(f *fixture) {
		p, a, b := f.party(), f.user("a"), f.user("b")
		g := f.grant(p, a.ID, "title")
		s := f.stream(p)
		f.update(a, "title")
		f.update(a, "nickName")
		f.grant(p, b.ID, "title")
		f.issue(s)
		all := f.sendable(s)
		if len(all) != 2 {
			f.Fatalf("%+v", all)
		}
		d := all[0].Delivery
		g = f.freshGrant(g)
		if d.Kind != consent.Updated || d.Entry != a.ID || d.Given != g.Given || d.Version != g.Version || d.Position != g.Position || d.Stream != s.ID || d.Party != p.ID || d.Sent || d.Generation != 1 {
			f.Errorf("%+v", d)
		}
		f.equal("names", d.Names, []string{"title"})
		f.equal("row", all[0].Row, f.row(p, a.ID))
		f.equal("party", all[0].Party, p)
		f.equal("policy", all[0].Policy, f.head().Policy)
		if all[1].Delivery.Kind != consent.Added || all[1].Delivery.Entry != b.ID || all[1].Delivery.Order <= d.Order {
			f.Errorf("%+v", all[1].Delivery)
		}
		now, head := f.streamNow(s), f.head()
		if now.At != head.Position || now.Base != head.Position || now.Tag != head.Tag {
			f.Errorf("cursor %+v, head %+v", now, head)
		}
		f.issue(s)
		if len(f.sendable(s)) != 2 {
			f.Error("told twice")
		}
	},

	"the window is bounded": func(f *fixture) { // I11
		p := f.party()
		users := f.users("u", 20)
		s := f.stream(p)
		f.grantAll([]*hub.Party{p}, users, "title")
		more, err := f.store.Issue(f.ctx, s.ID, f.tick(), 8, func(in hub.Issuing) hub.Issued {
			if in.Room != 8 || len(in.Page.Rows) > 8 || !in.Page.More || in.Stream.ID != s.ID || in.Page.Party.ID != p.ID {
				f.Errorf("issuing: room %d, %d rows", in.Room, len(in.Page.Rows))
			}
			return decide(in)
		})
		f.must(err)
		if all := f.sendable(s); !more || len(all) != 8 {
			f.Fatalf("more %v, %d deliveries", more, len(all))
		}
		if now := f.streamNow(s); now.At != f.row(p, users[7].ID).Grant.Position || now.Base != s.Base || now.Tag == s.Tag {
			f.Errorf("cursor: %+v", now)
		}
		if more, err = f.store.Issue(f.ctx, s.ID, f.tick(), 8, func(hub.Issuing) hub.Issued { panic("asked") }); err != nil || more {
			f.Errorf("a full window: %v, %v", more, err)
		}
		for range 3 {
			a := f.attempt(f.sendable(s)[0])
			f.begin(a)
			f.settle(s, subscriptions.Done, 0, a.Tokens[0].JTI)
		}
		_, err = f.store.Issue(f.ctx, s.ID, f.tick(), 8, decide)
		f.must(err)
		if n := len(f.sendable(s)); n != 8 {
			f.Errorf("%d deliveries", n)
		}
	},

	"a second change is absorbed": func(f *fixture) {
		p, e := f.party(), f.user("ada")
		f.grant(p, e.ID, "title", "nickName", "emails")
		s := f.stream(p)
		f.update(e, "title")
		f.issue(s)
		first := f.one(s).Delivery
		f.update(e, "nickName")
		f.issue(s)
		d := f.one(s).Delivery
		if d.ID != first.ID || d.Order != first.Order || d.Position != f.head().Position {
			f.Errorf("%+v", d)
		}
		f.equal("names", d.Names, []string{"nickName", "title"})

		jti := f.send(s)
		f.update(e, "title")
		f.issue(s)
		f.update(e, "nickName")
		f.issue(s)
		if len(f.sendable(s)) != 0 {
			f.Error("a second one of the entry may go while the first is under way")
		}
		f.settle(s, subscriptions.Done, 0, jti)
		second := f.one(s).Delivery
		if second.ID == d.ID {
			f.Error("the sent one came back")
		}
		f.equal("names", second.Names, []string{"nickName", "title"})
	},

	"one of two that decide wins": func(f *fixture) {
		p, e := f.party(), f.user("ada")
		f.grant(p, e.ID, "title")
		s := f.stream(p)
		f.update(e, "title")
		other := f.open()
		var wg sync.WaitGroup
		for i := range 8 {
			store := []hub.Store{f.store, other}[i%2]
			wg.Go(func() {
				if _, err := store.Issue(f.ctx, s.ID, f.tick(), 8, decide); err != nil && !errors.Is(err, hub.ErrConflict) {
					f.Error(err)
				}
			})
		}
		wg.Wait()
		f.one(s)
	},

	"a generation starts anew": func(f *fixture) {
		p, e, b := f.party(), f.user("ada"), f.user("bob")
		f.grantAll([]*hub.Party{p}, []*hub.Entry{e, b}, "title")
		s := f.stream(p)
		f.update(e, "title")
		f.update(b, "title")
		f.issue(s)
		all := f.sendable(s)
		under := f.attempt(all[0])
		if !f.begin(under)[0] {
			f.Fatal("did not begin")
		}
		verification := own(s, "urn:test:verification")
		_, _, err := f.store.SetStream(f.ctx, *f.streamNow(s), []hub.Delivery{verification})
		f.must(err)
		f.commit(f.changeParty(p, hub.PartyChanged))
		if f.begin(f.attempt(all[1]))[0] {
			f.Error("what was decided under other bounds is sent")
		}
		f.issue(s)
		now := f.sendable(s)
		if len(now) != 2 || now[0].Delivery.ID != verification.ID || now[1].Delivery.Type != "urn:test:feed-changed" {
			f.Errorf("%+v", now)
		}
		if at := f.streamNow(s); at.Generation != 2 || at.At != f.head().Position {
			f.Errorf("%+v", at)
		}
		f.settle(s, subscriptions.Retry, 0, under.Tokens[0].JTI) // void: dropped when the attempt ends
		if n := len(f.sendable(s)); n != 2 {
			f.Errorf("%d deliveries", n)
		}
	},

	"an agreement's entries": func(f *fixture) {
		p := f.agreement("title")
		s := f.stream(p)
		e := f.user("ada")
		f.issue(s)
		if d := f.one(s).Delivery; d.Kind != consent.Added || d.Entry != e.ID || d.Given != 0 {
			f.Errorf("%+v", d)
		}
		jti := f.send(s)
		f.settle(s, subscriptions.Done, 0, jti)
		f.update(e, "title")
		f.issue(s)
		sending := f.one(s)
		if sending.Delivery.Kind != consent.Updated || sending.Row == nil || sending.Row.Grant != nil {
			f.Errorf("%+v", sending)
		}
		f.commit(f.deletion(e))
		if f.begin(f.attempt(sending))[0] {
			f.Error("a deleted entry is sent")
		}
		f.issue(s)
		if d := f.one(s).Delivery; d.Kind != consent.Removed {
			f.Errorf("%+v", d)
		}
		f.send(s)
	},
}
