package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"tidings/events"
)

// These tests tell the story of the product from outside: a hub in a process of its own, commands beside it, and
// everything else over HTTP, on both stores.

const patience = 30 * time.Second

// world is a served hub with one relying party and one directory.
type world struct {
	site
	hub             *served
	shop, directory credential
}

type credential struct{ ID, Token, Audience string }

func (s site) world(partyFlags ...string) *world {
	s.t.Helper()
	w := &world{site: s}
	s.tidings(&w.shop, append([]string{"party", "add", "--name", "shop"}, partyFlags...)...)
	s.tidings(&w.directory, "token", "add", "--role", "directory", "--name", "hr")
	w.hub = s.serve("127.0.0.1:0")
	return w
}

// must makes a request that has to succeed.
func (w *world) must(method, path, token string, body, result any) http.Header {
	w.t.Helper()
	status, header := call(method, w.hub.url+path, token, body, result)
	if status < 200 || status > 299 {
		w.t.Fatalf("%s %s: status %d", method, path, status)
	}
	return header
}

type object = map[string]any

// person is somebody in the directory, as the shop knows them.
type person struct {
	entry, grant, id string // id: of the subject
	subject          json.RawMessage
}

// person makes somebody and, with flags, the shop's grant.
func (w *world) person(userName string, attributes object, grantFlags ...string) person {
	w.t.Helper()
	body := object{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:User"}, "userName": userName}
	maps.Copy(body, attributes)
	var made struct{ ID string }
	w.must("POST", "/scim/v2/Users", w.directory.Token, body, &made)
	p := person{entry: made.ID}
	if len(grantFlags) > 0 {
		p.grant, p.subject = w.grant(w.shop.ID, userName, grantFlags...)
		p.id = subjectID(w.t, p.subject)
	}
	return p
}

func (w *world) grant(party, userName string, flags ...string) (id string, subject json.RawMessage) {
	w.t.Helper()
	var g struct {
		ID      string
		Subject json.RawMessage
	}
	w.tidings(&g, append([]string{"grant", "add", "--user", userName, "--party", party}, flags...)...)
	return g.ID, g.Subject
}

func subjectID(t testing.TB, subject json.RawMessage) string {
	t.Helper()
	s, err := events.ParseSubject(subject)
	if err != nil {
		t.Fatal(err)
	}
	return s.Member("uri")[strings.LastIndex(s.Member("uri"), "/")+1:]
}

// patch replaces attributes of a person.
func (w *world) patch(p person, attributes object) {
	w.t.Helper()
	w.must("PATCH", "/scim/v2/Users/"+p.entry, w.directory.Token, object{
		"schemas":    []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"},
		"Operations": []any{object{"op": "replace", "value": attributes}},
	}, nil)
}

func (w *world) delta(token, cursor string) (page events.Page) {
	w.t.Helper()
	w.must("GET", "/delta?cursor="+cursor, token, nil, &page)
	return page
}

// expect are what the shop holds tokens against.
func (w *world) expect() events.Expect {
	return events.Expect{Issuer: w.hub.url, Audience: w.shop.Audience, Now: time.Now(), Skew: time.Second}
}

func (w *world) keys() events.KeySet {
	w.t.Helper()
	resp, err := http.Get(w.hub.url + "/jwks.json")
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	keys, err := events.ParseKeySet(text)
	if err != nil {
		w.t.Fatal(err)
	}
	return keys
}

// heard is one token that a receiver took.
type heard struct {
	events.Token
	at time.Time
}

// about reports whether a token names the subject, in whatever format.
func (h heard) about(p person) bool {
	for _, member := range []string{"uri", "sub", "id"} {
		if text := h.SubID.Member(member); text != "" && strings.HasSuffix(text, p.id) {
			return true
		}
	}
	return false
}

func (h heard) names() string {
	list, _ := h.Payload["attributes"].([]any)
	return fmt.Sprint(list...)
}

// webhook is a receiver of pushes, written from RFC 8935: it checks the request and the token, and keeps what it took.
type webhook struct {
	*httptest.Server
	mu      sync.Mutex
	took    []heard
	refused int // requests that were answered with the status below
	status  int
	header  string // Authorization that it wants
	wrong   []string
}

func (w *world) webhook() *webhook {
	keys := w.keys()
	h := &webhook{status: http.StatusAccepted}
	h.Server = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		compact, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.status != http.StatusAccepted {
			h.refused++
			out.WriteHeader(h.status)
			return
		}
		expect := w.expect()
		token, err := events.Verify(compact, keys, expect)
		if err == nil && r.Header.Get("Content-Type") != events.MediaType {
			err = fmt.Errorf("media type %q", r.Header.Get("Content-Type"))
		}
		if err == nil && r.Header.Get("Authorization") != h.header {
			err = errors.New("another Authorization")
		}
		if err != nil {
			h.wrong = append(h.wrong, err.Error())
		}
		h.took = append(h.took, heard{token, expect.Now})
		out.WriteHeader(http.StatusAccepted)
	}))
	w.t.Cleanup(func() {
		h.Close()
		if len(h.wrong) > 0 {
			w.t.Errorf("the webhook found: %q", h.wrong)
		}
	})
	return h
}

func (h *webhook) answer(status int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status = status
}

// tokens are those about a person, oldest first.
func (h *webhook) tokens(p person) []heard {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(h.took), func(k heard) bool { return !k.about(p) })
}

// await waits until the person's n-th token is there.
func (h *webhook) await(t testing.TB, p person, n int) heard {
	t.Helper()
	var all []heard
	if !eventually(patience, func() bool { all = h.tokens(p); return len(all) >= n }) {
		t.Fatalf("%d tokens came about the subject, not %d", len(all), n)
	}
	return all[n-1]
}

func kinds(all []heard) (list []string) {
	for _, k := range all {
		list = append(list, string(k.Event)[strings.LastIndex(string(k.Event), "event:")+len("event:"):])
	}
	return list
}

func (w *world) push(h *webhook) (stream string) {
	w.t.Helper()
	var made events.StreamConfiguration
	delivery := object{"method": events.MethodPush, "endpoint_url": h.URL}
	if h.header != "" {
		delivery["authorization_header"] = h.header
	}
	w.must("POST", "/ssf/streams", w.shop.Token, object{"delivery": delivery}, &made)
	return made.StreamID
}

// browser is a visitor's socket.
type browser struct {
	conn   *websocket.Conn
	first  events.Notice
	frames chan events.Notice // closed with the socket
	ended  error
}

func (w *world) ticket(subjects ...json.RawMessage) string {
	w.t.Helper()
	var t events.Ticket
	w.must("POST", "/live/tickets", w.shop.Token, object{"subjects": subjects}, &t)
	return t.Ticket
}

func (w *world) browser(query string) *browser {
	w.t.Helper()
	conn, resp, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(w.hub.url, "http")+"/live?"+query, nil)
	if err != nil {
		w.t.Fatalf("socket: %v, %v", err, resp)
	}
	w.t.Cleanup(func() { conn.Close() })
	b := &browser{conn: conn, frames: make(chan events.Notice, 100)}
	if err := conn.ReadJSON(&b.first); err != nil {
		b.ended = err
		close(b.frames)
		return b
	}
	go func() {
		defer close(b.frames)
		for {
			var n events.Notice
			if b.ended = conn.ReadJSON(&n); b.ended != nil {
				return
			}
			b.frames <- n
		}
	}()
	return b
}

// hears waits for the next notice and says about which subject it is.
func (b *browser) hears(t testing.TB) json.RawMessage {
	t.Helper()
	select {
	case n, open := <-b.frames:
		if !open {
			t.Fatalf("the socket ended: %v", b.ended)
		}
		text, err := json.Marshal(n.Subject)
		if err != nil {
			t.Fatal(err)
		}
		return text
	case <-time.After(patience):
		t.Fatal("no notice came")
	}
	return nil
}

// closed waits for the end of the socket and gives its code.
func (b *browser) closed(t testing.TB) int {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case _, open := <-b.frames:
			if open {
				continue
			}
			var end *websocket.CloseError
			if !errors.As(b.ended, &end) {
				t.Fatalf("the socket ended without a code: %v", b.ended)
			}
			return end.Code
		case <-deadline:
			t.Fatal("the socket stayed open")
		}
	}
}

// soon holds what is told to the second in which a person expects it. A machine that is busy with other tests may miss
// it once; the fastest time counts.
func soon(t *testing.T, what string, took ...time.Duration) {
	t.Helper()
	if slices.Min(took) > time.Second {
		t.Errorf("%s took %v", what, took)
	}
}
