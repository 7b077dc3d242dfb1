package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"tidings/hub"
	"tidings/hub/store/sqlite"
	"tidings/web"
)

// frame is the frame around a few faces made for the test.
type frame struct {
	t     testing.TB
	url   string
	token string
	log   *syncBuffer
}

type syncBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *syncBuffer) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

var errReady = errors.New("store is gone")

func open(t testing.TB, issuer string) *frame {
	t.Helper()
	ctx := t.Context()
	store, err := sqlite.Open(ctx, filepath.Join(t.TempDir(), "hub.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	h, err := hub.Open(ctx, store, hub.NewKeyFile(), hub.Config{Issuer: issuer})
	if err != nil {
		t.Fatal(err)
	}
	f := &frame{t: t, log: &syncBuffer{}}
	if _, f.token, err = h.AddParty(ctx, "test", hub.PartyRequest{Name: "shop"}); err != nil {
		t.Fatal(err)
	}
	handler, err := web.New(web.Config{
		Issuer: issuer, Log: slog.New(slog.NewTextHandler(f.log, nil)), Metrics: prometheus.NewRegistry(), Auth: h,
		Ready: func(ctx context.Context) error {
			if _, err := h.Head(ctx); err != nil {
				return errors.Join(errReady, err)
			}
			return nil
		},
	}, faces())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(nil)
	server.Config = web.NewServer(handler, slog.New(slog.DiscardHandler))
	server.Start()
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

// faces are endpoints that do what real ones may.
func faces() []web.Route {
	return []web.Route{
		{Method: "GET", Pattern: "/party/{id}", Handler: web.Handler(func(w http.ResponseWriter, r *http.Request) error {
			if _, err := web.Caller(r, hub.ChangesRead); err != nil {
				return err
			}
			return web.Write(w, 200, map[string]string{"id": r.PathValue("id")})
		})},
		{Method: "GET", Pattern: "/operator", Handler: web.Handler(func(w http.ResponseWriter, r *http.Request) error {
			_, err := web.Caller(r, hub.Operate)
			return err
		})},
		{Method: "POST", Pattern: "/body", Handler: web.Handler(func(w http.ResponseWriter, r *http.Request) error {
			body, err := web.Read(w, r, 100)
			if err != nil {
				return err
			}
			name, err := body.Text("name")
			if err != nil {
				return err
			}
			return web.Write(w, 200, map[string]string{"name": name})
		})},
		{Method: "GET", Pattern: "/panic/{id}", Handler: web.Handler(func(http.ResponseWriter, *http.Request) error { panic("secret value") })},
		{Method: "GET", Pattern: "/late", Handler: web.Handler(func(w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(200)
			panic("secret value")
		})},
		{Method: "GET", Pattern: "/fail", Handler: web.Handler(func(http.ResponseWriter, *http.Request) error { return errors.New("disk on fire") })},
		{Method: "GET", Pattern: "/lapsed", Handler: web.Handler(func(http.ResponseWriter, *http.Request) error { return hub.ErrUnauthenticated })},
		{Method: "GET", Pattern: "/forbidden", Handler: web.Handler(func(http.ResponseWriter, *http.Request) error { return hub.ErrNoTransfer })},
		{Method: "GET", Pattern: "/open", Open: true, Handler: web.Handler(func(http.ResponseWriter, *http.Request) error { return hub.ErrForbidden })},
		{Method: "GET", Pattern: "/crowded", Handler: web.Handler(func(http.ResponseWriter, *http.Request) error { return hub.ErrTooMany })},
		{Method: "GET", Pattern: "/busy", Handler: web.Handler(func(http.ResponseWriter, *http.Request) error { return hub.ErrBusy })},
		{Method: "GET", Pattern: "/socket", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			up := websocket.Upgrader{}
			conn, err := up.Upgrade(w, r, nil)
			if err != nil {
				return
			}
			defer conn.Close()
			_ = conn.WriteMessage(websocket.TextMessage, []byte("hello"))
		})},
		{Pattern: "/below/*", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Path) })},
	}
}

type answer struct {
	status int
	header http.Header
	raw    string
	body   map[string]any
}

func (f *frame) send(method, path, body string, headers ...string) answer {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.t.Context(), method, f.url+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	a := answer{status: res.StatusCode, header: res.Header, raw: string(raw)}
	_ = json.Unmarshal(raw, &a.body)
	return a
}

// problem sends and checks that the answer is a problem of the type (RFC 9457).
func (f *frame) problem(status int, kind, method, path, body string, headers ...string) answer {
	f.t.Helper()
	a := f.send(method, path, body, headers...)
	if a.status != status || a.body["type"] != "urn:tidings:problem:"+kind || a.body["status"] != float64(status) ||
		a.header.Get("Content-Type") != "application/problem+json" || a.header.Get("Cache-Control") != "no-store" {
		f.t.Errorf("%s %s: %d %v %s, want problem %d %s", method, path, a.status, a.header, a.raw, status, kind)
	}
	return a
}

// AU-03, AU-06, AU-07: who may come in, and what those who may not are told.
func TestCaller(t *testing.T) {
	f := open(t, "https://hub.example")
	good := "Bearer " + f.token
	if a := f.send("GET", "/party/7", "", "Authorization", good); a.status != 200 || a.body["id"] != "7" {
		t.Errorf("good token: %d %s", a.status, a.raw)
	}
	if a := f.send("GET", "/party/7", "", "Authorization", "bEARER  "+f.token); a.status != 200 {
		t.Errorf("RFC 9110 §11.1, the scheme has no case: %d", a.status)
	}
	for name, c := range map[string]struct {
		status    int
		kind      string
		path      string
		challenge string
		headers   []string
	}{
		"none":            {401, "unauthenticated", "/party/7", `Bearer realm="tidings", resource_metadata="https://hub.example/.well-known/oauth-protected-resource"`, nil},
		"other scheme":    {401, "unauthenticated", "/party/7", `Bearer realm="tidings", resource_metadata="https://hub.example/.well-known/oauth-protected-resource"`, []string{"Authorization", "Basic eDp5"}},
		"unknown":         {401, "unauthenticated", "/party/7", `Bearer realm="tidings", error="invalid_token", resource_metadata="https://hub.example/.well-known/oauth-protected-resource"`, []string{"Authorization", "Bearer tdg_x"}},
		"empty":           {401, "unauthenticated", "/party/7", `Bearer realm="tidings", error="invalid_token", resource_metadata="https://hub.example/.well-known/oauth-protected-resource"`, []string{"Authorization", "Bearer"}},
		"two":             {401, "unauthenticated", "/party/7", `Bearer realm="tidings", error="invalid_token", resource_metadata="https://hub.example/.well-known/oauth-protected-resource"`, []string{"Authorization", good, "Authorization", good}},
		"cut":             {401, "unauthenticated", "/party/7", `Bearer realm="tidings", error="invalid_token", resource_metadata="https://hub.example/.well-known/oauth-protected-resource"`, []string{"Authorization", good[:len(good)-1]}},
		"endless":         {401, "unauthenticated", "/party/7", `Bearer realm="tidings", error="invalid_token", resource_metadata="https://hub.example/.well-known/oauth-protected-resource"`, []string{"Authorization", good + strings.Repeat("x", 2000)}},
		"ended meanwhile": {401, "unauthenticated", "/lapsed", `Bearer realm="tidings", error="invalid_token", resource_metadata="https://hub.example/.well-known/oauth-protected-resource"`, []string{"Authorization", good}},
		"other role":      {403, "forbidden", "/operator", `Bearer realm="tidings", error="insufficient_scope", scope="operator"`, []string{"Authorization", good}},
		"other reason":    {403, "no-transfer", "/forbidden", `Bearer realm="tidings"`, []string{"Authorization", good}},
		"open":            {403, "forbidden", "/open", "", nil},
		"in query":        {400, "bad-request", "/party/7?access_token=" + f.token, `Bearer realm="tidings", error="invalid_request", error_description="a token in the query is not accepted"`, nil},
		"in query, too":   {400, "bad-request", "/party/7?access_token=x", `Bearer realm="tidings", error="invalid_request", error_description="a token in the query is not accepted"`, []string{"Authorization", good}},
	} {
		t.Run(name, func(t *testing.T) {
			f := *f
			f.t = t
			if a := f.problem(c.status, c.kind, "GET", c.path, "", c.headers...); a.header.Get("WWW-Authenticate") != c.challenge {
				t.Errorf("WWW-Authenticate %q, want %q", a.header.Get("WWW-Authenticate"), c.challenge)
			}
		})
	}
	if strings.Contains(f.log.text(), f.token) {
		t.Error("a token stands in the log")
	}
}

// Bad input: bodies are bounded, declared and read strictly.
func TestRead(t *testing.T) {
	f := open(t, "https://hub.example")
	json := []string{"Content-Type", "application/json"}
	if a := f.send("POST", "/body", `{"name":"x","other":[1]}`, "Content-Type", "application/json; charset=utf-8"); a.status != 200 || a.body["name"] != "x" {
		t.Errorf("good body: %d %s", a.status, a.raw)
	}
	for name, c := range map[string]struct {
		status  int
		kind    string
		body    string
		headers []string
	}{
		"malformed":      {400, "bad-request", `{"name":`, json},
		"empty":          {400, "bad-request", ``, json},
		"array":          {400, "bad-request", `["name"]`, json},
		"null":           {400, "bad-request", `null`, json},
		"trailing":       {400, "bad-request", `{"name":"x"} x`, json},
		"twice":          {400, "bad-request", `{"name":"x","name":"y"}`, json},
		"twice below":    {400, "bad-request", `{"name":"x","a":[{"b":1,"b":2}]}`, json},
		"other case":     {400, "bad-request", `{"Name":"x"}`, json},
		"wrong type":     {400, "bad-request", `{"name":7}`, json},
		"missing":        {400, "bad-request", `{}`, json},
		"null member":    {400, "bad-request", `{"name":null}`, json},
		"not UTF-8":      {400, "bad-request", "{\"name\":\"\xff\"}", json},
		"deep":           {400, "bad-request", strings.Repeat(`[`, 50) + strings.Repeat(`]`, 50), json},
		"too large":      {413, "too-large", `{"name":"` + strings.Repeat("x", 100) + `"}`, json},
		"form":           {415, "media-type", `name=x`, []string{"Content-Type", "application/x-www-form-urlencoded"}},
		"text":           {415, "media-type", `{"name":"x"}`, []string{"Content-Type", "text/plain"}},
		"undeclared":     {415, "media-type", `{"name":"x"}`, nil},
		"malformed type": {415, "media-type", `{"name":"x"}`, []string{"Content-Type", "application/json; ="}},
	} {
		t.Run(name, func(t *testing.T) {
			f := *f
			f.t = t
			f.problem(c.status, c.kind, "POST", "/body", c.body, c.headers...)
		})
	}
}

func TestErrors(t *testing.T) {
	f := open(t, "https://hub.example")
	f.problem(404, "not-found", "GET", "/nothing", "")
	if a := f.problem(405, "method", "DELETE", "/party/7", ""); strings.Join(a.header.Values("Allow"), " ") != "GET" {
		t.Errorf("Allow: %v", a.header.Values("Allow"))
	}
	f.problem(405, "method", "INVENTED", "/party/7", "")
	f.problem(500, "internal", "GET", "/fail", "")
	if a := f.problem(503, "busy", "GET", "/busy", ""); a.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After: %q", a.header.Get("Retry-After"))
	}
	if a := f.problem(429, "too-many", "GET", "/crowded", ""); a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After where room is made by itself")
	}
	a := f.problem(500, "internal", "GET", "/panic/personal", "")
	if strings.Contains(a.raw, "secret") {
		t.Error("the answer quotes the panic")
	}
	if res, err := http.Get(f.url + "/late"); err == nil {
		if _, err := io.ReadAll(res.Body); err == nil {
			t.Error("a handler broke after its answer began, and the client cannot see it")
		}
		res.Body.Close()
	}
	log := f.log.text()
	if !strings.Contains(log, "disk on fire") || !strings.Contains(log, "/panic/{id}") {
		t.Errorf("the log does not tell what failed: %s", log)
	}
	if strings.Contains(log, "secret") || strings.Contains(log, "personal") {
		t.Errorf("the log quotes a value: %s", log)
	}
}

// No subject stands in a label; methods and routes are bounded.
func TestMetrics(t *testing.T) {
	f := open(t, "https://hub.example")
	f.send("GET", "/party/personal", "", "Authorization", "Bearer "+f.token)
	f.send("GET", "/below/personal?q=personal", "")
	f.send("INVENTED", "/below/personal", "")
	f.send("GET", "/personal", "")
	f.send("GET", "/panic/personal", "")
	shown := f.send("GET", "/metrics", "")
	for _, want := range []string{
		"tidings_http_requests_under_way 1", // this one
		`tidings_http_requests_total{method="GET",route="/party/{id}",status="200"} 1`,
		`tidings_http_requests_total{method="GET",route="/below/*",status="200"} 1`,
		`tidings_http_requests_total{method="GET",route="none",status="404"} 1`,
		`tidings_http_requests_total{method="GET",route="/panic/{id}",status="500"} 1`,
	} {
		if !strings.Contains(shown.raw, want) {
			t.Errorf("missing: %s in\n%s", want, shown.raw)
		}
	}
	if strings.Contains(shown.raw, "personal") || strings.Contains(shown.raw, "INVENTED") {
		t.Errorf("a stranger's text is a label:\n%s", shown.raw)
	}
}

func TestHealth(t *testing.T) {
	f := open(t, "https://hub.example")
	if a := f.send("GET", "/healthz", ""); a.status != 200 {
		t.Errorf("healthz: %d", a.status)
	}
	if a := f.send("HEAD", "/readyz", ""); a.status != 200 || a.raw != "" {
		t.Errorf("readyz: %d", a.status)
	}
}

// A hub whose store is gone is alive, but not ready.
func TestNotReady(t *testing.T) {
	handler, err := web.New(web.Config{
		Issuer: "https://hub.example", Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
		Ready: func(context.Context) error { return errReady },
	})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 503} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != want || strings.Contains(w.Body.String(), "gone") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestHeaders(t *testing.T) {
	for issuer, hsts := range map[string]string{"https://hub.example": "max-age=31536000", "http://127.0.0.1:1": ""} {
		f := open(t, issuer)
		h := f.send("GET", "/healthz", "").header
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "Strict-Transport-Security": hsts,
		} {
			if h.Get(name) != want {
				t.Errorf("%s: %s is %q", issuer, name, h.Get(name))
			}
		}
	}
}

// A websocket gets through every layer of the frame.
func TestSocket(t *testing.T) {
	f := open(t, "https://hub.example")
	conn, _, err := websocket.DefaultDialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(f.url, "http")+"/socket", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, text, err := conn.ReadMessage(); err != nil || string(text) != "hello" {
		t.Errorf("%q %v", text, err)
	}
}

// WK-06: an issuer with a path is served there and, for a proxy that takes the path away, at the root.
func TestIssuerPath(t *testing.T) {
	f := open(t, "https://hub.example/tenant/one/")
	for _, base := range []string{"", "/tenant/one"} {
		if a := f.send("GET", base+"/party/7", "", "Authorization", "Bearer "+f.token); a.body["id"] != "7" {
			t.Errorf("%q: %d %s", base, a.status, a.raw)
		}
		if a := f.send("GET", base+"/below/x/y", ""); !strings.HasSuffix(a.raw, "/below/x/y") {
			t.Errorf("%q: %s", base, a.raw)
		}
	}
	f.problem(404, "not-found", "GET", "/tenant/two/party/7", "")
	for _, issuer := range []string{"", "hub.example", "https://hub.example/{tenant}", "https://hub.example/*"} {
		if _, err := web.New(web.Config{Issuer: issuer, Metrics: prometheus.NewRegistry()}); err == nil {
			t.Errorf("issuer %q was taken", issuer)
		}
	}
}
