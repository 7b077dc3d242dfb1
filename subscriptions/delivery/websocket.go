package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"tidings/events"
	"tidings/hub"
)

// WebsocketEngine is what the websocket method needs of the engine (*hub.Hub).
type WebsocketEngine interface {
	PollEngine
	Issuer() string
	Authenticate(ctx context.Context, bearer string) (hub.Caller, error)
}

// Limiter holds everybody under a key to how often something may be done (*web.Limiter): an hub.ErrTooSoon says that it may
// not yet.
type Limiter interface {
	Take(key string) error
}

// Websocket serves receivers that keep a socket open for their tokens (events.MethodWebsocket): GET …/{stream_id}, with
// the caller in the context and its bearer token in the header. It is polling without the asking: frames are the bodies
// of RFC 8936, both ways, and the same window, leases and judgements serve both. It needs Run beside it.
//
// A stream may have several sockets, at any of the nodes: they share what there is, as polls side by side do, and one
// subject's tokens still go one after another. Letting a new socket displace the old one would set a receiver that runs
// twice against itself.
type Websocket struct {
	poll     *Poll // what polling does with tokens, this does too
	engine   WebsocketEngine
	often    Limiter
	log      *slog.Logger
	upgrader websocket.Upgrader
	// ctx is the life of the links, which outlast the server's: they are closed one by one when Run ends.
	ctx  context.Context
	stop context.CancelFunc

	perParty, total int
	window          int           // tokens on their way on one socket: sent, not acknowledged, their lease not over
	look            time.Duration // between two looks at the caller's right and at the stream, at most
	keepalive       time.Duration // between two pings; the pong is due before the next but one
	frameTime       time.Duration // for one frame of the receiver, from its first byte
	writeTime       time.Duration // for one frame of ours
	closeTime       time.Duration // for the other side's part of closing

	mu       sync.Mutex
	links    map[*link]struct{}
	joined   map[hub.ID]int // by party, those whose handshake is under way among them
	all      int
	stopping bool
	open     sync.WaitGroup
}

// NewWebsocket makes the handler. The limiter is for the frames of a party's receivers, all together.
func NewWebsocket(engine WebsocketEngine, often Limiter, log *slog.Logger) *Websocket {
	w := &Websocket{
		poll: NewPoll(engine, log), engine: engine, often: often, log: log,
		perParty: maxWaiting, total: 4096, window: maxPollSets,
		look: lookAgain, keepalive: 25 * time.Second, frameTime: 15 * time.Second, writeTime: 10 * time.Second, closeTime: 3 * time.Second,
		links: map[*link]struct{}{}, joined: map[hub.ID]int{},
	}
	w.ctx, w.stop = context.WithCancel(context.Background())
	w.upgrader = websocket.Upgrader{
		HandshakeTimeout: 10 * time.Second,
		ReadBufferSize:   4096, WriteBufferSize: 4096, WriteBufferPool: &sync.Pool{},
		CheckOrigin: func(r *http.Request) bool { return mayConnect(r.Header.Get("Origin"), nil, engine.Issuer()) },
		Error: func(w http.ResponseWriter, _ *http.Request, status int, _ error) {
			if status == http.StatusForbidden {
				problem{Status: status, Type: urn + "origin", Title: "Pages of this origin may not connect"}.write(w)
				return
			}
			problem{Status: status, Type: urn + "bad-request", Title: "This is no websocket handshake"}.write(w)
		},
	}
	return w
}

// Run waits for the end of ctx and then sends every receiver away, spread over a while, to come back to another node. What
// they had not acknowledged is owed again at once.
func (w *Websocket) Run(ctx context.Context) error {
	defer w.stop()
	<-ctx.Done()
	w.mu.Lock()
	w.stopping = true
	links := make([]*link, 0, len(w.links))
	for l := range w.links {
		links = append(links, l)
	}
	w.mu.Unlock()
	spread(links, drainTime, func(l *link) { go l.end(events.CloseReconnect, stops) })
	gone := make(chan struct{})
	go func() { w.open.Wait(); close(gone) }()
	patience := time.NewTimer(w.writeTime + w.closeTime)
	defer patience.Stop()
	select {
	case <-gone:
	case <-patience.C:
	}
	return nil
}

// ServeHTTP finds whose stream it is, as Poll does, and serves the socket until it ends. A page cannot send the header,
// and a token in the URL is nobody's (package web), so a browser has nothing to connect with; its origin is checked all
// the same (WS-07).
func (w *Websocket) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	caller, known := hub.CallerFrom(r.Context())
	if !known {
		w.poll.refuse(out, r, hub.ErrUnauthenticated)
		return
	}
	stream, err := w.poll.streamOf(r.Context(), caller, r.PathValue("stream_id"), events.MethodWebsocket)
	if err != nil {
		w.poll.refuse(out, r, err)
		return
	}
	if err := w.enter(caller.Party); err != nil {
		w.poll.refuse(out, r, err)
		return
	}
	defer w.leave(caller.Party)
	conn, err := w.upgrader.Upgrade(out, r, nil)
	if err != nil {
		return // answered by the upgrader
	}
	l := &link{w: w, conn: conn, party: stream.Party, stream: stream.ID, bearer: bearerOf(r), flying: map[string]flight{}, room: make(chan struct{}, 1)}
	w.add(l)
	defer w.drop(l)
	l.serve()
}

// bearerOf is the token by which the caller was found, to ask again while the socket lives.
func bearerOf(r *http.Request) string {
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimLeft(token, " ")
}

func (w *Websocket) enter(party hub.ID) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.stopping || w.all >= w.total:
		return errFull
	case w.joined[party] >= w.perParty:
		return fmt.Errorf("%w: sockets of the party", hub.ErrTooMany)
	}
	w.all++
	w.joined[party]++
	w.open.Add(1)
	return nil
}

func (w *Websocket) leave(party hub.ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all--
	if w.joined[party]--; w.joined[party] == 0 {
		delete(w.joined, party)
	}
	w.open.Done()
}

// add makes a link known to Run, or ends it if that is over.
func (w *Websocket) add(l *link) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopping {
		go l.end(events.CloseReconnect, stops)
		return
	}
	w.links[l] = struct{}{}
}

func (w *Websocket) drop(l *link) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.links, l)
}

const stops = "the hub stops"

// farewell says to a receiver what err means: that its right is gone (WS-03), that there is no such stream any more, or
// that it may try again.
func farewell(err error) (code int, reason string) {
	switch {
	case errors.Is(err, hub.ErrUnauthenticated), errors.Is(err, hub.ErrForbidden):
		return websocket.ClosePolicyViolation, "the token is not valid any more"
	case errors.Is(err, hub.ErrNotFound):
		return events.CloseGoAway, "the stream is not there any more"
	}
	return events.CloseReconnect, "try again shortly"
}
