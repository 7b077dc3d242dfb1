package hub_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"tidings/events"
	"tidings/hub"
	"tidings/hub/store/storetest"
	"tidings/subscriptions"
)

func (w *world) pushed(p testParty) *hub.Stream {
	w.t.Helper()
	return must(w.h.CreateStream(w.ctx(), p.caller, subscriptions.Settings{
		Delivery: subscriptions.Delivery{Method: events.MethodPush, EndpointURL: "https://receiver.example.com/events"}}))(w.t)
}

// suspend pauses the stream as its lane does, a probe being due an hour later.
func (w *world) suspend(s *hub.Stream) {
	w.t.Helper()
	to := must(w.h.Endpoint(w.ctx(), s.ID))(w.t)
	if err := w.h.Suspend(w.ctx(), s.ID, to.Version, "receiver answers http 401", w.clock.Add(time.Hour)); err != nil {
		w.t.Fatal(err)
	}
}

// only expects one token that tells a status of the stream.
func (w *world) only(s *hub.Stream, p testParty, status, reason string, probe bool) sent {
	w.t.Helper()
	all := w.next(s, p)
	if len(all) != 1 || all[0].Event != events.StreamUpdated || all[0].Payload["status"] != status || all[0].Probe != probe ||
		all[0].SubID != events.Opaque(s.ID.String()) {
		w.t.Fatalf("wanted one that says %s: %+v", status, all)
	}
	if told, _ := all[0].Payload["reason"].(string); told != reason {
		w.t.Errorf("%s because of %q", status, told)
	}
	return all[0]
}

// The life of a pause: SE-01 to SE-05, SE-09, PA-05. Said once, probed with a new token each time, resumed with what was
// held.
func TestSuspend(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		e := w.person("anna", nil)
		w.grant(p, e, "title")
		s := w.pushed(p)
		w.patch(e, replace("title", "Chief"))
		held := w.next(s, p)
		w.settle(s, subscriptions.Retry, time.Hour, held...)
		to := must(w.h.Endpoint(w.ctx(), s.ID))(t)
		if err := w.h.Suspend(w.ctx(), s.ID, to.Version-1, "old news", w.clock); err != nil {
			t.Fatal(err)
		}
		if now := must(w.h.Stream(w.ctx(), p.caller, s.ID.String()))(t); now.Status != subscriptions.Enabled {
			t.Error("paused for what an older setting met")
		}
		w.suspend(s)
		if err := w.h.Verify(w.ctx(), p.caller, s.ID.String(), nil); err != nil { // ST-12: it waits
			t.Fatal(err)
		}
		w.settle(s, subscriptions.Retry, 0, w.only(s, p, "paused", "receiver answers http 401", false))
		if again := w.next(s, p); len(again) != 0 {
			t.Fatalf("SE-09: said twice: %+v", again)
		}
		w.clock = w.clock.Add(time.Hour)
		first := w.only(s, p, "enabled", "", true)
		w.settle(s, subscriptions.Retry, time.Hour, first)
		if early := w.next(s, p); len(early) != 0 {
			t.Fatalf("probed too early: %+v", early)
		}
		w.clock = w.clock.Add(time.Hour)
		second := w.only(s, p, "enabled", "", true)
		if second.Outgoing.JTI == first.Outgoing.JTI || second.Attempts != 2 || second.IssuedAt <= first.IssuedAt {
			t.Errorf("an old probe: %+v", second)
		}
		if err := w.h.Resume(w.ctx(), s.ID); err != nil {
			t.Fatal(err)
		}
		w.settle(s, subscriptions.Done, 0, second)
		all := w.next(s, p)
		if len(all) != 2 || all[0].Event != events.Verification || string(all[1].Compact) != string(held[0].Compact) {
			t.Errorf("after the pause: %+v", all)
		}
		w.settle(s, subscriptions.Done, 0, all...)
		if left := w.drain(s, p); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
	})
}

// SE-08: the last word on a polled stream can be fetched until it is acknowledged, or a week is over.
func TestLastWordOfAPoll(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		acked, late := w.stream(p), w.stream(p)
		for _, s := range []*hub.Stream{acked, late} {
			if _, _, err := w.h.OperateStream(w.ctx(), s.ID, subscriptions.Disabled, "over"); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				w.settle(s, subscriptions.Retry, 0, w.only(s, p, "disabled", "over", false))
			}
		}
		w.settle(acked, subscriptions.Done, 0, w.only(acked, p, "disabled", "over", false))
		w.clock = w.clock.Add(hub.NoticeLife - time.Hour)
		w.settle(late, subscriptions.Retry, 0, w.only(late, p, "disabled", "over", false))
		w.clock = w.clock.Add(2 * time.Hour)
		for _, s := range []*hub.Stream{acked, late} {
			if more := w.next(s, p); len(more) != 0 {
				t.Errorf("%+v", more)
			}
			if b := must(w.h.Backlogs(w.ctx(), s.ID))(t)[0]; b.Waiting != 0 {
				t.Errorf("%d wait", b.Waiting)
			}
		}
	})
}

// Whatever fails while a stream is paused, probed and resumed, time and again: no change is lost, nothing but announcements
// leaves while it is paused, and it never stays paused.
func TestPausesUnderFaults(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		rnd := rand.New(rand.NewPCG(3, 4))
		on := true
		h := w.faulty(func(string) storetest.Fault {
			if on && rnd.IntN(6) == 0 {
				return storetest.Fault(1 + rnd.IntN(3))
			}
			return storetest.Pass
		})
		p := w.party(hub.PartyRequest{})
		e := w.person("anna", nil)
		w.grant(p, e, "title")
		s := w.pushed(p)
		told := int64(0)
		step := func() {
			w.clock = w.clock.Add(10 * time.Minute)
			to, err := h.Endpoint(w.ctx(), s.ID)
			if err != nil {
				return
			}
			out, _, err := h.Next(w.ctx(), s.ID, "test", time.Second, 3)
			if err != nil {
				return
			}
			paused := must(w.h.Stream(w.ctx(), p.caller, s.ID.String()))(t).Status == subscriptions.Paused
			keys := must(w.h.KeySet(w.ctx()))(t)
			for _, o := range out {
				token := must(events.Verify(o.Compact, keys, events.Expect{Issuer: h.Issuer(), Audience: p.Audience, Now: w.clock}))(t)
				if paused && token.Event != events.StreamUpdated {
					t.Errorf("%s left a paused stream", token.Event)
				}
				refused := on && rnd.IntN(2) == 0
				outcome := hub.Outcome{JTI: o.JTI, Attempt: o.Attempts, Next: subscriptions.Done}
				switch {
				case refused && !o.Probe:
					_ = h.Suspend(w.ctx(), s.ID, to.Version, "refused", w.clock.Add(20*time.Minute)) // what fails is tried again
					fallthrough
				case refused:
					outcome.Next, outcome.Reason, outcome.Due = subscriptions.Retry, "http 401", w.clock.UnixMicro()
				case o.Probe:
					if h.Resume(w.ctx(), s.ID) != nil {
						continue // the answer was taken, and what follows from it not written down
					}
				case token.Event != events.StreamUpdated:
					told = max(told, etag(t, token.Payload["version"]))
				}
				_ = h.Settle(w.ctx(), s.ID, []hub.Outcome{outcome})
			}
		}
		for i := range 60 {
			w.patch(e, replace("title", fmt.Sprint(i)))
			step()
			step()
		}
		on = false
		for range 20 {
			step()
		}
		if owed := etag(t, must(w.h.Subject(w.ctx(), p.caller, w.subjectID(p, e)))(t).ETag); told < owed {
			t.Errorf("version %d was told, not %d", told, owed)
		}
		if now := must(w.h.Stream(w.ctx(), p.caller, s.ID.String()))(t); now.Status != subscriptions.Enabled {
			t.Errorf("it stays %s: %s", now.Status, now.Reason)
		}
	})
}

// PA-07: how long a receiver has failed is counted from the first attempt that it did not answer, or only with trouble of its
// own. Who refuses a token answers.
func TestRefusedTokenIsNoFailingReceiver(t *testing.T) {
	friday := int64(1_000_000)
	saturday := friday + (25 * time.Hour).Microseconds()
	for reason, next := range map[string]subscriptions.Next{
		events.CodeInvalidRequest: subscriptions.Dead, "http 400": subscriptions.Retry, "http 413": subscriptions.Retry,
		events.CodeInvalidKey: subscriptions.Remake,
	} {
		var s hub.Stream
		s.Heard(hub.Outcome{Next: next, Reason: reason}, friday)
		if s.Failing != 0 || s.Failures != 1 || s.Problem != reason {
			t.Errorf("%s: %+v", reason, s)
		}
		s.Heard(hub.Outcome{Next: subscriptions.Retry, Reason: "http 503"}, saturday)
		s.Heard(hub.Outcome{Next: next, Reason: reason}, saturday+1)
		if s.Failing != saturday {
			t.Errorf("%s: failing since %d", reason, s.Failing)
		}
	}
}

// Asking for a verification mends nothing: what is to be retried keeps to what the receiver asked for by Retry-After.
func TestVerificationKeepsBackOff(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		e := w.person("anna", nil)
		w.grant(p, e, "title")
		s := w.pushed(p)
		w.patch(e, replace("title", "Chief"))
		held := w.next(s, p)
		to := must(w.h.Endpoint(w.ctx(), s.ID))(t)
		if err := w.h.Verify(w.ctx(), p.caller, s.ID.String(), nil); err != nil {
			t.Fatal(err)
		}
		if now := must(w.h.Endpoint(w.ctx(), s.ID))(t); now.Version != to.Version {
			t.Errorf("version %d after %d", now.Version, to.Version)
		}
		if err := w.h.Settle(w.ctx(), s.ID, []hub.Outcome{{JTI: held[0].Outgoing.JTI, Next: subscriptions.Retry, Reason: "http 503",
			Due: w.clock.Add(10 * time.Minute).UnixMicro(), Version: to.Version, Attempt: 1}}); err != nil {
			t.Fatal(err)
		}
		if told := w.drain(s, p); len(told) != 1 || told[0] != events.Verification {
			t.Errorf("told %v", told)
		}
		if err := w.h.Verify(w.ctx(), p.caller, s.ID.String(), nil); !errors.Is(err, hub.ErrTooSoon) { // SC-10
			t.Errorf("asked again at once: %v", err)
		}
	})
}

// SC-10: of those who ask at once, one is heard, and a write of the settings beside it does not forget that.
func TestVerificationsAtOnce(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		s := w.pushed(p)
		w.clock = w.clock.Add(time.Minute)
		if err := w.h.Verify(w.ctx(), p.caller, s.ID.String(), nil); err != nil {
			t.Fatal(err)
		}
		w.clock = w.clock.Add(time.Minute)
		read := must(w.store.Stream(w.ctx(), p.ID, s.ID))(t)
		first, second, settings := *read, *read, *read
		first.Verified, second.Verified = w.clock.UnixMicro(), w.clock.UnixMicro()+1
		if _, _, err := w.store.SetStream(w.ctx(), first, nil); err != nil {
			t.Fatal(err)
		}
		if _, _, err := w.store.SetStream(w.ctx(), second, nil); !errors.Is(err, hub.ErrTooSoon) {
			t.Errorf("the second at once: %v", err)
		}
		settings.Settings.Description = "other"
		now, _, err := w.store.SetStream(w.ctx(), settings, nil)
		if err != nil || now.Verified != first.Verified || now.Version != read.Version+1 {
			t.Errorf("%+v, %v", now, err)
		}
	})
}
