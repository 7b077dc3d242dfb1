package scim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"tidings/hub"
	"tidings/hub/source/scim"
	"tidings/hub/store/sqlite"
	"tidings/web"
)

// service is a hub with its SCIM door, as the program composes them.
type service struct {
	t                          testing.TB
	hub                        *hub.Hub
	handler                    http.Handler
	url                        string
	directory, operator, party string // tokens
}

func serve(t testing.TB) *service {
	t.Helper()
	ctx := t.Context()
	store, err := sqlite.Open(ctx, filepath.Join(t.TempDir(), "hub.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	log := slog.New(slog.DiscardHandler)
	h, err := hub.Open(ctx, store, hub.NewKeyFile(), hub.Config{Issuer: "https://hub.example", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	s := &service{t: t, hub: h}
	if _, s.directory, err = h.AddToken(ctx, hub.TokenRequest{Role: hub.RoleDirectory, Name: "directory"}); err != nil {
		t.Fatal(err)
	}
	if _, s.operator, err = h.AddToken(ctx, hub.TokenRequest{Role: hub.RoleOperator, Name: "operator"}); err != nil {
		t.Fatal(err)
	}
	if _, s.party, err = h.AddParty(ctx, "test", hub.PartyRequest{Name: "shop"}); err != nil {
		t.Fatal(err)
	}
	handler, err := web.New(web.Config{
		Issuer: h.Issuer(), Log: log, Metrics: prometheus.NewRegistry(), Auth: h,
		Ready: func(context.Context) error { return nil },
	}, []web.Route{{Pattern: scim.Path + "/*", Handler: scim.New(h, log)}})
	if err != nil {
		t.Fatal(err)
	}
	s.handler = handler
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	s.url = server.URL + scim.Path
	return s
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   map[string]any
}

// send makes a request with the directory's token; headers are name, value pairs that replace its defaults.
func (s *service) send(method, path, body string, headers ...string) answer {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.directory)
	if body != "" {
		r.Header.Set("Content-Type", "application/scim+json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Del(headers[i])
		if headers[i+1] != "" {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	a := answer{status: res.StatusCode, header: res.Header}
	if len(raw) > 0 {
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		if err := d.Decode(&a.body); err != nil {
			s.t.Fatalf("%s %s: answer is not JSON: %v: %s", method, path, err, raw)
		}
	}
	return a
}

// want sends and checks the status.
func (s *service) want(status int, method, path, body string, headers ...string) answer {
	s.t.Helper()
	a := s.send(method, path, body, headers...)
	if a.status != status {
		s.t.Fatalf("%s %s: status %d, want %d: %v", method, path, a.status, status, a.body)
	}
	return a
}

// refused sends and checks that the answer is an error in SCIM's form (RFC 7644 §3.12).
func (s *service) refused(status int, scimType, method, path, body string, headers ...string) answer {
	s.t.Helper()
	a := s.want(status, method, path, body, headers...)
	got, _ := a.body["scimType"].(string)
	if a.body["status"] != fmt.Sprint(status) || got != scimType || a.header.Get("Content-Type") != "application/scim+json" ||
		!strings.Contains(fmt.Sprint(a.body["schemas"]), "api:messages:2.0:Error") {
		s.t.Fatalf("%s %s: not the error %d %q of SCIM: %v %v", method, path, status, scimType, a.header, a.body)
	}
	return a
}

func (s *service) head() int64 {
	s.t.Helper()
	head, err := s.hub.Head(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return head.Position
}

const ada = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"chosen","userName":"ada","name":{"givenName":"Ada","familyName":"King"},
"emails":[{"value":"ada@example.com","type":"work"}],"title":"Countess","password":"s3cret","externalId":"7"}`

func (s *service) user(userName string) string {
	s.t.Helper()
	return s.want(201, "POST", "/Users", `{"userName":"`+userName+`"}`).body["id"].(string)
}

// SM-10, SM-11, SM-13, SM-70, SH-01, SH-03: what is created can be read back, under the hub's own id.
func TestCreateAndRead(t *testing.T) {
	s := serve(t)
	made := s.want(201, "POST", "/Users", ada)
	id := made.body["id"].(string)
	meta := made.body["meta"].(map[string]any)
	if id == "chosen" || made.header.Get("Location") != "https://hub.example/scim/v2/Users/"+id || meta["location"] != made.header.Get("Location") {
		t.Errorf("id and location: %v %v", made.header, made.body)
	}
	if meta["resourceType"] != "User" || meta["version"] != made.header.Get("ETag") || meta["created"] != meta["lastModified"] {
		t.Errorf("meta: %v, ETag %s", meta, made.header.Get("ETag"))
	}
	got := s.want(200, "GET", "/Users/"+id, "")
	for name, want := range map[string]any{"userName": "ada", "title": "Countess", "externalId": "7", "active": true} {
		if got.body[name] != want {
			t.Errorf("%s is %v, want %v", name, got.body[name], want)
		}
	}
	if _, shown := got.body["password"]; shown {
		t.Error("the password was kept")
	}
	if got.header.Get("ETag") != made.header.Get("ETag") || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers: %v", got.header)
	}
	if plain := s.want(200, "GET", "/Users/"+id, "", "Accept", "application/json"); plain.header.Get("Content-Type") != "application/json" {
		t.Error("SM-06: plain JSON was asked for")
	}
	s.refused(404, "", "GET", "/Groups/"+id, "")
	s.refused(404, "", "GET", "/Users/nobody", "")
	s.refused(404, "", "GET", "/Users/"+hub.NewID().String(), "")
	s.refused(404, "", "GET", "/Users/"+id+"/more", "")
	s.refused(404, "", "GET", "/Nothing", "")
}

// SM-12: a userName is taken in any case; groups may share a name.
func TestUniqueness(t *testing.T) {
	s := serve(t)
	s.want(201, "POST", "/Users", ada)
	before := s.head()
	s.refused(409, "uniqueness", "POST", "/Users", `{"userName":"ADA"}`)
	other := s.user("grace")
	s.refused(409, "uniqueness", "PATCH", "/Users/"+other, op(`{"op":"replace","path":"userName","value":"Ada"}`))
	s.want(201, "POST", "/Groups", `{"displayName":"all"}`)
	s.want(201, "POST", "/Groups", `{"displayName":"all"}`)
	if after := s.head(); after != before+3 {
		t.Errorf("refused writes left %d lines", after-before-3)
	}
}

func op(operations string) string {
	return `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[` + operations + `]}`
}

// SM-14, SM-15: PUT replaces and never creates.
func TestReplace(t *testing.T) {
	s := serve(t)
	id := s.want(201, "POST", "/Users", ada).body["id"].(string)
	got := s.want(200, "PUT", "/Users/"+id, `{"userName":"ada","title":"Lady"}`)
	if got.body["title"] != "Lady" || got.body["emails"] != nil || got.body["id"] != id {
		t.Errorf("PUT left %v", got.body)
	}
	before := s.head()
	same := s.want(200, "PUT", "/Users/"+id, `{"userName":"ada","title":"Lady","emails":[],"nickName":null}`)
	if s.head() != before || same.header.Get("ETag") != got.header.Get("ETag") {
		t.Error("SM-73: the same facts again made a change")
	}
	s.refused(404, "", "PUT", "/Users/"+hub.NewID().String(), `{"userName":"x"}`)
	s.refused(404, "", "PUT", "/Groups/"+id, `{"displayName":"x"}`)
	s.refused(400, "invalidValue", "PUT", "/Users/"+id, `{"title":"nobody"}`)
}

// SM-40 to SM-49 are the rules of hub/schema; here: they are applied, all or nothing, and equal values make no change (SM-45).
func TestPatch(t *testing.T) {
	s := serve(t)
	id := s.want(201, "POST", "/Users", ada).body["id"].(string)
	got := s.want(200, "PATCH", "/Users/"+id, op(`{"op":"Replace","path":"title","value":"Lady"},{"op":"add","path":"name.middleName","value":"Byron"}`))
	if got.body["title"] != "Lady" || got.body["name"].(map[string]any)["middleName"] != "Byron" {
		t.Errorf("patched: %v", got.body)
	}
	before := s.head()
	s.want(200, "PATCH", "/Users/"+id, op(`{"op":"add","path":"title","value":"Lady"}`))
	s.refused(400, "noTarget", "PATCH", "/Users/"+id, op(`{"op":"replace","path":"title","value":"Queen"},{"op":"remove"}`))
	s.refused(400, "mutability", "PATCH", "/Users/"+id, op(`{"op":"remove","path":"userName"}`))
	s.refused(400, "invalidPath", "PATCH", "/Users/"+id, op(`{"op":"add","path":"no such[","value":"x"}`))
	s.refused(400, "invalidSyntax", "PATCH", "/Users/"+id, `{"Operations":`)
	if s.head() != before || s.send("GET", "/Users/"+id, "").body["title"] != "Lady" {
		t.Error("SM-43: a refused patch changed something")
	}
	disabled := s.want(200, "PATCH", "/Users/"+id, op(`{"op":"Replace","path":"active","value":"False"}`))
	if disabled.body["active"] != false {
		t.Error("the way Entra ID disables did not")
	}
	changes, err := s.hub.Changes(t.Context(), before, 10)
	if err != nil || len(changes) == 0 || changes[0].Kind != hub.DisabledEntry || changes[0].Source != scim.Source || changes[0].Actor == "" {
		t.Errorf("the log: %+v %v", changes, err)
	}
}

// SM-16: what was deleted is gone for every method and query, and its userName is free.
func TestDelete(t *testing.T) {
	s := serve(t)
	id := s.user("ada")
	if a := s.want(204, "DELETE", "/Users/"+id, ""); a.body != nil {
		t.Errorf("body: %v", a.body)
	}
	for _, method := range []string{"GET", "DELETE", "PUT", "PATCH"} {
		s.refused(404, "", method, "/Users/"+id, "")
	}
	if got := s.want(200, "GET", `/Users?filter=userName%20eq%20%22ada%22`, ""); got.body["totalResults"] != json.Number("0") {
		t.Errorf("still listed: %v", got.body)
	}
	if again := s.user("ada"); again == id {
		t.Error("SH-01: the id was used again")
	}
}

// SM-71, SM-72: versions.
func TestVersions(t *testing.T) {
	s := serve(t)
	made := s.want(201, "POST", "/Users", ada)
	path, first := "/Users/"+made.body["id"].(string), made.header.Get("ETag")
	if !strings.HasPrefix(first, `W/"`) {
		t.Errorf("ETag %q is not weak", first)
	}
	if a := s.want(304, "GET", path, "", "If-None-Match", first); a.header.Get("ETag") != first {
		t.Error("304 without ETag")
	}
	s.want(304, "GET", path, "", "If-None-Match", `"x", `+strings.TrimPrefix(first, "W/"))
	s.want(200, "GET", path, "", "If-None-Match", `W/"x"`)
	second := s.want(200, "PATCH", path, op(`{"op":"replace","path":"title","value":"Lady"}`), "If-Match", first).header.Get("ETag")
	before := s.head()
	s.refused(412, "", "PATCH", path, op(`{"op":"replace","path":"title","value":"Queen"}`), "If-Match", first)
	s.refused(412, "", "PUT", path, ada, "If-Match", first)
	s.refused(412, "", "DELETE", path, "", "If-Match", first)
	if s.head() != before || second == first {
		t.Error("a refused write changed something")
	}
	s.want(200, "PUT", path, ada, "If-Match", "*")
	s.want(204, "DELETE", path, "", "If-Match", s.send("GET", path, "").header.Get("ETag"))
}

// SM-72: of several writers who saw the same version one gets through, however close they are.
func TestVersionRace(t *testing.T) {
	s := serve(t)
	made := s.want(201, "POST", "/Users", ada)
	path, tag := "/Users/"+made.body["id"].(string), made.header.Get("ETag")
	status := make(chan int)
	const writers = 12
	for i := range writers {
		go func() {
			status <- s.send("PATCH", path, op(fmt.Sprintf(`{"op":"replace","path":"title","value":"title %d"}`, i)), "If-Match", tag).status
		}()
	}
	count := map[int]int{}
	for range writers {
		count[<-status]++
	}
	if count[200] != 1 || count[412] != writers-1 {
		t.Errorf("answers: %v", count)
	}
}

// SM-73: a person's groups are part of the resource, and so of its version.
func TestGroups(t *testing.T) {
	s := serve(t)
	id := s.user("ada")
	before := s.want(200, "GET", "/Users/"+id, "").header.Get("ETag")
	group := s.want(201, "POST", "/Groups", `{"displayName":"engineers","members":[{"value":"`+id+`"}]}`)
	path := "/Groups/" + group.body["id"].(string)
	got := s.want(200, "GET", "/Users/"+id, "")
	if !strings.Contains(fmt.Sprint(got.body["groups"]), "engineers") || got.header.Get("ETag") == before {
		t.Errorf("groups of the member: %v, ETag %s", got.body, got.header.Get("ETag"))
	}
	if a := s.want(200, "GET", path+"?excludedAttributes=members", ""); a.body["members"] != nil || a.body["displayName"] != "engineers" {
		t.Errorf("SM-17: %v", a.body)
	}
	if a := s.want(204, "PATCH", path, op(`{"op":"Remove","path":"members","value":[{"value":"`+id+`"}]}`)); a.header.Get("ETag") == "" {
		t.Error("SM-44: 204 without ETag")
	}
	if a := s.want(200, "GET", "/Users/"+id, ""); a.body["groups"] != nil {
		t.Errorf("still a member: %v", a.body)
	}
	if a := s.want(200, "PATCH", path+"?attributes=members", op(`{"op":"add","path":"members","value":[{"value":"`+id+`"}]}`)); a.body["members"] == nil || a.body["displayName"] != nil {
		t.Errorf("SM-44: attributes were asked for: %v", a.body)
	}
	if a := s.want(200, "GET", `/Users?filter=groups.value%20eq%20%22`+group.body["id"].(string)+`%22`, ""); a.body["totalResults"] != json.Number("1") {
		t.Errorf("filter by group: %v", a.body)
	}
	if a := s.want(200, "GET", `/Groups?filter=members.value%20eq%20%22`+id+`%22`, ""); a.body["totalResults"] != json.Number("1") {
		t.Errorf("filter by member: %v", a.body)
	}
}

// SM-20, SM-21, SM-23, SM-34: lists and filters.
func TestList(t *testing.T) {
	s := serve(t)
	if a := s.want(200, "GET", "/Users?startIndex=1&count=2", ""); a.body["totalResults"] != json.Number("0") || a.body["Resources"] != nil {
		t.Errorf("empty: %v", a.body)
	}
	s.want(201, "POST", "/Users", ada)
	for i := range 6 {
		s.user(fmt.Sprintf("user%d", i))
	}
	s.want(201, "POST", "/Groups", `{"displayName":"no user"}`)
	for _, c := range []struct {
		query        string
		total, items int
	}{
		{"", 7, 7},
		{"?count=3", 7, 3},
		{"?startIndex=4&count=3", 7, 3},
		{"?startIndex=7&count=3", 7, 1},
		{"?startIndex=8", 7, 0},
		{"?startIndex=99&count=3", 7, 0},
		{"?startIndex=-5&count=1", 7, 1},
		{"?count=0", 7, 0},
		{"?count=-1", 7, 0},
		{"?unknown=1&count=9999", 7, 7},
		{`?filter=userName+eq+"ADA"`, 1, 1},
		{`?filter=userName+eq+"ADA"&count=0`, 1, 0},
		{`?filter=username+Eq+"nobody"`, 0, 0},
		{`?filter=externalId+eq+"7"`, 1, 1},
		{`?filter=id+eq+"nobody"`, 0, 0},
		{`?filter=userName+sw+"user"&count=2&startIndex=2`, 6, 2},
		{`?filter=emails[type+eq+"work"].value+eq+"ada@example.com"`, 1, 1},
		{`?filter=emails[type+eq+"home"+and+value+co+"ada"]`, 0, 0},
		{`?filter=active+eq+false`, 0, 0},
	} {
		a := s.want(200, "GET", "/Users"+strings.ReplaceAll(c.query, `"`, "%22"), "")
		items, _ := a.body["Resources"].([]any)
		if a.body["totalResults"] != json.Number(fmt.Sprint(c.total)) || len(items) != c.items || a.body["itemsPerPage"] != json.Number(fmt.Sprint(c.items)) {
			t.Errorf("%s: %v of %v, want %d of %d", c.query, len(items), a.body["totalResults"], c.items, c.total)
		}
	}
	for _, query := range []string{`filter=userName+xx+"a"`, `filter=`, `filter=active+gt+true`, `filter=nonsense+eq+"a"`, `filter=password+eq+"a"`, "filter=" + strings.Repeat("(", 5000)} {
		s.refused(400, "invalidFilter", "GET", "/Users?"+strings.ReplaceAll(query, `"`, "%22"), "")
	}
	s.refused(400, "invalidValue", "GET", "/Users?count=many", "")
	s.refused(400, "invalidValue", "GET", "/Users?attributes=id&excludedAttributes=name", "")
}

// What is answered 400 for how the answer was to look has changed nothing.
func TestRefusedViewChangesNothing(t *testing.T) {
	s := serve(t)
	const view = "?attributes=title&excludedAttributes=name"
	s.refused(400, "invalidValue", "POST", "/Users"+view, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"nobody"}`)
	if a := s.want(200, "GET", "/Users?filter=userName+eq+%22nobody%22", ""); a.body["totalResults"] != json.Number("0") {
		t.Error("a person was made")
	}
	path := "/Users/" + s.user("ada")
	was := s.want(200, "GET", path, "").header.Get("ETag")
	s.refused(400, "invalidValue", "PUT", path+view, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"ada","title":"Countess"}`)
	s.refused(400, "invalidValue", "PATCH", path+view, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"add","path":"title","value":"Countess"}]}`)
	if is := s.want(200, "GET", path, "").header.Get("ETag"); is != was {
		t.Errorf("%s became %s", was, is)
	}
}

// Reading page after page gives everybody once, also when somebody in an earlier page went in between.
func TestPages(t *testing.T) {
	s := serve(t)
	want := map[string]bool{}
	for i := range 9 {
		want[s.user(fmt.Sprintf("user%d", i))] = true
	}
	seen := map[string]int{}
	for start := 1; start < 10; start += 2 {
		a := s.want(200, "GET", fmt.Sprintf("/Users?startIndex=%d&count=2&attributes=userName", start), "")
		for _, r := range a.body["Resources"].([]any) {
			seen[r.(map[string]any)["id"].(string)]++
			if start == 3 && len(seen) == 3 {
				s.want(204, "DELETE", "/Users/"+r.(map[string]any)["id"].(string), "")
			}
		}
	}
	for id := range want {
		if seen[id] != 1 {
			t.Errorf("%s was listed %d times", id, seen[id])
		}
	}
}

// SM-17: parts of resources.
func TestViews(t *testing.T) {
	s := serve(t)
	path := "/Users/" + s.want(201, "POST", "/Users", ada).body["id"].(string)
	for query, want := range map[string]string{
		"attributes=userName":                                  "id schemas userName",
		"attributes=id":                                        "id schemas",
		"attributes=NAME.givenName,meta":                       "id meta name schemas",
		"attributes=active,nonsense,password":                  "active id schemas",
		"excludedAttributes=name,emails,id":                    "active externalId id meta schemas title userName",
		"excludedAttributes=meta,active,title,name.familyName": "emails externalId id name schemas userName",
	} {
		a := s.want(200, "GET", path+"?"+query, "")
		var names []string
		for name := range a.body {
			names = append(names, name)
		}
		if got := sorted(names); got != want {
			t.Errorf("%s shows %s, want %s", query, got, want)
		}
	}
}
