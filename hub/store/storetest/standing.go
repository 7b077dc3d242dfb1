package storetest

import (
	"errors"
	"fmt"

	"tidings/events"
	"tidings/hub"
	"tidings/subscriptions"
)

// announcement tells a status of a stream, as the engine makes it.
func announcement(s *hub.Stream, status subscriptions.Status) hub.Delivery {
	d := own(s, events.StreamUpdated)
	d.Payload = fmt.Appendf(nil, `{"status":%q}`, status)
	return d
}

// stop writes a status, and what comes with it.
func (f *fixture) stop(s *hub.Stream, status subscriptions.Status, by subscriptions.By, own ...hub.Delivery) (*hub.Stream, int) {
	f.Helper()
	now := *f.streamNow(s)
	now.Status, now.By, now.Reason = status, by, "because"
	written, dropped, err := f.store.SetStream(f.ctx, now, own)
	f.must(err)
	f.equal("stream", f.streamNow(s), written)
	if written.Status != status || written.By != by || written.Reason != "because" {
		f.Errorf("%+v", written)
	}
	return written, dropped
}

// leased says whether a node finds work on the stream, and when the next is due.
func (f *fixture) leased(s *hub.Stream) (bool, int64) {
	f.Helper()
	f.now += 10_000
	got, next, err := f.store.Lease(f.ctx, f.word(), f.tick(), f.now+1, events.MethodPush)
	f.must(err)
	for _, id := range got {
		if id == s.ID {
			return true, next
		}
	}
	return false, next
}

// probed pauses a changed stream as the transmitter does and sends the word that it did.
func (f *fixture) probed(s *hub.Stream) (probe hub.Delivery) {
	f.Helper()
	probe = announcement(s, subscriptions.Enabled)
	probe.Remake, probe.Due = true, f.now+1_000_000
	last := announcement(s, subscriptions.Paused)
	f.stop(s, subscriptions.Paused, subscriptions.ByTransmitter, last, probe)
	if sending := f.one(s); sending.Delivery.ID != last.ID {
		f.Fatalf("%+v", sending.Delivery)
	}
	f.settle(s, subscriptions.Done, 0, f.send(s))
	return probe
}

var standingTests = map[string]func(f *fixture){
	"the last word leaves, and nothing else": func(f *fixture) { // SE-03, ST-11
		for _, status := range []subscriptions.Status{subscriptions.Paused, subscriptions.Disabled} {
			_, _, _, s := f.changed()
			waiting := f.one(s)
			last := announcement(s, status)
			_, dropped := f.stop(s, status, subscriptions.ByOperator, last)
			if want := map[subscriptions.Status]int{subscriptions.Disabled: 1}[status]; dropped != want { // ST-14
				f.Errorf("%s: %d dropped, not %d", status, dropped, want)
			}
			if ok, _ := f.leased(s); !ok {
				f.Errorf("%s: the last word is not found", status)
			}
			if f.begin(f.attempt(waiting))[0] {
				f.Errorf("%s: something begins", status)
			}
			sending := f.one(s)
			if sending.Delivery.ID != last.ID || sending.Settings.Delivery.Method != events.MethodPush {
				f.Errorf("%s: %+v", status, sending)
			}
			f.settle(s, subscriptions.Done, 0, f.send(s))
			if n := len(f.sendable(s)); n != 0 {
				f.Errorf("%s: %d more may leave", status, n)
			}
			if ok, _ := f.leased(s); ok {
				f.Errorf("%s: leased without work", status)
			}
		}
	},

	"the first word goes alone": func(f *fixture) { // SE-04
		_, _, _, s := f.changed()
		f.stop(s, subscriptions.Paused, subscriptions.ByOperator)
		first := announcement(s, subscriptions.Enabled)
		f.stop(s, subscriptions.Enabled, subscriptions.ByOperator, first)
		if sending := f.one(s); sending.Delivery.ID != first.ID {
			f.Fatalf("%+v", sending.Delivery)
		}
		f.begin(f.attempt(f.one(s)))
		if sending := f.one(s); sending.Delivery.Entry.IsZero() {
			f.Errorf("%+v", sending.Delivery)
		}
	},

	"a probe is due later, and new each time": func(f *fixture) {
		_, _, _, s := f.changed()
		waiting := f.one(s).Delivery
		probe := f.probed(s)
		ok, next := f.leased(s)
		if ok || next != probe.Due {
			f.Errorf("leased %v, next %d, due %d", ok, next, probe.Due)
		}
		f.now = probe.Due
		if ok, _ := f.leased(s); !ok {
			f.Error("the probe is not found")
		}
		first := f.send(s)
		f.settle(s, subscriptions.Retry, f.now+500, first)
		if n := len(f.sendable(s)); n != 0 {
			f.Errorf("%d may leave before the next probe", n)
		}
		f.now += 1000
		if d := f.one(s).Delivery; d.ID != probe.ID || d.Sent || len(d.Tokens) != 0 || d.Attempts != 1 || !d.Remake {
			f.Errorf("%+v", d)
		}
		second := f.send(s)
		if second == first {
			f.Error("the old probe goes again")
		}
		// Resumed: the probe goes with the pause, whatever becomes of its attempt.
		now, _ := f.stop(s, subscriptions.Enabled, subscriptions.ByTransmitter)
		if now.Failures != 0 || now.Failing != 0 || now.Problem != "" {
			f.Errorf("%+v", now)
		}
		f.settle(s, subscriptions.Done, 0, second)
		if d := f.one(s).Delivery; d.ID != waiting.ID || d.Due != 0 {
			f.Errorf("%+v", d)
		}
	},

	"a receiver's own pause ends the probe": func(f *fixture) {
		_, _, _, s := f.changed()
		probe := f.probed(s)
		f.stop(s, subscriptions.Paused, subscriptions.ByReceiver)
		f.now = probe.Due
		if n := len(f.sendable(s)); n != 0 {
			f.Errorf("%d may leave", n)
		}
		if ok, _ := f.leased(s); ok {
			f.Error("leased without work")
		}
	},

	"backlogs": func(f *fixture) {
		p, e, _, s := f.changed()
		a := f.stream(f.agreement("title"))
		other := f.user("bob")
		f.grant(p, other.ID, "title")
		f.raise(e.ID, "", "x")
		all, err := f.store.Backlogs(f.ctx, hub.ID{})
		f.must(err)
		want := map[hub.ID][2]int{s.ID: {1, 2}, a.ID: {0, 2}}
		if len(all) != 2 {
			f.Fatalf("%+v", all)
		}
		for _, b := range all {
			if got := [2]int{b.Waiting, b.Behind}; got != want[b.ID] {
				f.Errorf("%v waits %d, is behind %d; want %v", b.ID == s.ID, b.Waiting, b.Behind, want[b.ID])
			}
		}
		f.equal("stream", &all[0].Stream, f.streamNow(&all[0].Stream))
		f.stop(s, subscriptions.Disabled, subscriptions.ByOperator)
		one, err := f.store.Backlogs(f.ctx, s.ID)
		f.must(err)
		if len(one) != 1 || one[0].Waiting != 0 || one[0].Behind != 0 || one[0].Status != subscriptions.Disabled {
			f.Errorf("%+v", one)
		}
		if none, err := f.store.Backlogs(f.ctx, hub.NewID()); err != nil || len(none) != 0 {
			f.Errorf("%+v, %v", none, err)
		}
	},

	"failures are counted from the first": func(f *fixture) {
		_, _, _, s := f.changed()
		f.outcome(s, hub.Outcome{JTI: f.send(s), Next: subscriptions.Retry, Reason: "timeout"})
		first := f.streamNow(s)
		if first.Failures != 1 || first.Failing != f.now || first.Problem != "timeout" {
			f.Errorf("%+v", first)
		}
		f.settle(s, subscriptions.Dead, 0, f.send(s))
		if now := f.streamNow(s); now.Failures != 2 || now.Failing != first.Failing {
			f.Errorf("%+v", now)
		}
		_, _, _, s = f.changed()
		f.settle(s, subscriptions.Retry, 0, f.send(s))
		f.outcome(s, hub.Outcome{JTI: f.send(s), Next: subscriptions.Done, Reason: "http 200"})
		if now := f.streamNow(s); now.Failures != 0 || now.Failing != 0 || now.Problem != "http 200" {
			f.Errorf("%+v", now)
		}
	},

	"other delivery settings: due at once": func(f *fixture) { // UP-12
		_, _, _, s := f.changed()
		f.settle(s, subscriptions.Retry, 0, f.send(s))
		jti := f.send(s)
		f.settle(s, subscriptions.Retry, f.now+1_000_000, jti)
		now := *f.streamNow(s)
		now.Settings.Description = "the same delivery"
		written, _, err := f.store.SetStream(f.ctx, now, nil)
		f.must(err)
		if n := len(f.sendable(s)); n != 0 || written.Failures != 2 {
			f.Errorf("%d may leave, %+v", n, written)
		}
		now = *written
		now.Settings.Delivery = subscriptions.Delivery{Method: events.MethodPoll}
		written, _, err = f.store.SetStream(f.ctx, now, nil)
		f.must(err)
		if written.Failures != 0 || written.Failing != 0 || written.Problem != "" {
			f.Errorf("%+v", written)
		}
		// An attempt that went the old way ends.
		f.send(s)
		f.outcome(s, hub.Outcome{JTI: jti, Next: subscriptions.Retry, Due: f.now + 1_000_000, Version: now.Version})
		f.one(s)
	},

	"the newest verifications count": func(f *fixture) { // VE-08
		s := f.stream(f.party())
		f.stop(s, subscriptions.Paused, subscriptions.ByReceiver)
		var asked []hub.Delivery
		for range hub.MaxOwn + 3 {
			v := own(s, events.Verification)
			asked = append(asked, v)
			_, _, err := f.store.SetStream(f.ctx, *f.streamNow(s), []hub.Delivery{v})
			f.must(err)
		}
		f.stop(s, subscriptions.Enabled, subscriptions.ByReceiver)
		all := f.sendable(s)
		if len(all) != hub.MaxOwn || all[0].Delivery.ID != asked[3].ID {
			f.Fatalf("%d of %d, first %v", len(all), len(asked), all[0].Delivery.ID == asked[3].ID)
		}
		var attempts []hub.Attempt
		for _, sending := range all {
			attempts = append(attempts, f.attempt(sending))
		}
		f.begin(attempts...)
		_, _, err := f.store.SetStream(f.ctx, *f.streamNow(s), []hub.Delivery{own(s, events.Verification)})
		f.wants(err, hub.ErrTooSoon)
		if !errors.Is(err, hub.ErrTooSoon) {
			return
		}
		// The transmitter's own word always has room.
		f.stop(s, subscriptions.Paused, subscriptions.ByOperator, announcement(s, subscriptions.Paused))
		f.one(s)
	},
}
