package delivery

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"tidings/events"
	"tidings/hub"
	"tidings/subscriptions"
)

// socketHouse is a hub with a party that has a websocket stream and was granted a person.
type socketHouse struct {
	*house
	token  string
	p      testParty
	e      *hub.Entry
	g      *hub.Grant
	stream *hub.Stream
	node   *socketNode
}

// socketNode is one of the hub's servers.
type socketNode struct {
	*Websocket
	url  string
	stop func()
	over func(net.Listener) net.Listener
}

func newSocketHouse(t testing.TB, change ...func(*socketNode)) *socketHouse {
	h := &socketHouse{house: newHouse(t)}
	p, token, err := h.AddParty(h.ctx, "test", hub.PartyRequest{Name: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	h.token = token
	h.p = testParty{p, must(h.Authenticate(h.ctx, token))(t)}
	h.e = h.person("ann", "Engineer")
	h.g = h.grant(h.p, h.e)
	h.stream = h.house.stream(h.p, subscriptions.Delivery{Method: events.MethodWebsocket})
	h.node = h.serve(h.Hub, change...)
	return h
}

// serve starts a node.
func (h *socketHouse) serve(engine *hub.Hub, change ...func(*socketNode)) *socketNode {
	n := &socketNode{Websocket: NewWebsocket(engine, unlimited{}, quiet()), over: func(l net.Listener) net.Listener { return l }}
	n.look, n.closeTime = 50*time.Millisecond, time.Second
	for _, f := range change {
		f(n)
	}
	ctx, cancel := context.WithCancel(h.ctx)
	done := make(chan struct{})
	go func() { defer close(done); n.Run(ctx) }()
	n.stop = sync.OnceFunc(func() { cancel(); <-done })
	mux := http.NewServeMux()
	mux.Handle("GET /ssf/socket/{stream_id}", n)
	server := httptest.NewUnstartedServer(known(engine, mux))
	server.Listener = n.over(server.Listener)
	server.Start()
	h.t.Cleanup(func() { n.stop(); server.Close() })
	n.url = "ws" + strings.TrimPrefix(server.URL, "http") + "/ssf/socket/"
	return n
}

// known finds the caller by the bearer token, as the frame around the faces does.
func known(h *hub.Hub, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, token, ok := strings.Cut(r.Header.Get("Authorization"), "Bearer "); ok {
			if c, err := h.Authenticate(r.Context(), token); err == nil {
				r = r.WithContext(hub.WithCaller(r.Context(), c))
			}
		}
		next.ServeHTTP(w, r)
	})
}

// taker is a receiver with a socket. A reader of its own takes frames as they come.
type taker struct {
	t testing.TB
	*websocket.Conn
	frames chan events.PollResponse
	over   chan error
}

func (h *socketHouse) dial(n *socketNode, stream string, head http.Header) (*websocket.Conn, *http.Response, error) {
	return websocket.DefaultDialer.Dial(n.url+stream, head)
}

// raw is a connection that nobody reads.
func (h *socketHouse) raw(n *socketNode) *websocket.Conn {
	h.t.Helper()
	c, _, err := h.dial(n, h.stream.ID.String(), http.Header{"Authorization": {"Bearer " + h.token}})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { c.Close() })
	return c
}

func (h *socketHouse) connect(n *socketNode) *taker {
	h.t.Helper()
	k := &taker{h.t, h.raw(n), make(chan events.PollResponse, 100), make(chan error, 1)}
	go func() {
		for {
			var f events.PollResponse
			if err := k.ReadJSON(&f); err != nil {
				k.over <- err
				return
			}
			k.frames <- f
		}
	}()
	return k
}

// take waits for the next frame.
func (k *taker) take() (sets []set) {
	k.t.Helper()
	select {
	case f := <-k.frames:
		for _, each := range f.Sets {
			s := readSet(k.t, each.Compact)
			if s.JTI != each.JTI {
				k.t.Errorf("under %s stands %s", each.JTI, s.JTI)
			}
			sets = append(sets, s)
		}
		if len(sets) == 0 {
			k.t.Error("an empty frame")
		}
		return sets
	case err := <-k.over:
		k.t.Fatalf("the socket is over: %v", err)
	case <-time.After(20 * time.Second):
		k.t.Fatal("no frame")
	}
	return nil
}

func (k *taker) only() set {
	k.t.Helper()
	sets := k.take()
	if len(sets) != 1 {
		k.t.Fatalf("%d sets", len(sets))
	}
	return sets[0]
}

// silent holds that nothing more is sent, for as long as several looks take.
func (k *taker) silent() {
	k.t.Helper()
	select {
	case f := <-k.frames:
		for _, each := range f.Sets {
			k.t.Errorf("was told %s", readSet(k.t, each.Compact).Type)
		}
	case err := <-k.over:
		k.t.Fatalf("the socket is over: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
}

func (k *taker) say(text string, args ...any) {
	k.t.Helper()
	if err := k.WriteMessage(websocket.TextMessage, []byte(fmt.Sprintf(text, args...))); err != nil {
		k.t.Fatal(err)
	}
}

func (k *taker) ack(sets ...set) {
	k.t.Helper()
	var request events.PollRequest
	for _, s := range sets {
		request.Ack = append(request.Ack, s.JTI)
	}
	if err := k.WriteJSON(request); err != nil {
		k.t.Fatal(err)
	}
}

// closed is the code with which the hub closes; 0 when the connection just ends.
func (k *taker) closed() int {
	k.t.Helper()
	for {
		select {
		case <-k.frames:
		case err := <-k.over:
			var c *websocket.CloseError
			if errors.As(err, &c) {
				return c.Code
			}
			return 0
		case <-time.After(20 * time.Second):
			k.t.Fatal("the socket does not end")
		}
	}
}

// owed counts deliveries that are not settled, as the engine's own reader finds them when every lease is over.
func (h *socketHouse) owed() int {
	h.t.Helper()
	sendings := must(h.store.Sendable(h.ctx, h.stream.ID, time.Now().Add(time.Hour).UnixMicro(), 1000))(h.t)
	return len(sendings)
}

func (h *socketHouse) settles(k *taker, sets ...set) {
	h.t.Helper()
	before := h.owed()
	k.ack(sets...)
	eventually(h.t, "the acknowledgement counts", func() bool { return h.owed() < before })
}

// TestWebsocket: WS-01, WS-04, WS-05: sent as it happens, settled by the acknowledgement only; what was not acknowledged
// is owed at once when the socket is over, in the same bytes.
func TestWebsocket(t *testing.T) {
	h := newSocketHouse(t)
	shown := must(h.Configuration(h.ctx, h.stream))(t)
	if want := "wss" + strings.TrimPrefix(issuer, "https") + "/ssf/socket/" + h.stream.ID.String(); shown.Delivery.EndpointURL != want {
		t.Errorf("endpoint_url %s", shown.Delivery.EndpointURL)
	}
	k := h.connect(h.node)
	k.silent()
	h.person("ann", "Chief")
	first := k.only()
	if first.Subject != h.subject(h.p, h.e) {
		t.Errorf("subject %q", first.Subject)
	}
	k.silent() // it is leased
	k.say(`{"ack":["unknown"],"maxEvents":3,"other":{}}`)
	k.Close()
	k = h.connect(h.node)
	if again := k.only(); again.compact != first.compact {
		t.Error("the repeat is another token")
	}
	h.settles(k, first)
	k.ack(first) // twice is harmless
	h.person("ann", "Other")
	second := k.only()
	k.Close()
	k = h.connect(h.node)
	if again := k.only(); again.compact != second.compact || again.JTI == first.JTI {
		t.Error("not what was owed")
	}
	h.settles(k, second)
	k.silent()
}

// TestWebsocketErrors: PB-11: what a receiver does not accept becomes a dead letter, and the stream goes on.
func TestWebsocketErrors(t *testing.T) {
	h := newSocketHouse(t)
	k := h.connect(h.node)
	h.person("ann", "Chief")
	s := k.only()
	k.say(`{"ack":[%q],"setErrs":{%q:{"err":"invalid_audience","description":"no"}}}`, s.JTI, s.JTI)
	eventually(t, "a dead letter", func() bool {
		return len(must(h.store.DeadLetters(h.ctx, hub.LetterQuery{Party: h.p.ID, Limit: 10}))(t)) == 1
	})
	h.person("ann", "Other")
	if next := k.only(); next.JTI == s.JTI {
		t.Error("told again")
	}
}

// TestWebsocketLease: what is not acknowledged in time comes again on the socket that lives, in the same bytes.
func TestWebsocketLease(t *testing.T) {
	h := newSocketHouse(t, func(w *socketNode) { w.poll.lease = 200 * time.Millisecond })
	k := h.connect(h.node)
	h.person("ann", "Chief")
	first := k.only()
	if again := k.only(); again.compact != first.compact {
		t.Error("the repeat is another token")
	}
}

// TestWebsocketWindow: WS-05: no more is on its way than the window holds, and acknowledging, in any order, makes room
// until all has been told once.
func TestWebsocketWindow(t *testing.T) {
	const window, people = 4, 40
	h := newSocketHouse(t, func(w *socketNode) { w.window = window })
	for i := range people {
		name := fmt.Sprint("user", i)
		h.grant(h.p, h.person(name, "none"))
	}
	k := h.connect(h.node)
	seen, flying := map[string]bool{}, []set{}
	for len(seen) < people {
		for len(flying) < window && len(seen)+len(flying) < people {
			flying = append(flying, k.take()...)
		}
		if len(flying) > window {
			t.Fatalf("%d tokens on their way", len(flying))
		}
		k.silentIfFull(len(flying) == window && len(seen) == 0)
		slices.Reverse(flying)
		for _, s := range flying {
			if seen[s.JTI] {
				t.Error("told twice")
			}
			seen[s.JTI] = true
		}
		k.ack(flying...)
		flying = nil
	}
	eventually(t, "nothing is owed", func() bool { return h.owed() == 0 })
}

func (k *taker) silentIfFull(full bool) {
	k.t.Helper()
	if full {
		k.silent()
	}
}

// TestRevokedInSocketWindow: I5. Of a grant that ended nothing is sent that had not left: neither what waits behind a
// full window nor what was sent, not acknowledged, and would come again.
func TestRevokedInSocketWindow(t *testing.T) {
	h := newSocketHouse(t, func(w *socketNode) { w.window = 1 })
	bert := h.person("bert", "none")
	grant := h.grant(h.p, bert)
	k := h.connect(h.node)
	added := k.only()
	h.settles(k, added)
	h.person("ann", "Chief")
	first := k.only() // the window is full
	h.person("bert", "Chief")
	k.silent()
	if err := errors.Join(h.Revoke(h.ctx, "test", grant.ID), h.Revoke(h.ctx, "test", h.g.ID)); err != nil {
		t.Fatal(err)
	}
	h.person("bert", "Other")
	k.Close()
	k = h.connect(h.node)
	told := map[string]string{}
	for range 2 {
		s := k.only()
		if s.JTI == first.JTI || told[s.Subject] != "" || !strings.HasSuffix(string(s.Type), "feed:remove") {
			t.Errorf("after the end: %s", s.Type)
		}
		told[s.Subject] = s.JTI
		k.ack(s)
	}
	k.ack(first)
	k.silent()
}

// TestWebsocketPaused: WS-06, ST-11: no frame leaves a stream that is not enabled; what was held comes afterwards, and
// acknowledgements count all the time.
func TestWebsocketPaused(t *testing.T) {
	h := newSocketHouse(t)
	k := h.connect(h.node)
	h.person("ann", "Chief")
	first := k.only()
	set := func(s subscriptions.Status) {
		must(h.SetStatus(h.ctx, h.p.caller, h.stream.ID.String(), s, ""))(t)
	}
	set(subscriptions.Paused)
	h.person("ann", "Other")
	k.silent()
	k.ack(first)
	k.silent()
	set(subscriptions.Enabled)
	second := k.only()
	if second.JTI == first.JTI {
		t.Error("an acknowledged token returns")
	}
	set(subscriptions.Disabled)
	h.person("ann", "Third")
	k.silent()
	set(subscriptions.Enabled)
	k.silent() // disabled: not held
	h.person("ann", "Fourth")
	k.only()
}

// TestWebsocketSuspended: WS-06, SE-03, SE-04: where the transmitter stops a stream, that is the last frame before and
// the first after.
func TestWebsocketSuspended(t *testing.T) {
	h := newSocketHouse(t)
	k := h.connect(h.node)
	operate := func(s subscriptions.Status) {
		t.Helper()
		if _, _, err := h.OperateStream(h.ctx, h.stream.ID, s, "maintenance"); err != nil {
			t.Fatal(err)
		}
	}
	h.person("ann", "Chief")
	first := k.only()
	operate(subscriptions.Paused)
	h.person("ann", "Other")
	if last := k.only(); last.Type != events.StreamUpdated {
		t.Errorf("the last frame is %s", last.Type)
	} else {
		h.settles(k, last)
	}
	k.ack(first)
	k.silent()
	k.Close()
	k = h.connect(h.node)
	k.silent()
	operate(subscriptions.Enabled)
	told := k.take()
	if told[0].Type != events.StreamUpdated {
		t.Errorf("the first frame begins with %s", told[0].Type)
	}
	for told = told[1:]; len(told) == 0; {
		told = k.take()
	}
	if !strings.HasSuffix(string(told[0].Type), "prov:patch:notice") || told[0].JTI == first.JTI {
		t.Errorf("then comes %s", told[0].Type)
	}
}

// TestWebsocketLosesItsRight: WS-03: a credential that is revoked ends its sockets, with 1008, before another token
// leaves or another word counts.
func TestWebsocketLosesItsRight(t *testing.T) {
	h := newSocketHouse(t, func(w *socketNode) { w.look = time.Hour })
	k, idle := h.connect(h.node), h.connect(h.node)
	h.person("ann", "Chief")
	var s set
	select {
	case f := <-k.frames:
		s = readSet(t, f.Sets[0].Compact)
	case f := <-idle.frames:
		s, k, idle = readSet(t, f.Sets[0].Compact), idle, k
	}
	if err := h.RevokeToken(h.ctx, h.p.caller.Token); err != nil {
		t.Fatal(err)
	}
	k.ack(s)
	if code := k.closed(); code != websocket.ClosePolicyViolation {
		t.Errorf("closed with %d", code)
	}
	if h.owed() != 1 {
		t.Error("a stranger's acknowledgement counts")
	}
	h.person("ann", "Other") // a hint is enough for the other one to look
	if code := idle.closed(); code != websocket.ClosePolicyViolation {
		t.Errorf("closed with %d", code)
	}
}

// TestWebsocketWithoutStream: a stream that is deleted or takes another way out ends its sockets for good; a party that
// is removed has no credential any more.
func TestWebsocketWithoutStream(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(h *socketHouse) error
		want []int
	}{
		"deleted": {func(h *socketHouse) error { return h.DeleteStream(h.ctx, h.p.caller, h.stream.ID.String()) }, []int{events.CloseGoAway}},
		"polled": {func(h *socketHouse) error {
			_, err := h.UpdateStream(h.ctx, h.p.caller, h.stream.ID.String(), func(_ hub.Stream, s *subscriptions.Settings) error {
				s.Delivery = subscriptions.Delivery{Method: events.MethodPoll}
				return nil
			})
			return err
		}, []int{events.CloseGoAway}},
		"party removed": {func(h *socketHouse) error { return h.RemoveParty(h.ctx, "test", h.p.ID) },
			[]int{websocket.ClosePolicyViolation, events.CloseGoAway}}, // whichever is noticed first
	} {
		t.Run(name, func(t *testing.T) {
			h := newSocketHouse(t)
			k := h.connect(h.node)
			if err := c.end(h); err != nil {
				t.Fatal(err)
			}
			if code := k.closed(); !slices.Contains(c.want, code) {
				t.Errorf("closed with %d", code)
			}
		})
	}
}

// TestWebsocketFrames: I11, WS-07: what is no frame ends the socket with a code and changes nothing.
func TestWebsocketFrames(t *testing.T) {
	h := newSocketHouse(t)
	hasty := h.serve(h.Hub, func(w *socketNode) { w.frameTime = 200 * time.Millisecond })
	k := h.connect(h.node)
	h.person("ann", "Chief")
	jti := k.only().JTI
	k.Close()
	text := func(s string) func(*taker) error {
		return func(k *taker) error { return k.WriteMessage(websocket.TextMessage, []byte(s)) }
	}
	for name, c := range map[string]struct {
		send func(k *taker) error
		want int
	}{
		"no JSON":         {text(`{`), websocket.CloseInvalidFramePayloadData},
		"empty":           {text(``), websocket.CloseInvalidFramePayloadData},
		"array":           {text(`[]`), websocket.CloseInvalidFramePayloadData},
		"number for ack":  {text(`{"ack":1}`), websocket.CloseInvalidFramePayloadData},
		"repeated member": {text(`{"ack":["%s"],"ack":["%s"]}`), websocket.CloseInvalidFramePayloadData},
		"deep":            {text(`{"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`), websocket.CloseInvalidFramePayloadData},
		"no UTF-8":        {text("{\"x\":\"\xff\"}"), websocket.CloseInvalidFramePayloadData},
		"binary": {func(k *taker) error { return k.WriteMessage(websocket.BinaryMessage, []byte(`{}`)) },
			websocket.CloseUnsupportedData},
		"huge": {text(`{"x":"` + strings.Repeat("x", events.MaxPoll) + `"}`), websocket.CloseMessageTooBig},
		"huge in small pieces": {func(k *taker) error {
			w, err := k.NextWriter(websocket.TextMessage)
			if err != nil {
				return err
			}
			_, err = io.Copy(w, strings.NewReader(strings.Repeat(" ", 2*events.MaxPoll)))
			return err
		}, websocket.CloseMessageTooBig},
		"promises a huge one": {func(k *taker) error {
			head := binary.BigEndian.AppendUint64([]byte{0x81, 0xff}, 1<<40)
			_, err := k.NetConn().Write(append(head, 0, 0, 0, 0))
			return err
		}, websocket.CloseMessageTooBig},
		"unmasked": {func(k *taker) error { _, err := k.NetConn().Write([]byte{0x81, 2, '{', '}'}); return err }, websocket.CloseProtocolError},
		"slow": {func(k *taker) error {
			_, err := k.NetConn().Write([]byte{0x81, 0x84, 0, 0, 0, 0, '{'})
			return err
		}, events.CloseSlow},
		"slow, with signs of life": {func(k *taker) error {
			_, err := k.NetConn().Write([]byte{0x01, 0x81, 0, 0, 0, 0, '{'})
			go func() {
				tick := time.NewTicker(10 * time.Millisecond)
				defer tick.Stop()
				for k.WriteControl(websocket.PongMessage, nil, time.Now().Add(time.Second)) == nil {
					<-tick.C
				}
			}()
			return err
		}, events.CloseSlow},
	} {
		t.Run(name, func(t *testing.T) {
			n := h.node
			if c.want == events.CloseSlow {
				n = hasty
			}
			k := h.connect(n)
			if k.only().JTI != jti {
				t.Error("another token")
			}
			if name == "repeated member" {
				k.say(`{"ack":[%q],"ack":[%q]}`, jti, jti)
			} else if err := c.send(k); err != nil && c.want != websocket.CloseMessageTooBig {
				t.Fatal(err)
			}
			if code := k.closed(); code != c.want {
				t.Errorf("closed with %d, want %d", code, c.want)
			}
			k.Close()
			if h.owed() != 1 {
				t.Error("something was settled")
			}
		})
	}
}

// TestWebsocketFramesBounded: I11, PR-10. A frame counts as a request, and as several if what it says takes several
// transactions; who says too much is not cut off, but has to wait.
func TestWebsocketFramesBounded(t *testing.T) {
	allowed := &allowance{}
	h := newSocketHouse(t, func(w *socketNode) { w.often = allowed })
	k := h.connect(h.node)
	h.person("ann", "Chief")
	s := k.only()
	k.say(`{"ack":[%q]}`, s.JTI)
	k.silent()
	if h.owed() != 1 {
		t.Error("a frame counts that may not be taken yet")
	}
	allowed.grant(1)
	eventually(t, "the acknowledgement counts", func() bool { return h.owed() == 0 })
	allowed.grant(10)
	k.say(`{}`)
	k.say(`{"ack":[%s"x"]}`, strings.Repeat(`"x",`, 2*settleAtOnce))
	eventually(t, "four are counted", func() bool { return allowed.left.Load() == 6 })
	h.person("ann", "Other")
	k.only() // the socket goes on
}

// TestWebsocketSlowReader: a receiver that does not take its frames is cut, and what it had is owed at once.
func TestWebsocketSlowReader(t *testing.T) {
	const people = 300
	h := newSocketHouse(t, func(w *socketNode) {
		w.writeTime, w.window = time.Second, people
		w.over = func(l net.Listener) net.Listener { return narrow{l} }
	})
	for i := range people {
		h.grant(h.p, h.person(fmt.Sprint("user", i), "none"))
	}
	d := websocket.Dialer{NetDial: func(network, addr string) (net.Conn, error) {
		c, err := net.Dial(network, addr)
		if err == nil {
			c.(*net.TCPConn).SetReadBuffer(4096)
		}
		return c, err
	}}
	c, _, err := d.Dial(h.node.url+h.stream.ID.String(), http.Header{"Authorization": {"Bearer " + h.token}})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the socket is cut", func() bool {
		h.node.mu.Lock()
		defer h.node.mu.Unlock()
		return h.node.all == 0
	})
	c.Close()
	k := h.connect(h.serve(h.Hub))
	for told := 0; told < people; {
		sets := k.take()
		told += len(sets)
		k.ack(sets...)
	}
}

// TestWebsocketSilence: WS-07: one that answers no ping is given up; one that does may be silent for ever.
func TestWebsocketSilence(t *testing.T) {
	h := newSocketHouse(t, func(w *socketNode) { w.writeTime, w.keepalive = time.Second, 200*time.Millisecond })
	mute, k := h.raw(h.node), h.connect(h.node)
	eventually(t, "the mute one is given up", func() bool {
		h.node.mu.Lock()
		defer h.node.mu.Unlock()
		return h.node.all == 1
	})
	mute.Close()
	h.person("ann", "Chief")
	k.only()
}

// TestWebsocketStops: a hub that stops sends its receivers to another node, which has at once what they had not
// acknowledged; acknowledgements on the way out count.
func TestWebsocketStops(t *testing.T) {
	h := newSocketHouse(t)
	second := h.serve(must(hub.Open(h.ctx, h.store, h.key, hub.Config{Issuer: issuer}))(t))
	k := h.connect(h.node)
	h.person("ann", "Chief")
	s := k.only()
	h.node.stop()
	if code := k.closed(); code != events.CloseReconnect {
		t.Errorf("closed with %d", code)
	}
	if _, answer, err := h.dial(h.node, h.stream.ID.String(), http.Header{"Authorization": {"Bearer " + h.token}}); err == nil || answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a node that stops takes sockets: %v", answer)
	}
	k = h.connect(second)
	if again := k.only(); again.compact != s.compact {
		t.Error("the repeat is another token")
	}
	h.settles(k, s)
}

// TestWebsocketsStopSpread: receivers that are sent away come back, and are not all to come at once.
func TestWebsocketsStopSpread(t *testing.T) {
	h := newSocketHouse(t)
	var all []*taker
	for range 6 {
		all = append(all, h.connect(h.node))
	}
	eventually(t, "all are in", func() bool { h.node.mu.Lock(); defer h.node.mu.Unlock(); return len(h.node.links) == len(all) })
	began := time.Now()
	go h.node.stop()
	for _, k := range all {
		if code := k.closed(); code != events.CloseReconnect {
			t.Errorf("closed with %d", code)
		}
	}
	if took := time.Since(began); took < time.Duration(len(all)-1)*longestStep {
		t.Errorf("all were sent away within %v", took)
	}
}

// TestWebsocketsShare: sockets of one stream, at two nodes, share what there is: everything is told once.
func TestWebsocketsShare(t *testing.T) {
	h := newSocketHouse(t)
	second := h.serve(must(hub.Open(h.ctx, h.store, h.key, hub.Config{Issuer: issuer}))(t))
	takers := []*taker{h.connect(h.node), h.connect(second), h.connect(second)}
	const people = 60
	for i := range people {
		h.grant(h.p, h.person(fmt.Sprint("user", i), "none"))
	}
	var mu sync.Mutex
	told := map[string]int{}
	for _, k := range takers {
		go func() {
			for f := range k.frames {
				var request events.PollRequest
				mu.Lock()
				for _, each := range f.Sets {
					told[each.JTI]++
					request.Ack = append(request.Ack, each.JTI)
				}
				mu.Unlock()
				k.WriteJSON(request)
			}
		}()
	}
	eventually(t, "all is told and settled", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(told) == people && h.owed() == 0
	})
	for jti, n := range told {
		if n != 1 {
			t.Errorf("%s was told %d times", jti, n)
		}
	}
}

// TestWebsocketRefusals: WS-02, WS-07, I10: who may connect, and the same answer for what is not there and not yours.
func TestWebsocketRefusals(t *testing.T) {
	h := newSocketHouse(t)
	other := h.party()
	bearer := "Bearer " + h.token
	_, operator, err := h.AddToken(h.ctx, hub.TokenRequest{Role: hub.RoleOperator, Name: "desk"})
	if err != nil {
		t.Fatal(err)
	}
	foreign := h.house.stream(other, subscriptions.Delivery{Method: events.MethodWebsocket}).ID.String()
	polled := h.house.stream(h.p, subscriptions.Delivery{Method: events.MethodPoll}).ID.String()
	own := h.stream.ID.String()
	bodies := map[string]string{}
	for name, c := range map[string]struct {
		authorization, stream, origin string
		want                          int
	}{
		"nobody":         {"", own, "", 401},
		"unknown token":  {"Bearer tdg_x", own, "", 401},
		"not a party":    {"Bearer " + operator, own, "", 403},
		"unknown stream": {bearer, hub.NewID().String(), "", 404},
		"no id":          {bearer, "x", "", 404},
		"foreign stream": {bearer, foreign, "", 404},
		"polled stream":  {bearer, polled, "", 404},
		"page":           {bearer, own, "https://shop.example.net", 403},
		"page of none":   {bearer, own, "null", 403},
		"own page":       {bearer, own, issuer, 101},
		"no page":        {bearer, own, "", 101},
	} {
		head := http.Header{}
		if c.authorization != "" {
			head.Set("Authorization", c.authorization)
		}
		if c.origin != "" {
			head.Set("Origin", c.origin)
		}
		conn, answer, err := h.dial(h.node, c.stream, head)
		if err == nil {
			conn.Close()
		} else {
			bodies[name] = string(must(io.ReadAll(answer.Body))(t))
		}
		if answer.StatusCode != c.want {
			t.Errorf("%s: %d, want %d", name, answer.StatusCode, c.want)
		}
	}
	if bodies["foreign stream"] != bodies["unknown stream"] || !json.Valid([]byte(bodies["foreign stream"])) {
		t.Errorf("foreign: %s, unknown: %s", bodies["foreign stream"], bodies["unknown stream"])
	}
	plain := must(http.NewRequest(http.MethodGet, "http"+strings.TrimPrefix(h.node.url, "ws")+own, nil))(t)
	plain.Header.Set("Authorization", bearer)
	answer := must(http.DefaultClient.Do(plain))(t)
	answer.Body.Close()
	if answer.StatusCode != http.StatusBadRequest {
		t.Errorf("no handshake: %d", answer.StatusCode)
	}
	eventually(t, "all have left", func() bool {
		h.node.mu.Lock()
		defer h.node.mu.Unlock()
		return h.node.all == 0 && len(h.node.joined) == 0 && len(h.node.links) == 0
	})
	h.node.joined[h.p.ID] = h.node.perParty
	_, answer, _ = h.dial(h.node, own, http.Header{"Authorization": {bearer}})
	if answer.StatusCode != http.StatusTooManyRequests || answer.Header.Get("Retry-After") == "" {
		t.Errorf("too many: %d", answer.StatusCode)
	}
	delete(h.node.joined, h.p.ID)
}

// FuzzFrame: WS-04: whatever a receiver sends is a request within its bounds or a goodbye with a code that may be sent.
func FuzzFrame(f *testing.F) {
	f.Add(websocket.TextMessage, []byte(`{"ack":["a"],"setErrs":{"b":{"err":"invalid_key","description":"x"}}}`))
	f.Add(websocket.TextMessage, []byte(`{"ack":["a"],"ack":[]}`))
	f.Add(websocket.BinaryMessage, []byte(`{}`))
	f.Add(websocket.TextMessage, []byte("{\"\xff\":1}"))
	f.Fuzz(func(t *testing.T, kind int, body []byte) {
		request, err := readFrame(kind, body)
		var g *goodbye
		switch {
		case err == nil:
			if kind != websocket.TextMessage || len(request.Ack)*2 > len(body) || len(request.SetErrs) > len(body) || !json.Valid(body) {
				t.Errorf("%d tokens from %d bytes of kind %d", len(request.Ack)+len(request.SetErrs), len(body), kind)
			}
		case !errors.As(err, &g) || len(websocket.FormatCloseMessage(g.code, g.reason)) > 125:
			t.Errorf("no goodbye: %v", err)
		}
	})
}
