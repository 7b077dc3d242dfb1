package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestReplayOfAStream: a party, by a moment or its own cursor, and an operator have a stream told again; what is asked
// wrongly gets its status and changes nothing.
func TestReplayOfAStream(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s site) {
		w := s.world()
		anna := w.person("anna", object{"title": "Clerk"}, "--attributes", "title")
		p := w.poller()
		cursor := w.delta(w.shop.Token, "now").Cursor
		since := time.Now().UTC().Format(time.RFC3339)
		w.patch(anna, object{"title": "Head Clerk"})
		p.until(anna, 1)
		told := func() int { return len(p.tokens(anna)) }
		replay := func(body object) int {
			status, _ := call("POST", w.hub.url+"/ssf/replay", w.shop.Token, body, nil)
			return status
		}
		n := told()
		for _, from := range []object{{"since": since}, {"cursor": cursor}} {
			from["stream_id"] = p.stream
			if status := replay(from); status != 202 {
				t.Fatalf("%v: %d", from, status)
			}
			p.until(anna, n+1)
			n = told()
		}
		w.tidings(nil, "stream", "replay", p.stream, "--cursor", cursor)
		p.until(anna, n+1)
		w.tidings(nil, "stream", "replay", p.stream, "--since", "1h")
		p.until(anna, told()+1)
		jtis := map[string]bool{}
		for _, k := range p.tokens(anna) {
			if jtis[k.JTI] {
				t.Error("an acknowledged token returned")
			}
			jtis[k.JTI] = true
		}

		var other credential
		w.tidings(&other, "party", "add", "--name", "other")
		foreign := w.delta(other.Token, "now").Cursor
		n = told()
		for want, bodies := range map[int][]object{
			400: {{}, {"stream_id": p.stream}, {"stream_id": p.stream, "since": since, "cursor": cursor}, {"stream_id": p.stream, "since": "yesterday"},
				{"stream_id": p.stream, "since": 7}, {"stream_id": 7, "since": since}, {"stream_id": p.stream, "cursor": "x"}, {"stream_id": p.stream, "cursor": foreign},
				{"stream_id": p.stream, "cursor": ""}, {"stream_id": p.stream, "since": nil}, {"since": since}},
			404: {{"stream_id": "x", "since": since}, {"stream_id": anna.grant, "since": since}},
			413: {{"stream_id": p.stream, "since": since, "x": strings.Repeat("x", 100_000)}},
		} {
			for _, body := range bodies {
				if status := replay(body); status != want {
					t.Errorf("%.200v: %d, want %d", body, status, want)
				}
			}
		}
		if status, _ := call("POST", w.hub.url+"/ssf/replay", other.Token, object{"stream_id": p.stream, "since": since}, nil); status != 404 {
			t.Errorf("a foreign stream: %d", status)
		}
		if status, header := call("POST", w.hub.url+"/ssf/replay", "", object{"stream_id": p.stream, "since": since}, nil); status != 401 || header.Get("WWW-Authenticate") == "" {
			t.Errorf("nobody: %d", status)
		}
		if fresh, _ := p.poll(object{"returnImmediately": true}); len(fresh) > 0 || told() != n {
			t.Errorf("told again by a refused request: %q", kinds(fresh))
		}
		for _, bad := range [][]string{{p.stream}, {p.stream, "--since", "x"}, {p.stream, "--since", "1h", "--cursor", cursor}, {p.stream, "--cursor", foreign}, {anna.grant, "--since", "1h"}} {
			if _, stderr, code := w.try(slices.Concat([]string{"stream", "replay"}, bad)...); code == 0 || strings.Count(stderr, "\n") != 1 {
				t.Errorf("%v: exit %d, %q", bad, code, stderr)
			}
		}
	})
}
