package web

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"tidings/hub"
)

// A body that does not arrive ends the request at the deadline.
func TestSlowBody(t *testing.T) {
	read := make(chan error, 1)
	server := httptest.NewServer(deadlines(50*time.Millisecond, time.Minute)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		read <- err
	})))
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-read:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the body ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the hub still waits for the body")
	}
}

// A long poll outlives the deadline of its body, whether or not its length was told.
func TestLongPollOutlivesBodyDeadline(t *testing.T) {
	const limit = 30 * time.Millisecond
	server := httptest.NewServer(deadlines(limit, time.Minute)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		select {
		case <-r.Context().Done():
			err = r.Context().Err()
		case <-time.After(5 * limit):
		}
		if err != nil {
			w.WriteHeader(http.StatusTeapot)
		}
	})))
	defer server.Close()
	for name, body := range map[string]io.Reader{"length": http.NoBody, "chunks": io.MultiReader(http.NoBody)} {
		res, err := http.Post(server.URL, "application/json", io.MultiReader(body, &once{text: "{}"}))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("%s: the poll was cut", name)
		}
	}
}

type once struct{ text string }

func (o *once) Read(p []byte) (int, error) {
	n := copy(p, o.text)
	o.text = o.text[n:]
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// A failing store is no wrong token: the caller is not told to throw its token away.
func TestStoreFailsWhileAuthenticating(t *testing.T) {
	for err, want := range map[error]int{hub.ErrBusy: 503, errors.New("disk on fire"): 500, hub.ErrUnauthenticated: 200} {
		handler := authenticate(failing{err})(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) }))
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
