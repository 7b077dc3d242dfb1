package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"tidings/events"
	"tidings/hub"
)

const (
	// livePage is how many notices are read at once; a reader that is further behind than pastPages of them is told
	// that its cursor expired: to ask again for its few subjects is cheaper for both than to read on.
	livePage  = 200
	pastPages = 50
)

// errFull: as many browsers are connected as may be, or the process stops.
var errFull = errors.New("no room for another listener")

// LiveEngine is what live notices need of the engine (*hub.Hub).
type LiveEngine interface {
	Wake() <-chan struct{}
	Issuer() string
	TakeTicket(ctx context.Context, ticket string) (*hub.Ticket, error)
	Renew(ctx context.Context, t *hub.Ticket) (ticket string, err error)
	Live(ctx context.Context, party hub.ID, cursor string, limit int) (notices []hub.Notice, next string, more bool, err error)
	MayHear(ctx context.Context, party hub.ID, entries []hub.ID) (map[hub.ID]bool, error)
}

// Live tells browsers that something about their subjects changed: GET /live as a websocket or a long poll. It needs
// Run beside it.
type Live struct {
	engine   LiveEngine
	often    Limiter
	log      *slog.Logger
	upgrader websocket.Upgrader
	// ctx is the life of what serves no single request: the tails.
	ctx  context.Context
	stop context.CancelFunc

	perParty, total int           // listeners
	queue           int           // bytes that may wait for one socket
	fresh           time.Duration // how long a check serves for what was read with it
	keepalive       time.Duration // between two pings; the pong is due before the next but one
	writeTime       time.Duration // for one frame
	closeTime       time.Duration // for the other side's part of closing
	age             time.Duration // after which a socket, or a page that polls, needs a ticket of its party's server
	wait            time.Duration // of a long poll
	drain           time.Duration // over which sockets are closed when the process stops

	mu       sync.Mutex
	tails    map[hub.ID]*tail
	joined   int
	stopping bool
	open     sync.WaitGroup
}

// NewLive makes the handler. The limiter is for the long polls of a party's visitors, all together.
func NewLive(engine LiveEngine, often Limiter, log *slog.Logger) *Live {
	l := &Live{
		engine: engine, often: often, log: log,
		perParty: 10_000, total: 50_000, queue: 256 << 10,
		fresh: 50 * time.Millisecond, keepalive: 25 * time.Second, writeTime: 10 * time.Second, closeTime: 3 * time.Second,
		age: 6 * time.Hour, wait: 30 * time.Second, drain: drainTime,
		tails: map[hub.ID]*tail{},
	}
	l.ctx, l.stop = context.WithCancel(context.Background())
	l.upgrader = websocket.Upgrader{
		HandshakeTimeout: 10 * time.Second,
		// Browsers send nothing but control frames, and prepared frames need no buffer to be written: most of the cost
		// of a socket is saved here.
		ReadBufferSize: 128, WriteBufferSize: 512, WriteBufferPool: &sync.Pool{},
		CheckOrigin: func(*http.Request) bool { return true }, // ServeHTTP did, against the ticket
		Error: func(w http.ResponseWriter, _ *http.Request, status int, _ error) {
			problem{Status: status, Type: urn + "bad-request", Title: "This is no websocket handshake"}.write(w)
		},
	}
	return l
}

// drainTime is over how much time sockets are closed at most when the process stops.
const drainTime = 4 * time.Second

// longestStep is the longest pause between two sockets that are sent away.
const longestStep = 50 * time.Millisecond

// spread ends one socket after another: those who come back are not all to knock at the other nodes at once. A few need no
// spreading, and whoever stops the program waits for it.
func spread[S any](sockets []S, over time.Duration, end func(S)) {
	step := min(over/time.Duration(max(1, len(sockets))), longestStep)
	tick := time.NewTicker(max(step, time.Microsecond))
	defer tick.Stop()
	for i, s := range sockets {
		if i > 0 {
			<-tick.C
		}
		end(s)
	}
}

// Run waits for the end of ctx and then sends everybody away, spread over a while.
func (l *Live) Run(ctx context.Context) error {
	defer l.stop()
	<-ctx.Done()
	l.mu.Lock()
	l.stopping = true
	var all []listener
	for _, t := range l.tails {
		all = append(all, t.all()...)
	}
	l.mu.Unlock()
	spread(all, l.drain, func(who listener) { who.end(events.CloseReconnect) })
	gone := make(chan struct{})
	go func() { l.open.Wait(); close(gone) }()
	patience := time.NewTimer(l.writeTime + l.closeTime)
	defer patience.Stop()
	select {
	case <-gone:
	case <-patience.C:
	}
	return nil
}

// ServeHTTP takes the ticket and serves the browser that brought it.
func (l *Live) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query, origin := r.URL.Query(), r.Header.Get("Origin")
	upgrade := websocket.IsWebSocketUpgrade(r)
	w.Header().Add("Vary", "Origin")
	if l.full() { // before the ticket is used up
		problemOf(errFull).write(w)
		return
	}
	ticket, err := l.engine.TakeTicket(r.Context(), query.Get("ticket"))
	switch {
	case errors.Is(err, hub.ErrNotFound) && upgrade:
		l.turnAway(w, r, events.CloseTicket) // a page sees no status of a failed handshake, only close codes
	case errors.Is(err, hub.ErrNotFound):
		w.Header().Set("Access-Control-Allow-Origin", "*") // there is nothing in this answer to be kept from a page
		problem{Status: http.StatusNotFound, Type: urn + "ticket", Title: "The ticket is unknown, used or expired; a new one is needed"}.write(w)
	case err != nil:
		l.refuse(w, r, err)
	case !mayConnect(origin, ticket.Origins, l.engine.Issuer()):
		problem{Status: http.StatusForbidden, Type: urn + "origin", Title: "Pages of this origin may not listen"}.write(w)
	case upgrade:
		l.listen(w, r, ticket, query.Get("cursor"))
	default:
		if origin != "" {
			w.Header().Set("Access-Control-Allow-Origin", origin)
		}
		l.poll(w, r, ticket, query.Get("cursor"))
	}
}

func (l *Live) full() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stopping || l.joined >= l.total
}

func (l *Live) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // nobody is there
	}
	p := problemOf(err)
	if p.Status == http.StatusInternalServerError {
		l.log.Error("live failed", "error", err)
	}
	p.write(w)
}

// join adds a listener to its party's tail, which is started with the first one. From here on it hears what comes; what
// it missed before it reads itself, and the returned cursor is where it would begin if it missed nothing. Joining first
// and reading then leaves no gap between the two.
func (l *Live) join(ctx context.Context, ticket *hub.Ticket, who listener) (t *tail, cursor string, err error) {
	l.mu.Lock()
	if l.stopping || l.joined >= l.total {
		l.mu.Unlock()
		return nil, "", errFull
	}
	if t = l.tails[ticket.Party]; t == nil {
		t = newTail(l, ticket.Party)
		l.tails[ticket.Party] = t
		go t.run()
	}
	if t.joined >= l.perParty {
		l.mu.Unlock()
		return nil, "", fmt.Errorf("%w: listeners of the party", errFull)
	}
	l.joined++
	t.joined++
	l.open.Add(1)
	l.mu.Unlock()
	select {
	case <-t.ready:
		cursor, err = t.add(who, ticket.Entries)
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		l.leave(t, nil, who)
		return nil, "", err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopping {
		who.end(events.CloseReconnect) // Run may have looked for listeners before this one was there
	}
	return t, cursor, nil
}

func (l *Live) leave(t *tail, entries []hub.ID, who listener) {
	t.drop(who, entries)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.joined--
	t.joined--
	l.open.Done()
	if t.joined == 0 {
		l.forget(t)
	}
}

// forget ends a tail that nobody needs or that failed. The lock is held.
func (l *Live) forget(t *tail) {
	t.stop()
	if l.tails[t.party] == t {
		delete(l.tails, t.party)
	}
}

// past reads what a listener missed, page by page.
type past struct {
	live   *Live
	ticket *hub.Ticket
	cursor string
	pages  int
}

// next reads one page and returns of it what the ticket is for. at is when the check behind it was made.
func (p *past) next(ctx context.Context) (notices []hub.Notice, at time.Time, more bool, err error) {
	if p.pages++; p.pages > pastPages {
		return nil, at, false, fmt.Errorf("%w: too much was missed", hub.ErrCursorExpired)
	}
	at = time.Now()
	page, next, more, err := p.live.engine.Live(ctx, p.ticket.Party, p.cursor, livePage)
	if err != nil {
		return nil, at, false, err
	}
	p.cursor = next
	notices = slices.DeleteFunc(page, func(n hub.Notice) bool { return !slices.Contains(p.ticket.Entries, n.Entry) })
	return notices, at, more, nil
}

// closeCode says to a socket what err means. A cursor that is none of the party's is treated as an old one: a page that
// kept it from somewhere can only begin without it.
func closeCode(err error) int {
	switch {
	case errors.Is(err, hub.ErrCursorExpired), errors.Is(err, hub.ErrCursorInvalid):
		return events.CloseCursorExpired
	case errors.Is(err, hub.ErrUnauthenticated), errors.Is(err, hub.ErrNotFound):
		return events.CloseGoAway
	}
	return events.CloseReconnect
}
