package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
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

// One change and its end, along every way out (invariants 4, 5, 9): of two patched attributes the granted one is told,
// once, to webhook, feed, fetch and browser; after the revocation one removal, 410, and nothing ever after.
func TestStoryOfAChange(t *testing.T) {
	onBoth(t, func(t *testing.T, s site) {
		w := s.world()
		h := w.webhook()
		h.header = "Bearer the-shop-knows-this"
		anna := w.person("anna", object{"title": "Clerk", "nickName": "Annie", "displayName": "Anna Berg"}, "--attributes", "title")
		bert := w.person("bert", object{"title": "Cook"}, "--attributes", "title")
		w.push(h)
		start := w.delta(w.shop.Token, "")
		if len(start.Changes) != 2 || start.More {
			t.Fatalf("the snapshot has %d changes", len(start.Changes))
		}
		visitor := w.browser("ticket=" + w.ticket(anna.subject))

		before := time.Now()
		w.patch(anna, object{"title": "Head Clerk", "nickName": "Ann"})
		told := h.await(t, anna, 1)
		first := told.at.Sub(before)
		if told.Event != events.ProvPatchNotice || told.names() != "title" {
			t.Errorf("told %s of %q", told.Event, told.names())
		}
		if got := visitor.hears(t); !sameJSON(got, anna.subject) {
			t.Errorf("the browser heard of %s", got)
		}
		page := w.delta(w.shop.Token, start.Cursor)
		if len(page.Changes) != 1 {
			t.Fatalf("delta lists %d changes", len(page.Changes))
		}
		item := page.Changes[0]
		if item.ID != anna.id || item.Change != events.Updated || !slices.Equal(item.Attributes, []string{"title"}) || item.Version != told.Payload["version"] {
			t.Errorf("delta says %+v, the token %v", item, told.Payload)
		}
		values := object{}
		header := w.must("GET", "/subjects/"+anna.id, w.shop.Token, nil, &values)
		if got := strings.Join(slices.Sorted(maps.Keys(values)), " "); got != "active id meta schemas title" || values["title"] != "Head Clerk" {
			t.Errorf("fetched %v", values)
		}
		if header.Get("Cache-Control") != "private, max-age=43200" || header.Get("ETag") != item.Version || *item.MaxAge != 43200 {
			t.Errorf("a copy may be kept: %q, %d", header.Get("Cache-Control"), *item.MaxAge)
		}

		// What was not granted is told to nobody; the next change of what was granted proves that nothing came before it.
		w.patch(anna, object{"nickName": "Anni", "displayName": "A. Berg"})
		before = time.Now()
		w.patch(anna, object{"title": "Manager"})
		soon(t, "a change", first, h.await(t, anna, 2).at.Sub(before))
		visitor.hears(t)
		if got := kinds(h.tokens(anna)); !slices.Equal(got, []string{"prov:patch:notice", "prov:patch:notice"}) {
			t.Errorf("told %q", got)
		}

		w.tidings(nil, "grant", "revoke", anna.grant)
		before = time.Now()
		first = h.await(t, anna, 3).at.Sub(before)
		if got := visitor.hears(t); !sameJSON(got, anna.subject) {
			t.Errorf("the browser heard of %s", got)
		}
		page = w.delta(w.shop.Token, page.Cursor)
		if len(page.Changes) != 1 || page.Changes[0].ID != anna.id || page.Changes[0].Change != events.Removed || page.Changes[0].Reason != events.ReasonEnded ||
			page.Changes[0].Attributes != nil || page.Changes[0].MaxAge != nil {
			t.Errorf("after the revocation delta says %+v", page.Changes)
		}
		w.gone(anna)

		later := w.browser("ticket=" + w.ticket(anna.subject, bert.subject))
		w.patch(anna, object{"title": "Director"})
		w.must("DELETE", "/scim/v2/Users/"+anna.entry, w.directory.Token, nil, nil)
		w.patch(bert, object{"title": "Chef"})
		h.await(t, bert, 1)
		if got := kinds(h.tokens(anna)); !slices.Equal(got, []string{"prov:patch:notice", "prov:patch:notice", "feed:remove"}) {
			t.Errorf("told %q", got)
		}
		if got := later.hears(t); !sameJSON(got, bert.subject) {
			t.Errorf("the browser heard of %s", got)
		}
		select {
		case n := <-visitor.frames:
			t.Errorf("the old socket heard %v", n)
		default:
		}
		for _, cursor := range []string{page.Cursor, ""} {
			if page := w.delta(w.shop.Token, cursor); len(page.Changes) != 1 || page.Changes[0].ID != bert.id {
				t.Errorf("delta from %.8q tells %+v", cursor, page.Changes)
			}
		}
		w.gone(anna)
		w.tidings(nil, "grant", "revoke", bert.grant)
		before = time.Now()
		soon(t, "a revocation", first, h.await(t, bert, 2).at.Sub(before))
		w.clean()
	})
}

// gone: the values of somebody whose grant ended are answered with 410 and the problem that says so.
func (w *world) gone(p person) {
	w.t.Helper()
	var problem struct{ Type string }
	if status, _ := call("GET", w.hub.url+"/subjects/"+p.id, w.shop.Token, nil, &problem); status != http.StatusGone || problem.Type != events.ProblemGrantEnded {
		w.t.Errorf("values after the end: %d %s", status, problem.Type)
	}
}

func (w *world) clean() {
	w.t.Helper()
	if out, stderr, code := w.try("fsck"); code != 0 || strings.TrimSpace(out) != "clean" {
		w.t.Errorf("fsck: %d %s %s", code, out, stderr)
	}
}

func sameJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && fmt.Sprint(x) == fmt.Sprint(y)
}

// The shortest of the policy's class, the party's bound and the grant's end wins (invariant 9), in the feed and in the
// fetch alike.
func TestLifetimes(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s site) {
		w := s.world()
		var club credential
		w.tidings(&club, "party", "add", "--name", "club", "--max-age", "20m")
		for _, c := range []struct {
			party       credential
			name, flags string
			least, most int64
		}{
			{w.shop, "class by day", "--attributes name", 86400, 86400},
			{w.shop, "class work", "--attributes title", 43200, 43200},
			{w.shop, "class contact", "--attributes name,title,emails", 3600, 3600},
			{w.shop, "grant", "--attributes emails --until 10m", 500, 600},
			{w.shop, "class before grant", "--attributes emails --until 30d", 3600, 3600},
			{club, "party", "--attributes title", 1200, 1200},
			{club, "grant before party", "--attributes title --until 10m", 500, 600},
			{club, "party before grant", "--attributes title --until 40m", 1200, 1200},
		} {
			userName := strings.ReplaceAll(c.name, " ", ".")
			w.person(userName, object{"title": "Clerk"})
			_, subject := w.grant(c.party.ID, userName, strings.Fields(c.flags)...)
			id := subjectID(t, subject)
			header := w.must("GET", "/subjects/"+id, c.party.Token, nil, nil)
			age, _ := strconv.ParseInt(strings.TrimPrefix(header.Get("Cache-Control"), "private, max-age="), 10, 64)
			page := w.delta(c.party.Token, "")
			at := slices.IndexFunc(page.Changes, func(i events.Item) bool { return i.ID == id })
			if at < 0 || age < c.least || age > c.most || *page.Changes[at].MaxAge < age || *page.Changes[at].MaxAge > c.most+1 {
				t.Errorf("%s: fetched for %d seconds, delta says %+v", c.name, age, page.Changes)
			}
		}
		// Notices alone carry no lifetime, for there is nothing to fetch (design: the table of purposes).
		dora := w.person("dora", object{"title": "Clerk"}, "--attributes", "title", "--purposes", "notify")
		var problem struct{ Type string }
		if status, _ := call("GET", w.hub.url+"/subjects/"+dora.id, w.shop.Token, nil, &problem); status != http.StatusForbidden || problem.Type != events.ProblemNoTransfer {
			t.Errorf("values of a grant for notices: %d %s", status, problem.Type)
		}
	})
}

// poller is a receiver that polls (RFC 8936).
type poller struct {
	w        *world
	stream   string
	endpoint string
	keys     events.KeySet
	heard    []heard
}

func (w *world) poller() *poller {
	w.t.Helper()
	var made events.StreamConfiguration
	w.must("POST", "/ssf/streams", w.shop.Token, object{}, &made)
	if made.Delivery == nil || made.Delivery.Method != events.MethodPoll || !strings.HasPrefix(made.Delivery.EndpointURL, w.hub.url+"/") {
		w.t.Fatalf("a stream without a delivery is %+v", made.Delivery)
	}
	return &poller{w: w, stream: made.StreamID, endpoint: made.Delivery.EndpointURL, keys: w.keys()}
}

// poll asks once and keeps what came.
func (p *poller) poll(body object) (fresh []heard, more bool) {
	p.w.t.Helper()
	var answer struct {
		Sets          map[string]string
		MoreAvailable bool
	}
	if status, _ := call("POST", p.endpoint, p.w.shop.Token, body, &answer); status != http.StatusOK {
		p.w.t.Fatalf("poll: %d", status)
	}
	if answer.Sets == nil {
		p.w.t.Error("an answer without sets")
	}
	for jti, compact := range answer.Sets {
		token, err := events.Verify([]byte(compact), p.keys, p.w.expect())
		if err != nil || token.JTI != jti {
			p.w.t.Errorf("poll gave a token that is %v", err)
		}
		fresh = append(fresh, heard{token, time.Now()})
	}
	p.heard = append(p.heard, fresh...)
	return fresh, answer.MoreAvailable
}

// until polls and acknowledges until there are n tokens about the person.
func (p *poller) until(about person, n int) {
	p.w.t.Helper()
	var ack []string
	if !eventually(patience, func() bool {
		fresh, _ := p.poll(object{"returnImmediately": true, "ack": ack})
		ack = nil
		for _, k := range fresh {
			ack = append(ack, k.JTI)
		}
		return len(p.tokens(about)) >= n
	}) {
		p.w.t.Fatalf("%d tokens came by poll, not %d", len(p.tokens(about)), n)
	}
	p.poll(object{"maxEvents": 0, "returnImmediately": true, "ack": ack})
}

func (p *poller) tokens(about person) []heard {
	return slices.DeleteFunc(slices.Clone(p.heard), func(k heard) bool { return !k.about(about) })
}

// A stream that polls: made by asking for nothing, held open until something comes, acknowledged, refused, paused,
// verified and deleted.
func TestStoryOfAPoll(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s site) {
		w := s.world()
		anna := w.person("anna", object{"title": "Clerk"}, "--attributes", "title,nickName")
		p := w.poller()
		var all []events.StreamConfiguration
		if w.must("GET", "/ssf/streams", w.shop.Token, nil, &all); len(all) != 1 || all[0].StreamID != p.stream {
			t.Errorf("listed: %+v", all)
		}
		if fresh, more := p.poll(object{"returnImmediately": true}); len(fresh) > 0 || more {
			t.Errorf("a new stream gives %q", kinds(fresh)) // the past is in /delta
		}

		// Whether the poll waits already or not, it has to end with the change, long before its 30 seconds.
		woken := make(chan []heard)
		began := time.Now()
		go func() { fresh, _ := p.poll(object{}); woken <- fresh }()
		w.patch(anna, object{"title": "Head Clerk"})
		fresh := <-woken
		if len(fresh) != 1 || fresh[0].names() != "title" || time.Since(began) > 10*time.Second {
			t.Fatalf("woken after %v with %q", time.Since(began), kinds(fresh))
		}
		// Handed out and not acknowledged, it is not handed out to the next poll (PB-20), and acknowledged never again.
		if again, _ := p.poll(object{"returnImmediately": true}); len(again) > 0 {
			t.Errorf("a token under way was handed out again: %q", kinds(again))
		}
		w.patch(anna, object{"nickName": "Annie"})
		p.poll(object{"maxEvents": 0, "returnImmediately": true, "ack": []string{fresh[0].JTI, "unknown"}})
		var second []heard
		if !eventually(patience, func() bool { second, _ = p.poll(object{"returnImmediately": true}); return len(second) > 0 }) || second[0].names() != "nickName" {
			t.Fatalf("the second change: %q", kinds(second))
		}
		p.poll(object{"returnImmediately": true, "setErrs": object{second[0].JTI: object{"err": "invalid_request", "description": "not for us"}}})

		state := "is it me? ✓"
		var fault struct{ Type string }
		w.must("POST", "/ssf/verify", w.shop.Token, object{"stream_id": p.stream, "state": state}, nil)
		if status, header := call("POST", w.hub.url+"/ssf/verify", w.shop.Token, object{"stream_id": p.stream}, &fault); status != http.StatusTooManyRequests || header.Get("Retry-After") == "" {
			t.Errorf("asked twice at once: %d %v", status, fault)
		}
		third, _ := p.poll(object{})
		if len(third) != 1 || third[0].Event != events.Verification || third[0].Payload["state"] != state || third[0].SubID != events.Opaque(p.stream) {
			t.Fatalf("verification: %+v", third)
		}
		p.poll(object{"maxEvents": 0, "returnImmediately": true, "ack": []string{third[0].JTI}})

		p.status("paused")
		w.patch(anna, object{"title": "Manager"})
		w.patch(anna, object{"title": "Director", "nickName": "Boss"})
		if held, _ := p.poll(object{"returnImmediately": true}); len(held) > 0 {
			t.Errorf("a paused stream gives %q", kinds(held))
		}
		p.status("enabled")
		resumed, _ := p.poll(object{})
		if len(resumed) != 1 || resumed[0].names() != "nickName title" && resumed[0].names() != "nickNametitle" {
			t.Errorf("resumed with %q: %+v", kinds(resumed), resumed)
		}
		w.must("DELETE", "/ssf/streams?stream_id="+p.stream, w.shop.Token, nil, nil)
		for path, method := range map[string]string{strings.TrimPrefix(p.endpoint, w.hub.url): "POST", "/ssf/streams?stream_id=" + p.stream: "GET", "/ssf/status?stream_id=" + p.stream: "GET"} {
			var body any
			if method == "POST" {
				body = object{}
			}
			if status, _ := call(method, w.hub.url+path, w.shop.Token, body, &fault); status != http.StatusNotFound || fault.Type != "urn:tidings:problem:not-found" {
				t.Errorf("%s of a deleted stream: %d %s", path, status, fault.Type)
			}
		}
		w.clean()
	})
}

func (p *poller) status(text string) {
	p.w.t.Helper()
	var answer struct{ Status, Reason string }
	p.w.must("POST", "/ssf/status", p.w.shop.Token, object{"stream_id": p.stream, "status": text, "reason": "because"}, &answer)
	if p.w.must("GET", "/ssf/status?stream_id="+p.stream, p.w.shop.Token, nil, &answer); answer.Status != text || answer.Reason != "because" {
		p.w.t.Errorf("status %+v", answer)
	}
}

// What waits when a grant is revoked is told to nobody (invariant 5): on a paused stream, in a retry, in the window of a
// poll that was not acknowledged, for a browser that was away. Each gets the one removal, and then only other people.
func TestRevokedWhileWaiting(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s site) {
		w := s.world()
		anna := w.person("anna", object{"title": "Clerk"}, "--attributes", "title")
		bert := w.person("bert", object{"title": "Cook"}, "--attributes", "title")
		h := w.webhook()
		h.answer(http.StatusServiceUnavailable)
		w.push(h)
		paused, window := w.poller(), w.poller()
		paused.status("paused")
		away := w.browser("ticket=" + w.ticket(anna.subject, bert.subject))
		away.conn.Close()

		w.patch(anna, object{"title": "Head Clerk"})
		if !eventually(patience, func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.refused > 0 }) {
			t.Fatal("the webhook was not asked")
		}
		given, _ := window.poll(object{})
		if len(given) != 1 {
			t.Fatalf("polled %q", kinds(given))
		}

		w.tidings(nil, "grant", "revoke", anna.grant)
		h.answer(http.StatusAccepted)
		paused.status("enabled")
		w.patch(bert, object{"title": "Chef"})
		h.await(t, anna, 1)
		paused.until(anna, 1)
		window.until(anna, 2)
		for way, got := range map[string][]string{
			"a retry":           kinds(h.tokens(anna)),
			"a paused stream":   kinds(paused.tokens(anna)),
			"the poll's window": kinds(window.tokens(anna)[1:]),
		} {
			if !slices.Equal(got, []string{"feed:remove"}) {
				t.Errorf("%s gave %q", way, got)
			}
		}
		// The removal itself may be acknowledged late: an acknowledgement of what was withdrawn changes nothing.
		window.poll(object{"returnImmediately": true, "ack": []string{given[0].JTI}})
		w.patch(anna, object{"title": "Director"})
		h.await(t, bert, 1)
		paused.until(bert, 1)
		window.until(bert, 1)
		w.patch(bert, object{"title": "Baker"})
		h.await(t, bert, 2)
		paused.until(bert, 2)
		window.until(bert, 2)
		if a, b, c := len(h.tokens(anna)), len(paused.tokens(anna)), len(window.tokens(anna)); a != 1 || b != 1 || c != 2 {
			t.Errorf("told again: %d, %d, %d", a, b, c)
		}
		back := w.browser("ticket=" + w.ticket(anna.subject, bert.subject) + "&cursor=" + away.first.Cursor)
		if got := back.hears(t); !sameJSON(got, bert.subject) {
			t.Errorf("the browser that came back heard of %s", got)
		}
		w.clean()
	})
}

// A grant that was given until a moment is dead at it, and its end is told without anybody's doing.
func TestGrantRunsOut(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s site) {
		w := s.world()
		h := w.webhook()
		w.push(h)
		until := time.Now().Add(3 * time.Second).UTC()
		anna := w.person("anna", object{"title": "Clerk"}, "--attributes", "title", "--until", until.Format(time.RFC3339Nano))
		if first := h.await(t, anna, 1); first.Event != events.FeedAdd {
			t.Errorf("told %s", first.Event)
		}
		removal := h.await(t, anna, 2)
		if removal.Event != events.FeedRemove || removal.at.Before(until) || removal.at.After(until.Add(5*time.Second)) {
			t.Errorf("%s came %v after the end", removal.Event, removal.at.Sub(until))
		}
		w.gone(anna)
		var last changeLine
		for _, line := range w.changes() {
			last = line
		}
		if last.Kind != "expired" || last.Party != w.shop.ID || last.Entry != anna.entry {
			t.Errorf("the log ends with %+v", last)
		}
		if page := w.delta(w.shop.Token, ""); len(page.Changes) != 0 {
			t.Errorf("the snapshot tells %+v", page.Changes)
		}
		w.clean()
	})
}

// changes reads the whole log by the command.
func (w *world) changes() (lines []changeLine) {
	w.t.Helper()
	out, stderr, code := w.try("changes", "--json")
	if code != 0 {
		w.t.Fatalf("changes: %s", stderr)
	}
	for line := range strings.Lines(out) {
		lines = append(lines, parseChange(w.t, line))
	}
	return lines
}

// parseChange holds a line against its documented form.
func parseChange(t testing.TB, line string) (c changeLine) {
	t.Helper()
	members := object{}
	if err := errors.Join(json.Unmarshal([]byte(line), &members), json.Unmarshal([]byte(line), &c)); err != nil {
		t.Fatalf("%v in %q", err, line)
	}
	delete(members, "party") // the one that may be absent
	if got := strings.Join(slices.Sorted(maps.Keys(members)), " "); got != "actor attributes entry kind position source time txn" {
		t.Errorf("a line has the members %s", got)
	}
	if at, err := time.Parse(time.RFC3339Nano, c.Time); err != nil || time.Since(at).Abs() > 10*time.Minute {
		t.Errorf("a line of time %q", c.Time)
	}
	return c
}

// A party under an agreement learns of people and groups without their grants, and of their deletion.
func TestStoryOfAnAgreement(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s site) {
		w := s.world("--agreement", "--types", "User,Group", "--attributes", "userName,displayName,members")
		h := w.webhook()
		w.push(h)
		anna := w.person("anna", object{"displayName": "Anna", "title": "Clerk"})
		var group struct{ ID string }
		w.must("POST", "/scim/v2/Groups", w.directory.Token, object{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Group"},
			"displayName": "Clerks", "members": []any{object{"value": anna.entry}}}, &group)
		page := w.delta(w.shop.Token, "")
		slices.SortFunc(page.Changes, func(a, b events.Item) int { return strings.Compare(b.Type, a.Type) })
		if len(page.Changes) != 2 || page.Changes[0].Type != "User" || !slices.Equal(page.Changes[0].Attributes, []string{"displayName", "userName"}) ||
			page.Changes[1].Type != "Group" || !slices.Equal(page.Changes[1].Attributes, []string{"displayName", "members"}) {
			t.Fatalf("the snapshot: %+v", page.Changes)
		}
		anna.id = page.Changes[0].ID
		clerks := person{id: page.Changes[1].ID}
		if anna.id == anna.entry || clerks.id == group.ID {
			t.Error("the party is told the directory's ids")
		}
		if first := h.await(t, anna, 1); first.Event != events.ProvCreateNotice {
			t.Errorf("told %s of %q", first.Event, first.names())
		}
		h.await(t, clerks, 1)
		var shown struct {
			DisplayName string
			Members     []struct{ Value string }
		}
		if w.must("GET", "/subjects/"+clerks.id, w.shop.Token, nil, &shown); shown.DisplayName != "Clerks" || len(shown.Members) != 1 || shown.Members[0].Value != anna.id {
			t.Errorf("the group is fetched as %+v", shown)
		}
		values := object{}
		if w.must("GET", "/subjects/"+anna.id, w.shop.Token, nil, &values); values["title"] != nil || values["displayName"] != "Anna" {
			t.Errorf("fetched %v", values)
		}
		if _, stderr, code := w.try("grant", "add", "--user", "anna", "--party", w.shop.ID, "--attributes", "title"); code == 0 || !strings.Contains(stderr, "agreement") {
			t.Errorf("a grant beside the agreement: %d %s", code, stderr)
		}
		told := len(h.tokens(anna))
		w.must("DELETE", "/scim/v2/Users/"+anna.entry, w.directory.Token, nil, nil)
		h.await(t, anna, told+3)
		if got := kinds(h.tokens(anna)); !slices.Contains(got, "prov:delete") || slices.Contains(got, "feed:remove") {
			t.Errorf("the deletion was told as %q", got)
		}
		var problem struct{ Type string }
		if status, _ := call("GET", w.hub.url+"/subjects/"+anna.id, w.shop.Token, nil, &problem); status != http.StatusGone || problem.Type != events.ProblemAgreementEnded {
			t.Errorf("values of somebody deleted: %d %s", status, problem.Type)
		}
		w.clean()
	})
}

// `changes --follow` prints a line for each change as it comes, names only, and ends when interrupted. Commands beside
// the serving hub are noticed at once: a revoked token and a removed party are dead for every face.
func TestCommandsBesideTheHub(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s site) {
		w := s.world()
		h := w.webhook()
		w.push(h)
		p := w.poller()
		follow := newProcess(context.Background(), append([]string{"changes", "--follow", "--json"}, s.flags...)...)
		out, err := follow.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := follow.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = follow.Process.Kill(); _ = follow.Wait() })
		lines := make(chan string, 100)
		go func() {
			defer close(lines)
			for in := bufio.NewScanner(out); in.Scan(); {
				lines <- in.Text()
			}
		}()
		position := int64(0)
		next := func(kind string) changeLine {
			t.Helper()
			select {
			case line := <-lines:
				c := parseChange(t, line)
				if c.Kind != kind || c.Position != position+1 {
					t.Fatalf("line %+v, not %s at %d", c, kind, position+1)
				}
				position = c.Position
				return c
			case <-time.After(patience):
				t.Fatalf("no line of a change that is %s", kind)
			}
			return changeLine{}
		}
		next("party-added")
		anna := w.person("anna", object{"title": "Clerk"}, "--attributes", "title")
		if c := next("created"); c.Entry != anna.entry || c.Source != "scim" || c.Actor != w.directory.ID || !slices.Contains(c.Attributes, "title") || c.Txn == "" {
			t.Errorf("created: %+v", c)
		}
		if c := next("granted"); c.Party != w.shop.ID || c.Entry != anna.entry || !slices.Equal(c.Attributes, []string{"title"}) {
			t.Errorf("granted: %+v", c)
		}
		visitor := w.browser("ticket=" + w.ticket(anna.subject))
		h.await(t, anna, 1)
		w.patch(anna, object{"title": "Head Clerk", "nickName": "Annie"})
		if c := next("updated"); !slices.Equal(c.Attributes, []string{"nickName", "title"}) || c.Party != "" {
			t.Errorf("updated: %+v", c)
		}
		h.await(t, anna, 2)

		w.tidings(nil, "token", "revoke", w.directory.ID)
		if status, _ := call("GET", w.hub.url+"/scim/v2/Users", w.directory.Token, nil, nil); status != http.StatusUnauthorized {
			t.Errorf("a revoked token is answered with %d", status)
		}
		w.tidings(&w.directory, "token", "add", "--role", "directory", "--name", "hr2")

		ticket := w.ticket(anna.subject)
		w.tidings(nil, "party", "remove", w.shop.ID)
		next("party-removed")
		for path, method := range map[string]string{"/delta": "GET", "/subjects/" + anna.id: "GET", "/ssf/streams": "GET", "/ssf/poll/" + p.stream: "POST", "/live/tickets": "POST"} {
			if status, _ := call(method, w.hub.url+path, w.shop.Token, object{}, nil); status != http.StatusUnauthorized {
				t.Errorf("%s of a removed party: %d", path, status)
			}
		}
		if code := visitor.closed(t); code != events.CloseGoAway {
			t.Errorf("the socket of a removed party was closed with %d", code)
		}
		if b := w.browser("ticket=" + ticket); b.ended == nil {
			t.Error("a removed party's ticket still opens a socket")
		} else if code := b.closed(t); code != events.CloseGoAway && code != events.CloseTicket {
			t.Errorf("a removed party's ticket: %d", code)
		}
		w.patch(anna, object{"title": "Manager"})
		next("updated")
		if got := kinds(h.tokens(anna)); len(got) != 2 {
			t.Errorf("told %q", got)
		}
		if err := follow.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		for range lines {
		}
		if err := follow.Wait(); err != nil {
			t.Errorf("interrupted, changes --follow ends with %v", err)
		}
		w.clean()
		w.hub.stop(t)
		if got := kinds(h.tokens(anna)); len(got) != 2 {
			t.Errorf("after its end the party was told %q", got)
		}
	})
}

// What is secret or personal stays where it belongs: passwords and credentials are nowhere in the store, and neither log
// nor `changes` nor metrics hold a value of anybody.
func TestSecretsStayOut(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s site) {
		w := s.world()
		h := w.webhook()
		h.header = "Bearer marker-header-ZQXJ"
		w.push(h)
		const value = "markervalueKWVP"
		secrets := []string{"marker-header-ZQXJ", w.shop.Token, w.directory.Token}
		secret := func(n int) string {
			text := fmt.Sprintf("markerpassword%dYHGF", n)
			secrets = append(secrets, text)
			return text
		}
		anna := w.person("anna."+value, object{"title": value, "displayName": value, "password": secret(1),
			"emails": []any{object{"value": value + "@example.com", "type": "work"}}}, "--attributes", "title,emails,userName")
		w.patch(anna, object{"password": secret(2), "title": value + "2"})
		w.must("PUT", "/scim/v2/Users/"+anna.entry, w.directory.Token, object{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:User"},
			"userName": "anna." + value, "title": value + "3", "Password": secret(3)}, nil)
		shown := object{}
		w.must("GET", "/scim/v2/Users/"+anna.entry, w.directory.Token, nil, &shown)
		ldif := filepath.Join(t.TempDir(), "people.ldif")
		if err := os.WriteFile(ldif, []byte("dn: uid=bert,dc=example\nobjectClass: inetOrgPerson\nuid: bert."+value+"\ncn: "+value+"\nsn: "+value+
			"\nuserPassword: "+secret(4)+"\nuserPassword;x-old: "+secret(5)+"\n\ndn: uid=broken,dc=example\nobjectClass: inetOrgPerson\nuserPassword: "+secret(6)+"\nno colon "+value+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		imported, stderr, _ := w.try("import", ldif)
		// Requests that go wrong, and quote what must not be quoted.
		for _, bad := range []struct{ method, path, token, body string }{
			{"POST", "/scim/v2/Users", w.directory.Token, `{"userName":"` + value + `","password":"` + secret(7)},
			{"POST", "/scim/v2/Users", w.directory.Token, `{"userName":{"` + value + `":1},"password":["` + secret(8) + `"]}`},
			{"GET", "/scim/v2/Users?filter=" + url.QueryEscape(`userName eq "`+value), w.directory.Token, ""},
			{"PATCH", "/scim/v2/Users/" + anna.entry, w.directory.Token, `{"Operations":[{"op":"add","path":"nope","value":"` + value + `"}]}`},
			{"POST", "/ssf/streams", w.shop.Token, `{"delivery":{"method":"urn:ietf:rfc:8935","endpoint_url":"https://u:` + secret(9) + `@x.example/","authorization_header":"` + secret(10) + `\n"}}`},
			{"GET", "/delta?cursor=" + value, w.shop.Token, ""},
			{"GET", "/subjects/" + value, w.shop.Token, ""},
			{"GET", "/delta?access_token=" + url.QueryEscape(w.shop.Token), "", ""},
			{"GET", "/" + value, w.shop.Token, ""},
			{value, "/delta", w.shop.Token, ""},
			{"GET", "/delta", secret(11), ""},
		} {
			req, err := http.NewRequest(bad.method, w.hub.url+bad.path, strings.NewReader(bad.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Authorization", "Bearer "+bad.token)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			answer, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode < 400 || resp.StatusCode >= 500 {
				t.Errorf("%s %s: %d", bad.method, bad.path, resp.StatusCode)
			}
			stderr += string(answer)
		}
		h.answer(http.StatusBadRequest)
		w.patch(anna, object{"title": value + "4"})
		if !eventually(patience, func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.refused > 0 }) {
			t.Error("the webhook was not asked")
		}
		w.must("GET", "/subjects/"+anna.id, w.shop.Token, nil, nil)
		w.delta(w.shop.Token, "")
		resp, err := http.Get(w.hub.url + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		metrics, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if !bytes.Contains(metrics, []byte("tidings_http_requests_total")) {
			t.Error("no metrics")
		}
		changes, more, _ := w.try("changes")
		changesJSON, _, _ := w.try("changes", "--json")
		grants, _, _ := w.try("grant", "list", "--json")
		tokens, _, _ := w.try("token", "list", "--json")
		w.hub.stop(t)

		public := map[string]string{"the hub's log": w.hub.log.String(), "stderr": stderr + more, "import": imported,
			"changes": changes, "changes --json": changesJSON, "metrics": string(metrics), "grant list": grants, "token list": tokens}
		for where, text := range public {
			if strings.Contains(strings.ToLower(text), strings.ToLower(value)) {
				t.Errorf("%s holds a value", where)
			}
		}
		public["SCIM"] = fmt.Sprint(shown)
		public["the store"] = s.dump(s.open())
		if !strings.Contains(public["the store"], value) {
			t.Error("the dump shows nothing: this test is blind")
		}
		for where, text := range public {
			for _, forbidden := range secrets {
				if strings.Contains(text, forbidden) || strings.Contains(text, fmt.Sprintf("%x", forbidden)) {
					t.Errorf("%s holds the secret %.16s…", where, forbidden)
				}
			}
		}
		if folder := s.folder(); folder != "" { // what no table shows: free pages, the log that is written ahead
			for _, file := range []string{"hub.db", "hub.db-wal"} {
				raw, err := os.ReadFile(filepath.Join(folder, file))
				if err != nil && !errors.Is(err, os.ErrNotExist) {
					t.Fatal(err)
				}
				for _, forbidden := range secrets {
					if bytes.Contains(raw, []byte(forbidden)) {
						t.Errorf("%s holds the secret %.16s…", file, forbidden)
					}
				}
			}
		}
	})
}
