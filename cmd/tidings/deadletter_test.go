package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// letters lists a stream's dead letters by command.
func (w *world) letters(stream string) (all []letterLine) {
	w.t.Helper()
	out, stderr, code := w.try("deadletter", "list", "--stream", stream, "--json")
	if code != 0 {
		w.t.Fatal(stderr)
	}
	for text := range strings.Lines(out) {
		var l letterLine
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			w.t.Fatal(err)
		}
		all = append(all, l)
	}
	return all
}

// TestDeadLetterCommands: what a receiver refuses is listed, shown with its words, put back in line and dropped, beside a
// serving hub (PB-11, RE-07).
func TestDeadLetterCommands(t *testing.T) {
	onBoth(t, func(t *testing.T, s site) {
		t.Parallel()
		w := s.world()
		r := w.poller()
		anna := w.person("anna", object{"title": "Clerk"}, "--attributes", "title")
		refuse := func() string {
			t.Helper()
			fresh := r.take(t, 1)
			words := "no mailbox\x1b[2J for her"
			r.poll(object{"setErrs": object{fresh[0].JTI: object{"err": "invalid_state", "description": words}}, "maxEvents": 0, "returnImmediately": true})
			return fresh[0].JTI
		}
		jti := refuse() // of feed:add
		all := w.letters(r.stream)
		if len(all) != 1 || all[0].JTI != jti || all[0].Err != "invalid_state" || all[0].Kind != "added" || all[0].Attempts != 1 ||
			all[0].Party.String() != w.shop.ID || all[0].Entry == nil || all[0].Entry.String() != anna.entry {
			t.Fatalf("%+v", all)
		}
		id := all[0].ID.String()
		var shown struct{ JTI, Description, Expires string }
		w.tidings(&shown, "deadletter", "show", id)
		if shown.JTI != jti || shown.Description != "no mailbox\x1b[2J for her" || shown.Expires == "" {
			t.Errorf("%+v", shown)
		}
		if text, _, _ := w.try("deadletter", "show", id); strings.Contains(text, "\x1b") || !strings.Contains(text, `"no mailbox\x1b[2J for her"`) {
			t.Errorf("a receiver's words reach the terminal: %q", text)
		}
		if text, _, _ := w.try("deadletter", "list"); !strings.Contains(text, id) || strings.Contains(text, "mailbox") {
			t.Errorf("list: %q", text)
		}
		if !eventually(patience, func() bool { return strings.Contains(w.metrics(), `tidings_dead_letters_total{err="invalid_state"} 1`) }) {
			t.Error("not counted")
		}
		var replayed struct{ Replayed, Withdrawn, Left int }
		w.tidings(&replayed, "deadletter", "replay", id)
		if replayed.Replayed != 1 || len(w.letters(r.stream)) != 0 {
			t.Errorf("%+v", replayed)
		}
		if again := refuse(); again == jti {
			t.Error("told with the same jti")
		}
		out, stderr, code := w.try("deadletter", "replay", "--stream", r.stream)
		if code != 0 || out != "replayed 1, withdrawn 0\n" || stderr != "1 replayed, 0 withdrawn, 0 left\n" {
			t.Errorf("exit %d: %q, %q", code, out, stderr)
		}
		refuse()
		w.tidings(nil, "grant", "revoke", anna.grant)
		w.tidings(&replayed, "deadletter", "replay", "--stream", r.stream)
		if replayed.Replayed != 0 || replayed.Withdrawn != 1 {
			t.Errorf("of a grant that ended: %+v", replayed)
		}
		refuse() // of feed:remove
		var dropped struct{ Dropped int }
		w.tidings(&dropped, "deadletter", "drop", "--stream", r.stream)
		if dropped.Dropped != 1 || len(w.letters(r.stream)) != 0 {
			t.Errorf("%+v", dropped)
		}
		for _, bad := range [][]string{{"show", id}, {"drop", id}, {"replay", id}, {"replay", "--stream", id}, {"show", "x"}, {"replay"}, {"drop", id, "--stream", r.stream}, {"list", "--limit", "0"}} {
			if _, stderr, code := w.try(append([]string{"deadletter"}, bad...)...); code == 0 || strings.Count(stderr, "\n") != 1 {
				t.Errorf("%v: exit %d, %q", bad, code, stderr)
			}
		}
	})
}

// take polls until there are n fresh tokens, without acknowledging any.
func (p *poller) take(t *testing.T, n int) (all []heard) {
	t.Helper()
	if !eventually(patience, func() bool {
		fresh, _ := p.poll(object{"returnImmediately": true})
		all = append(all, fresh...)
		return len(all) >= n
	}) {
		t.Fatalf("%d tokens came, not %d", len(all), n)
	}
	return all
}
