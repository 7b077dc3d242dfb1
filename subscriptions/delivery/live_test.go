package delivery

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"tidings/events"
	"tidings/hub"
)

// liveHouse is a hub with a party that may hear of some people, and the way for its browsers.
type liveHouse struct {
	*house
	p      testParty
	people []*hub.Entry
	grants []*hub.Grant
	live   *Live
	url    string
	stop   func()
}

func newLiveHouse(t testing.TB, people int, change ...func(*Live)) *liveHouse {
	h := &liveHouse{house: newHouse(t)}
	h.p = h.party()
	for i := range people {
		e := h.person(fmt.Sprint("user", i), "none")
		h.people, h.grants = append(h.people, e), append(h.grants, h.grant(h.p, e))
	}
	h.live = NewLive(h.Hub, unlimited{}, quiet())
	h.live.drain, h.live.closeTime = 20*time.Millisecond, time.Second
	for _, f := range change {
		f(h.live)
	}
	ctx, cancel := context.WithCancel(h.ctx)
	done := make(chan struct{})
	go func() { defer close(done); h.live.Run(ctx) }()
	h.stop = sync.OnceFunc(func() { cancel(); <-done })
	server := httptest.NewUnstartedServer(h.live)
	server.Listener = narrow{server.Listener}
	server.Start()
	t.Cleanup(func() { h.stop(); server.Close() })
	h.url = server.URL
	return h
}

// narrow gives connections small buffers, so that a reader that rests is noticed after little.
type narrow struct{ net.Listener }

func (n narrow) Accept() (net.Conn, error) {
	c, err := n.Listener.Accept()
	if err == nil {
		c.(*net.TCPConn).SetWriteBuffer(4096)
	}
	return c, err
}

func (h *liveHouse) change(i int) {
	h.t.Helper()
	h.person(fmt.Sprint("user", i), hub.NewID().String())
}

func (h *liveHouse) ticketFor(p testParty, people ...*hub.Entry) string {
	h.t.Helper()
	var subjects []events.Subject
	for _, e := range people {
		subjects = append(subjects, must(h.SubjectFor(h.ctx, p.Party, e))(h.t))
	}
	ticket, _, err := h.NewTicket(h.ctx, p.caller, subjects)
	if err != nil {
		h.t.Fatal(err)
	}
	return ticket
}

func (h *liveHouse) ticket() string { h.t.Helper(); return h.ticketFor(h.p, h.people...) }

// browser is a page with a socket.
type browser struct {
	t testing.TB
	*websocket.Conn
}

func (h *liveHouse) dial(ticket, cursor, origin string) (*browser, *http.Response, error) {
	query := url.Values{"ticket": {ticket}}
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	head := http.Header{}
	if origin != "" {
		head.Set("Origin", origin)
	}
	d := websocket.Dialer{NetDial: func(network, addr string) (net.Conn, error) {
		c, err := net.Dial(network, addr)
		if err == nil {
			c.(*net.TCPConn).SetReadBuffer(4096)
		}
		return c, err
	}}
	c, answer, err := d.Dial("ws"+strings.TrimPrefix(h.url, "http")+"/live?"+query.Encode(), head)
	if err != nil {
		return nil, answer, err
	}
	h.t.Cleanup(func() { c.Close() })
	return &browser{h.t, c}, answer, nil
}

func (h *liveHouse) connect(ticket, cursor string) *browser {
	h.t.Helper()
	b, _, err := h.dial(ticket, cursor, "")
	if err != nil {
		h.t.Fatal(err)
	}
	return b
}

// hear reads one frame: its subject ("" for none) and its cursor.
func (b *browser) hear() (subject, cursor string) {
	b.t.Helper()
	b.SetReadDeadline(time.Now().Add(20 * time.Second))
	_, text, err := b.ReadMessage()
	if err != nil {
		b.t.Fatal(err)
	}
	var n struct {
		Subject map[string]string
		Cursor  string
	}
	if err := json.Unmarshal(text, &n); err != nil || n.Cursor == "" {
		b.t.Fatalf("%s: %v", text, err)
	}
	return n.Subject["uri"], n.Cursor
}

// closed reads to the end and returns its code.
func (b *browser) closed() int {
	b.t.Helper()
	b.SetReadDeadline(time.Now().Add(20 * time.Second))
	for {
		if _, _, err := b.ReadMessage(); err != nil {
			var c *websocket.CloseError
			if !errors.As(err, &c) {
				b.t.Fatal(err)
			}
			return c.Code
		}
	}
}

// TestLive: the first frame says where the socket stands, then each change of the ticket's subjects is told, nobody
// else's; a socket that comes back with its cursor is told what it missed.
func TestLive(t *testing.T) {
	h := newLiveHouse(t, 3)
	b := h.connect(h.ticketFor(h.p, h.people[0], h.people[1]), "")
	if subject, _ := b.hear(); subject != "" {
		t.Fatalf("the first frame is about %s", subject)
	}
	h.change(2)
	h.change(0)
	subject, cursor := b.hear()
	if subject != h.subject(h.p, h.people[0]) {
		t.Errorf("told of %s", subject)
	}
	b.Close()
	h.change(2)
	h.change(1)
	b = h.connect(h.ticketFor(h.p, h.people[0], h.people[1]), cursor)
	if subject, again := b.hear(); subject != "" || again != cursor {
		t.Errorf("resumed at %s, %s", again, subject)
	}
	if subject, _ := b.hear(); subject != h.subject(h.p, h.people[1]) {
		t.Errorf("missed %s", subject)
	}
}

// TestResumeHasNoGap: whoever joins while changes are made hears each of them, from the past or from the tail.
func TestResumeHasNoGap(t *testing.T) {
	const people = 30
	h := newLiveHouse(t, people)
	_, cursor := h.connect(h.ticket(), "").hear()
	var tickets []string
	for range 40 {
		tickets = append(tickets, h.ticket())
	}
	var changing, listening sync.WaitGroup
	changing.Go(func() {
		for i := range people {
			h.change(i)
		}
	})
	for i, ticket := range tickets {
		b := h.connect(ticket, cursor)
		listening.Go(func() {
			heard := map[string]bool{}
			for len(heard) < people+1 {
				b.SetReadDeadline(time.Now().Add(20 * time.Second))
				_, text, err := b.ReadMessage()
				if err != nil {
					t.Errorf("socket %d heard of %d: %v", i, len(heard), err)
					return
				}
				var n struct{ Subject map[string]string }
				if err := json.Unmarshal(text, &n); err != nil {
					t.Error(err)
					return
				}
				heard[n.Subject["uri"]] = true
			}
		})
	}
	changing.Wait()
	listening.Wait()
}

// TestTicketsServeOnce: a ticket that was used, by a socket or a poll, or was never made gets close code 4002, or 404.
func TestTicketsServeOnce(t *testing.T) {
	h := newLiveHouse(t, 1)
	used := h.ticket()
	h.connect(used, "").hear()
	for _, ticket := range []string{used, "", "forged", strings.Repeat("x", 4000)} {
		if code := h.connect(ticket, "").closed(); code != events.CloseTicket {
			t.Errorf("%.10q: %d", ticket, code)
		}
		if code, _, _ := h.poll(ticket, "", "https://page.example"); code != 404 {
			t.Errorf("%.10q: %d", ticket, code)
		}
	}
}

func TestOrigins(t *testing.T) {
	shop := []string{"https://www.shop.example", "https://other.example:8443"}
	for _, c := range []struct {
		origin     string
		registered []string
		want       bool
	}{
		{"https://www.shop.example", shop, true}, {"HTTPS://WWW.Shop.Example:443", shop, true}, {"https://other.example:8443", shop, true},
		{"http://www.shop.example", shop, false}, {"https://shop.example", shop, false}, {"https://www.shop.example.evil.example", shop, false},
		{"https://other.example", shop, false}, {"https://www.shop.example:444", shop, false},
		{"http://localhost:3000", shop, false}, {issuer, shop, false}, {"null", shop, false}, {"", shop, true},
		{issuer, nil, true}, {issuer + ":443", nil, true}, {"http://hub.example.com", nil, false}, {"https://www.shop.example", nil, false},
		{"http://localhost:3000", nil, true}, {"http://127.0.0.1", nil, true}, {"http://[::1]:8080", nil, true}, {"https://app.localhost", nil, true},
		{"http://localhost.evil.example", nil, false}, {"http://127.0.0.1.evil.example", nil, false}, {"http://localhost@evil.example", nil, false},
		{"null", nil, false}, {"file://", nil, false}, {"https://", nil, false}, {"://", nil, false}, {"", nil, true},
		{"chrome-extension://localhost", nil, false},
	} {
		if got := mayConnect(c.origin, c.registered, issuer+"/base"); got != c.want {
			t.Errorf("%q with %q: %v", c.origin, c.registered, got)
		}
	}
}

func FuzzOrigin(f *testing.F) {
	for _, s := range []string{"https://a.example", "null", "http://[::1", "http://a:99999", "https://a\x00b", "http://LOCALHOST.", "http://."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		o := canonicalOrigin(s)
		if o != "" && canonicalOrigin(o) != o {
			t.Errorf("%q: %q has another canonical form", s, o)
		}
		if s != "" && mayConnect(s, []string{"https://only.example"}, issuer) != (o == "https://only.example:443") {
			t.Errorf("%q", s)
		}
	})
}

// TestForeignOrigin: a page of an origin that the party did not register gets nothing, and no permission to read it.
func TestForeignOrigin(t *testing.T) {
	h := newLiveHouse(t, 1)
	p := h.party("https://www.shop.example")
	h.grant(p, h.people[0])
	if _, answer, err := h.dial(h.ticketFor(p, h.people[0]), "", "https://evil.example"); err == nil || answer.StatusCode != 403 {
		t.Errorf("a foreign page: %v %v", answer, err)
	}
	if code, _, head := h.poll(h.ticketFor(p, h.people[0]), "", "https://evil.example"); code != 403 || head.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a foreign poll: %d %v", code, head)
	}
	if code, _, head := h.poll(h.ticketFor(p, h.people[0]), "", "https://www.shop.example"); code != 200 ||
		head.Get("Access-Control-Allow-Origin") != "https://www.shop.example" || head.Get("Vary") != "Origin" {
		t.Errorf("its own poll: %d %v", code, head)
	}
	b, _, err := h.dial(h.ticketFor(p, h.people[0]), "", "https://www.shop.example")
	if err != nil {
		t.Fatal(err)
	}
	b.hear()
}

// TestSlowSocket: a socket that does not read is cut with 4001; others hear everything meanwhile, and it misses nothing
// when it comes back.
func TestSlowSocket(t *testing.T) {
	h := newLiveHouse(t, 20, func(l *Live) { l.queue = 4096 })
	slow, good := h.connect(h.ticket(), ""), h.connect(h.ticket(), "")
	_, cursor := slow.hear()
	good.hear()
	other := h.connect(h.ticketFor(h.p, h.people[0]), "")
	other.hear()
	eventually(t, "three listen", func() bool { return h.listeners() == 3 })
	heard := 0
	go func() {
		for {
			if _, _, err := good.ReadMessage(); err != nil {
				return
			}
		}
	}()
	for round := 0; h.listeners() == 3 || round == 0; round++ {
		if round > 200 {
			t.Fatal("nobody is cut")
		}
		for i := range h.people {
			h.change(i)
		}
		other.hear()
		heard++
		if h.cut() {
			break
		}
	}
	t.Logf("cut after %d rounds", heard)
	if code := slow.closed(); code != events.CloseSlow {
		t.Errorf("closed with %d", code)
	}
	eventually(t, "it is gone", func() bool { return h.listeners() == 2 })
	back := h.connect(h.ticket(), cursor)
	missing := map[string]bool{}
	for _, e := range h.people {
		missing[h.subject(h.p, e)] = true
	}
	for len(missing) > 0 {
		subject, _ := back.hear()
		delete(missing, subject)
	}
}

func (h *liveHouse) listeners() int {
	h.live.mu.Lock()
	defer h.live.mu.Unlock()
	return h.live.joined
}

// cut reports whether a socket was cut for being slow.
func (h *liveHouse) cut() bool {
	h.live.mu.Lock()
	t := h.live.tails[h.p.ID]
	h.live.mu.Unlock()
	for _, who := range t.all() {
		s := who.(*socket)
		s.mu.Lock()
		closing := s.closing
		s.mu.Unlock()
		if closing == events.CloseSlow {
			return true
		}
	}
	return false
}

// asking is an engine whose second questions wait for the test.
type asking struct {
	LiveEngine
	asked, answer chan struct{}
}

func (a asking) MayHear(ctx context.Context, party hub.ID, entries []hub.ID) (map[hub.ID]bool, error) {
	a.asked <- struct{}{}
	<-a.answer
	return a.LiveEngine.MayHear(ctx, party, entries)
}

// TestRevokedWhileQueued: I4, I5. A notice that waited is not written after its grant ended; that it ended is told, and
// nothing after it.
func TestRevokedWhileQueued(t *testing.T) {
	a := asking{asked: make(chan struct{}), answer: make(chan struct{})}
	h := newLiveHouse(t, 2, func(l *Live) {
		a.LiveEngine = l.engine
		l.engine, l.fresh = a, 0 // everything counts as having waited
	})
	b := h.connect(h.ticket(), "")
	b.hear()
	h.change(0)
	<-a.asked
	if err := h.Revoke(h.ctx, "test", h.grants[0].ID); err != nil {
		t.Fatal(err)
	}
	a.answer <- struct{}{}
	if subject, _ := b.hear(); subject != h.subject(h.p, h.people[0]) {
		t.Errorf("told of %s", subject)
	}
	h.change(0)
	h.change(1)
	<-a.asked
	a.answer <- struct{}{}
	if subject, _ := b.hear(); subject != h.subject(h.p, h.people[1]) {
		t.Error("told after the end")
	}
}

// TestCodedCloses: each end has its code.
func TestCodedCloses(t *testing.T) {
	h := newLiveHouse(t, 1)
	if code := h.connect(h.ticket(), "no-cursor").closed(); code != events.CloseCursorExpired {
		t.Errorf("a cursor that is none: %d", code)
	}
	_, foreign := func() (string, string) {
		p := h.party()
		h.grant(p, h.people[0])
		return h.connect(h.ticketFor(p, h.people[0]), "").hear()
	}()
	if code := h.connect(h.ticket(), foreign).closed(); code != events.CloseCursorExpired {
		t.Errorf("another party's cursor: %d", code)
	}
	talks := h.connect(h.ticket(), "")
	talks.hear()
	talks.WriteMessage(websocket.TextMessage, []byte("hello"))
	if code := talks.closed(); code != events.CloseGoAway {
		t.Errorf("a page that talks: %d", code)
	}
	shouts := h.connect(h.ticket(), "")
	shouts.hear()
	shouts.WriteMessage(websocket.TextMessage, bytes.Repeat([]byte("x"), 100_000))
	if code := shouts.closed(); code != websocket.CloseMessageTooBig && code != events.CloseGoAway {
		t.Errorf("a page that shouts: %d", code)
	}
	lost := h.connect(h.ticket(), "")
	lost.hear()
	if err := h.RemoveParty(h.ctx, "test", h.p.ID); err != nil {
		t.Fatal(err)
	}
	if code := lost.closed(); code != events.CloseGoAway {
		t.Errorf("the party was removed: %d", code)
	}
	eventually(t, "nobody listens", func() bool { return h.listeners() <= 1 })
}

// TestStopping: sockets are sent away, to come back, and nobody is let in any more.
func TestStopping(t *testing.T) {
	h := newLiveHouse(t, 1)
	var all []*browser
	for range 5 {
		b := h.connect(h.ticket(), "")
		b.hear()
		all = append(all, b)
	}
	late := h.ticket()
	go h.stop()
	for _, b := range all {
		if code := b.closed(); code != events.CloseReconnect {
			t.Errorf("closed with %d", code)
		}
	}
	h.stop()
	if _, answer, err := h.dial(late, "", ""); err == nil || answer.StatusCode != 503 || answer.Header.Get("Retry-After") == "" {
		t.Errorf("let in: %v %v", answer, err)
	}
}

// TestStoppingAtTheDoor: who gets a place while the sockets are being sent away is sent away too, at once.
func TestStoppingAtTheDoor(t *testing.T) {
	reads, read := make(chan struct{}, 1), make(chan struct{})
	h := newLiveHouse(t, 1, func(l *Live) { l.engine = heldLive{l.engine, reads, read} })
	b := h.connect(h.ticket(), "")
	<-reads // of the first listener's tail, which has to stand before anybody is joined to it
	began := time.Now()
	go h.stop()
	eventually(t, "nobody is let in", h.live.full)
	close(read)
	if code := b.closed(); code != events.CloseReconnect {
		t.Errorf("closed with %d", code)
	}
	h.stop()
	if took := time.Since(began); took > h.live.writeTime {
		t.Errorf("stopping took %v", took)
	}
}

// heldLive holds readings back.
type heldLive struct {
	LiveEngine
	reads, read chan struct{}
}

func (e heldLive) Live(ctx context.Context, party hub.ID, cursor string, limit int) ([]hub.Notice, string, bool, error) {
	select {
	case e.reads <- struct{}{}:
	default:
	}
	<-e.read
	return e.LiveEngine.Live(ctx, party, cursor, limit)
}

// TestListenersBounded: I11, per party and in all; a party at its bound takes no place from another.
func TestListenersBounded(t *testing.T) {
	h := newLiveHouse(t, 1, func(l *Live) { l.perParty, l.total = 1, 2 })
	h.connect(h.ticket(), "").hear()
	if code := h.connect(h.ticket(), "").closed(); code != events.CloseReconnect {
		t.Errorf("beyond the party's bound: %d", code)
	}
	p := h.party()
	h.grant(p, h.people[0])
	h.connect(h.ticketFor(p, h.people[0]), "").hear()
	if _, answer, err := h.dial(h.ticket(), "", ""); err == nil || answer.StatusCode != 503 {
		t.Errorf("beyond the bound of all: %v %v", answer, err)
	}
}

// TestSilentSocket: a browser that answers no ping is dropped; one that has listened for long needs a new ticket.
func TestSilentSocket(t *testing.T) {
	h := newLiveHouse(t, 1, func(l *Live) { l.keepalive, l.writeTime = 20*time.Millisecond, 100*time.Millisecond })
	b := h.connect(h.ticket(), "")
	b.hear() // and never again: a page answers pings while it reads
	eventually(t, "it is dropped", func() bool { return h.listeners() == 0 })
	b = h.connect(h.ticket(), "")
	b.hear()
	go h.change(0)
	b.hear() // alive for its pongs
	h.live.age = time.Nanosecond * 5
	old := h.connect(h.ticket(), "")
	if code := old.closed(); code != events.CloseTicket {
		t.Errorf("closed with %d", code)
	}
}

// TestLiveWithoutHints: I12.
func TestLiveWithoutHints(t *testing.T) {
	h := newLiveHouse(t, 1, func(l *Live) { l.engine = deafLive{l.engine} })
	b := h.connect(h.ticket(), "")
	b.hear()
	h.change(0)
	if subject, _ := b.hear(); subject != h.subject(h.p, h.people[0]) {
		t.Errorf("told of %s", subject)
	}
}

type deafLive struct{ LiveEngine }

func (deafLive) Wake() <-chan struct{} { return make(chan struct{}) }

func (h *liveHouse) poll(ticket, cursor, origin string) (int, events.Notices, http.Header) {
	h.t.Helper()
	r := must(http.NewRequestWithContext(h.ctx, http.MethodGet, h.url+"/live?"+url.Values{"ticket": {ticket}, "cursor": {cursor}}.Encode(), nil))(h.t)
	if origin != "" {
		r.Header.Set("Origin", origin)
	}
	a := must(http.DefaultClient.Do(r))(h.t)
	defer a.Body.Close()
	body := must(io.ReadAll(a.Body))(h.t)
	var n events.Notices
	if a.StatusCode == 200 {
		if err := json.Unmarshal(body, &n); err != nil || !bytes.Contains(body, []byte(`"notices":[`)) {
			h.t.Fatalf("%s: %v", body, err)
		}
	}
	return a.StatusCode, n, a.Header
}

// TestLivePoll: over plain HTTP each answer brings the next ticket; it waits for a change, no longer than the wait.
func TestLivePoll(t *testing.T) {
	h := newLiveHouse(t, 2)
	code, first, _ := h.poll(h.ticketFor(h.p, h.people[0]), "", "")
	if code != 200 || first.Cursor == "" || first.Ticket == "" || len(first.Notices) != 0 {
		t.Fatalf("%d %+v", code, first)
	}
	answer := make(chan events.Notices)
	ask := func(n events.Notices) {
		code, next, _ := h.poll(n.Ticket, n.Cursor, "")
		if code != 200 {
			t.Errorf("%d", code)
		}
		answer <- next
	}
	go ask(first)
	eventually(t, "it waits", func() bool { return h.listeners() == 1 })
	h.change(1)
	h.change(0)
	second := <-answer
	if len(second.Notices) != 1 || second.Notices[0].Subject.Member("uri") != h.subject(h.p, h.people[0]) {
		t.Fatalf("%+v", second)
	}
	h.change(0) // before it asks again
	go ask(second)
	if third := <-answer; len(third.Notices) != 1 {
		t.Errorf("missed between two polls: %+v", third)
	} else {
		h.live.wait = 10 * time.Millisecond
		go ask(third)
		if last := <-answer; len(last.Notices) != 0 || last.Cursor == "" || last.Ticket == "" {
			t.Errorf("at the end of the wait: %+v", last)
		}
	}
	if code, _, head := h.poll(h.ticket(), "no-cursor", "http://localhost:3000"); code != 400 || head.Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("a cursor that is none: %d", code)
	}
	eventually(t, "nobody listens", func() bool { return h.listeners() == 0 })
}

// TestLivePollsBounded: I11. Each answer brings the ticket for the next question, so a page could ask without end: it rests
// in between, and the party's visitors may ask so often together.
func TestLivePollsBounded(t *testing.T) {
	allowed := &allowance{}
	allowed.grant(3)
	h := newLiveHouse(t, 1, func(l *Live) { l.often = allowed })
	_, first, _ := h.poll(h.ticket(), "", "")
	began := time.Now()
	for range 2 { // two answers at once: something changed since the cursor
		h.change(0)
		code, next, _ := h.poll(first.Ticket, first.Cursor, "")
		if code != 200 || len(next.Notices) != 1 {
			t.Fatalf("%d %+v", code, next)
		}
		first = next
	}
	if took := time.Since(began); took < 2*leastLive {
		t.Errorf("two polls took %v", took)
	}
	code, _, head := h.poll(first.Ticket, first.Cursor, "")
	if code != 429 || head.Get("Retry-After") == "" {
		t.Errorf("%d, Retry-After %q", code, head.Get("Retry-After"))
	}
}

// TestLivePollNeedsItsParty: a page that polls gets tickets from here as long as a socket would live; then its party's
// server has to say again whether this visitor may listen.
func TestLivePollNeedsItsParty(t *testing.T) {
	h := newLiveHouse(t, 1, func(l *Live) { l.age = 5 * leastLive })
	given := time.Now()
	ticket := h.ticket()
	for ticket != "" {
		asked := time.Now()
		code, next, _ := h.poll(ticket, "", "")
		if code != 200 || next.Cursor == "" {
			t.Fatalf("%d %+v", code, next)
		}
		if ticket = next.Ticket; ticket != "" && asked.Sub(given) > 20*time.Second {
			t.Fatal("tickets follow each other for ever")
		}
	}
	if lived := time.Since(given); lived < h.live.age {
		t.Errorf("no ticket any more after %v", lived)
	}
}

// FuzzSocket: whatever a browser sends after its handshake, it is served or closed, and gone when it hangs up.
func FuzzSocket(f *testing.F) {
	for _, s := range []string{"", "\x88\x80\x00\x00\x00\x00", "\x8a\x80\x00\x00\x00\x00", "\x89\xfe\xff\xff", "\x81\x80\x00\x00\x00\x00", "\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff", "\xff\xff\xff", "GET / HTTP/1.1\r\n\r\n"} {
		f.Add([]byte(s))
	}
	h := newLiveHouse(f, 1)
	f.Fuzz(func(t *testing.T, sent []byte) {
		h.t = t
		b := h.connect(h.ticket(), "")
		b.NetConn().Write(sent)
		b.NetConn().Close()
		eventually(t, "it is gone", func() bool { return h.listeners() == 0 })
	})
}
