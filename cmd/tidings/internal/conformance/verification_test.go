package conformance

import (
	"strconv"
	"strings"
)

const verification = "https://schemas.openid.net/secevent/ssf/event-type/verification"

// verifying: SSF 1.0 section 8.1.4.
func verifying(t *try) {
	h := t.hook()
	for name, stream := range map[string]object{
		"poll": t.create(object{}), "push": t.push(h, object{}),
		"neither asked for": t.create(object{"events_requested": []string{revoked}}),
	} {
		pushes := 0
		for _, state := range []any{"VGhpcyBpcyBhbiBleGFtcGxl", nil, "ä \" \\ \u2028 & <x>", ""} {
			a := t.verify(stream, state)
			t.check(a.status == 204 && len(a.body) == 0, "VE-01", "%s: answered %v", name, a)
			var s *set
			if name == "push" {
				pushes++
				s = t.accept(h.await(pushes, "VE-13").body, stream)
			} else {
				s = t.next(stream, "VE-13 VE-07", anyType)
			}
			t.check(s.event == verification, "VE-02", "%s: the event is %s", name, s.event)
			t.check(text(s.subject) == text(object{"format": "opaque", "id": idOf(stream)}), "VE-03", "%s: sub_id is %v", name, s.subject)
			got, present := s.payload["state"]
			if state == nil {
				t.check(!present, "VE-06 VE-05", "%s: a state of its own: %v", name, got)
			} else {
				t.check(got == state, "VE-04 VE-13", "%s: state is %q, not %q", name, got, state)
			}
		}
	}
}

// askingTooOften: the interval that the stream tells is the one that holds.
func askingTooOften(t *try) {
	stream := t.create(object{})
	a := t.verify(stream, nil)
	t.check(a.status == 204, "VE-01", "answered %v", a)
	a = t.manage("POST", t.endpoint("verification_endpoint"), object{"stream_id": idOf(stream)})
	seconds, err := strconv.Atoi(a.header.Get("Retry-After"))
	t.check(a.status == 429 && err == nil && seconds > 0, "VE-09 VE-08 PR-10 SC-10", "the second within the interval answered %v, Retry-After %q", a, a.header.Get("Retry-After"))
	a = t.verify(stream, "in time")
	t.check(a.status == 204, "VE-09 SC-10", "after the interval: %v", a)
	for _, bad := range []any{object{}, object{"stream_id": idOf(stream), "state": 7}, "{", object{"stream_id": idOf(stream), "state": strings.Repeat("x", 100_000)}} {
		a := t.manage("POST", t.endpoint("verification_endpoint"), bad)
		t.check(a.status == 400 || a.status == 413, "VE-08", "%.80v answered %v", bad, a)
	}
	a = t.manage("POST", t.endpoint("verification_endpoint"), object{"stream_id": "nobody"})
	t.check(a.status == 404, "VE-08", "an unknown stream: %v", a)
	a = t.call("POST", t.endpoint("verification_endpoint"), "nobody", object{"stream_id": idOf(stream)})
	t.check(a.status == 401, "VE-08", "without authorisation: %v", a)
}
