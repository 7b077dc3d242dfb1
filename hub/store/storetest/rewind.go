package storetest

import (
	"tidings/consent"
	"tidings/hub"
	"tidings/subscriptions"
)

var rewindTests = map[string]func(f *fixture){
	"what was told is told again, once each": func(f *fixture) {
		p := f.party()
		users := f.users("u", 3)
		f.grantAll([]*hub.Party{p}, users, "title", "nickName")
		s := f.stream(p)
		f.update(users[0], "title")
		before := f.head()
		f.update(users[1], "title")
		f.update(users[0], "nickName")
		f.issue(s)
		for range 2 {
			a := f.attempt(f.sendable(s)[0])
			f.begin(a)
			f.settle(s, subscriptions.Done, 0, a.Tokens[0].JTI)
		}
		now, err := f.store.Rewind(f.ctx, p.ID, s.ID, hub.Place{Base: before.Position, At: before.Position, Generation: p.Generation})
		f.must(err)
		if now.At != before.Position || now.Base != before.Position || now.Tag != before.Tag || now.Signal != f.head().Position {
			f.Errorf("%+v, not at %+v", now, before)
		}
		f.equal("stream", f.streamNow(s), now)
		f.issue(s)
		all := f.sendable(s)
		if len(all) != 2 || all[0].Delivery.Entry != users[1].ID || all[1].Delivery.Entry != users[0].ID {
			f.Fatalf("%+v", all)
		}
		f.equal("names", all[1].Delivery.Names, []string{"nickName"})
	},

	"back, never forward": func(f *fixture) {
		p, e, _, s := f.changed()
		f.settle(s, subscriptions.Done, 0, f.send(s))
		at := f.streamNow(s)
		f.update(e, "title")
		head := f.head().Position
		now, err := f.store.Rewind(f.ctx, hub.ID{}, s.ID, hub.Place{Base: head, At: head, Generation: p.Generation})
		f.must(err)
		f.equal("stream", now, at)
		// The two positions move each for itself, and base stays before at.
		now, err = f.store.Rewind(f.ctx, p.ID, s.ID, hub.Place{Base: 1, At: head, Generation: p.Generation})
		f.must(err)
		if now.Base != 1 || now.At != at.At || now.Tag != at.Tag {
			f.Errorf("%+v", now)
		}
		f.issue(s)
		f.one(s) // what it owed is owed still
	},

	"absorbed by what waits, beside what was sent": func(f *fixture) {
		p, e, _, s := f.changed()
		start := hub.Place{Base: s.Base, At: s.At, Generation: p.Generation}
		rewind := func() {
			f.Helper()
			_, err := f.store.Rewind(f.ctx, p.ID, s.ID, start)
			f.must(err)
			f.issue(s)
		}
		rewind()
		f.one(s)
		jti := f.send(s)
		rewind()
		rewind()
		if len(f.sendable(s)) != 0 {
			f.Error("two of an entry at once")
		}
		f.settle(s, subscriptions.Done, 0, jti)
		if d := f.one(s).Delivery; d.Entry != e.ID {
			f.Errorf("%+v", d)
		}
	},

	"ended since": func(f *fixture) { // I5: only the end is told
		p, _, g, s := f.changed()
		start := hub.Place{Base: s.Base, At: s.At, Generation: p.Generation}
		f.settle(s, subscriptions.Done, 0, f.send(s))
		f.revoke(g)
		f.issue(s)
		f.settle(s, subscriptions.Done, 0, f.send(s))
		_, err := f.store.Rewind(f.ctx, p.ID, s.ID, start)
		f.must(err)
		f.issue(s)
		if d := f.one(s).Delivery; d.Kind != consent.Removed {
			f.Errorf("%+v", d)
		}
	},

	"not a signal": func(f *fixture) {
		p, e := f.party(), f.user("ada")
		f.grant(p, e.ID, "title")
		s := f.stream(p)
		f.commit(f.newSignal(e.ID, "", "sealed"))
		f.issue(s)
		f.settle(s, subscriptions.Done, 0, f.send(s))
		_, err := f.store.Rewind(f.ctx, p.ID, s.ID, hub.Place{Base: s.Base, At: s.At, Generation: p.Generation})
		f.must(err)
		f.issue(s)
		if all := f.sendable(s); len(all) != 0 {
			f.Errorf("%+v", all)
		}
	},

	"refused": func(f *fixture) {
		p, e, g, s := f.changed()
		other := f.party()
		place := hub.Place{Base: s.Base, At: s.At, Generation: p.Generation}
		refused := func(party, stream hub.ID, to hub.Place, want error) {
			f.Helper()
			before := f.streamNow(s)
			_, err := f.store.Rewind(f.ctx, party, stream, to)
			f.wants(err, want)
			f.equal("stream", f.streamNow(s), before)
		}
		refused(other.ID, s.ID, place, hub.ErrNotFound) // I10
		refused(p.ID, hub.NewID(), place, hub.ErrNotFound)
		refused(p.ID, s.ID, hub.Place{Base: place.Base, At: place.At, Generation: p.Generation + 1}, hub.ErrCursorExpired)
		refused(p.ID, s.ID, hub.Place{Base: place.Base, At: f.head().Position + 1, Generation: p.Generation}, hub.ErrCursorExpired)
		f.revoke(g)
		f.issue(s)
		f.settle(s, subscriptions.Done, 0, f.send(s))
		_, err := f.store.Trim(f.ctx, f.head().Position, 100)
		f.must(err)
		refused(p.ID, s.ID, place, hub.ErrCursorExpired) // I8: the tombstone is gone
		f.update(e, "title")
		now := f.streamNow(s)
		now.Status = subscriptions.Disabled
		_, _, err = f.store.SetStream(f.ctx, *now, nil)
		f.must(err)
		refused(p.ID, s.ID, hub.Place{Base: f.head().Oldest, At: f.head().Oldest, Generation: p.Generation}, hub.ErrDisabled)
	},

	"rewinding and trimming race": func(f *fixture) { // I3: either it is refused, or it learns to tell of a snapshot
		other := f.open()
		for range rounds {
			p, _, g, s := f.changed()
			place := hub.Place{Base: s.Base, At: s.At, Generation: p.Generation}
			f.settle(s, subscriptions.Done, 0, f.send(s))
			f.revoke(g)
			f.issue(s)
			f.settle(s, subscriptions.Done, 0, f.send(s))
			head := f.head().Position
			var err error
			atOnce(func() { _, err = other.Rewind(f.ctx, p.ID, s.ID, place) },
				func() {
					if _, err := f.store.Trim(f.ctx, head, 100); err != nil {
						f.Error(err)
					}
				})
			if now := f.streamNow(s); (err == nil) != (now.Generation == 0) || err == nil && now.At != place.At {
				f.Fatalf("%v: %+v", err, now)
			}
		}
	},
}
