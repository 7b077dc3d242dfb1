package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tidings/consent"
	"tidings/events"
	"tidings/hub"
	"tidings/hub/schema"
	"tidings/hub/store/sqlite"
	"tidings/web"
	"tidings/web/api"
)

// world is a hub with one person, and two parties of which the first has a grant.
type world struct {
	t                       testing.TB
	hub                     *hub.Hub
	handler                 http.Handler
	url                     string
	party, other, directory string // tokens
	partyID                 hub.ID
	grant                   *hub.Grant
	person                  hub.ID
	subject                 string
	now                     time.Time
}

func open(t testing.TB) *world {
	t.Helper()
	ctx := t.Context()
	store, err := sqlite.Open(ctx, filepath.Join(t.TempDir(), "hub.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	log := slog.New(slog.DiscardHandler)
	wd := &world{t: t, now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
	wd.hub, err = hub.Open(ctx, store, hub.NewKeyFile(), hub.Config{Issuer: "https://hub.example", Log: log, Now: func() time.Time { return wd.now }})
	if err != nil {
		t.Fatal(err)
	}
	party, token, err := wd.hub.AddParty(ctx, "test", hub.PartyRequest{Name: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	wd.party, wd.partyID = token, party.ID
	if _, wd.other, err = wd.hub.AddParty(ctx, "test", hub.PartyRequest{Name: "other"}); err != nil {
		t.Fatal(err)
	}
	if _, wd.directory, err = wd.hub.AddToken(ctx, hub.TokenRequest{Role: hub.RoleDirectory, Name: "directory"}); err != nil {
		t.Fatal(err)
	}
	wd.report(map[string]any{"userName": "ada", "title": "Countess", "nickName": "A"})
	wd.give(0)
	page := wd.page("")
	wd.subject = page.Changes[0].ID
	handler, err := web.New(web.Config{
		Issuer: wd.hub.Issuer(), Log: log, Metrics: prometheus.NewRegistry(), Auth: wd.hub,
		Ready: func(context.Context) error { return nil },
	}, api.Routes(wd.hub))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	wd.handler, wd.url = handler, server.URL
	return wd
}

func (wd *world) report(attributes map[string]any) {
	wd.t.Helper()
	results, err := wd.hub.Ingest(wd.t.Context(), hub.Report{Source: "test", Key: "ada", Type: schema.User, Resource: &schema.Resource{Attributes: attributes, Active: true}})
	if err != nil || results[0].Err != nil {
		wd.t.Fatal(err, results)
	}
	wd.person = results[0].Entry.ID
}

func (wd *world) give(purposes consent.Purposes) {
	wd.t.Helper()
	var err error
	wd.grant, err = wd.hub.Grant(wd.t.Context(), "test", hub.GrantRequest{UserName: "ada", Party: wd.partyID, Attributes: []string{"userName", "title"}, Purposes: purposes})
	if err != nil {
		wd.t.Fatal(err)
	}
}

func (wd *world) page(cursor string) events.Page {
	wd.t.Helper()
	page, err := wd.hub.Delta(wd.t.Context(), hub.Caller{Role: hub.RoleParty, Party: wd.partyID}, cursor, 100, 0)
	if err != nil {
		wd.t.Fatal(err)
	}
	return page
}

type answer struct {
	status int
	header http.Header
	raw    []byte
}

func (a answer) into(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal(a.raw, v); err != nil {
		t.Fatalf("%v: %s", err, a.raw)
	}
}

func (wd *world) send(token, method, path, body string, headers ...string) answer {
	wd.t.Helper()
	r, err := http.NewRequestWithContext(wd.t.Context(), method, wd.url+path, strings.NewReader(body))
	if err != nil {
		wd.t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		wd.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		wd.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, raw}
}

func (wd *world) problem(status int, kind, token, method, path, body string, headers ...string) map[string]any {
	wd.t.Helper()
	a := wd.send(token, method, path, body, headers...)
	var p map[string]any
	a.into(wd.t, &p)
	if a.status != status || p["type"] != "urn:tidings:problem:"+kind || a.header.Get("Content-Type") != "application/problem+json" || a.header.Get("Cache-Control") != "no-store" {
		wd.t.Errorf("%s %s: %d %s, want %d %s", method, path, a.status, a.raw, status, kind)
	}
	if wantChallenge := status == 401 || status == 403; wantChallenge != (a.header.Get("WWW-Authenticate") != "") {
		wd.t.Errorf("%s %s: %d with WWW-Authenticate %q", method, path, a.status, a.header.Get("WWW-Authenticate"))
	}
	return p
}

// DR-01, DR-02, DR-05: a snapshot, then only what changed, then the end of the grant.
func TestDelta(t *testing.T) {
	wd := open(t)
	read := func(query string) (page struct {
		Changes   []map[string]any
		Cursor    string
		More      bool
		ExpiresIn int64 `json:"expires_in"`
	}) {
		a := wd.send(wd.party, "GET", "/delta"+query, "")
		if a.status != 200 || a.header.Get("Cache-Control") != "no-store" || a.header.Get("Content-Type") != "application/json" {
			t.Fatalf("%d %v %s", a.status, a.header, a.raw)
		}
		a.into(t, &page)
		return page
	}
	first := read("")
	if len(first.Changes) != 1 || first.Changes[0]["change"] != "added" || first.More || first.ExpiresIn != 30*24*3600 {
		t.Fatalf("snapshot: %+v", first)
	}
	if c, err := url.QueryUnescape(first.Cursor); err != nil || c != first.Cursor {
		t.Error("the cursor has to be quoted in a URL")
	}
	from := read("?cursor=now")
	wd.report(map[string]any{"userName": "ada", "title": "Lady", "nickName": "B"})
	for _, cursor := range []string{first.Cursor, from.Cursor} {
		next := read("?limit=1&cursor=" + cursor)
		if len(next.Changes) != 1 || fmt.Sprint(next.Changes[0]["attributes"]) != "[title]" || next.Changes[0]["change"] != "updated" {
			t.Errorf("update: %+v", next)
		}
	}
	if err := wd.hub.Revoke(t.Context(), "test", wd.grant.ID); err != nil {
		t.Fatal(err)
	}
	last := read("?cursor=" + first.Cursor)
	if len(last.Changes) != 1 || last.Changes[0]["change"] != "removed" || last.Changes[0]["reason"] != "ended" || last.Changes[0]["attributes"] != nil || last.Changes[0]["max_age"] != nil {
		t.Errorf("removal: %+v", last)
	}
	if again := read("?limit=5000&cursor=" + last.Cursor); len(again.Changes) != 0 || again.More {
		t.Errorf("after the end: %+v", again)
	}
}

// DR-06: altered, foreign and old cursors; and other mistakes.
func TestDeltaRefuses(t *testing.T) {
	wd := open(t)
	own := wd.page("").Cursor
	foreign := wd.send(wd.other, "GET", "/delta", "")
	var page events.Page
	foreign.into(t, &page)
	if len(page.Changes) != 0 {
		t.Errorf("another party sees %v", page.Changes)
	}
	altered := []byte(own)
	altered[20] ^= 1
	for _, cursor := range []string{"x", string(altered), own[:len(own)-2], page.Cursor, strings.Repeat("A", 5000)} {
		wd.problem(400, "cursor-invalid", wd.party, "GET", "/delta?cursor="+url.QueryEscape(cursor), "")
	}
	for _, query := range []string{"limit=0", "limit=-1", "limit=x", "limit=1&limit=2", "wait=-1", "wait=1s", "wait=99999999999999999999", "cursor=" + own + "&cursor=" + own} {
		wd.problem(400, "bad-request", wd.party, "GET", "/delta?"+query, "")
	}
	wd.problem(401, "unauthenticated", "", "GET", "/delta", "")
	wd.problem(401, "unauthenticated", "tdg_wrong", "GET", "/delta", "")
	wd.problem(403, "forbidden", wd.directory, "GET", "/delta", "")
	if wd.send("", "GET", "/delta?access_token="+wd.party, "").status != 400 {
		t.Error("AU-07: a token in the query was taken")
	}
}

// Another history, another generation, a forgotten past: 410 with the way to start anew.
func TestCursorExpired(t *testing.T) {
	wd := open(t)
	another := open(t)
	p := wd.problem(410, "cursor-expired", wd.party, "GET", "/delta?cursor="+another.page("").Cursor, "")
	if p["restart"] != "/delta" {
		t.Errorf("restart: %v", p["restart"])
	}
}

// A page that waits is answered when something comes.
func TestDeltaWaits(t *testing.T) {
	wd := open(t)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- wd.hub.Run(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	cursor := wd.page("").Cursor
	got := make(chan answer, 1)
	go func() { got <- wd.send(wd.party, "GET", "/delta?wait=60&cursor="+cursor, "") }()
	wd.report(map[string]any{"userName": "ada", "title": "Lady"})
	select {
	case a := <-got:
		if a.status != 200 || !bytes.Contains(a.raw, []byte(`"title"`)) {
			t.Errorf("%d %s", a.status, a.raw)
		}
	case <-time.After(20 * time.Second):
		t.Error("the page still waits")
	}
}

// Values: granted ones only, with a lifetime and a version, and 304 as the cheap answer.
func TestSubject(t *testing.T) {
	wd := open(t)
	a := wd.send(wd.party, "GET", "/subjects/"+wd.subject, "")
	var resource map[string]any
	a.into(t, &resource)
	if a.status != 200 || resource["userName"] != "ada" || resource["title"] != "Countess" || resource["nickName"] != nil || resource["id"] != wd.subject {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	var age int
	if n, err := fmt.Sscanf(a.header.Get("Cache-Control"), "private, max-age=%d", &age); n != 1 || err != nil || age <= 0 {
		t.Errorf("Cache-Control %q", a.header.Get("Cache-Control"))
	}
	item := wd.page("").Changes[0]
	if *item.MaxAge != int64(age) || item.Version != a.header.Get("ETag") {
		t.Errorf("the page says %d %s, the fetch %d %s", *item.MaxAge, item.Version, age, a.header.Get("ETag"))
	}
	if a.header.Get("Content-Type") != "application/scim+json" || a.header.Get("Vary") != "Authorization" {
		t.Errorf("headers %v", a.header)
	}
	etag := a.header.Get("ETag")
	for _, match := range []string{etag, `"x", ` + etag, strings.TrimPrefix(etag, "W/"), "*"} {
		same := wd.send(wd.party, "GET", "/subjects/"+wd.subject, "", "If-None-Match", match)
		if same.status != 304 || len(same.raw) != 0 || same.header.Get("ETag") != etag || same.header.Get("Cache-Control") != a.header.Get("Cache-Control") {
			t.Errorf("If-None-Match %s: %d %v", match, same.status, same.header)
		}
	}
	wd.report(map[string]any{"userName": "ada", "title": "Countess", "nickName": "C"})
	if same := wd.send(wd.party, "GET", "/subjects/"+wd.subject, "", "If-None-Match", etag); same.status != 304 {
		t.Error("a change of what was not granted is visible in the version")
	}
	wd.report(map[string]any{"userName": "ada", "title": "Lady"})
	if other := wd.send(wd.party, "GET", "/subjects/"+wd.subject, "", "If-None-Match", etag); other.status != 200 {
		t.Error("a change is not visible in the version")
	}
}

// The table of what each purpose gives, and what is left after the end. Foreign and unknown are alike.
func TestSubjectRefuses(t *testing.T) {
	wd := open(t)
	path := "/subjects/" + wd.subject
	for _, id := range []string{"x", wd.person.String(), strings.Repeat("A", 3000), "%00", wd.subject + "x"} {
		wd.problem(404, "not-found", wd.party, "GET", "/subjects/"+id, "")
	}
	foreign := wd.send(wd.other, "GET", path, "")
	unknown := wd.send(wd.other, "GET", "/subjects/x", "")
	if foreign.status != 404 || !bytes.Equal(foreign.raw, unknown.raw) {
		t.Errorf("foreign %d %s, unknown %d %s", foreign.status, foreign.raw, unknown.status, unknown.raw)
	}
	wd.problem(401, "unauthenticated", "", "GET", path, "")
	wd.problem(403, "forbidden", wd.directory, "GET", path, "")
	wd.problem(405, "method", wd.party, "DELETE", path, "")
	wd.give(consent.Notify)
	wd.problem(403, "no-transfer", wd.party, "GET", path, "")
	if err := wd.hub.Revoke(t.Context(), "test", wd.grant.ID); err != nil {
		t.Fatal(err)
	}
	wd.problem(410, "grant-ended", wd.party, "GET", path, "", "If-None-Match", "*")
}

// PR-01: the answer is the same for subjects that are known, unknown and foreign.
func TestTickets(t *testing.T) {
	wd := open(t)
	subject, err := json.Marshal(wd.page("").Changes[0].Subject)
	if err != nil {
		t.Fatal(err)
	}
	for token, body := range map[string]string{
		wd.party: `{"subjects":[` + string(subject) + `]}`,
		wd.other: `{"subjects":[` + string(subject) + `,{"format":"opaque","id":"x"},{"format":"email","email":"a@example.com"}]}`,
	} {
		a := wd.send(token, "POST", "/live/tickets", body)
		var ticket struct {
			Ticket    string `json:"ticket"`
			ExpiresIn int    `json:"expires_in"`
		}
		a.into(t, &ticket)
		if a.status != 200 || ticket.Ticket == "" || ticket.ExpiresIn != 120 {
			t.Errorf("%d %s", a.status, a.raw)
		}
		taken, err := wd.hub.TakeTicket(t.Context(), ticket.Ticket)
		if err != nil {
			t.Fatal(err)
		}
		if knows := len(taken.Entries) == 1; knows != (token == wd.party) {
			t.Errorf("the ticket hears of %d", len(taken.Entries))
		}
	}
	many := `{"subjects":[` + strings.Repeat(`{"format":"opaque","id":"x"},`, hub.MaxTicketSubjects) + string(subject) + `]}`
	for _, body := range []string{`{}`, `{"subjects":[]}`, `{"subjects":null}`, `{"subjects":{}}`, `{"subjects":[null]}`, `{"subjects":["x"]}`, `{"subjects":[{"format":"no such"}]}`, many} {
		wd.problem(400, "bad-request", wd.party, "POST", "/live/tickets", body)
	}
	wd.problem(413, "too-large", wd.party, "POST", "/live/tickets", `{"subjects":"`+strings.Repeat("x", 70000)+`"}`)
	wd.problem(415, "media-type", wd.party, "POST", "/live/tickets", `{}`, "Content-Type", "text/plain")
	wd.problem(401, "unauthenticated", "", "POST", "/live/tickets", `{}`)
	wd.problem(403, "forbidden", wd.directory, "POST", "/live/tickets", `{}`)
}

// FuzzParty sends anything as a query, an id and a body: never a 5xx.
func FuzzParty(f *testing.F) {
	wd := open(f)
	for _, seed := range [][3]string{{"limit=1&cursor=now", "x", `{"subjects":[{"format":"opaque","id":"x"}]}`}, {"cursor=%00&wait=", "%2F", `{"subjects":[[]]}`}, {"cursor=" + wd.page("").Cursor, wd.subject, "{"}} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, query, id, body string) {
		for _, to := range [][2]string{{"GET", "/delta"}, {"GET", "/subjects/" + url.PathEscape(id)}, {"POST", "/live/tickets"}} {
			r := httptest.NewRequest(to[0], to[1], strings.NewReader(body))
			if values, err := url.ParseQuery(query); err == nil && values.Get("wait") == "" {
				r.URL.RawQuery = query
			}
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Authorization", "Bearer "+wd.party)
			w := httptest.NewRecorder()
			wd.handler.ServeHTTP(w, r)
			if w.Code >= 500 {
				t.Errorf("%s %s: %d %s", to[0], to[1], w.Code, w.Body)
			}
		}
	})
}
