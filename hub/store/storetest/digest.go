package storetest

import (
	"tidings/events"
	"tidings/hub"
	"tidings/subscriptions"
)

// digestTests are about streams whose feed is told by digests.
var digestTests = map[string]func(f *fixture){
	"a digest that is not settled is seen, and nothing more is to come": func(f *fixture) {
		p := f.party()
		for _, name := range []string{"ada", "bob"} {
			e := f.user(name)
			f.grant(p, e.ID, "title")
		}
		s := f.digests(p)
		f.now += 10
		f.update(f.user("cleo"), "title")
		e := f.user("dora")
		f.grant(p, e.ID, "title")
		var seen []bool
		issue := func(quiet int64, ds ...hub.Delivery) bool {
			more, err := f.store.Issue(f.ctx, s.ID, f.tick(), 1, func(in hub.Issuing) hub.Issued {
				seen = append(seen, in.Digest)
				head := in.Page.Head
				return hub.Issued{Deliveries: ds, Base: head.Position, At: head.Position, Tag: head.Tag, Signal: head.Position,
					Generation: in.Stream.Generation, Quiet: quiet, Drained: true}
			})
			f.must(err)
			return more
		}
		g := f.user("emma")
		f.grant(p, g.ID, "title") // two rows for a room of one
		if issue(f.now+500, own(s, events.Digest)) {
			f.Error("says that there is more")
		}
		now := f.streamNow(s)
		if now.Quiet == 0 || now.At != f.head().Position {
			f.Errorf("%+v", now)
		}
		f.update(g, "title")
		f.still("one is not settled", s, 10)
		f.raise(e.ID, "", "x") // a signal is told all the same
		issue(f.now + 500)
		f.settle(s, subscriptions.Done, 0, f.send(s))
		f.update(e, "title")
		f.still("quiet", s, 10)
		f.now += 500
		issue(77)
		f.equal("seen", seen, []bool{false, true, false})
		now = f.streamNow(s)
		if now.Quiet != 77 {
			f.Errorf("quiet until %d", now.Quiet)
		}
		now.Quiet = 0
		written, _, err := f.store.SetStream(f.ctx, *now, nil)
		f.must(err)
		if written.Quiet != 0 {
			f.Error("quiet as before")
		}
	},

	"a quiet stream is not leased for its feed, until it is": func(f *fixture) {
		p, e := f.party(), f.user("ada")
		f.grant(p, e.ID, "title")
		s := f.digests(p)
		f.update(e, "title")
		lease := func() ([]hub.ID, int64) {
			got, next, err := f.store.Lease(f.ctx, "a", f.tick(), f.now+1, events.MethodPush)
			f.must(err)
			return got, next
		}
		until := f.now + 1_000_000
		now := f.streamNow(s)
		now.Quiet = until
		_, _, err := f.store.SetStream(f.ctx, *now, nil)
		f.must(err)
		got, next := lease()
		if len(got) != 0 || next != until {
			f.Errorf("leased %v, next at %d instead of %d", got, next, until)
		}
		f.raise(e.ID, "", "x")
		if got, _ = lease(); len(got) != 1 {
			f.Error("not leased for a signal")
		}
		f.now = until
		_, next = lease()
		if next != 0 {
			f.Errorf("next at %d", next)
		}
		_, err = f.store.Issue(f.ctx, s.ID, f.tick(), 10, func(in hub.Issuing) hub.Issued {
			out := hub.Issued{Base: in.Stream.Base, At: in.Stream.At, Tag: in.Stream.Tag, Signal: in.Page.Head.Position, Generation: in.Stream.Generation, Quiet: until}
			return out
		})
		f.must(err)
		if got, _ = lease(); len(got) != 1 {
			f.Error("not leased when it may speak")
		}
	},
}

func (f *fixture) digests(p *hub.Party) *hub.Stream {
	f.Helper()
	s := *f.stream(p)
	s.Settings.Requested = []events.Type{events.Digest}
	now, _, err := f.store.SetStream(f.ctx, s, nil)
	f.must(err)
	return now
}
