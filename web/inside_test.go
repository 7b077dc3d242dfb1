package web

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"tidings/hub"
)

// slow is a server with all its bounds shortened, whose handler tells how reading the body ended, and then waits for
// longer than any bound on requests.
func slow(t *testing.T, limit time.Duration) (*httptest.Server, <-chan error) {
	read := make(chan error, 1)
	server := httptest.NewUnstartedServer(nil)
	server.Config = NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		read <- err
		select {
		case <-r.Context().Done():
			w.WriteHeader(http.StatusTeapot)
		case <-time.After(5 * limit):
		}
	}), slog.New(slog.DiscardHandler))
	c := server.Config
	if c.ReadHeaderTimeout <= 0 || c.ReadTimeout <= 0 || c.WriteTimeout < 2*time.Minute || c.IdleTimeout <= 0 {
		t.Error("a bound is missing, or shorter than a long poll")
	}
	c.ReadHeaderTimeout, c.ReadTimeout = limit, limit
	server.Start()
	t.Cleanup(server.Close)
	return server, read
}

// A request that does not arrive ends at its bound; a long poll outlives it, whether or not the body's length was told.
func TestSlowRequests(t *testing.T) {
	server, read := slow(t, 250*time.Millisecond)
	for _, half := range []string{"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf", "POST / HTTP/1.1\r\nHost"} {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, half); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(conn); err != nil {
			t.Errorf("the server still waits for the rest of %q", half)
		}
		conn.Close()
	}
	if err := <-read; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the body ended with %v", err)
	}
	for name, body := range map[string]io.Reader{"none": nil, "length": strings.NewReader("{}"), "chunks": io.MultiReader(strings.NewReader("{}"))} {
		res, err := http.Post(server.URL, "application/json", body)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		res.Body.Close()
		if err := <-read; err != nil || res.StatusCode != http.StatusOK {
			t.Errorf("%s: the poll was cut: %d %v", name, res.StatusCode, err)
		}
	}
}

// A failing store is no wrong token: the caller is not told to throw its token away.
func TestStoreFailsWhileAuthenticating(t *testing.T) {
	for err, want := range map[error]int{hub.ErrBusy: 503, errors.New("disk on fire"): 500, hub.ErrUnauthenticated: 200} {
		none := NewLimiter(Limit{})
		gate := &gate{auth: failing{err}, party: none, staff: none, failures: none, strangers: none}
		handler := gate.authenticate(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) }))
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", "Bearer x")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != want || w.Header().Get("WWW-Authenticate") != "" {
			t.Errorf("%v: %d %v", err, w.Code, w.Header())
		}
	}
}

type failing struct{ err error }

func (f failing) Authenticate(context.Context, string) (hub.Caller, error) {
	return hub.Caller{}, f.err
}

func (f failing) Genuine(string) bool { return false }

// Every line of the table is reachable: none is hidden by one before it.
func TestTable(t *testing.T) {
	for _, p := range table {
		if got := find(p.err); got != p {
			t.Errorf("%v is told as %s", p.err, got.kind)
		}
	}
	if find(errors.New("other")).status != 500 {
		t.Error("an unknown error is told as something else")
	}
}

// FuzzParse: what is taken has each name once, at every depth the same for every reader, and reading a member never panics.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":{"b":[1,null]},"A":"x"}`, `{"a":1,"a":2}`, `{"a":"\ud800"}`, `[`, "\xff", `{"delivery":{"method":null}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := parse(body)
		if err != nil {
			if find(err).status != 400 {
				t.Errorf("%v is told as %d", err, find(err).status)
			}
			return
		}
		for name := range m {
			var text string
			var list []string
			for _, err := range []error{m.Get(name, &text), m.Get(name, &list)} {
				if err != nil && !errors.Is(err, hub.ErrBadRequest) {
					t.Error(err)
				}
			}
			if inner, err := m.Object(name); err == nil && inner != nil && !m.Has(name) {
				t.Error("a member came from nowhere")
			}
		}
	})
}
