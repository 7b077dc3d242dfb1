package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings/events"
)

// checker is a receiver of pushes that reads the key set only when the one it has is older than it may be (RFC 9111), and
// refuses with invalid_key what it cannot check, as RFC 8935 section 2.4 has it.
type checker struct {
	*httptest.Server
	issuer, audience string
	refuse           func(kid string) bool // though the key is known

	mu    sync.Mutex
	busy  bool // answers 503
	keys  events.KeySet
	fresh time.Time // until then keys may be used
	etag  string
	took  []events.Token
	kids  []string // of all that came, in order
	jtis  []string // of what was refused
	same  int      // how often the set was the same
	wrong []string
}

func newChecker(t *testing.T, issuer, audience string) *checker {
	c := &checker{issuer: issuer, audience: audience, refuse: func(string) bool { return false }}
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	return c
}

func (c *checker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	compact, err := io.ReadAll(r.Body)
	if err != nil {
		return // the hub died in the middle
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	kid := kidOf(compact)
	if time.Now().After(c.fresh) && !c.read() {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	token, err := events.Verify(compact, c.keys, events.Expect{Issuer: c.issuer, Audience: c.audience, Now: time.Now(), Skew: time.Second})
	if err != nil {
		c.wrong = append(c.wrong, fmt.Sprintf("key %s: %v", kid, err))
	}
	c.kids = append(c.kids, kid)
	if c.busy {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if err != nil || c.refuse(kid) {
		c.jtis = append(c.jtis, token.JTI)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Language", "en")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"err":"invalid_key","description":"no"}`)
		return
	}
	c.took = append(c.took, token)
	w.WriteHeader(http.StatusAccepted)
}

func kidOf(compact []byte) string {
	var header struct{ Kid string }
	first, _, _ := bytes.Cut(compact, []byte("."))
	raw, _ := base64.RawURLEncoding.DecodeString(string(first))
	_ = json.Unmarshal(raw, &header)
	return header.Kid
}

// read asks for the key set as a cache does.
func (c *checker) read() bool {
	began := time.Now()
	r, err := http.NewRequest(http.MethodGet, c.issuer+"/jwks.json", nil)
	if err != nil {
		return false
	}
	if c.etag != "" {
		r.Header.Set("If-None-Match", c.etag)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return false
	}
	switch resp.StatusCode {
	case http.StatusNotModified:
		c.same++
	case http.StatusOK:
		if c.keys, err = events.ParseKeySet(text); err != nil {
			return false
		}
	default:
		return false
	}
	seconds, err := strconv.Atoi(strings.TrimPrefix(resp.Header.Get("Cache-Control"), "public, max-age="))
	c.etag, c.fresh = resp.Header.Get("ETag"), began.Add(time.Duration(seconds)*time.Second)
	return err == nil
}

// seen reads what the checker knows, under its lock.
func (c *checker) seen(look func() bool) func() bool {
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return look()
	}
}

// keyIDs lists the signing keys of a state and algorithm by the command.
func (s site) keyIDs(alg, state string) (ids []string) {
	s.t.Helper()
	out, stderr, code := s.try("keys", "list", "--json")
	if code != 0 || strings.Contains(strings.ToLower(out), "private") {
		s.t.Fatalf("keys list: %d %s", code, stderr)
	}
	for line := range strings.Lines(out) {
		var k keyLine
		if err := json.Unmarshal([]byte(line), &k); err != nil {
			s.t.Fatal(err)
		}
		if string(k.Algorithm) == alg && string(k.State) == state {
			ids = append(ids, k.ID)
		}
	}
	return ids
}

// MD-24: `keys rotate` beside a hub that serves, which is killed in the middle: the next key takes over without a restart,
// and a receiver that keeps the key set for as long as it may checks every token.
func TestRotateBesideTheHub(t *testing.T) {
	onBoth(t, func(t *testing.T, s site) {
		const age = "--key-set-age=1s"
		address := freeAddress(t)
		w := &world{site: s}
		s.tidings(&w.shop, "party", "add", "--name", "shop")
		s.tidings(&w.directory, "token", "add", "--role", "directory", "--name", "hr")
		w.hub = s.serve(address, age)
		c := newChecker(t, w.hub.url, w.shop.Audience)
		anna := w.person("anna", object{"title": "Clerk"}, "--attributes", "title")
		w.must("POST", "/ssf/streams", w.shop.Token, object{"delivery": object{"method": events.MethodPush, "endpoint_url": c.URL}}, nil)
		old := s.keyIDs("ES256", "active")[0]
		if _, stderr, code := s.try("keys", "rotate", "--after", "1s", age); code != 1 || !strings.Contains(stderr, "twice as long") {
			t.Errorf("a key that signs too soon: %d %s", code, stderr)
		}
		if _, stderr, code := s.try("keys", "rotate", "--alg", "ES256", "--after", "3s", age); code != 0 {
			t.Fatalf("rotate: %s", stderr)
		}
		next := s.keyIDs("ES256", "next")[0]
		patches, killed := 0, false
		if !eventually(patience, func() bool {
			patches++
			w.patch(anna, object{"title": fmt.Sprint("Clerk ", patches)})
			if patches == 20 {
				w.hub.kill()
				w.hub, killed = s.serve(address, age), true
			}
			return killed && c.seen(func() bool { return slices.Contains(c.kids, next) })()
		}) {
			t.Fatal("the next key never signed")
		}
		if got := s.keyIDs("ES256", "active"); len(got) != 1 || got[0] != next {
			t.Errorf("active: %v", got)
		}
		w.patch(anna, object{"title": "Manager"})
		c.mu.Lock()
		if len(c.wrong) > 0 || len(c.jtis) > 0 || !slices.Contains(c.kids, old) {
			t.Errorf("the receiver found %q", c.wrong)
		}
		c.mu.Unlock()

		if _, stderr, code := s.try("keys", "retire", next); code != 1 || !strings.Contains(stderr, "active") {
			t.Errorf("the active key is retired: %d %s", code, stderr)
		}
		if _, _, code := s.try("keys", "retire", "nosuchkey"); code != 1 {
			t.Error("a key that is not there is retired")
		}
		if !eventually(patience, func() bool { _, _, code := s.try("keys", "retire", old); return code == 0 }) {
			t.Error("the old key cannot be retired")
		}
		if _, found := w.keys().Find(old); found {
			t.Error("still published")
		}
		w.clean()
		w.hub.stop(t)
		if strings.Contains(w.hub.log.String(), "PRIVATE") {
			t.Error("the log holds a key")
		}
	})
}

// A key in wrong hands: `rotate --now`, then `retire --force`, while tokens wait that it signed. And PA-03: a receiver that
// does not accept the key gets the event once more, under another jti, also if the hub is killed between; then it is given
// up, and the stream goes on.
func TestRefusedKeyBesideTheHub(t *testing.T) {
	onBoth(t, func(t *testing.T, s site) {
		const age = "--key-set-age=1s"
		address := freeAddress(t)
		w := &world{site: s}
		s.tidings(&w.shop, "party", "add", "--name", "shop")
		s.tidings(&w.directory, "token", "add", "--role", "directory", "--name", "hr")
		w.hub = s.serve(address, age)
		c := newChecker(t, w.hub.url, w.shop.Audience)
		old := s.keyIDs("ES256", "active")[0]
		c.refuse = func(kid string) bool { return kid == old }
		anna := w.person("anna", object{"title": "Clerk"}, "--attributes", "title")
		bert := w.person("bert", object{"title": "Cook"}, "--attributes", "title")
		w.must("POST", "/ssf/streams", w.shop.Token, object{"delivery": object{"method": events.MethodPush, "endpoint_url": c.URL}}, nil)
		w.patch(anna, object{"title": "Head Clerk"})
		if !eventually(patience, c.seen(func() bool { return len(c.jtis) == 1 })) {
			t.Fatal("nothing was refused")
		}
		if !eventually(patience, func() bool { return s.owed(old) == "0" }) { // the refusal is on record
			t.Fatal("a token is owed though it was refused")
		}
		w.hub.kill()
		w.hub = s.serve(address, age)
		if !eventually(patience, c.seen(func() bool { return len(c.jtis) == 2 })) {
			t.Fatal("not sent again")
		}
		if !eventually(patience, func() bool { return s.owed(old) == "0" }) {
			t.Error("a token is owed that was refused twice")
		}
		came := 0
		c.seen(func() bool { c.busy, came = true, len(c.kids); return true })()
		w.patch(bert, object{"title": "Chef"})
		if !eventually(patience, c.seen(func() bool { return len(c.kids) > came })) {
			t.Fatal("the stream does not go on")
		}
		out, stderr, code := s.try("keys", "rotate", "--now", "--alg", "ES256", age)
		if code != 0 || !strings.Contains(stderr, "warning") {
			t.Fatalf("rotate --now: %d %s %s", code, out, stderr)
		}
		if _, stderr, code := s.try("keys", "retire", old); code != 1 || !strings.Contains(stderr, "owed") {
			t.Errorf("a key is retired whose token is owed: %d %s", code, stderr)
		}
		if _, stderr, code := s.try("keys", "retire", old, "--force"); code != 0 {
			t.Fatalf("retire --force: %s", stderr)
		}
		if _, found := w.keys().Find(old); found {
			t.Error("still published")
		}
		c.seen(func() bool { c.busy = false; return true })()
		if !eventually(patience, c.seen(func() bool { return len(c.took) == 1 })) {
			t.Fatalf("what waited was not signed anew: %v", c.kids)
		}
		c.mu.Lock()
		if len(c.wrong) > 0 || c.jtis[0] == c.jtis[1] || slices.Contains(c.jtis, c.took[0].JTI) || !strings.Contains(c.took[0].SubID.Member("uri"), bert.id) {
			t.Errorf("found %q, refused %v, took %+v", c.wrong, c.jtis, c.took)
		}
		c.mu.Unlock()
		w.clean()
	})
}

// owed is the count of a key's tokens as the table for people shows it.
func (s site) owed(kid string) string {
	s.t.Helper()
	out, _, _ := s.try("keys", "list")
	for line := range strings.Lines(out) {
		if fields := strings.Fields(line); len(fields) > 0 && fields[0] == kid {
			return fields[len(fields)-1]
		}
	}
	return ""
}
