package demo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tidings/hub"
	"tidings/hub/schema"
	"tidings/hub/store/sqlite"
)

const host = "127.0.0.1:8420"

// filled is a hub with the demo's directory, and the demo's pages.
type filled struct {
	t     *testing.T
	hub   *hub.Hub
	cast  Cast
	pages http.Handler
}

func fill(t *testing.T) *filled {
	t.Helper()
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "hub.db"))
	must(t, err)
	t.Cleanup(func() { _ = store.Close() })
	h, err := hub.Open(t.Context(), store, hub.NewKeyFile(), hub.Config{Issuer: "http://" + host})
	must(t, err)
	cast, err := Fill(t.Context(), h, "http://127.0.0.1:8421")
	must(t, err)
	pages, err := New(h, Config{URL: "http://" + host, Site: "http://127.0.0.1:8421", Party: cast.Party, Hub: http.NotFoundHandler(), Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	return &filled{t, h, cast, pages}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (f *filled) ask(method, path string, form url.Values) *httptest.ResponseRecorder {
	f.t.Helper()
	r := httptest.NewRequest(method, "http://"+host+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	f.pages.ServeHTTP(w, r)
	return w
}

func (f *filled) lead() *hub.Entry {
	f.t.Helper()
	e, err := f.hub.Entry(f.t.Context(), f.cast.Entry)
	must(f.t, err)
	return e
}

// form is what a browser sends when nothing was changed, with some fields changed.
func (f *filled) form(change ...string) url.Values {
	is := newForm(f.lead())
	form := url.Values{"version": {fmt.Sprint(is.Version)}, "displayName": {is.DisplayName}, "title": {is.Title}, "mail": {is.Mail}, "phone": {is.Phone}, "active": {"on"}}
	for i := 0; i < len(change); i += 2 {
		form.Set(change[i], change[i+1])
	}
	return form
}

func (f *filled) head() hub.Head {
	f.t.Helper()
	head, err := f.hub.Head(f.t.Context())
	must(f.t, err)
	return head
}

// TestFill: the whole directory goes in, and everybody who shares something is in it.
func TestFill(t *testing.T) {
	f := fill(t)
	for kind, want := range map[schema.Type]int{schema.User: 40, schema.Group: 4} {
		if _, total, err := f.hub.Entries(t.Context(), kind, hub.ID{}, 1); err != nil || total != want {
			t.Errorf("%d of type %s (%v)", total, kind, err)
		}
	}
	list, err := f.hub.Grants(t.Context(), f.cast.Party.ID, hub.ID{}, 100)
	if err != nil || len(list) != len(grants) {
		t.Errorf("%d grants (%v)", len(list), err)
	}
	if unresolved, err := f.hub.Unresolved(t.Context(), "people.ldif", 10); err != nil || len(unresolved) > 0 {
		t.Errorf("references that point at nobody: %v (%v)", unresolved, err)
	}
	for _, path := range []string{"/", "/demo/people", "/demo/grants", "/demo/people/" + f.cast.Entry.String()} {
		if w := f.ask("GET", path, nil); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "<strong>Demo</strong>") {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

// TestEdit: the form changes what it speaks of and nothing else, by one line that names exactly that.
func TestEdit(t *testing.T) {
	f := fill(t)
	path := "/demo/people/" + f.cast.Entry.String()
	before, began := f.lead(), f.head().Position
	w := f.ask("POST", path, f.form("title", "", "mail", "new@example.com"))
	if w.Code != http.StatusSeeOther {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	after := f.lead()
	if _, there := after.Attributes["title"]; there || first(after.Attributes["emails"]) != "new@example.com" {
		t.Errorf("title is there: %t, mail %s", there, first(after.Attributes["emails"]))
	}
	if got := schema.Diff(schema.User, before.Attributes, after.Attributes); !slices.Equal(got, []string{"emails", "title"}) {
		t.Errorf("changed %v", got)
	}
	if list := after.Attributes["emails"].([]any); len(list) != 2 {
		t.Errorf("the second address is gone: %d left", len(list))
	}
	line, err := f.hub.Changes(t.Context(), began, 1)
	must(t, err)
	if len(line) != 1 || !slices.Equal(line[0].Attributes, []string{"emails", "title"}) {
		t.Errorf("line %+v", line)
	}
	if at := w.Header().Get("Location"); !strings.HasPrefix(at, path+"?line=") {
		t.Errorf("goes to %s", at)
	}
	if w := f.ask("GET", strings.TrimSuffix(w.Header().Get("Location"), "#trail"), nil); !strings.Contains(w.Body.String(), "On its way to") {
		t.Errorf("the trail does not begin: %s", w.Body)
	}

	head := f.head()
	if w := f.ask("POST", path, f.form()); w.Code != http.StatusSeeOther || f.head().Position != head.Position {
		t.Errorf("nothing changed, and yet: %d, position %d", w.Code, f.head().Position)
	}
	if f.ask("POST", path, f.form("active", "")); f.lead().Active {
		t.Error("still active")
	}
}

// TestBadEdits: each is answered for what it is, and changes nothing.
func TestBadEdits(t *testing.T) {
	f := fill(t)
	groups, _, err := f.hub.Entries(t.Context(), schema.Group, hub.ID{}, 1)
	must(t, err)
	person := "/demo/people/" + f.cast.Entry.String()
	before := f.head()
	for name, test := range map[string]struct {
		path string
		form url.Values
		code int
	}{
		"somebody else was faster": {person, f.form("version", "999", "title", "x"), http.StatusConflict},
		"no version":               {person, f.form("version", "", "title", "x"), http.StatusBadRequest},
		"nobody":                   {"/demo/people/" + hub.NewID().String(), f.form(), http.StatusNotFound},
		"no id":                    {"/demo/people/x", f.form(), http.StatusNotFound},
		"a group":                  {"/demo/people/" + groups[0].ID.String(), f.form(), http.StatusNotFound},
		"no grant":                 {"/demo/grants/" + hub.NewID().String() + "/revoke", nil, http.StatusNotFound},
		"too large":                {person, f.form("title", strings.Repeat("x", 100<<10)), http.StatusBadRequest},
	} {
		if w := f.ask("POST", test.path, test.form); w.Code != test.code {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	if f.head().Position != before.Position {
		t.Error("something was changed")
	}
}

// TestTrailOfOthers: a change that no grant covers is told to nobody, and the page says so.
func TestTrailOfOthers(t *testing.T) {
	f := fill(t)
	for userName, want := range map[string]string{"cbrandl": "the grant does not cover", "rbell": "there is no grant"} {
		e, err := f.hub.EntryByUserName(t.Context(), userName)
		must(t, err)
		is := newForm(e)
		w := f.ask("POST", "/demo/people/"+e.ID.String(), url.Values{"version": {fmt.Sprint(is.Version)}, "displayName": {is.DisplayName},
			"title": {"Something Else"}, "mail": {is.Mail}, "phone": {is.Phone}, "active": {"on"}})
		w = f.ask("GET", strings.TrimSuffix(w.Header().Get("Location"), "#trail"), nil)
		if !strings.Contains(w.Body.String(), "Nobody was told") || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %s", userName, w.Body)
		}
	}
}

// TestRevokeAndGiveAgain: one click each, back to where the button was.
func TestRevokeAndGiveAgain(t *testing.T) {
	f := fill(t)
	list, err := f.hub.Grants(t.Context(), f.cast.Party.ID, hub.ID{}, 100)
	must(t, err)
	g := list[0]
	for _, step := range []struct{ do, state string }{{"revoke", "ended"}, {"revoke", "ended"}, {"give", "live"}} {
		if w := f.ask("POST", "/demo/grants/"+g.ID.String()+"/"+step.do, nil); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/demo/grants" {
			t.Fatalf("%s: %d %s", step.do, w.Code, w.Body)
		}
		now, err := f.hub.GrantByID(t.Context(), g.ID)
		must(t, err)
		if state(*now) != step.state || !slices.Equal(now.Terms.Attributes, g.Terms.Attributes) {
			t.Errorf("after %s: %s %v", step.do, state(*now), now.Terms.Attributes)
		}
	}
	w := f.ask("POST", "/demo/grants/"+g.ID.String()+"/revoke", url.Values{"back": {"person"}})
	if got := w.Header().Get("Location"); got != "/demo/people/"+g.Entry.String() {
		t.Errorf("back to %s", got)
	}
}

// TestLogFollows: a page hears of lines as they come, goes on where its connection broke, and never sees a value.
func TestLogFollows(t *testing.T) {
	f := fill(t)
	server := httptest.NewServer(f.pages)
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	stop := make(chan struct{})
	go func() { defer close(stop); _ = f.hub.Run(ctx) }()
	head := f.head().Position
	read := func(path, last string) *bufio.Scanner {
		r, err := http.NewRequestWithContext(ctx, "GET", server.URL+path, nil)
		must(t, err)
		r.Host = host
		r.Header.Set("Last-Event-ID", last)
		answer, err := http.DefaultClient.Do(r)
		must(t, err)
		t.Cleanup(func() { answer.Body.Close() })
		return bufio.NewScanner(answer.Body)
	}
	id := regexp.MustCompile(`^id: (\d+)$`)
	next := func(s *bufio.Scanner) string {
		for s.Scan() {
			if m := id.FindStringSubmatch(s.Text()); m != nil {
				return m[1]
			}
		}
		t.Fatalf("no line came: %v", s.Err())
		return ""
	}
	whole := read("/demo/log?after=0", "")
	if got := next(whole); got != "1" {
		t.Errorf("the first line is %s", got)
	}
	broken := read("/demo/log?after=0", fmt.Sprint(head-1))
	if got := next(broken); got != fmt.Sprint(head) {
		t.Errorf("after a broken connection: %s", got)
	}
	f.ask("POST", "/demo/people/"+f.cast.Entry.String(), f.form("title", "A Value That Nobody May See"))
	if got := next(broken); got != fmt.Sprint(head+1) {
		t.Errorf("the new line: %s", got)
	}
	text := f.ask("GET", "/", nil).Body.String()
	for whole.Scan() && !strings.Contains(whole.Text(), fmt.Sprintf("id: %d", head+1)) {
		text += whole.Text() + "\n"
	}
	for whole.Scan() && whole.Text() != "" {
		text += whole.Text() + "\n"
	}
	for _, value := range []string{"A Value", "Nora", "Fairley", "example.com", "1632"} {
		if strings.Contains(text, value) {
			t.Errorf("the log shows %q", value)
		}
	}
	if w := f.ask("GET", "/demo/log?after=x", nil); w.Code != http.StatusBadRequest {
		t.Errorf("a bad position: %d", w.Code)
	}
	cancel()
	<-stop
}

// TestOtherPathsAreTheHubs: the pages take nothing away from the hub's own faces.
func TestOtherPathsAreTheHubs(t *testing.T) {
	asked := ""
	h, err := New(nil, Config{URL: "http://" + host, Hub: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked = r.URL.Path })})
	must(t, err)
	for _, path := range []string{"/delta", "/scim/v2/Users", "/live", "/demos", "/.well-known/ssf-configuration"} {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "http://elsewhere"+path, nil))
		if asked != path {
			t.Errorf("%s was not passed on", path)
		}
	}
	if _, err := New(nil, Config{URL: ":"}); err == nil {
		t.Error("a URL that is none was taken")
	}
}

// TestCannotFill: a hub that fails is said so, with the step that failed.
func TestCannotFill(t *testing.T) {
	f := fill(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Fill(ctx, f.hub, "http://127.0.0.1:8421"); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "directory") {
		t.Errorf("%v", err)
	}
}
