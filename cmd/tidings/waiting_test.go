package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"tidings/events"
)

// poller is a receiver that polls (RFC 8936).
type poller struct {
	w        *world
	stream   string
	endpoint string
	keys     events.KeySet
	heard    []heard
}

func (w *world) poller() *poller {
	w.t.Helper()
	var made events.StreamConfiguration
	w.must("POST", "/ssf/streams", w.shop.Token, object{}, &made)
	if made.Delivery == nil || made.Delivery.Method != events.MethodPoll || !strings.HasPrefix(made.Delivery.EndpointURL, w.hub.url+"/") {
		w.t.Fatalf("a stream without a delivery is %+v", made.Delivery)
	}
	return &poller{w: w, stream: made.StreamID, endpoint: made.Delivery.EndpointURL, keys: w.keys()}
}

// poll asks once and keeps what came.
func (p *poller) poll(body object) (fresh []heard, more bool) {
	p.w.t.Helper()
	var answer struct {
		Sets          map[string]string
		MoreAvailable bool
	}
	if status, _ := call("POST", p.endpoint, p.w.shop.Token, body, &answer); status != http.StatusOK {
		p.w.t.Fatalf("poll: %d", status)
	}
	if answer.Sets == nil {
		p.w.t.Error("an answer without sets")
	}
	for jti, compact := range answer.Sets {
		token, err := events.Verify([]byte(compact), p.keys, p.w.expect())
		if err != nil || token.JTI != jti {
			p.w.t.Errorf("poll gave a token that is %v", err)
		}
		fresh = append(fresh, heard{token, time.Now()})
	}
	p.heard = append(p.heard, fresh...)
	return fresh, answer.MoreAvailable
}

// until polls and acknowledges until there are n tokens about the person.
func (p *poller) until(about person, n int) {
	p.w.t.Helper()
	var ack []string
	if !eventually(patience, func() bool {
		fresh, _ := p.poll(object{"returnImmediately": true, "ack": ack})
		ack = nil
		for _, k := range fresh {
			ack = append(ack, k.JTI)
		}
		return len(p.tokens(about)) >= n
	}) {
		p.w.t.Fatalf("%d tokens came by poll, not %d", len(p.tokens(about)), n)
	}
	p.poll(object{"maxEvents": 0, "returnImmediately": true, "ack": ack})
}

func (p *poller) tokens(about person) []heard {
	return slices.DeleteFunc(slices.Clone(p.heard), func(k heard) bool { return !k.about(about) })
}

// A stream that polls: made by asking for nothing, held open until something comes, acknowledged, refused, paused,
// verified and deleted.
func TestStoryOfAPoll(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s site) {
		w := s.world()
		anna := w.person("anna", object{"title": "Clerk"}, "--attributes", "title,nickName")
		p := w.poller()
		var all []events.StreamConfiguration
		if w.must("GET", "/ssf/streams", w.shop.Token, nil, &all); len(all) != 1 || all[0].StreamID != p.stream {
			t.Errorf("listed: %+v", all)
		}
		if fresh, more := p.poll(object{"returnImmediately": true}); len(fresh) > 0 || more {
			t.Errorf("a new stream gives %q", kinds(fresh)) // the past is in /delta
		}

		// Whether the poll waits already or not, it has to end with the change, long before its 30 seconds.
		woken := make(chan []heard)
		began := time.Now()
		go func() { fresh, _ := p.poll(object{}); woken <- fresh }()
		w.patch(anna, object{"title": "Head Clerk"})
		fresh := <-woken
		if len(fresh) != 1 || fresh[0].names() != "title" || time.Since(began) > 10*time.Second {
			t.Fatalf("woken after %v with %q", time.Since(began), kinds(fresh))
		}
		// Handed out and not acknowledged, it is not handed out to the next poll (PB-20), and acknowledged never again.
		if again, _ := p.poll(object{"returnImmediately": true}); len(again) > 0 {
			t.Errorf("a token under way was handed out again: %q", kinds(again))
		}
		w.patch(anna, object{"nickName": "Annie"})
		p.poll(object{"maxEvents": 0, "returnImmediately": true, "ack": []string{fresh[0].JTI, "unknown"}})
		var second []heard
		if !eventually(patience, func() bool { second, _ = p.poll(object{"returnImmediately": true}); return len(second) > 0 }) || second[0].names() != "nickName" {
			t.Fatalf("the second change: %q", kinds(second))
		}
		p.poll(object{"returnImmediately": true, "setErrs": object{second[0].JTI: object{"err": "invalid_request", "description": "not for us"}}})

		state := "is it me? ✓"
		var fault struct{ Type string }
		w.must("POST", "/ssf/verify", w.shop.Token, object{"stream_id": p.stream, "state": state}, nil)
		if status, header := call("POST", w.hub.url+"/ssf/verify", w.shop.Token, object{"stream_id": p.stream}, &fault); status != http.StatusTooManyRequests || header.Get("Retry-After") == "" {
			t.Errorf("asked twice at once: %d %v", status, fault)
		}
		third, _ := p.poll(object{})
		if len(third) != 1 || third[0].Event != events.Verification || third[0].Payload["state"] != state || third[0].SubID != events.Opaque(p.stream) {
			t.Fatalf("verification: %+v", third)
		}
		p.poll(object{"maxEvents": 0, "returnImmediately": true, "ack": []string{third[0].JTI}})

		p.status("paused")
		w.patch(anna, object{"title": "Manager"})
		w.patch(anna, object{"title": "Director", "nickName": "Boss"})
		if held, _ := p.poll(object{"returnImmediately": true}); len(held) > 0 {
			t.Errorf("a paused stream gives %q", kinds(held))
		}
		p.status("enabled")
		resumed, _ := p.poll(object{})
		if len(resumed) != 1 || resumed[0].names() != "nickName title" && resumed[0].names() != "nickNametitle" {
			t.Errorf("resumed with %q: %+v", kinds(resumed), resumed)
		}
		w.must("DELETE", "/ssf/streams?stream_id="+p.stream, w.shop.Token, nil, nil)
		for path, method := range map[string]string{strings.TrimPrefix(p.endpoint, w.hub.url): "POST", "/ssf/streams?stream_id=" + p.stream: "GET", "/ssf/status?stream_id=" + p.stream: "GET"} {
			var body any
			if method == "POST" {
				body = object{}
			}
			if status, _ := call(method, w.hub.url+path, w.shop.Token, body, &fault); status != http.StatusNotFound || fault.Type != "urn:tidings:problem:not-found" {
				t.Errorf("%s of a deleted stream: %d %s", path, status, fault.Type)
			}
		}
		w.clean()
	})
}

func (p *poller) status(text string) {
	p.w.t.Helper()
	var answer struct{ Status, Reason string }
	p.w.must("POST", "/ssf/status", p.w.shop.Token, object{"stream_id": p.stream, "status": text, "reason": "because"}, &answer)
	if p.w.must("GET", "/ssf/status?stream_id="+p.stream, p.w.shop.Token, nil, &answer); answer.Status != text || answer.Reason != "because" {
		p.w.t.Errorf("status %+v", answer)
	}
}

// What waits when a grant is revoked is told to nobody (invariant 5): on a paused stream, in a retry, in the window of a
// poll that was not acknowledged, for a browser that was away. Each gets the one removal, and then only other people.
func TestRevokedWhileWaiting(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s site) {
		w := s.world()
		anna := w.person("anna", object{"title": "Clerk"}, "--attributes", "title")
		bert := w.person("bert", object{"title": "Cook"}, "--attributes", "title")
		h := w.webhook()
		h.answer(http.StatusServiceUnavailable)
		w.push(h)
		paused, window := w.poller(), w.poller()
		paused.status("paused")
		away := w.browser("ticket=" + w.ticket(anna.subject, bert.subject))
		away.conn.Close()

		w.patch(anna, object{"title": "Head Clerk"})
		if !eventually(patience, func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.refused > 0 }) {
			t.Fatal("the webhook was not asked")
		}
		given, _ := window.poll(object{})
		if len(given) != 1 {
			t.Fatalf("polled %q", kinds(given))
		}

		w.tidings(nil, "grant", "revoke", anna.grant)
		h.answer(http.StatusAccepted)
		paused.status("enabled")
		w.patch(bert, object{"title": "Chef"})
		h.await(t, anna, 1)
		paused.until(anna, 1)
		window.until(anna, 2)
		for way, got := range map[string][]string{
			"a retry":           kinds(h.tokens(anna)),
			"a paused stream":   kinds(paused.tokens(anna)),
			"the poll's window": kinds(window.tokens(anna)[1:]),
		} {
			if !slices.Equal(got, []string{"feed:remove"}) {
				t.Errorf("%s gave %q", way, got)
			}
		}
		// The removal itself may be acknowledged late: an acknowledgement of what was withdrawn changes nothing.
		window.poll(object{"returnImmediately": true, "ack": []string{given[0].JTI}})
		w.patch(anna, object{"title": "Director"})
		h.await(t, bert, 1)
		paused.until(bert, 1)
		window.until(bert, 1)
		w.patch(bert, object{"title": "Baker"})
		h.await(t, bert, 2)
		paused.until(bert, 2)
		window.until(bert, 2)
		if a, b, c := len(h.tokens(anna)), len(paused.tokens(anna)), len(window.tokens(anna)); a != 1 || b != 1 || c != 2 {
			t.Errorf("told again: %d, %d, %d", a, b, c)
		}
		back := w.browser("ticket=" + w.ticket(anna.subject, bert.subject) + "&cursor=" + away.first.Cursor)
		if got := back.hears(t); !sameJSON(got, bert.subject) {
			t.Errorf("the browser that came back heard of %s", got)
		}
		w.clean()
	})
}

// A grant that was given until a moment is dead at it, and its end is told without anybody's doing.
func TestGrantRunsOut(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s site) {
		w := s.world()
		h := w.webhook()
		w.push(h)
		until := time.Now().Add(3 * time.Second).UTC()
		anna := w.person("anna", object{"title": "Clerk"}, "--attributes", "title", "--until", until.Format(time.RFC3339Nano))
		if first := h.await(t, anna, 1); first.Event != events.FeedAdd {
			t.Errorf("told %s", first.Event)
		}
		removal := h.await(t, anna, 2)
		if removal.Event != events.FeedRemove || removal.at.Before(until) || removal.at.After(until.Add(5*time.Second)) {
			t.Errorf("%s came %v after the end", removal.Event, removal.at.Sub(until))
		}
		w.gone(anna)
		var last changeLine
		for _, line := range w.changes() {
			last = line
		}
		if last.Kind != "expired" || last.Party != w.shop.ID || last.Entry != anna.entry {
			t.Errorf("the log ends with %+v", last)
		}
		if page := w.delta(w.shop.Token, ""); len(page.Changes) != 0 {
			t.Errorf("the snapshot tells %+v", page.Changes)
		}
		w.clean()
	})
}
