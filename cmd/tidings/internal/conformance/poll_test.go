package conformance

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// waiting puts n verifications on a stream, without taking them.
func (t *try) waiting(stream object, n int) {
	for i := range n {
		a := t.verify(stream, fmt.Sprint("state", i))
		t.need(a.status == 204, "VE-01", "answered %v", a)
	}
}

// polling: RFC 8936 section 2.
func polling(t *try) {
	stream := t.create(object{})
	p := t.poll(stream, atOnce(nil))
	t.check(len(p.sets) == 0 && !p.more && p.took < 5*time.Second, "PO-02", "an empty stream gives %v in %v", p.raw, p.took)
	t.waiting(stream, 3)

	p = t.poll(stream, atOnce(object{"maxEvents": 0}))
	t.check(len(p.sets) == 0, "PO-01 PB-03 PB-22", "maxEvents 0 gives %v", p.raw)
	p = t.poll(stream, atOnce(object{"maxEvents": 1}))
	t.check(len(p.sets) == 1 && p.more, "PO-01 PS-02", "maxEvents 1 gives %v", p.raw)
	t.check(len(p.sets) == 1 && p.sets[0].payload["state"] == "state0", "PO-01", "the oldest is not first: %v", p.raw)
	// Acknowledgements come first, then the selection: the acknowledged one is not in it.
	first := p.jtis()
	p = t.poll(stream, atOnce(object{"ack": first, "maxEvents": 2}))
	t.check(len(p.sets) == 2 && !slices.Contains(p.jtis(), first[0]), "PB-05 PO-03 PB-06", "after acknowledging %v: %v", first, p.raw)

	// Unknown members, absent and empty ones change nothing; a Content-Language may be missing or not.
	for _, request := range []object{{"unknown": 1}, {"ack": []string{}}, {"setErrs": object{}}} {
		a := t.manage("POST", pollURL(stream), atOnce(request))
		t.check(a.status == 200, "PO-05 PO-03 PO-04", "%v answered %v", request, a)
	}
	refuse := p.jtis()
	a := t.ask("POST", pollURL(stream), http.Header{"Authorization": {"Bearer " + t.token}, "Content-Language": {"en"}}, atOnce(object{
		"ack": refuse[:1], "setErrs": object{refuse[1]: object{"err": "invalid_state", "description": "not mine"}},
	}))
	t.check(a.status == 200 && string(a.body) == `{"sets":{}}`, "PO-04 PB-11 VE-12 PB-22", "setErrs answered %v", a)

	// Repeated, unknown and foreign acknowledgements are no fault and do nothing.
	other := t.create(object{})
	t.waiting(other, 1)
	waits := t.poll(other, atOnce(nil)).jtis()
	a = t.manage("POST", pollURL(stream), atOnce(object{"ack": append([]string{"unknown", refuse[0]}, waits...)}))
	t.need(a.status == 200, "PB-12", "acknowledging what is not there answered %v", a)
	p = t.poll(stream, atOnce(nil))
	t.check(!p.more, "PS-02", "nothing more waits: %v", p.raw)
	t.check(len(p.sets) == 0, "PB-12 PB-06 PB-11", "what was settled is back: %v", p.raw)
	t.waiting(other, 1)
	again := t.next(other, "PB-12", func(s *set) bool { return s.jti == waits[0] || s.payload["state"] == "state0" })
	t.check(again != nil, "PB-12", "acknowledged across streams")
}

// held: a poll waits for something to come.
func held(t *try) {
	stream := t.create(object{})
	waiter := t.aside(func() answer { return t.manage("POST", pollURL(stream), "{}") })
	counter := t.aside(func() answer { return t.manage("POST", pollURL(stream), `{"maxEvents":0}`) })
	t.wait(300 * time.Millisecond) // for the poll to be on its way; nothing depends on it
	select {
	case a := <-waiter:
		t.check(false, "PB-01 PB-22", "a poll was not held: %v", a)
		return
	default:
	}
	began := time.Now()
	t.verify(stream, "wake")
	a := <-waiter
	t.check(a.status == 200 && strings.Contains(string(a.body), `"sets":{"`), "PB-01 PB-22", "the poll that waited got %v", a)
	t.check(time.Since(began) < 5*time.Second, "PB-01", "the poll that waited was told after %v", time.Since(began))
	if a := <-counter; a.status != 0 { // it may have come second, and then waits to its end
		t.check(strings.HasPrefix(string(a.body), `{"sets":{}`), "PB-04", "maxEvents 0 got %v", a)
	}
}

// heldInVain: a poll ends in time, also when there is nothing.
func heldInVain(t *try) {
	stream := t.create(object{})
	p := t.poll(stream, object{})
	t.check(len(p.sets) == 0 && !p.more && p.took > 5*time.Second && p.took <= 60*time.Second, "PB-02 PB-01", "an empty stream gave %v after %v", p.raw, p.took)
}

// leased: what was handed out and not acknowledged comes again, later, and not to two at once.
func leased(t *try) {
	stream := t.create(object{})
	t.waiting(stream, 1)
	p := t.poll(stream, atOnce(nil))
	t.need(len(p.sets) == 1, "PB-07", "nothing came: %v", p.raw)
	second := t.poll(stream, atOnce(nil))
	t.check(len(second.sets) == 0, "PB-20", "two polls got the same token at once: %v", second.raw)
	again := t.next(stream, "PB-07 PB-08", anyType)
	t.check(again.compact == p.sets[0].compact, "RE-03 PB-07", "the repeat is not what it was: %s, %s", again.compact, p.sets[0].compact)
	p = t.poll(stream, atOnce(nil))
	t.check(len(p.sets) == 0, "PB-06", "acknowledged, and there again: %v", p.raw)
}

// abandoned: a receiver that hangs up has taken nothing.
func abandoned(t *try) {
	stream := t.create(object{})
	ctx := t.ctx
	short, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	t.ctx = short
	gone := <-t.aside(func() answer { return t.manage("POST", pollURL(stream), "{}") })
	cancel()
	t.ctx = ctx
	t.check(gone.status == 0, "PB-01", "a poll was not held: %v", gone)
	t.verify(stream, "after")
	s := t.next(stream, "PB-21", anyType)
	t.check(s.payload["state"] == "after", "PB-21", "state is %v", s.payload["state"])
}

// badPolls: RFC 8936 section 2.5.1.
func badPolls(t *try) {
	stream := t.create(object{})
	t.waiting(stream, 1)
	for _, body := range []string{
		"{", "[]", `"x"`, `{"maxEvents":-1}`, `{"maxEvents":1.5}`, `{"maxEvents":"1"}`, `{"returnImmediately":"yes"}`, `{"ack":"x"}`, `{"ack":[7]}`,
		`{"setErrs":[]}`, `{"setErrs":{"x":"y"}}`, `{"ack":[],"ack":[]}`,
	} {
		a := t.manage("POST", pollURL(stream), body)
		t.check(a.status == 400, "PB-14 PO-01", "%s answered %v", body, a)
	}
	a := t.manage("POST", pollURL(stream), `{"ack":["`+strings.Repeat("x", 4<<20)+`"]}`)
	t.check(a.status == 400 || a.status == 413, "PB-14", "four megabytes answered %v", a)
	p := t.poll(stream, atOnce(nil))
	t.check(len(p.sets) == 1, "PB-14", "after bad requests the stream gives %v", p.raw)
	both := p.jtis()[0]
	a = t.manage("POST", pollURL(stream), atOnce(object{"ack": []string{both}, "setErrs": object{both: object{"err": "invalid_request", "description": "both"}}}))
	t.check(a.status == 200, "PB-13 PB-15", "a token in both lists, without Content-Language: %v", a)
	p = t.poll(stream, atOnce(nil))
	t.check(len(p.sets) == 0, "PB-13", "a token that is in both lists is back: %v", p.raw)
}
