package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"tidings/events"
)

// SU-01, SU-04, SU-06, SU-07, PR-12 over the whole program: who is taken off a stream is silent on it, also with what waits
// there paused or in a poll's window, and is told afresh when added again. Nothing changes on another stream.
func TestTakenOffAStream(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s site) {
		w := s.world()
		anna := w.person("anna", object{"title": "Clerk"}, "--attributes", "title")
		bert := w.person("bert", object{"title": "Cook"}, "--attributes", "title")
		paused, window, other := w.poller(), w.poller(), w.poller()
		paused.status("paused")
		w.patch(anna, object{"title": "Head Clerk"})
		if given, _ := window.poll(object{}); len(given) != 1 {
			t.Fatalf("polled %q", kinds(given))
		}
		choose := func(p *poller, path string, want int) {
			t.Helper()
			body := map[string]any{"stream_id": p.stream, "subject": json.RawMessage(anna.subject)}
			if status, _ := call("POST", w.hub.url+path, w.shop.Token, body, nil); status != want {
				t.Fatalf("%s: %d", path, status)
			}
		}
		for _, p := range []*poller{paused, window} {
			choose(p, "/ssf/subjects:remove", http.StatusNoContent)
		}
		paused.status("enabled")
		w.patch(anna, object{"title": "Director"})
		w.patch(bert, object{"title": "Chef"})
		for _, p := range []*poller{paused, window, other} {
			p.until(bert, 1)
		}
		other.until(anna, 1)
		if a, b := len(paused.tokens(anna)), len(window.tokens(anna)); a != 0 || b != 1 {
			t.Errorf("told of who is off the stream: %d, and %d where one had been given before", a, b)
		}
		choose(paused, "/ssf/subjects:add", http.StatusOK)
		paused.until(anna, 1)
		if got := kinds(paused.tokens(anna)); !slices.Equal(got, []string{"feed:add"}) {
			t.Errorf("added again: %q", got)
		}
		w.clean()
	})
}

// RI-20, RI-21: the command that moves a person's opt state, and what the party hears of it.
func TestGrantOpt(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s site) {
		w := s.world()
		anna := w.person("anna", object{"title": "Clerk"}, "--attributes", "title")
		p := w.poller()
		var moved struct{ ID, Opt string }
		w.tidings(&moved, "grant", "opt", anna.grant, "opt-out-initiated")
		w.tidings(&moved, "grant", "opt", anna.grant, "opt-out-effective")
		if moved.ID != anna.grant || moved.Opt != "opt-out" {
			t.Errorf("%+v", moved)
		}
		for move, says := range map[string]string{"opt-out-cancelled": "stands at opt-out", "opt-out": "must be one of"} {
			if out, stderr, code := s.try("grant", "opt", anna.grant, move); code == 0 || out != "" || !strings.Contains(stderr, says) {
				t.Errorf("%s: %d %q %q", move, code, out, stderr)
			}
		}
		w.tidings(nil, "signal", "raise", "--user", "anna", "--type", "session-revoked")
		w.patch(anna, object{"title": "Head Clerk"})
		p.until(anna, 3)
		w.tidings(nil, "grant", "opt", anna.grant, "opt-in")
		p.until(anna, 4)
		var got []events.Type
		for _, k := range p.tokens(anna) {
			got = append(got, k.Event)
		}
		if !slices.Equal(got, []events.Type{events.OptOutInitiated, events.OptOutEffective, events.ProvPatchNotice, events.OptIn}) {
			t.Errorf("told %q", got)
		}
		var listed struct{ Opt string }
		if w.tidings(&listed, "grant", "list"); listed.Opt != "opt-in" {
			t.Errorf("%+v", listed)
		}
		status, _ := call("POST", w.hub.url+"/signals", w.directory.Token, object{"userName": "anna", "type": "opt-out-effective"}, nil)
		if status != http.StatusBadRequest {
			t.Errorf("signalled by hand: %d", status)
		}
		w.clean()
	})
}
