package storetest

import (
	"fmt"
	"sync"

	"tidings/consent"
	"tidings/events"
	"tidings/hub"
	"tidings/subscriptions"
)

func (f *fixture) letters(p *hub.Party) []hub.DeadLetter {
	f.Helper()
	letters, err := f.store.DeadLetters(f.ctx, hub.LetterQuery{Party: p.ID, Limit: 10_000})
	f.must(err)
	return letters
}

// refuse sends the one delivery that may be sent and has its receiver refuse it for good.
func (f *fixture) refuse(s *hub.Stream) hub.DeadLetter {
	f.Helper()
	jti := f.send(s)
	buried, err := f.store.Settle(f.ctx, s.ID, f.tick(), []hub.Outcome{{JTI: jti, Next: subscriptions.Dead, Reason: "invalid_audience", Sealed: []byte("sealed " + jti)}})
	f.must(err)
	if len(buried) != 1 {
		f.Fatalf("buried: %+v", buried)
	}
	return buried[0]
}

func (f *fixture) revive(s *hub.Stream, letter hub.ID, limit int) hub.Revived {
	f.Helper()
	r, err := f.store.Revive(f.ctx, s.ID, letter, f.tick(), hub.Window, limit)
	f.must(err)
	return r
}

var letterTests = map[string]func(f *fixture){
	"what is refused is kept, and the stream goes on": func(f *fixture) { // PA-03, PB-11
		p, e, g, s := f.changed()
		a := f.attempt(f.one(s))
		a.Dead, a.Tokens = "cannot be made", nil
		if f.begin(a)[0] {
			f.Error("begun")
		}
		f.update(e, "title")
		f.issue(s)
		l := f.refuse(s)
		if len(f.sendable(s)) != 0 {
			f.Error("still there")
		}
		all := f.letters(p)
		if len(all) != 2 {
			f.Fatalf("%+v", all)
		}
		f.equal("letter", all[0], l) // the newest first
		if l.ID.IsZero() || l.Stream != s.ID || l.Party != p.ID || l.Entry != e.ID || l.Kind != consent.Updated || l.Given != f.freshGrant(g).Given ||
			l.Attempts != 1 || l.Reason != "invalid_audience" || l.JTI == "" || string(l.Description) != "sealed "+l.JTI ||
			l.Expires != l.Time+hub.LetterLife.Microseconds() {
			f.Errorf("%+v", l)
		}
		f.equal("names", l.Names, []string{"title"})
		if u := all[1]; u.Reason != "cannot be made" || u.JTI != "" || u.Attempts != 0 {
			f.Errorf("%+v", u)
		}
		for what, q := range map[string]hub.LetterQuery{"id": {ID: l.ID}, "stream": {Stream: s.ID}, "party": {Party: p.ID}, "all": {}} {
			q.Limit = 1
			if got, err := f.store.DeadLetters(f.ctx, q); err != nil || len(got) != 1 || got[0].ID != l.ID {
				f.Errorf("by %s: %+v, %v", what, got, err)
			}
		}
		other := f.party()
		if got := f.letters(other); len(got) != 0 {
			f.Errorf("another party's letters: %+v", got)
		}
		if got, err := f.store.DeadLetters(f.ctx, hub.LetterQuery{Party: other.ID, ID: l.ID, Limit: 1}); err != nil || len(got) != 0 {
			f.Errorf("another party's letter: %+v, %v", got, err)
		}
		f.must(f.store.DeleteStream(f.ctx, p.ID, s.ID))
		if got := f.letters(p); len(got) != 0 {
			f.Error("letters outlive their stream")
		}
	},

	"kinds and types": func(f *fixture) {
		p, e := f.party(), f.user("ada")
		f.grant(p, e.ID, "title")
		s := f.stream(p)
		f.commit(f.newSignal(e.ID, "", "sealed"))
		_, err := f.store.Issue(f.ctx, s.ID, f.tick(), hub.Window, func(in hub.Issuing) hub.Issued {
			out := decide(in)
			for i := range out.Deliveries {
				out.Deliveries[i].Type = in.Signals[0].Type
			}
			return out
		})
		f.must(err)
		if l := f.refuse(s); l.Kind != "" || l.Type != events.SessionRevoked || l.Signal == 0 || l.Entry != e.ID {
			f.Errorf("of a signal: %+v", l)
		}
		_, _, err = f.store.SetStream(f.ctx, *f.streamNow(s), []hub.Delivery{own(s, "urn:test:verification")})
		f.must(err)
		if l := f.refuse(s); l.Kind != "" || l.Type != "urn:test:verification" || !l.Entry.IsZero() || string(l.Description) == "" {
			f.Errorf("of the stream's own: %+v", l)
		}
		if all := f.letters(p); len(all) != 2 || all[0].Type != "urn:test:verification" || all[1].Type != events.SessionRevoked {
			f.Errorf("%+v", all)
		}
	},

	"as many as a stream may have": func(f *fixture) { // I11
		p := f.party()
		users := f.users("u", 400)
		f.grantAll([]*hub.Party{p}, users, "title")
		t := f.stream(p)
		f.update(users[0], "title")
		f.issue(t)
		kept := f.refuse(t)
		s := f.stream(p)
		for range 3 {
			var items []hub.Item
			for _, e := range users {
				items = append(items, f.change(e, "title"))
			}
			users = f.commit(items...).Entries
			f.issue(s)
			sendings, err := f.store.Sendable(f.ctx, s.ID, f.tick(), 1000)
			f.must(err)
			var attempts []hub.Attempt
			var jtis []string
			for _, sending := range sendings {
				a := f.attempt(sending)
				attempts, jtis = append(attempts, a), append(jtis, a.Tokens[0].JTI)
			}
			f.begin(attempts...)
			f.settle(s, subscriptions.Dead, 0, jtis...)
		}
		all := f.letters(p)
		if len(all) != hub.MaxLetters+1 || all[len(all)-1].ID != kept.ID || all[len(all)-2].Stream != s.ID {
			f.Errorf("%d letters", len(all))
		}
		times := map[int64]int{}
		for _, l := range all {
			times[l.Time]++
		}
		if times[all[0].Time] != len(users) {
			f.Error("the newest are not all there")
		}
	},

	"dropped and expired": func(f *fixture) {
		p, e, _, s := f.changed()
		first := f.refuse(s)
		f.now += 1000
		f.update(e, "title")
		f.issue(s)
		second := f.refuse(s)
		drop := func(q hub.LetterQuery, want int) {
			f.Helper()
			q.Limit = 10
			if n, err := f.store.DropLetters(f.ctx, q); err != nil || n != want {
				f.Errorf("dropped %d, not %d, %v", n, want, err)
			}
		}
		drop(hub.LetterQuery{Expired: first.Expires - 1}, 0)
		f.now = first.Expires
		if _, err := f.store.Revive(f.ctx, s.ID, first.ID, f.now, hub.Window, 1); err == nil {
			f.Error("an expired letter is replayed")
		}
		drop(hub.LetterQuery{Expired: f.now}, 1)
		if all := f.letters(p); len(all) != 1 || all[0].ID != second.ID {
			f.Errorf("%+v", all)
		}
		drop(hub.LetterQuery{Party: f.party().ID, ID: second.ID}, 0)
		drop(hub.LetterQuery{ID: second.ID}, 1)
		drop(hub.LetterQuery{ID: second.ID}, 0)
	},

	"told again under the grant as it stands": func(f *fixture) {
		p, e, _, s := f.changed()
		l := f.refuse(s)
		f.update(e, "nickName") // moves the row: what is told is as new as that
		f.issue(s)
		f.settle(s, subscriptions.Done, 0, f.send(s))
		f.equal("revived", f.revive(s, l.ID, 1), hub.Revived{Replayed: 1})
		d := f.one(s).Delivery
		row := f.row(p, e.ID).Grant
		if d.Entry != e.ID || d.Kind != consent.Updated || d.Sent || len(d.Tokens) != 0 || d.Attempts != 0 || d.Given != row.Given ||
			d.Version != row.Version || d.Position != row.Position {
			f.Errorf("%+v", d)
		}
		f.equal("names", d.Names, []string{"title"})
		if again := f.send(s); again == l.JTI {
			f.Error("the same token")
		}
		if got := f.letters(p); len(got) != 0 {
			f.Errorf("still a letter: %+v", got)
		}
		_, err := f.store.Revive(f.ctx, s.ID, l.ID, f.tick(), hub.Window, 1)
		f.wants(err, hub.ErrNotFound)
	},

	"absorbed by what waits": func(f *fixture) {
		_, e, _, s := f.changed()
		l := f.refuse(s)
		f.update(e, "nickName")
		f.issue(s)
		f.revive(s, l.ID, 1)
		f.equal("names", f.one(s).Delivery.Names, []string{"nickName", "title"})
	},

	"of a grant that ended": func(f *fixture) { // I5
		p, _, g, s := f.changed()
		l := f.refuse(s)
		f.revoke(g)
		f.issue(s)
		f.settle(s, subscriptions.Done, 0, f.send(s))
		f.equal("revived", f.revive(s, l.ID, 1), hub.Revived{Withdrawn: 1})
		if len(f.sendable(s)) != 0 || len(f.letters(p)) != 0 {
			f.Error("told though it was revoked")
		}
	},

	"of a subject that is off the stream": func(f *fixture) { // SU-03, PR-04
		_, e, _, s := f.changed()
		first := f.refuse(s)
		f.update(e, "title")
		f.issue(s)
		f.refuse(s)
		f.off(s, e.ID)
		f.equal("revived", f.revive(s, first.ID, 1), hub.Revived{Withdrawn: 1, Left: 1})
		f.on(s, e.ID) // to be told of afresh
		f.equal("revived", f.revive(s, hub.ID{}, 10), hub.Revived{Withdrawn: 1})
		f.issue(s)
		if d := f.one(s).Delivery; d.Kind != consent.Added {
			f.Errorf("%+v", d)
		}
	},

	"of a grant given anew": func(f *fixture) { // its "added" told all there is
		_, _, g, s := f.changed()
		l := f.refuse(s)
		f.revoke(g)
		f.commit(f.grantLine(g, hub.Granted))
		f.issue(s)
		f.equal("revived", f.revive(s, l.ID, 1), hub.Revived{Withdrawn: 1})
		if d := f.one(s).Delivery; d.Kind != consent.Added {
			f.Errorf("%+v", d)
		}
	},

	"a removal that was refused": func(f *fixture) {
		_, _, g, s := f.changed()
		f.settle(s, subscriptions.Done, 0, f.send(s))
		f.revoke(g)
		f.issue(s)
		l := f.refuse(s)
		f.equal("revived", f.revive(s, l.ID, 1), hub.Revived{Replayed: 1})
		if d := f.one(s).Delivery; d.Kind != consent.Removed {
			f.Errorf("%+v", d)
		}
		l = f.refuse(s)
		f.commit(f.grantLine(g, hub.Granted))
		f.equal("revived", f.revive(s, l.ID, 1), hub.Revived{Withdrawn: 1}) // it was given again
	},

	"active, by its present value": func(f *fixture) { // MP-30
		p, e := f.party(), f.user("ada")
		f.grant(p, e.ID, "title")
		s := f.stream(p)
		toggle := func(active bool) {
			f.commit(f.toggle(f.entry(e.ID), active))
			f.issue(s)
		}
		toggle(false)
		l := f.refuse(s)
		if l.Kind != consent.Disabled {
			f.Fatalf("%+v", l)
		}
		toggle(true)
		f.settle(s, subscriptions.Done, 0, f.send(s))
		f.revive(s, l.ID, 1)
		if d := f.one(s).Delivery; d.Kind != consent.Enabled {
			f.Errorf("%+v", d)
		}
	},

	"a signal, while it lives": func(f *fixture) {
		p, e := f.party(), f.user("ada")
		f.grant(p, e.ID, "title")
		s := f.stream(p)
		word := f.word()
		f.commit(f.newSignal(e.ID, "", word))
		f.issue(s)
		l := f.refuse(s)
		erase := func() {
			f.Helper()
			_, err := f.store.EraseSignals(f.ctx, f.tick(), 100)
			f.must(err)
		}
		erase() // all have settled it, but this letter
		f.equal("revived", f.revive(s, l.ID, 1), hub.Revived{Replayed: 1})
		sending := f.one(s)
		if sending.Signal == nil || string(sending.Signal.Payload) != word || sending.Delivery.Type != events.SessionRevoked {
			f.Errorf("%+v", sending)
		}
		l = f.refuse(s)
		f.now = sending.Signal.Expires
		erase()
		f.equal("revived", f.revive(s, l.ID, 1), hub.Revived{Withdrawn: 1})
		if len(f.sendable(s)) != 0 {
			f.Error("told though its life is over")
		}
		f.silent(word)
	},

	"a dropped letter's signal is erased": func(f *fixture) {
		p, e := f.party(), f.user("ada")
		f.grant(p, e.ID, "title")
		s := f.stream(p)
		f.commit(f.newSignal(e.ID, "", f.word()))
		f.issue(s)
		f.refuse(s)
		if _, err := f.store.DropLetters(f.ctx, hub.LetterQuery{Stream: s.ID, Limit: 10}); err != nil {
			f.Error(err)
		}
		if n, err := f.store.EraseSignals(f.ctx, f.tick(), 100); err != nil || n != 1 {
			f.Errorf("erased %d, %v", n, err)
		}
	},

	"the stream's own": func(f *fixture) {
		s := f.stream(f.party())
		for _, t := range []events.Type{events.Verification, events.FeedChanged} {
			_, _, err := f.store.SetStream(f.ctx, *f.streamNow(s), []hub.Delivery{own(s, t)})
			f.must(err)
			f.refuse(s)
		}
		f.equal("revived", f.revive(s, hub.ID{}, 10), hub.Revived{Replayed: 1, Withdrawn: 1})
		if d := f.one(s).Delivery; d.Type != events.FeedChanged {
			f.Errorf("%+v", d)
		}
	},

	"all, a portion at a time, oldest first": func(f *fixture) {
		p := f.party()
		users := f.users("u", 12)
		s := f.stream(p)
		f.grantAll([]*hub.Party{p}, users, "title")
		f.issue(s)
		for _, sending := range f.sendable(s) {
			a := f.attempt(sending)
			f.begin(a)
			f.settle(s, subscriptions.Dead, 0, a.Tokens[0].JTI)
		}
		f.equal("revived", f.revive(s, hub.ID{}, 5), hub.Revived{Replayed: 5, Left: 7})
		r, err := f.store.Revive(f.ctx, s.ID, hub.ID{}, f.tick(), 8, 5) // room for three more
		f.must(err)
		f.equal("revived", r, hub.Revived{Replayed: 3, Left: 4})
		r, err = f.store.Revive(f.ctx, s.ID, hub.ID{}, f.tick(), 8, 5)
		f.must(err)
		f.equal("revived", r, hub.Revived{Left: 4})
		for i, sending := range f.sendable(s) {
			if sending.Delivery.Entry != users[i].ID {
				f.Errorf("%d: %+v", i, sending.Delivery)
			}
		}
	},

	"a paused stream keeps it, a disabled one refuses": func(f *fixture) {
		p, _, _, s := f.changed()
		l := f.refuse(s)
		now := f.streamNow(s)
		now.Status = subscriptions.Disabled
		now, _, err := f.store.SetStream(f.ctx, *now, nil)
		f.must(err)
		_, err = f.store.Revive(f.ctx, s.ID, l.ID, f.tick(), hub.Window, 1)
		f.wants(err, hub.ErrDisabled)
		if len(f.letters(p)) != 1 {
			f.Error("the letter is gone")
		}
		now.Status = subscriptions.Paused
		now, _, err = f.store.SetStream(f.ctx, *now, nil)
		f.must(err)
		f.revive(s, l.ID, 1)
		if len(f.sendable(s)) != 0 {
			f.Error("sendable although paused")
		}
		now.Status = subscriptions.Enabled
		_, _, err = f.store.SetStream(f.ctx, *now, nil)
		f.must(err)
		f.one(s)
		_, err = f.store.Revive(f.ctx, hub.NewID(), l.ID, f.tick(), hub.Window, 1)
		f.wants(err, hub.ErrNotFound)
		_, err = f.store.Revive(f.ctx, f.stream(p).ID, l.ID, f.tick(), hub.Window, 1)
		f.wants(err, hub.ErrNotFound)
	},

	"a person's letters quote nobody once she is deleted": func(f *fixture) {
		p, e, _, s := f.changed()
		l := f.refuse(s)
		f.update(e, "title")
		f.issue(s)
		a := f.attempt(f.one(s))
		f.begin(a)
		f.commit(f.deletion(f.entry(e.ID)))
		f.issue(s)
		f.end(s, 1, subscriptions.Retry, 0, a.Tokens[0].JTI)
		removal := f.refuse(s) // whatever it quotes comes too late
		for _, got := range f.letters(p) {
			if got.Description != nil {
				f.Errorf("%+v", got)
			}
		}
		if string(l.Description) == "" || removal.Kind != consent.Removed {
			f.Errorf("%+v, %+v", l, removal)
		}
	},

	"one of two that replay": func(f *fixture) {
		p, _, _, s := f.changed()
		l := f.refuse(s)
		stores := []hub.Store{f.store, f.open()}
		var mu sync.Mutex
		var wg sync.WaitGroup
		said := map[string]int{}
		for i := range 8 {
			wg.Go(func() {
				r, err := stores[i%2].Revive(f.ctx, s.ID, l.ID, f.tick(), hub.Window, 1)
				mu.Lock()
				defer mu.Unlock()
				said[fmt.Sprint(r.Replayed, err != nil)]++
			})
		}
		wg.Wait()
		if said["1 false"] != 1 || len(said) != 2 || said["0 true"] != 7 {
			f.Errorf("%v", said)
		}
		f.one(s)
		if len(f.letters(p)) != 0 {
			f.Error("still a letter")
		}
	},

	"replays, revocations and deletions race": func(f *fixture) { // I5
		other := f.open()
		for i := range rounds {
			p, e, g, s := f.changed()
			l := f.refuse(s)
			now := f.tick()
			it := f.grantLine(f.freshGrant(g), hub.Revoked)
			if i%2 == 0 {
				it = f.deletion(f.entry(e.ID))
			}
			atOnce(func() {
				if _, err := other.Revive(f.ctx, s.ID, l.ID, now, hub.Window, 1); err != nil {
					f.Error(err)
				}
			}, func() { f.tryOn(f.store, it) })
			f.issue(s)
			if d := f.one(s).Delivery; d.Kind != consent.Removed {
				f.Fatalf("%+v", d)
			}
			if len(f.letters(p)) != 0 {
				f.Error("still a letter")
			}
		}
	},
}
