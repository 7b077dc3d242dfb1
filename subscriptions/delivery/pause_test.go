package delivery

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidings/events"
	"tidings/hub"
	"tidings/subscriptions"
)

// soon makes probes of paused streams come at once, and never makes them not come while a test runs.
func soon(p *Pusher) {
	p.probe = func(int, time.Duration, float64) time.Duration { return 20 * time.Millisecond }
}

func never(p *Pusher) {
	p.probe = func(int, time.Duration, float64) time.Duration { return time.Hour }
}

func refusal401(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }

// is waits until the stream has a status.
func (h *house) is(p testParty, s *hub.Stream, status subscriptions.Status) *hub.Stream {
	h.t.Helper()
	var now *hub.Stream
	eventually(h.t, "the stream is "+string(status), func() bool {
		now = must(h.Stream(h.ctx, p.caller, s.ID.String()))(h.t)
		return now.Status == status
	})
	return now
}

// TestRefusingReceiver: PA-05, PA-06, SE-03, SE-04, SE-09. A receiver that refuses us as a whole is told once that its
// stream is paused, is probed, and gets what was held when it takes the probe.
func TestRefusingReceiver(t *testing.T) {
	for name, refuse := range map[string]http.HandlerFunc{
		"http 401": refusal401, "http 403": status(403), "http 410": status(410),
		"authentication_failed": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(400)
			w.Write([]byte(`{"err":"authentication_failed"}`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, r := newHouse(t), newReceiver(t)
			p, ann, bob := h.party(), h.person("ann", "none"), h.person("bob", "none")
			h.grant(p, ann)
			h.grant(p, bob)
			s := h.stream(p, r.push())
			r.answers(refuse)
			h.runPusher(soon)
			h.person("ann", "Chief")
			now := h.is(p, s, subscriptions.Paused)
			if now.By != subscriptions.ByTransmitter || now.Reason != subscriptions.Trouble(name) {
				t.Errorf("paused by %q: %q", now.By, now.Reason)
			}
			h.person("bob", "Chief")
			eventually(t, "it is probed three times", func() bool { return len(ofStatus(r.all(), "enabled")) >= 3 })
			if now := h.is(p, s, subscriptions.Paused); now.Failures < 4 || now.Problem != name {
				t.Errorf("%d failures, %q", now.Failures, now.Problem)
			}
			r.answers(nil)
			h.is(p, s, subscriptions.Enabled)
			eventually(t, "what was held arrives", func() bool { return len(ofType(r.taken(), "prov:patch:notice")) >= 2 })
			h.settles(s.ID)
			all := r.all()
			last := ofStatus(all, "paused")
			if len(last) != 1 || last[0].Payload["reason"] != subscriptions.Trouble(name) {
				t.Errorf("the last word: %+v", last)
			}
			stopped := slices.IndexFunc(all, func(s set) bool { return s.Payload["status"] == "paused" })
			resumed := slices.IndexFunc(all, func(s set) bool { return s.JTI == r.taken()[0].JTI })
			if n := len(all[stopped+1 : resumed]); n != len(ofStatus(all[stopped+1:resumed], "enabled")) {
				t.Errorf("%d tokens left while the stream was paused, not all of them probes", n)
			}
			probes := map[string]bool{}
			for _, set := range ofStatus(all, "enabled") {
				if probes[set.JTI] {
					t.Error("a probe went twice")
				}
				probes[set.JTI] = true
			}
			if got := r.taken(); got[0].Payload["status"] != "enabled" {
				t.Errorf("first after the pause: %s", got[0].Type)
			}
		})
	}
}

// ofStatus are the stream-updated events with a status.
func ofStatus(sets []set, status string) (found []set) {
	for _, s := range ofType(sets, "stream-updated") {
		if s.Payload["status"] == status {
			found = append(found, s)
		}
	}
	return found
}

// TestLongFailure: PA-07. One that fails for long is paused, however it fails; one that fails for a while is not.
func TestLongFailure(t *testing.T) {
	h, r := newHouse(t), newReceiver(t)
	p := h.party()
	h.grant(p, h.person("ann", "none"))
	s := h.stream(p, r.push())
	r.answers(status(503))
	old := &aged{PushEngine: h.Hub}
	h.runPusher(never, func(p *Pusher) { p.engine = old })
	h.person("ann", "Chief")
	eventually(t, "it failed", func() bool { return h.is(p, s, subscriptions.Enabled).Failures > 0 })
	old.by.Store(int64(25 * time.Hour))
	if now := h.is(p, s, subscriptions.Paused); now.Reason != "receiver answers http 503" {
		t.Errorf("%q", now.Reason)
	}
}

// aged is an engine whose streams have failed for longer than they did.
type aged struct {
	PushEngine
	by atomic.Int64
}

func (a *aged) Endpoint(ctx context.Context, stream hub.ID) (hub.Endpoint, error) {
	to, err := a.PushEngine.Endpoint(ctx, stream)
	if !to.Failing.IsZero() {
		to.Failing = to.Failing.Add(-time.Duration(a.by.Load()))
	}
	return to, err
}

// TestOnlyOneResumes: what a receiver or an operator stopped is not resumed by a probe; the receiver's own word resumes
// what the transmitter stopped, at once.
func TestOnlyOneResumes(t *testing.T) {
	h, r := newHouse(t), newReceiver(t)
	p, ann := h.party(), h.person("ann", "none")
	h.grant(p, ann)
	s := h.stream(p, r.push())
	id := s.ID.String()
	r.answers(refusal401)
	h.runPusher(never)
	h.person("ann", "one")
	h.is(p, s, subscriptions.Paused)
	eventually(t, "the last word is out", func() bool { return len(ofStatus(r.all(), "paused")) == 1 })
	r.answers(nil)
	if now := must(h.SetStatus(h.ctx, p.caller, id, subscriptions.Enabled, "mended"))(t); now.By != subscriptions.ByReceiver || now.Reason != "mended" {
		t.Errorf("%+v", now)
	}
	eventually(t, "what was held arrives", func() bool { return len(ofType(r.taken(), "prov:patch:notice")) > 0 })
	if got := r.taken(); len(ofType(got, "stream-updated")) > 0 { // SE-06
		t.Error("the receiver is told what it did itself")
	}

	r.answers(refusal401)
	h.person("ann", "two")
	h.is(p, s, subscriptions.Paused)
	must(h.SetStatus(h.ctx, p.caller, id, subscriptions.Paused, "ours"))(t)
	if err := h.Hub.Resume(h.ctx, s.ID); err != nil {
		t.Fatal(err)
	}
	if now := must(h.Stream(h.ctx, p.caller, id))(t); now.Status != subscriptions.Paused || now.By != subscriptions.ByReceiver || now.Reason != "ours" {
		t.Errorf("the transmitter resumed what the receiver paused: %+v", now)
	}
}

// TestMovedEndpoint: UP-12. A receiver that is not where we push, and says where it is, is served there at once: by push or
// by poll.
func TestMovedEndpoint(t *testing.T) {
	for _, method := range []string{events.MethodPush, events.MethodPoll} {
		t.Run(method, func(t *testing.T) {
			h, lost, found := newHouse(t), newReceiver(t), newReceiver(t)
			p := h.party()
			s := h.stream(p, lost.push())
			for i := range 20 {
				h.grant(p, h.person(fmt.Sprint("user", i), "none"))
			}
			lost.answers(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "3000")
				w.WriteHeader(404)
			})
			h.runPusher()
			eventually(t, "it is tried", func() bool { return len(lost.all()) > 0 })
			eventually(t, "it failed", func() bool { return h.is(p, s, subscriptions.Enabled).Failures > 0 })
			must(h.UpdateStream(h.ctx, p.caller, s.ID.String(), func(_ hub.Stream, settings *subscriptions.Settings) error {
				settings.Delivery = subscriptions.Delivery{Method: method}
				if method == events.MethodPush {
					settings.Delivery = found.push()
				}
				return nil
			}))(t)
			got := map[string]bool{}
			eventually(t, "everything arrives", func() bool {
				if method == events.MethodPush {
					return len(found.taken()) >= 20
				}
				out, _, err := h.Next(h.ctx, s.ID, "poll", time.Second, 100)
				if err != nil {
					t.Fatal(err)
				}
				for _, token := range out {
					got[token.JTI] = true
				}
				return len(got) >= 20
			})
			if n := len(lost.all()); n >= 20 {
				t.Errorf("%d tokens went to the old place", n)
			}
		})
	}
}

// TestOperator: SE-03, SE-04, SE-08, SE-09. An operator's pause is told, by push once, by poll until it is acknowledged;
// the receiver cannot undo it.
func TestOperator(t *testing.T) {
	h, r := newHouse(t), newReceiver(t)
	p, ann := h.party(), h.person("ann", "none")
	h.grant(p, ann)
	pushed, polled := h.stream(p, r.push()), h.stream(p, subscriptions.Delivery{Method: events.MethodPoll})
	h.runPusher()
	for _, s := range []*hub.Stream{pushed, polled} {
		if _, _, err := h.OperateStream(h.ctx, s.ID, subscriptions.Paused, "audit"); err != nil {
			t.Fatal(err)
		}
		if _, err := h.SetStatus(h.ctx, p.caller, s.ID.String(), subscriptions.Enabled, ""); err == nil {
			t.Error("a receiver undid what the operator did")
		}
	}
	h.person("ann", "Chief")
	eventually(t, "the last word arrives", func() bool { return len(r.taken()) == 1 })
	if got := r.taken()[0]; got.Payload["status"] != "paused" || got.Payload["reason"] != "audit" {
		t.Errorf("%+v", got)
	}
	poll := func() []set {
		var sets []set
		for _, token := range must2(h.Next(h.ctx, polled.ID, "poll", time.Minute, 100))(t) {
			sets = append(sets, readSet(t, string(token.Compact)))
			if err := h.Settle(h.ctx, polled.ID, []hub.Outcome{{JTI: token.JTI, Next: subscriptions.Retry}}); err != nil {
				t.Fatal(err)
			}
		}
		return sets
	}
	first, again := poll(), poll()
	if len(first) != 1 || first[0].Payload["status"] != "paused" || len(again) != 1 || again[0].compact != first[0].compact {
		t.Errorf("polled %+v, then %+v", first, again)
	}
	if err := h.Settle(h.ctx, polled.ID, []hub.Outcome{{JTI: first[0].JTI, Next: subscriptions.Done}}); err != nil {
		t.Fatal(err)
	}
	if more := poll(); len(more) != 0 {
		t.Errorf("after its acknowledgement: %+v", more)
	}
	for _, s := range []*hub.Stream{pushed, polled} {
		if _, _, err := h.OperateStream(h.ctx, s.ID, subscriptions.Enabled, ""); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "what was held arrives", func() bool { return len(ofType(r.taken(), "prov:patch:notice")) == 1 })
	if got := r.taken()[1]; got.Payload["status"] != "enabled" {
		t.Errorf("first after the pause: %+v", got)
	}
	if first := poll(); len(first) != 1 || first[0].Payload["status"] != "enabled" {
		t.Errorf("first after the pause: %+v", first)
	}
}

func must2[T, U any](v T, _ U, err error) func(testing.TB) T { return must(v, err) }

// TestOddSuccess: PA-02. Any 2xx is a delivery; what is odd about it shows.
func TestOddSuccess(t *testing.T) {
	h, r := newHouse(t), newReceiver(t)
	p, ann := h.party(), h.person("ann", "none")
	h.grant(p, ann)
	s := h.stream(p, r.push())
	h.runPusher(func(p *Pusher) { p.slow = 400 * time.Millisecond })
	for want, answer := range map[string]http.HandlerFunc{
		"slow answer": func(w http.ResponseWriter, req *http.Request) {
			select {
			case <-time.After(500 * time.Millisecond):
			case <-req.Context().Done():
			}
			w.WriteHeader(202)
		},
		"http 200": status(200), "http 204": status(204),
		"long body": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(202)
			for line := []byte(strings.Repeat("x", 4096)); ; {
				if _, err := w.Write(line); err != nil {
					return
				}
			}
		},
	} {
		r.answers(answer)
		h.person("ann", want)
		eventually(t, want, func() bool { return must(h.Stream(h.ctx, p.caller, s.ID.String()))(t).Problem == want })
		h.settles(s.ID)
	}
	r.answers(nil)
	h.person("ann", "Chief")
	eventually(t, "nothing odd any more", func() bool { return must(h.Stream(h.ctx, p.caller, s.ID.String()))(t).Problem == "" })
}
