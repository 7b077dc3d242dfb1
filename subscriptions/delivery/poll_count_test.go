package delivery

import (
	"context"
	"fmt"
	"path"
	"slices"
	"testing"
	"time"

	"tidings/events"
	"tidings/hub"
)

// gone deletes people; each deletion is told in three tokens (TestTranslate).
func (h *pollHouse) gone(people ...*hub.Entry) {
	h.t.Helper()
	for _, e := range people {
		if results := must(h.Ingest(h.ctx, hub.Report{Entry: e.ID, Gone: true}))(h.t); results[0].Err != nil {
			h.t.Fatal(results[0].Err)
		}
	}
}

var whole = []events.Type{events.SessionRevoked, events.ProvDelete, events.AccountPurged}

// TestMaxEventsCountsTokens: PO-01, PB-08: an answer has no more SETs than were asked for, also where one occasion is
// told in several. What a cut left is due when the part is acknowledged, and nothing is told twice or out of order.
func TestMaxEventsCountsTokens(t *testing.T) {
	for n := 1; n <= 7; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			h := newPollHouse(t)
			others := []*hub.Entry{h.person("bob", "none"), h.person("cleo", "none"), h.person("dora", "none")}
			for _, e := range others {
				h.grant(h.p, e)
			}
			h.ask(atOnce) // the additions
			h.drain()
			h.gone(others...)
			told, ack := map[string][]events.Type{}, []byte("[]")
			for answers := 0; ; answers++ {
				a := h.ask(`{"maxEvents":%d,"returnImmediately":true,"ack":%s}`, n, ack)
				if len(a.Sets) == 0 {
					break
				}
				if len(a.Sets) > n || answers > 9 {
					t.Fatalf("%d SETs of at most %d, in the answer after %d", len(a.Sets), n, answers)
				}
				ack = nil
				for i, s := range a.Sets {
					read := readSet(t, s.Compact)
					id := path.Base(read.Subject)
					told[id] = append(told[id], read.Type)
					ack = fmt.Appendf(ack, "%c%q", "[,"[min(i, 1)], s.JTI)
				}
				ack = append(ack, ']')
				left := 9
				for _, types := range told {
					left -= len(types)
				}
				if a.MoreAvailable != (left > 0) {
					t.Errorf("PS-02: more available is %v with %d left", a.MoreAvailable, left)
				}
			}
			for _, e := range others {
				if got := told[path.Base(h.subject(h.p, e))]; !slices.Equal(got, whole) { // A6: in their order
					t.Errorf("told %v", got)
				}
			}
		})
	}
}

// drain takes and acknowledges what waits.
func (h *pollHouse) drain() {
	h.t.Helper()
	for ack := "[]"; ; {
		a := h.ask(`{"ack":%s,"returnImmediately":true}`, ack)
		if len(a.Sets) == 0 {
			return
		}
		var text []byte
		for i, s := range a.Sets {
			text = fmt.Appendf(text, "%c%q", "[,"[min(i, 1)], s.JTI)
		}
		ack = string(text) + "]"
	}
}

// TestCutAndRefused: PB-11: what a receiver refuses of a cut occasion takes the rest of it along.
func TestCutAndRefused(t *testing.T) {
	h := newPollHouse(t)
	h.gone(h.e)
	first := only(t, h.ask(`{"maxEvents":1,"returnImmediately":true}`))
	if a := h.ask(`{"maxEvents":1,"returnImmediately":true,"setErrs":{%q:{"err":"invalid_request"}}}`, first.JTI); len(a.Sets) != 0 {
		t.Errorf("told of %+v", a)
	}
	if dead := must(h.store.DeadLetters(h.ctx, hub.LetterQuery{Party: h.p.ID, Limit: 10}))(t); len(dead) != 1 {
		t.Errorf("dead letters: %+v", dead)
	}
}

// TestAskingForNone: PB-04: to wait for an event without taking it begins no attempt, so that it neither keeps another
// poll from taking it nor uses up a try.
func TestAskingForNone(t *testing.T) {
	h := newPollHouse(t, func(p *Poll) { p.wait = time.Minute })
	h.person("ann", "Chief")
	for range 3 {
		if a := h.ask(`{"maxEvents":0}`); len(a.Sets) != 0 || !a.MoreAvailable {
			t.Fatalf("%+v", a)
		}
	}
	out, _, err := h.NextTokens(h.ctx, h.stream.ID, "test", time.Second, 5)
	if err != nil || len(out) != 1 || out[0].Attempts != 1 {
		t.Errorf("%+v, %v", out, err)
	}
	ctx, cancel := context.WithCancel(h.ctx)
	defer cancel()
	go h.request(ctx, &h.p.caller, h.stream.ID.String(), "application/json", `{"maxEvents":0}`)
	h.waiters(1) // what another has taken is not available
	if more, err := h.Waiting(h.ctx, h.stream.ID); err != nil || more {
		t.Errorf("waiting: %v, %v", more, err)
	}
}

// TestRefusedPollSettlesNothing: PB-14: of a request that is refused for one member no other is applied.
func TestRefusedPollSettlesNothing(t *testing.T) {
	h := newPollHouse(t)
	h.person("ann", "Chief")
	handed := h.handOut(atOnce)
	for _, rest := range []string{`"maxEvents":-1`, `"returnImmediately":1`, `"setErrs":{"a":null}`, `"ack":[]`, `"setErrs":{"b":{"err":"x"},"b":{"err":"x"}}`} {
		body := fmt.Sprintf(`{"ack":[%q],%s}`, handed.JTI, rest)
		if code, text, _ := h.request(h.ctx, &h.p.caller, h.stream.ID.String(), "application/json", body); code != 400 {
			t.Errorf("%s: %d %s", rest, code, text)
		}
	}
	h.endLease(handed)
	if s := only(t, h.ask(atOnce)); s.JTI != handed.JTI {
		t.Error("it was settled")
	}
}
