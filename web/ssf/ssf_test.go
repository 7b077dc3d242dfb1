package ssf_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tidings/events"
	"tidings/hub"
	"tidings/hub/store/sqlite"
	"tidings/web"
	"tidings/web/ssf"
)

// transmitter is a hub with its management face and two receivers.
type transmitter struct {
	t                           testing.TB
	hub                         *hub.Hub
	handler                     http.Handler
	url                         string
	receiver, other, caep, scim string // tokens
	receiverParty               hub.Party
	now                         time.Time
}

func open(t testing.TB, issuer string) *transmitter {
	t.Helper()
	ctx := t.Context()
	store, err := sqlite.Open(ctx, filepath.Join(t.TempDir(), "hub.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	log := slog.New(slog.DiscardHandler)
	tr := &transmitter{t: t, now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
	tr.hub, err = hub.Open(ctx, store, hub.NewKeyFile(), hub.Config{Issuer: issuer, Log: log, Now: func() time.Time { return tr.now }})
	if err != nil {
		t.Fatal(err)
	}
	if tr.receiverParty, tr.receiver, err = tr.hub.AddParty(ctx, "test", hub.PartyRequest{Name: "shop"}); err != nil {
		t.Fatal(err)
	}
	if _, tr.other, err = tr.hub.AddParty(ctx, "test", hub.PartyRequest{Name: "other"}); err != nil {
		t.Fatal(err)
	}
	if _, tr.caep, err = tr.hub.AddParty(ctx, "test", hub.PartyRequest{Name: "caep", Profile: "caep"}); err != nil {
		t.Fatal(err)
	}
	if _, tr.scim, err = tr.hub.AddToken(ctx, hub.TokenRequest{Role: hub.RoleDirectory, Name: "directory"}); err != nil {
		t.Fatal(err)
	}
	routes, err := ssf.Routes(tr.hub)
	if err != nil {
		t.Fatal(err)
	}
	tr.handler, err = web.New(web.Config{
		Issuer: issuer, Log: log, Metrics: prometheus.NewRegistry(), Auth: tr.hub,
		Ready: func(context.Context) error { return nil },
	}, routes)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(tr.handler)
	t.Cleanup(server.Close)
	tr.url = server.URL
	return tr
}

type answer struct {
	status int
	header http.Header
	raw    []byte
	body   map[string]any
}

func (tr *transmitter) send(token, method, path, body string, headers ...string) answer {
	tr.t.Helper()
	r, err := http.NewRequestWithContext(tr.t.Context(), method, tr.url+path, strings.NewReader(body))
	if err != nil {
		tr.t.Fatal(err)
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
		tr.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		tr.t.Fatal(err)
	}
	a := answer{status: res.StatusCode, header: res.Header, raw: raw}
	_ = json.Unmarshal(raw, &a.body)
	return a
}

// want sends as the receiver and checks the status, and that nobody may store the answer (RD-04).
func (tr *transmitter) want(status int, method, path, body string) answer {
	tr.t.Helper()
	a := tr.send(tr.receiver, method, path, body)
	if a.status != status || a.header.Get("Cache-Control") != "no-store" {
		tr.t.Fatalf("%s %s %s: %d %v %s, want %d", method, path, body, a.status, a.header, a.raw, status)
	}
	return a
}

const (
	streams = "/ssf/streams"
	push    = `{"method":"urn:ietf:rfc:8935","endpoint_url":"https://shop.example/hook","authorization_header":"Bearer their-secret"}`
)

func (tr *transmitter) create(body string) (id string, a answer) {
	tr.t.Helper()
	a = tr.want(201, "POST", streams, body)
	return a.body["stream_id"].(string), a
}

// MD-01 to MD-12, MD-20, MD-21, MD-23, WK-01 to WK-05.
func TestMetadata(t *testing.T) {
	for issuer, path := range map[string]string{
		"https://hub.example":          "/.well-known/ssf-configuration",
		"https://hub.example/":         "/.well-known/ssf-configuration",
		"https://hub.example/issuer1":  "/.well-known/ssf-configuration/issuer1",
		"https://hub.example/issuer1/": "/.well-known/ssf-configuration/issuer1",
	} {
		tr := open(t, issuer)
		for _, slash := range []string{"", "/"} {
			a := tr.send("", "GET", path+slash, "")
			base := strings.TrimSuffix(issuer, "/")
			want := map[string]any{
				"spec_version": "1_0", "issuer": issuer, "jwks_uri": base + "/jwks.json",
				"configuration_endpoint": base + "/ssf/streams", "status_endpoint": base + "/ssf/status",
				"verification_endpoint": base + "/ssf/verify", "default_subjects": "ALL",
				"add_subject_endpoint": base + "/ssf/subjects:add", "remove_subject_endpoint": base + "/ssf/subjects:remove",
			}
			for name, value := range want {
				if a.body[name] != value {
					t.Errorf("%s: %s is %v, want %v", issuer, name, a.body[name], value)
				}
			}
			if a.status != 200 || a.header.Get("Content-Type") != "application/json" {
				t.Errorf("%s: %d %v", issuer, a.status, a.header)
			}
			for name, value := range a.body {
				if list, ok := value.([]any); ok && len(list) == 0 {
					t.Errorf("MD-20: %s is empty", name)
				}
			}
			methods := fmt.Sprint(a.body["delivery_methods_supported"])
			if !strings.Contains(methods, "rfc:8935") || !strings.Contains(methods, "rfc:8936") {
				t.Errorf("MD-04: %s", methods)
			}
			if fmt.Sprint(a.body["authorization_schemes"]) != "[map[spec_urn:urn:ietf:rfc:6749]]" {
				t.Errorf("MD-11: %v", a.body["authorization_schemes"])
			}
			if fmt.Sprint(a.body["critical_subject_members"]) != "[user]" {
				t.Errorf("MD-10: %v", a.body["critical_subject_members"])
			}
		}
		for _, wrong := range []string{"/.well-known/ssf-configuration/issuer2", "/issuer1/.well-known/ssf-configuration", "/.well-known/risc-configuration"} {
			if a := tr.send("", "GET", wrong, ""); a.status != 404 {
				t.Errorf("WK-05, WK-06: %s: %d", wrong, a.status)
			}
		}
	}
	if a := open(t, "https://hub.example/a").send("", "GET", "/.well-known/ssf-configuration", ""); a.status != 404 {
		t.Errorf("WK-06: another issuer's metadata: %d", a.status)
	}
}

// MD-23: keys are open to everybody and may be kept for a while.
func TestKeys(t *testing.T) {
	tr := open(t, "https://hub.example")
	a := tr.send("", "GET", "/jwks.json", "")
	set, err := events.ParseKeySet(a.raw)
	if err != nil || set.Len() < 2 || bytes.Contains(a.raw, []byte(`"d"`)) {
		t.Errorf("%v, %d keys", err, set.Len())
	}
	if a.header.Get("Cache-Control") != "public, max-age=300" {
		t.Errorf("Cache-Control %q", a.header.Get("Cache-Control"))
	}
	conditional := func(etag string) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, tr.url+"/jwks.json", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("If-None-Match", etag)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	etag := a.header.Get("ETag")
	for _, known := range []string{etag, `"other", W/` + etag, "*"} {
		if resp := conditional(known); resp.StatusCode != http.StatusNotModified || resp.Header.Get("Cache-Control") != "public, max-age=300" || resp.Header.Get("ETag") != etag {
			t.Errorf("If-None-Match %s: %d %v", known, resp.StatusCode, resp.Header)
		}
	}
	// MD-03, MD-24: the key that will sign is published at once, and known to be new.
	if err := tr.hub.RotateKeys(t.Context(), tr.hub.DefaultKeyDelay(), events.RS256); err != nil {
		t.Fatal(err)
	}
	if resp := conditional(etag); resp.StatusCode != http.StatusOK || resp.Header.Get("ETag") == etag {
		t.Errorf("another set: %d %v", resp.StatusCode, resp.Header)
	}
	if more, err := events.ParseKeySet(tr.send("", "GET", "/jwks.json", "").raw); err != nil || more.Len() != set.Len()+1 {
		t.Errorf("%v, %d keys", err, more.Len())
	}
}

// A stream chooses what its tokens are signed with among what the metadata lists (SP-12 lets members of ours stand there).
func TestSigningAlgorithm(t *testing.T) {
	tr := open(t, "https://hub.example")
	if got := fmt.Sprint(tr.send("", "GET", "/.well-known/ssf-configuration", "").body["set_signing_alg_values_supported"]); got != "[ES256 RS256 EdDSA]" {
		t.Errorf("metadata: %s", got)
	}
	id, a := tr.create(`{"set_signing_alg":"EdDSA"}`)
	if a.body["set_signing_alg"] != "EdDSA" {
		t.Errorf("%s", a.raw)
	}
	for _, step := range []struct{ method, members, want string }{
		{"PATCH", `"description":"x"`, "EdDSA"}, {"PATCH", `"set_signing_alg":"RS256"`, "RS256"}, {"PATCH", `"set_signing_alg":null`, "<nil>"},
		{"PUT", `"set_signing_alg":"ES256","delivery":{"method":"urn:ietf:rfc:8936"}`, "ES256"}, {"PUT", `"delivery":{"method":"urn:ietf:rfc:8936"}`, "<nil>"},
	} {
		a := tr.want(200, step.method, "/ssf/streams", `{"stream_id":"`+id+`",`+step.members+`}`)
		if got := fmt.Sprint(a.body["set_signing_alg"]); got != step.want {
			t.Errorf("%s %s: %s", step.method, step.members, got)
		}
	}
	for _, bad := range []string{`"none"`, `"HS256"`, `"es256"`, `7`, `["ES256"]`} {
		tr.want(400, "PATCH", "/ssf/streams", `{"stream_id":"`+id+`","set_signing_alg":`+bad+`}`)
		tr.want(400, "POST", "/ssf/streams", `{"set_signing_alg":`+bad+`}`)
	}
	if _, shown := tr.want(200, "GET", "/ssf/streams?stream_id="+id, "").body["set_signing_alg"]; shown {
		t.Error("a refused update left something")
	}
}

// CR-01 to CR-03, CR-05, CR-06, CR-08, CR-09, SC-01 to SC-12, SC-20 to SC-22, DE-05.
func TestCreate(t *testing.T) {
	tr := open(t, "https://hub.example/base/")
	id, a := tr.create(`{}`)
	if a.body["iss"] != "https://hub.example/base/" || a.body["aud"] != tr.receiverParty.Audience {
		t.Errorf("SC-02, SC-03: %s", a.raw)
	}
	delivery := a.body["delivery"].(map[string]any)
	if delivery["method"] != events.MethodPoll || delivery["endpoint_url"] != "https://hub.example/base/ssf/poll/"+id {
		t.Errorf("CR-02, CR-03: %v", delivery)
	}
	if len(a.body["events_delivered"].([]any)) == 0 || a.body["events_supported"] == nil || a.body["min_verification_interval"] == nil {
		t.Errorf("SC-04, SC-06, SC-10, SC-20: %s", a.raw)
	}
	if strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789-._~") != "" {
		t.Errorf("SC-01: %s", id)
	}
	if s := tr.want(200, "GET", "/ssf/status?stream_id="+id, ""); s.body["status"] != "enabled" {
		t.Errorf("CR-08: %s", s.raw)
	}
	second, a := tr.create(`{"delivery":` + push + `,"description":"hook","stream_id":"mine","aud":"mine","iss":"mine","unknown":1,
		"events_requested":["https://schemas.openid.net/secevent/caep/event-type/session-revoked","urn:unknown"]}`)
	if second == id || second == "mine" || a.body["aud"] != tr.receiverParty.Audience || a.body["description"] != "hook" {
		t.Errorf("CR-05, CR-09: %s", a.raw)
	}
	if fmt.Sprint(a.body["events_delivered"]) != "[https://schemas.openid.net/secevent/caep/event-type/session-revoked]" {
		t.Errorf("SC-05, SC-06: %v", a.body["events_delivered"])
	}
	if bytes.Contains(a.raw, []byte("their-secret")) || a.body["delivery"].(map[string]any)["endpoint_url"] != "https://shop.example/hook" {
		t.Errorf("SC-08, SC-22: %s", a.raw)
	}
	_, a = tr.create(`{"events_requested":["urn:unknown"],"delivery":{"method":"urn:ietf:rfc:8936","endpoint_url":"https://shop.example/mine"}}`)
	if none, ok := a.body["events_delivered"].([]any); !ok || len(none) != 0 {
		t.Errorf("SC-21: %s", a.raw)
	}
	for range hub.MaxStreams - 3 {
		tr.create(`{"description":null}`)
	}
	if a := tr.send(tr.receiver, "POST", streams, `{}`); a.status != 409 || a.body["type"] != "urn:tidings:problem:limit" {
		t.Errorf("CR-05, CR-07: %d %s", a.status, a.raw)
	}
}

// RD-01 to RD-03, DL-01, DL-02.
func TestReadAndDelete(t *testing.T) {
	tr := open(t, "https://hub.example")
	if a := tr.want(200, "GET", streams, ""); string(a.raw) != "[]" {
		t.Errorf("RD-02: %s", a.raw)
	}
	id, made := tr.create(`{"description":"x"}`)
	list := tr.want(200, "GET", streams, "")
	var all []map[string]any
	if err := json.Unmarshal(list.raw, &all); err != nil || len(all) != 1 || all[0]["stream_id"] != id {
		t.Errorf("RD-01: %s", list.raw)
	}
	if one := tr.want(200, "GET", streams+"?stream_id="+id, ""); !bytes.Equal(one.raw, made.raw) {
		t.Errorf("RD-03: %s", one.raw)
	}
	if a := tr.want(204, "DELETE", streams+"?stream_id="+id, ""); len(a.raw) != 0 {
		t.Errorf("DL-01: %s", a.raw)
	}
	for _, c := range managed(id) {
		if a := tr.want(404, c.method, c.path, c.body); a.body["type"] != "urn:tidings:problem:not-found" {
			t.Errorf("DL-02: %s", a.raw)
		}
	}
}

type call struct{ method, path, body string }

// managed are all calls that name a stream.
func managed(id string) []call {
	return []call{
		{"GET", streams + "?stream_id=" + id, ""},
		{"DELETE", streams + "?stream_id=" + id, ""},
		{"PATCH", streams, `{"stream_id":"` + id + `","description":"stolen"}`},
		{"PUT", streams, `{"stream_id":"` + id + `","description":"stolen"}`},
		{"GET", "/ssf/status?stream_id=" + id, ""},
		{"POST", "/ssf/status", `{"stream_id":"` + id + `","status":"disabled"}`},
		{"POST", "/ssf/verify", `{"stream_id":"` + id + `"}`},
		{"POST", "/ssf/subjects:add", `{"stream_id":"` + id + `","subject":{"format":"opaque","id":"x"}}`},
		{"POST", "/ssf/subjects:remove", `{"stream_id":"` + id + `","subject":{"format":"opaque","id":"x"}}`},
	}
}

// AU-01 to AU-04, AU-06, AU-07, UP-11, ST-03: foreign and unknown streams are alike, strangers get nothing.
func TestCallers(t *testing.T) {
	tr := open(t, "https://hub.example")
	id, made := tr.create(`{}`)
	unknown := managed(hub.NewID().String())
	for i, c := range append(managed(id), call{"POST", streams, "{}"}, call{"GET", streams, ""}) {
		if i < len(unknown) {
			foreign, none := tr.send(tr.other, c.method, c.path, c.body), tr.send(tr.other, unknown[i].method, unknown[i].path, unknown[i].body)
			if foreign.status != 404 || none.status != 404 || !bytes.Equal(foreign.raw, none.raw) {
				t.Errorf("AU-04 %s: foreign %d %s, unknown %d %s", c.method, foreign.status, foreign.raw, none.status, none.raw)
			}
		}
		for token, want := range map[string]string{"": `Bearer realm="tidings"`, "tdg_wrong": `error="invalid_token"`} {
			if a := tr.send(token, c.method, c.path, c.body); a.status != 401 || !strings.Contains(a.header.Get("WWW-Authenticate"), want) {
				t.Errorf("AU-03, AU-06 %s %s: %d %v", c.method, c.path, a.status, a.header)
			}
		}
		if a := tr.send(tr.scim, c.method, c.path, c.body); a.status != 403 || !strings.Contains(a.header.Get("WWW-Authenticate"), "insufficient_scope") {
			t.Errorf("AU-06 %s %s: %d %v", c.method, c.path, a.status, a.header)
		}
		path := c.path + "?access_token=" + tr.receiver
		if strings.Contains(c.path, "?") {
			path = c.path + "&access_token=" + tr.receiver
		}
		if a := tr.send("", c.method, path, c.body); a.status != 400 {
			t.Errorf("AU-07 %s %s: %d", c.method, c.path, a.status)
		}
	}
	if a := tr.want(200, "GET", streams+"?stream_id="+id, ""); !bytes.Equal(a.raw, made.raw) {
		t.Errorf("a stranger changed the stream: %s", a.raw)
	}
}

// Bad input: 400, 413, 415 and nothing changed. CR-04, CR-06, CR-10, ST-06, UP-01.
func TestBadInput(t *testing.T) {
	tr := open(t, "https://hub.example")
	id, made := tr.create(`{"delivery":` + push + `}`)
	deliver := func(d string) string { return `{"stream_id":"` + id + `","delivery":` + d + `}` }
	for _, body := range []string{
		``, `not json`, `[]`, `null`, `{"delivery":1}`, `{"delivery":{"method":1}}`, `{"events_requested":"x"}`, `{"events_requested":[1]}`, `{"description":{}}`,
		`{"stream_id":"` + id + `","stream_id":"x"}`,
		deliver(`{"method":"urn:unknown"}`), deliver(`{"endpoint_url":"https://shop.example/"}`), deliver(`{"method":"urn:ietf:rfc:8935"}`),
		deliver(`{"method":"urn:ietf:rfc:8935","endpoint_url":"http://shop.example/"}`), deliver(`{"method":"urn:ietf:rfc:8935","endpoint_url":"https://127.0.0.1/"}`),
		deliver(`{"method":"urn:ietf:rfc:8935","endpoint_url":"https://u:p@shop.example/"}`), deliver(`{"method":"urn:ietf:rfc:8935","endpoint_url":"https://shop.example/","authorization_header":"a\r\nb: c"}`),
	} {
		for _, method := range []string{"POST", "PATCH", "PUT"} {
			if a := tr.send(tr.receiver, method, streams, body, "Content-Type", "application/json"); a.status != 400 || bytes.Contains(a.raw, []byte("shop.example")) {
				t.Errorf("%s %s: %d %s", method, body, a.status, a.raw)
			}
		}
	}
	for _, c := range []call{
		{"PATCH", streams, `{}`}, {"PUT", streams, `{"description":"x"}`}, {"PATCH", streams, `{"stream_id":7}`}, {"PATCH", streams, `{"stream_id":null}`},
		{"GET", streams + "?stream_id=", ""}, {"GET", streams + "?stream_id=a&stream_id=b", ""}, {"DELETE", streams, ""}, {"GET", "/ssf/status", ""},
		{"POST", "/ssf/status", `{"stream_id":"` + id + `"}`}, {"POST", "/ssf/status", `{"status":"enabled"}`}, {"POST", "/ssf/status", `{"stream_id":"` + id + `","status":"asleep"}`},
		{"POST", "/ssf/status", `{"stream_id":"` + id + `","status":"paused","reason":7}`}, {"POST", "/ssf/status", `{"stream_id":"` + id + `","status":"paused","reason":"` + strings.Repeat("x", 2000) + `"}`},
		{"POST", "/ssf/verify", `{}`}, {"POST", "/ssf/verify", `{"stream_id":"` + id + `","state":7}`}, {"POST", "/ssf/verify", `{"stream_id":"` + id + `","state":"` + strings.Repeat("x", 2000) + `"}`},
	} {
		tr.want(400, c.method, c.path, c.body)
	}
	for _, path := range []string{streams, "/ssf/status", "/ssf/verify", "/ssf/subjects:add", "/ssf/subjects:remove"} {
		if a := tr.send(tr.receiver, "POST", path, `{"description":"`+strings.Repeat("x", 70000)+`"}`); a.status != 413 {
			t.Errorf("%s: too large: %d", path, a.status)
		}
		if a := tr.send(tr.receiver, "POST", path, `{}`, "Content-Type", "text/plain"); a.status != 415 {
			t.Errorf("%s: text: %d", path, a.status)
		}
	}
	if a := tr.want(200, "GET", streams, ""); string(a.raw) != "["+string(made.raw)+"]" {
		t.Errorf("a refused request changed something: %s", a.raw)
	}
	if s := tr.want(200, "GET", "/ssf/status?stream_id="+id, ""); s.body["status"] != "enabled" {
		t.Errorf("a refused request changed the status: %s", s.raw)
	}
}

// header is the Authorization value that pushes of a stream would carry.
func (tr *transmitter) header(id string) string {
	tr.t.Helper()
	stream, err := hub.ParseID(id)
	if err != nil {
		tr.t.Fatal(err)
	}
	to, err := tr.hub.Endpoint(tr.t.Context(), stream)
	if err != nil && !errors.Is(err, hub.ErrNotFound) { // as of a stream that is polled
		tr.t.Fatal(err)
	}
	return to.Authorization
}

// UP-02, UP-03, UP-08, UP-12 to UP-14, SC-22.
func TestPatch(t *testing.T) {
	tr := open(t, "https://hub.example")
	id, _ := tr.create(`{"description":"x","events_requested":["urn:a"],"delivery":` + push + `}`)
	patch := func(members string) map[string]any {
		t.Helper()
		return tr.want(200, "PATCH", streams, `{"stream_id":"`+id+`",`+members+`}`).body
	}
	got := patch(`"description":"y"`)
	if got["description"] != "y" || fmt.Sprint(got["events_requested"]) != "[urn:a]" || tr.header(id) != "Bearer their-secret" {
		t.Errorf("UP-03: %v", got)
	}
	got = patch(`"events_requested":["https://schemas.openid.net/secevent/risc/event-type/account-disabled"],"unknown":1`)
	if fmt.Sprint(got["events_delivered"]) != fmt.Sprint(got["events_requested"]) || got["description"] != "y" {
		t.Errorf("UP-08: %v", got)
	}
	if got = patch(`"description":null,"events_requested":null`); got["description"] != nil || len(got["events_delivered"].([]any)) < 5 {
		t.Errorf("null clears: %v", got)
	}
	patch(`"delivery":{"method":"urn:ietf:rfc:8935","endpoint_url":"https://shop.example/hook"}`)
	if tr.header(id) != "Bearer their-secret" {
		t.Error("SC-22: what is not shown was lost when the rest came back")
	}
	patch(`"delivery":{"method":"urn:ietf:rfc:8935","endpoint_url":"https://shop.example/hook2"}`)
	if tr.header(id) != "" {
		t.Error("UP-14: the secret of one endpoint goes to another")
	}
	patch(`"delivery":` + push)
	patch(`"delivery":{"method":"urn:ietf:rfc:8935","endpoint_url":"https://shop.example/hook","authorization_header":null}`)
	if tr.header(id) != "" {
		t.Error("UP-14: the secret cannot be taken away")
	}
	patch(`"delivery":` + push)
	poll := patch(`"delivery":{"method":"urn:ietf:rfc:8936"}`)["delivery"].(map[string]any)
	if poll["endpoint_url"] != "https://hub.example/ssf/poll/"+id || tr.header(id) != "" {
		t.Errorf("UP-12: %v", poll)
	}
	patch(`"delivery":{"method":"urn:ietf:rfc:8936","endpoint_url":"https://hub.example/ssf/poll/` + id + `"}`)
	tr.want(400, "PATCH", streams, `{"stream_id":"`+id+`","delivery":{"method":"urn:ietf:rfc:8936","endpoint_url":"https://elsewhere.example/"}}`)
}

// WS-01: where the socket is, the hub says; a receiver may only say it back.
func TestWebsocketStream(t *testing.T) {
	tr := open(t, "https://hub.example")
	id, made := tr.create(`{"delivery":{"method":"urn:tidings:delivery:websocket","endpoint_url":"wss://shop.example/"}}`)
	where := "wss://hub.example/ssf/socket/" + id
	if d := made.body["delivery"].(map[string]any); d["endpoint_url"] != where || d["method"] != "urn:tidings:delivery:websocket" {
		t.Errorf("made %v", d)
	}
	of := func(url string) string {
		return `{"stream_id":"` + id + `","delivery":{"method":"urn:tidings:delivery:websocket","endpoint_url":"` + url + `"}}`
	}
	tr.want(200, "PUT", streams, of(where))
	tr.want(400, "PUT", streams, of("wss://shop.example/"))
	tr.want(400, "POST", streams, `{"delivery":{"method":"urn:tidings:delivery:websocket","authorization_header":"x"}}`)
}

// A stream of digests shows its interval, which the receiver chooses within bounds; other streams have none.
func TestDigestInterval(t *testing.T) {
	tr := open(t, "https://hub.example")
	id, made := tr.create(`{"events_requested":["urn:tidings:event:digest"]}`)
	if made.body["digest_interval"] != float64(60) || fmt.Sprint(made.body["events_delivered"]) != "[urn:tidings:event:digest]" {
		t.Errorf("made %v", made.body)
	}
	for _, c := range []struct {
		method, members string
		want            any
	}{
		{"PATCH", `"digest_interval":300`, 300.0}, {"PATCH", `"description":"x"`, 300.0}, {"PATCH", `"digest_interval":null`, 60.0},
		{"PUT", `"events_requested":["urn:tidings:event:digest"],"digest_interval":86400`, 86400.0},
		{"PUT", `"events_requested":["urn:tidings:event:digest"]`, 60.0}, {"PATCH", `"events_requested":null`, nil},
	} {
		if got := tr.want(200, c.method, streams, `{"stream_id":"`+id+`",`+c.members+`}`).body["digest_interval"]; got != c.want {
			t.Errorf("%s %s: %v", c.method, c.members, got)
		}
	}
	for _, bad := range []string{`-1`, `86401`, `1.5`, `"60"`, `[]`} {
		tr.want(400, "PATCH", streams, `{"stream_id":"`+id+`","digest_interval":`+bad+`}`)
	}
}

// UP-04 to UP-09.
func TestPut(t *testing.T) {
	tr := open(t, "https://hub.example")
	id, made := tr.create(`{"description":"x","events_requested":["https://schemas.openid.net/secevent/caep/event-type/session-revoked"],"delivery":` + push + `}`)
	same := tr.want(200, "PUT", streams, string(made.raw))
	if !bytes.Equal(same.raw, made.raw) || tr.header(id) != "Bearer their-secret" {
		t.Errorf("UP-05: read and put back: %s", same.raw)
	}
	reordered := slices.Clone(made.body["events_supported"].([]any))
	slices.Reverse(reordered)
	list, err := json.Marshal(reordered)
	if err != nil {
		t.Fatal(err)
	}
	tr.want(200, "PATCH", streams, `{"stream_id":"`+id+`","events_supported":`+string(list)+`,"aud":["`+tr.receiverParty.Audience+`"]}`)
	for _, member := range []string{
		`"iss":"https://other.example"`, `"aud":"urn:other"`, `"aud":["` + tr.receiverParty.Audience + `","urn:other"]`, `"aud":7`, `"iss":[]`,
		`"events_supported":[]`, `"events_delivered":["urn:a"]`, `"min_verification_interval":7`, `"inactivity_timeout":1`,
		`"events_requested":["urn:a"],"events_delivered":[]`,
	} {
		for _, method := range []string{"PUT", "PATCH"} {
			tr.want(400, method, streams, `{"stream_id":"`+id+`","delivery":`+push+`,`+member+`}`)
		}
	}
	if a := tr.want(200, "GET", streams+"?stream_id="+id, ""); !bytes.Equal(a.raw, made.raw) {
		t.Errorf("a refused update changed something: %s", a.raw)
	}
	// UP-07: events_delivered is held against what it is before the update.
	tr.want(200, "PATCH", streams, `{"stream_id":"`+id+`","events_requested":["urn:a"],"events_delivered":["https://schemas.openid.net/secevent/caep/event-type/session-revoked"]}`)
	tr.want(400, "PUT", streams, `{"stream_id":"`+id+`"}`)
	bare := tr.want(200, "PUT", streams, `{"stream_id":"`+id+`","delivery":{"method":"urn:ietf:rfc:8936"}}`)
	if bare.body["description"] != nil || bare.body["events_requested"] != nil || len(bare.body["events_delivered"].([]any)) < 5 {
		t.Errorf("UP-04: %s", bare.raw)
	}
	tr.want(200, "PUT", streams, `{"stream_id":"`+id+`"}`)
}

// ST-01, ST-02, ST-04, ST-07, ST-08, ST-17.
func TestStatus(t *testing.T) {
	tr := open(t, "https://hub.example")
	id, _ := tr.create(`{}`)
	other, _ := tr.create(`{}`)
	for _, c := range []struct{ body, want string }{
		{`"status":"paused","reason":"upkeep"`, `{"stream_id":"` + id + `","status":"paused","reason":"upkeep"}`},
		{`"status":"paused","reason":"upkeep"`, `{"stream_id":"` + id + `","status":"paused","reason":"upkeep"}`},
		{`"status":"disabled"`, `{"stream_id":"` + id + `","status":"disabled"}`},
		{`"status":"enabled","reason":null`, `{"stream_id":"` + id + `","status":"enabled"}`},
	} {
		if a := tr.want(200, "POST", "/ssf/status", `{"stream_id":"`+id+`",`+c.body+`}`); string(a.raw) != c.want {
			t.Errorf("%s, want %s", a.raw, c.want)
		}
		if a := tr.want(200, "GET", "/ssf/status?stream_id="+id, ""); string(a.raw) != c.want {
			t.Errorf("%s, want %s", a.raw, c.want)
		}
		if a := tr.want(200, "GET", "/ssf/status?stream_id="+other, ""); a.body["status"] != "enabled" {
			t.Errorf("ST-08: %s", a.raw)
		}
	}
}

// VE-01 to VE-04, VE-06, VE-08, VE-09.
func TestVerify(t *testing.T) {
	tr := open(t, "https://hub.example")
	id, _ := tr.create(`{}`)
	stream, err := hub.ParseID(id)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := tr.hub.KeySet(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for members, want := range map[string]any{`,"state":"st&te \u00e9"`: "st&te é", ``: nil, `,"state":null`: nil, `,"state":""`: ""} {
		if a := tr.want(204, "POST", "/ssf/verify", `{"stream_id":"`+id+`"`+members+`}`); len(a.raw) != 0 {
			t.Errorf("VE-01: %s", a.raw)
		}
		if a := tr.send(tr.receiver, "POST", "/ssf/verify", `{"stream_id":"`+id+`"}`); a.status != 429 || a.header.Get("Retry-After") != "1" {
			t.Errorf("VE-09: %d %v", a.status, a.header)
		}
		out, _, err := tr.hub.Next(t.Context(), stream, "test", time.Minute, 10)
		if err != nil || len(out) != 1 {
			t.Fatalf("%d events, %v", len(out), err)
		}
		token, err := events.Verify(out[0].Compact, keys, events.Expect{Issuer: "https://hub.example", Audience: tr.receiverParty.Audience, Now: tr.now, Skew: time.Minute})
		if err != nil || token.Event != events.Verification || token.Payload["state"] != want || token.SubID.Member("id") != id {
			t.Errorf("%+v %v", token, err)
		}
		tr.now = tr.now.Add(hub.VerificationInterval)
	}
}

// Profiles: what a stream gets by default.
func TestProfiles(t *testing.T) {
	tr := open(t, "https://hub.example")
	a := tr.send(tr.caep, "POST", streams, `{}`)
	if a.status != 201 || !strings.Contains(fmt.Sprint(a.body["events_delivered"]), "caep/event-type/session-revoked") || strings.Contains(fmt.Sprint(a.body["events_delivered"]), "scim:event") {
		t.Errorf("%d %s", a.status, a.raw)
	}
}

// FuzzManagement sends anything as a body: never a 5xx, and no secret comes back.
func FuzzManagement(f *testing.F) {
	tr := open(f, "https://hub.example")
	id, _ := tr.create(`{"delivery":` + push + `}`)
	for _, seed := range []string{`"delivery":` + push, `"delivery":{}`, `"aud":[],"iss":null`, `"events_requested":[null,"\u0000"]`, `"status":"paused","reason":"x"`, `"state":"x"}`, `"stream_id":"x"`, ``,
		`"subject":{"format":"email","email":"a@b.example"},"verified":false`, `"subject":{"format":"complex","user":{"format":"aliases","identifiers":[{"format":"opaque","id":"\u0000"}]}}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, members string) {
		for _, to := range [][2]string{{"PATCH", streams}, {"PUT", streams}, {"POST", "/ssf/status"}, {"POST", "/ssf/verify"}, {"POST", streams},
			{"POST", "/ssf/subjects:add"}, {"POST", "/ssf/subjects:remove"}} {
			r := httptest.NewRequest(to[0], to[1], strings.NewReader(`{"stream_id":"`+id+`",`+members+`}`))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Authorization", "Bearer "+tr.receiver)
			w := httptest.NewRecorder()
			tr.handler.ServeHTTP(w, r)
			if w.Code >= 500 || bytes.Contains(w.Body.Bytes(), []byte("their-secret")) {
				t.Errorf("%s %s: %d %s", to[0], to[1], w.Code, w.Body)
			}
		}
	})
}
