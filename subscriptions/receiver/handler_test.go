package receiver_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tidings/events"
	"tidings/subscriptions/receiver"
)

// push sends a SET as RFC 8935 section 2.1 has it.
func push(h http.Handler, compact string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/events", strings.NewReader(compact))
	r.Header.Set("Content-Type", events.MediaType)
	r.Header.Set("Authorization", "Bearer push")
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// RFC 8935 sections 2.2 to 2.4: what is kept gets 202 without a body, what is not says why.
func TestPush(t *testing.T) {
	server, client := newHub(t)
	good, stranger := server.signer(t, "k1", true), server.signer(t, "k2", false)
	forger := server.signer(t, "k1", false)
	var kept []events.Token
	var fail error
	h := &receiver.Handler{Client: client, Audience: audience, Authorization: "Bearer push",
		Keep: func(_ context.Context, t events.Token) error {
			if fail == nil {
				kept = append(kept, t)
			}
			return fail
		}}
	with := func(change func(*events.Token)) events.Token {
		token := server.token("u1", events.FeedRemove, nil)
		change(&token)
		return token
	}
	same := func(*events.Token) {}
	for _, row := range []struct {
		id      string
		compact string
		fail    error
		change  func(*http.Request)
		status  int
		code    string
	}{
		{"PA-01", sign(t, good, with(same)), nil, nil, 202, ""},
		{"EV-01 no SET", "hello", nil, nil, 400, events.CodeInvalidRequest},
		{"PU-04 wrapped", `"` + sign(t, good, with(same)) + `"`, nil, nil, 400, events.CodeInvalidRequest},
		{"too large", strings.Repeat("a", events.MaxToken+1), nil, nil, 400, events.CodeInvalidRequest},
		{"unknown key", sign(t, stranger, with(same)), nil, nil, 400, events.CodeInvalidKey},
		{"forged", sign(t, forger, with(same)), nil, nil, 400, events.CodeInvalidKey},
		{"audience", sign(t, good, with(func(t *events.Token) { t.Audience = events.Audience{"https://other.example"} })), nil, nil, 400, events.CodeInvalidAudience},
		{"issuer", sign(t, good, with(func(t *events.Token) { t.Issuer = "https://other.example" })), nil, nil, 400, events.CodeInvalidIssuer},
		{"SP-11 future", sign(t, good, with(func(t *events.Token) { t.IssuedAt += 3600 })), nil, nil, 400, events.CodeInvalidRequest},
		{"PU-02", sign(t, good, with(same)), nil, func(r *http.Request) { r.Header.Set("Content-Type", "application/jwt") }, 400, events.CodeInvalidRequest},
		{"PU-06", sign(t, good, with(same)), nil, func(r *http.Request) { r.Header.Set("Authorization", "Bearer guess") }, 401, events.CodeAuthenticationFailed},
		{"PU-01", "", nil, func(r *http.Request) { r.Method = http.MethodGet }, 405, ""},
		{"VE-12", sign(t, good, with(same)), &receiver.Refusal{Code: events.CodeInvalidState}, nil, 400, events.CodeInvalidState},
		{"RE-05 not kept", sign(t, good, with(same)), errors.New("disk is full"), nil, 503, ""},
	} {
		t.Run(row.id, func(t *testing.T) {
			server.pass(time.Minute) // keys may be asked for again
			kept, fail = nil, row.fail
			var changes []func(*http.Request)
			if row.change != nil {
				changes = append(changes, row.change)
			}
			w := push(h, row.compact, changes...)
			var e events.SetError
			_ = json.Unmarshal(w.Body.Bytes(), &e)
			if w.Code != row.status || e.Err != row.code || (len(kept) == 1) != (row.status == 202) {
				t.Errorf("%d %q, kept %d", w.Code, e.Err, len(kept))
			}
			if row.status == 202 && w.Body.Len() != 0 {
				t.Error("a 202 has a body")
			}
			if row.code != "" && (w.Header().Get("Content-Language") == "" || w.Header().Get("Content-Type") != "application/json") {
				t.Errorf("PA-03: headers %v", w.Header())
			}
		})
	}
}

// RE-04: a repeat is answered like the first, and kept once. What was not kept is no repeat.
func TestRepeats(t *testing.T) {
	server, client := newHub(t)
	compact := sign(t, server.signer(t, "k1", true), server.token("u1", events.FeedAdd, nil))
	calls, fail := 0, true
	h := &receiver.Handler{Client: client, Audience: audience}
	h.Keep = func(context.Context, events.Token) error {
		calls++
		if calls == 1 {
			panic(http.ErrAbortHandler)
		}
		if w := push(h, compact); w.Code != 503 {
			t.Errorf("while it is being kept: %d", w.Code)
		}
		if fail {
			return errors.New("disk is full")
		}
		return nil
	}
	func() {
		defer func() { _ = recover() }()
		push(h, compact)
	}()
	if w := push(h, compact); w.Code != 503 {
		t.Errorf("failed: %d", w.Code)
	}
	fail = false
	for range 3 {
		if w := push(h, compact); w.Code != 202 {
			t.Errorf("repeat: %d", w.Code)
		}
	}
	if calls != 3 {
		t.Errorf("handed over %d times, want 3: panic, failure, success", calls)
	}
}

// MD-24: keys are read again when a token names another, but strangers cannot make us ask the hub all the time.
func TestKeysRotate(t *testing.T) {
	server, client := newHub(t)
	client.Now = func() time.Time { server.pass(time.Microsecond); return server.clock() } // it runs while we work
	old := server.signer(t, "k1", true)
	open := func(s *events.Signer) error {
		_, err := client.Open(t.Context(), []byte(sign(t, s, server.token("u1", events.FeedAdd, nil))), audience)
		return err
	}
	if err := open(old); err != nil {
		t.Fatal(err)
	}
	stranger := server.signer(t, "k9", false)
	for range 5 {
		if err := open(stranger); err == nil {
			t.Fatal("a stranger's key was believed")
		}
	}
	if got := server.reads(); got > 2 {
		t.Errorf("keys were read %d times at one moment", got)
	}
	server.pass(time.Second)
	next := server.signer(t, "k2", true)
	if err := open(next); !errors.Is(err, receiver.ErrUnavailable) {
		t.Errorf("too soon to ask, and yet sure: %v", err)
	}
	server.pass(5 * time.Second)
	if err := open(next); err != nil {
		t.Errorf("the new key: %v", err)
	}
	// A key that the hub withdrew is soon no longer believed.
	server.set(func(h *hub) { h.keys = []events.PublicKey{next.PublicKey()} })
	server.pass(61 * time.Minute)
	if err := open(old); !errors.Is(err, events.ErrUnknownKey) {
		t.Errorf("the withdrawn key: %v", err)
	}
}

// While the hub cannot be asked, keys serve on for a day; then nothing is certain, and the token may come again.
func TestKeysOutage(t *testing.T) {
	server, client := newHub(t)
	signer := server.signer(t, "k1", true)
	h := &receiver.Handler{Client: client, Audience: audience, Keep: func(context.Context, events.Token) error { return nil }}
	send := func() int { return push(h, sign(t, signer, server.token("u1", events.FeedAdd, nil))).Code }
	server.set(func(h *hub) { h.down = true })
	if got := send(); got != 503 {
		t.Errorf("without keys: %d", got)
	}
	server.set(func(h *hub) { h.down = false })
	server.pass(5 * time.Second)
	if got := send(); got != 202 {
		t.Errorf("with keys: %d", got)
	}
	server.set(func(h *hub) { h.down = true })
	server.pass(23 * time.Hour)
	if got := send(); got != 202 {
		t.Errorf("with keys of yesterday: %d", got)
	}
	server.pass(2 * time.Hour)
	if got := send(); got != 503 {
		t.Errorf("with keys that are too old: %d", got)
	}
}

// WK-04: metadata of another issuer is not taken for the hub's.
func TestDiscoverOtherIssuer(t *testing.T) {
	server, client := newHub(t)
	client.Base = server.URL + "/"
	if _, err := client.Discover(t.Context()); err == nil {
		t.Error("metadata of another issuer was believed")
	}
}

// Whatever is pushed: an answer of RFC 8935, and nothing kept that the hub has not signed.
func FuzzHandler(f *testing.F) {
	key, err := events.GenerateKey(events.ES256)
	if err != nil {
		f.Fatal(err)
	}
	signer, err := events.NewSigner(key, events.ES256, "k1")
	if err != nil {
		f.Fatal(err)
	}
	set, _ := events.NewKeySet(signer.PublicKey())
	const issuer = "http://127.0.0.1:1"
	var trips roundTrip = func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		if strings.HasSuffix(r.URL.Path, "jwks.json") {
			answer(w, set)
		} else {
			answer(w, events.Metadata{Issuer: issuer, JWKSURI: issuer + "/jwks.json"})
		}
		return w.Result(), nil
	}
	genuine, err := signer.Sign(events.Token{Issuer: issuer, JTI: "j", IssuedAt: 1, Audience: events.Audience{audience},
		SubID: events.Opaque("s"), Event: events.SessionRevoked})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(genuine), events.MediaType)
	f.Add("a.b.c", events.MediaType)
	f.Add("", "text/plain; charset=\"")
	f.Fuzz(func(t *testing.T, body, kind string) {
		client := &receiver.Client{Base: issuer, HTTP: &http.Client{Transport: trips}}
		kept := false
		h := &receiver.Handler{Client: client, Audience: audience, Keep: func(context.Context, events.Token) error { kept = true; return nil }}
		w := push(h, body, func(r *http.Request) { r.Header.Set("Content-Type", kind) })
		if kept != (w.Code == 202) || kept && body != string(genuine) || w.Code != 202 && w.Code != 400 {
			t.Errorf("%d, kept %v: %q", w.Code, kept, body)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func ExampleHandler() {
	client := &receiver.Client{Base: "https://hub.example", Token: receiver.StaticToken("secret")}
	cache := &receiver.Cache{Client: client}
	http.Handle("POST /events", &receiver.Handler{
		Client: client, Audience: "https://rp.example", Authorization: "Bearer what-the-stream-was-made-with",
		Keep: func(_ context.Context, t events.Token) error {
			cache.Tell(t)
			return nil
		},
	})
	fmt.Println("ready")
	// Output: ready
}
