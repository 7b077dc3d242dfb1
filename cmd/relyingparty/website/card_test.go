package website

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"log/slog"
	"strings"
	"testing"

	"tidings/subscriptions/receiver"
)

var quiet = slog.New(slog.DiscardHandler)

// TestCard: every kind of SCIM value that a grant may hold is shown for people.
func TestCard(t *testing.T) {
	c := newCard(receiver.Copy{ID: "x", Version: `W/"3"`, Resource: []byte(`{
		"schemas": ["urn:x"], "id": "x", "meta": {"version": "W/\"3\""}, "active": false,
		"name": {"givenName": "Ana", "familyName": "de la Cruz"}, "title": "Pilot",
		"emails": [{"value": "a@example.com", "type": "work"}, {"value": "b@example.com"}, {"type": "home"}],
		"groups": [{"value": "g1", "display": "Pilots"}],
		"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": "Harbour"}}`)})
	if c.Name != "Ana de la Cruz" || c.Initials != "AC" || !c.Inactive {
		t.Errorf("%+v", c)
	}
	if got, want := fmt.Sprint(c.Facts), "[{title Title Pilot} {department Department Harbour} {name Full name Ana de la Cruz} {emails Mail a@example.com (work)\nb@example.com} {groups Groups Pilots}]"; got != want {
		t.Errorf("facts %s\nwant  %s", got, want)
	}
	if got := strings.Join(c.Held, " "); got != "active department emails groups name title" {
		t.Errorf("held %s", got)
	}
	if c := newCard(receiver.Copy{ID: "x", Resource: []byte(`{}`)}); c.Name != "A member" || c.Inactive {
		t.Errorf("empty resource: %+v", c)
	}
}

// TestSnapshotAndNews: what was heard while a snapshot was on its way is newer than the snapshot.
func TestSnapshotAndNews(t *testing.T) {
	var r roster
	r.set("old", true)
	r.set("stays", true)
	since := r.begin()
	r.set("came", true)
	r.set("left", false)
	r.replace(map[string]bool{"stays": true, "left": true, "new": true}, since)
	ids, ended := r.sharing()
	if got := strings.Join(ids, " "); got != "came new stays" || ended != 2 {
		t.Errorf("sharing %s, ended %d", got, ended)
	}
	since = r.begin()
	r.set("stays", true)
	r.end("stays", since) // the fetch began before the news
	r.end("new", since)
	if ids, _ := r.sharing(); strings.Join(ids, " ") != "came stays" {
		t.Errorf("sharing %v", ids)
	}
}

// FuzzCard: whatever a hub answers becomes a card, and nothing of it becomes markup.
func FuzzCard(f *testing.F) {
	for _, seed := range []string{`{}`, `[]`, `null`, `{"displayName":"<script>"}`, `{"emails":[[["x"]],{"value":{"value":"deep"}}]}`, `{"name":{"formatted":7}}`, `{"urn:x":{"id":1}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, resource []byte) {
		c := newCard(receiver.Copy{ID: "x", Resource: json.RawMessage(resource)})
		if c.Name == "" || c.Initials == "" {
			t.Errorf("a card without a name: %+v", c)
		}
		var html bytes.Buffer
		if err := pages.ExecuteTemplate(&html, "card", page{Card: c}); err != nil {
			t.Fatal(err)
		}
		if shown := template.HTMLEscapeString(c.Name); !strings.Contains(html.String(), strings.ReplaceAll(shown, "+", "&#43;")) && strings.ContainsAny(c.Name, "<>") {
			t.Errorf("the name is not shown as text: %s", html.String())
		}
	})
}

// FuzzKID: the name of a key is read from strangers' bytes before anything was verified.
func FuzzKID(f *testing.F) {
	for _, seed := range []string{"", ".", "e30.e30.x", "eyJraWQiOiJrMSJ9.e30.x", "eyJraWQiOjF9..", strings.Repeat("A", 4096)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, compact []byte) {
		if got := kid(compact); len(got) > len(compact) {
			t.Errorf("%d bytes from %d", len(got), len(compact))
		}
	})
	if got := kid([]byte("eyJraWQiOiJrMSJ9.e30.x")); got != "k1" {
		f.Errorf("kid is %q", got)
	}
}
