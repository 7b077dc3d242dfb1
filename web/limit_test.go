package web

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tidings/hub"
)

// door is a frame with limits, whose callers are named by their tokens: "party…", "staff…", anything else is nobody. Those that the
// hub made itself begin with "tda".
type door struct {
	t       *testing.T
	handler http.Handler
	asked   int
	revoked string
}

func (d *door) Authenticate(_ context.Context, bearer string) (hub.Caller, error) {
	d.asked++
	var id hub.ID
	copy(id[:], bearer)
	switch {
	case bearer == d.revoked:
	case strings.HasPrefix(bearer, "party"), strings.HasPrefix(bearer, "tda"):
		return hub.Caller{Role: hub.RoleParty, Party: hub.ID{1}, Token: id}, nil
	case strings.HasPrefix(bearer, "staff"):
		return hub.Caller{Role: hub.RoleDirectory, Token: id}, nil
	}
	return hub.Caller{}, hub.ErrUnauthenticated
}

func (d *door) Genuine(bearer string) bool { return strings.HasPrefix(bearer, "tda") }

func newDoor(t *testing.T, limits Limits, proxies ...string) *door {
	t.Helper()
	d := &door{t: t}
	few := NewLimiter(Limit{Rate: 1, Burst: 2})
	ok := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, known := hub.CallerFrom(r.Context()); !known {
			Refuse(w, r, hub.ErrUnauthenticated)
		}
	})
	var networks []netip.Prefix
	for _, p := range proxies {
		networks = append(networks, netip.MustParsePrefix(p))
	}
	var err error
	d.handler, err = New(Config{Issuer: "https://hub.example", Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
		Auth: d, Limits: limits, Proxies: networks}, []Route{
		{Method: "GET", Pattern: "/", Handler: ok}, {Method: "GET", Pattern: "/few", Handler: few.PerParty(ok)},
		{Method: "GET", Pattern: "/open", Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), Open: true}})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *door) knock(path, token, from string, forwarded ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", path, nil)
	r.RemoteAddr = from
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for _, f := range forwarded {
		r.Header.Add("X-Forwarded-For", f)
	}
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, r)
	return w
}

// knocks sends the same n times and tells how many were answered with each status.
func (d *door) knocks(n int, path, token, from string) string {
	statuses := map[int]int{}
	for range n {
		statuses[d.knock(path, token, from).Code]++
	}
	return fmt.Sprint(statuses)
}

const home = "203.0.113.9:1234"

// PR-10, SU-05: each credential for itself, and each party for itself where less is allowed; 429 says when to come again.
func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, Limits{Party: Limit{10, 20}, Staff: Limit{100, 50}})
		for _, want := range []struct {
			token, statuses string
		}{{"party1", "map[200:20 429:80]"}, {"party2", "map[200:20 429:80]"}, {"staff", "map[200:50 429:50]"}} {
			if got := d.knocks(100, "/", want.token, home); got != want.statuses {
				t.Errorf("%s: %s, want %s", want.token, got, want.statuses)
			}
		}
		a := d.knock("/", "party1", home)
		if a.Code != 429 || a.Header().Get("Retry-After") != "1" || !strings.Contains(a.Body.String(), "urn:tidings:problem:too-soon") {
			t.Errorf("%d %v %s", a.Code, a.Header(), a.Body)
		}
		time.Sleep(500 * time.Millisecond)
		if got := d.knocks(100, "/", "party1", home); got != "map[200:5 429:95]" {
			t.Errorf("after half a second: %s", got)
		}
		time.Sleep(time.Hour)
		if got := d.knocks(2, "/few", "party1", home) + d.knocks(1, "/few", "party2", home) + d.knocks(2, "/few", "staff", home); got != "map[200:2]map[429:1]map[200:2]" {
			t.Errorf("few: %s", got)
		}
		if got := d.knocks(9, "/few", "nobody", home); got != "map[401:9]" {
			t.Errorf("few of nobody: %s", got)
		}
	})
}

// Whoever fails too often from one address is not looked up any more; who was known there goes on.
func TestFailureLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, Limits{Failures: Limit{1, 10}})
		if got := d.knocks(1, "/", "party1", home); got != "map[200:1]" {
			t.Fatal(got)
		}
		for i := range 10 {
			if a := d.knock("/", fmt.Sprint("guess", i), home); a.Code != 401 {
				t.Errorf("guess %d: %d", i, a.Code)
			}
		}
		asked := d.asked
		a := d.knock("/", "guess", home)
		if a.Code != 429 || a.Header().Get("Retry-After") == "" || d.asked != asked {
			t.Errorf("%d %v, looked up: %v", a.Code, a.Header(), d.asked != asked)
		}
		for who, got := range map[string]string{
			"known, here":      d.knocks(50, "/", "party1", home),
			"unknown, here":    d.knocks(50, "/", "party2", home),
			"unknown, further": d.knocks(1, "/", "party3", "203.0.113.10:1"),
			"wrong, further":   d.knocks(1, "/", "guess", "203.0.113.10:1"),
		} {
			want := map[string]string{"known, here": "map[200:50]", "unknown, here": "map[429:50]", "unknown, further": "map[200:1]", "wrong, further": "map[401:1]"}[who]
			if got != want {
				t.Errorf("%s: %s, want %s", who, got, want)
			}
		}
		d.revoked = "party1" // looked up once more, then not known any more
		if got := d.knocks(1, "/", "party1", home) + d.knocks(1, "/", "party1", home); got != "map[401:1]map[429:1]" {
			t.Errorf("known before: %s", got)
		}
		time.Sleep(2 * time.Second)
		if got := d.knocks(1, "/", "party2", home); got != "map[200:1]" {
			t.Errorf("later: %s", got)
		}
	})
}

// An access token is new every ten minutes: whoever has one is let in, however much fails at the same address. One whose
// credential was revoked is counted for itself.
func TestFailureLimitAndAccessTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, Limits{Failures: Limit{1, 10}})
		d.knocks(20, "/", "guess", home)
		if got := d.knocks(1, "/", "party1", home) + d.knocks(1, "/", "tda1", home) + d.knocks(1, "/", "tda2", home); got != "map[429:1]map[200:1]map[200:1]" {
			t.Errorf("beside a guesser: %s", got)
		}
		time.Sleep(time.Hour)
		d.revoked = "tda1"
		if got := d.knocks(50, "/", "tda1", home); got != "map[401:10 429:40]" {
			t.Errorf("revoked: %s", got)
		}
		if got := d.knocks(1, "/", "tda2", home) + d.knocks(1, "/", "party2", home); got != "map[200:1]map[200:1]" {
			t.Errorf("beside a revoked one: %s", got)
		}
	})
}

// Whoever is nobody comes so often from one address; callers there, and what bounds itself, are not held up.
func TestStrangersLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, Limits{Strangers: Limit{1, 10}})
		if got := d.knocks(30, "/", "", home); got != "map[401:10 429:20]" {
			t.Errorf("strangers: %s", got)
		}
		if a := d.knock("/", "", home); a.Header().Get("Retry-After") != "1" || !strings.Contains(a.Body.String(), "urn:tidings:problem:too-soon") {
			t.Errorf("%v %s", a.Header(), a.Body)
		}
		if got := d.knocks(30, "/", "party1", home) + d.knocks(30, "/open", "", home) + d.knocks(30, "/healthz", "", home) + d.knocks(1, "/", "", "203.0.113.10:1"); got != "map[200:30]map[200:30]map[200:30]map[401:1]" {
			t.Errorf("others: %s", got)
		}
	})
}

// Strangers may ask for health and metrics as often as they like: the store is asked once a second.
func TestHealthIsAskedRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, gathered := 0, 0
		metrics := prometheus.NewRegistry()
		metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "test"}, func() float64 { gathered++; return 1 }))
		handler, err := New(Config{Issuer: "https://hub.example", Log: slog.New(slog.DiscardHandler), Metrics: metrics,
			Ready: func(context.Context) error { asked++; return nil }})
		if err != nil {
			t.Fatal(err)
		}
		for second := range 3 {
			for range 100 {
				for _, path := range []string{"/readyz", "/metrics"} {
					w := httptest.NewRecorder()
					handler.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
					if w.Code != 200 || path == "/metrics" && !strings.Contains(w.Body.String(), "test 1") {
						t.Fatalf("%s: %d %s", path, w.Code, w.Body)
					}
				}
			}
			if asked != second+1 || gathered != second+1 {
				t.Errorf("in %d seconds: ready %d, metrics %d", second+1, asked, gathered)
			}
			time.Sleep(time.Second)
		}
	})
}

// Headers of strangers are not believed, those of proxies only as far as proxies wrote them.
func TestClientAddress(t *testing.T) {
	for _, c := range []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"a stranger", "203.0.113.9:1", []string{"198.51.100.1"}, "203.0.113.9"},
		{"a proxy", "10.0.0.1:1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"a proxy over IPv6", "[::ffff:10.0.0.1]:1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"two proxies", "10.0.0.1:1", []string{"198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		{"two headers", "10.0.0.1:1", []string{"198.51.100.1", "10.0.0.2"}, "198.51.100.1"},
		{"what the client wrote", "10.0.0.1:1", []string{"10.9.9.9, 192.0.2.1, 198.51.100.1"}, "198.51.100.1"},
		{"nothing", "10.0.0.1:1", nil, "10.0.0.1"},
		{"nonsense", "10.0.0.1:1", []string{"unknown"}, "10.0.0.1"},
		{"proxies only", "10.0.0.1:1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"one network", "[2001:db8:1:2:3::4]:1", nil, "2001:db8:1:2::/64"},
		{"no address", "@", nil, ""},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r = r.WithContext(context.WithValue(r.Context(), proxiesKey{}, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}))
		r.RemoteAddr = c.peer
		for _, f := range c.forwarded {
			r.Header.Add("X-Forwarded-For", f)
		}
		if got := ClientAddress(r); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	d := newDoor(t, Limits{Failures: Limit{1, 5}}, "10.0.0.0/8")
	for i := range 10 {
		if a := d.knock("/", "guess", "10.0.0.1:1", fmt.Sprintf("198.51.100.%d", i)); a.Code != 401 {
			t.Errorf("client %d behind a proxy: %d", i, a.Code)
		}
	}
}

// I11: however many come, little is remembered, and who comes all the time is not forgotten.
func TestRecentIsBounded(t *testing.T) {
	var table recent[int]
	for i := range 10 * generation {
		table.get(fmt.Sprint(i), func() int { return i })
		if got := table.get("always", func() int { return -1 - i }); got != -1 {
			t.Fatalf("forgotten after %d", i)
		}
		if n := len(table.young) + len(table.old); n > 2*generation {
			t.Fatalf("%d entries", n)
		}
	}
	if table.drop("always"); table.has("always") || !table.has(fmt.Sprint(10*generation-1)) {
		t.Error("drop")
	}
}

// FuzzBearer: a header is a token, none, or a wrong one; never more than fits.
func FuzzBearer(f *testing.F) {
	f.Add("Bearer tdg_x", "")
	f.Add("bearer   x", "Bearer y")
	f.Add("Basic eDp5", "")
	f.Add("Bearer", "")
	f.Fuzz(func(t *testing.T, first, second string) {
		r := &http.Request{Header: http.Header{"Authorization": {first}}}
		if second != "" {
			r.Header.Add("Authorization", second)
		}
		token, given := bearer(r)
		if len(token) > maxToken || !given && token != "" || second != "" && token != "" || !strings.HasSuffix(first, token) {
			t.Fatalf("%q %q: %q %v", first, second, token, given)
		}
	})
}
