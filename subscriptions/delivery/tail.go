package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"tidings/events"
	"tidings/hub"
)

const (
	// leastTail is the rest of a tail between two reads: hints come with every commit, whomever it concerns.
	leastTail = 5 * time.Millisecond
	afterFail = time.Second
)

// frame is one notice, encoded once for all who hear it. A frame that names no entry says where the reader stands.
type frame struct {
	entry   hub.ID
	removed bool
	checked time.Time // when the engine was asked whether it may be told
	size    int
	message *websocket.PreparedMessage
}

func newFrame(n hub.Notice, checked time.Time) (*frame, error) {
	text, err := json.Marshal(events.Notice{Subject: n.Subject, Cursor: n.Cursor})
	if err != nil {
		return nil, err
	}
	message, err := websocket.NewPreparedMessage(websocket.TextMessage, text)
	if err != nil {
		return nil, err
	}
	return &frame{entry: n.Entry, removed: n.Removed, checked: checked, size: len(text), message: message}, nil
}

// listener is a socket or a long poll. Both calls return at once: a slow one is cut, never waited for.
type listener interface {
	hear(*frame)
	end(code int)
}

// tail follows the feed of one party for all its listeners, so that a change costs one read and one encoding however
// many hear of it.
type tail struct {
	live  *Live
	party hub.ID
	ctx   context.Context
	stop  context.CancelFunc
	ready chan struct{} // closed when cursor stands, or ended is set
	gate  gate

	joined int // guarded by live.mu

	mu        sync.Mutex
	cursor    string
	ended     error
	listeners map[listener]struct{}
	by        map[hub.ID]map[listener]struct{}
}

func newTail(l *Live, party hub.ID) *tail {
	t := &tail{live: l, party: party, ready: make(chan struct{}), listeners: map[listener]struct{}{}, by: map[hub.ID]map[listener]struct{}{}}
	t.ctx, t.stop = context.WithCancel(l.ctx)
	t.gate.ask = func(entries []hub.ID) (map[hub.ID]bool, error) { return l.engine.MayHear(t.ctx, party, entries) }
	return t
}

// add lets a listener hear of its entries from the returned cursor on.
func (t *tail) add(who listener, entries []hub.ID) (cursor string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended != nil {
		return "", t.ended
	}
	t.listeners[who] = struct{}{}
	for _, e := range entries {
		if t.by[e] == nil {
			t.by[e] = map[listener]struct{}{}
		}
		t.by[e][who] = struct{}{}
	}
	return t.cursor, nil
}

func (t *tail) drop(who listener, entries []hub.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.listeners, who)
	for _, e := range entries {
		if delete(t.by[e], who); len(t.by[e]) == 0 {
			delete(t.by, e)
		}
	}
}

func (t *tail) all() []listener {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]listener, 0, len(t.listeners))
	for who := range t.listeners {
		all = append(all, who)
	}
	return all
}

// run reads on with every hint, and without one now and then: hints may be lost.
func (t *tail) run() {
	begun := sync.OnceFunc(func() { close(t.ready) })
	for t.ctx.Err() == nil {
		wake := t.live.engine.Wake()
		more, err := t.read()
		switch {
		case err == nil:
			begun()
			if more {
				continue
			}
			t.rest(wake, leastTail)
		case t.ctx.Err() != nil:
		case errors.Is(err, hub.ErrCursorExpired), errors.Is(err, hub.ErrUnauthenticated), errors.Is(err, hub.ErrNotFound):
			// The party's bounds changed, or the party is no more.
			t.finish(err)
		default:
			t.live.log.Error("notices cannot be read; it is tried again", "party", t.party, "error", err)
			t.rest(nil, afterFail)
		}
	}
	t.finish(errFull)
	begun()
}

func (t *tail) rest(wake <-chan struct{}, least time.Duration) {
	again, pause := time.NewTimer(max(lookAgain, least)), time.NewTimer(least)
	defer again.Stop()
	defer pause.Stop()
	if wake != nil {
		select {
		case <-wake:
		case <-again.C:
		case <-t.ctx.Done():
		}
	}
	select {
	case <-pause.C:
	case <-t.ctx.Done():
	}
}

// read takes the next page to those who listen. Cursor and fan-out move together, so whoever joins hears either this
// page or finds it when it reads for itself.
func (t *tail) read() (more bool, err error) {
	at := time.Now()
	notices, next, more, err := t.live.engine.Live(t.ctx, t.party, t.cursor, livePage)
	if err != nil {
		return false, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range notices {
		hearing := t.by[n.Entry]
		if len(hearing) == 0 {
			continue
		}
		f, err := newFrame(n, at)
		if err != nil {
			return false, err
		}
		for who := range hearing {
			who.hear(f)
		}
	}
	t.cursor = next
	return more, nil
}

// finish ends the tail and all who listen to it.
func (t *tail) finish(why error) {
	t.live.mu.Lock()
	t.live.forget(t)
	t.live.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended != nil {
		return
	}
	t.ended = why
	for who := range t.listeners {
		who.end(closeCode(why))
	}
}

// gate asks the engine for all sockets of a tail together. A question is answered only by a look that began after it was
// put: while one look runs, the questions that come gather for the next.
type gate struct {
	ask func([]hub.ID) (map[hub.ID]bool, error)

	mu      sync.Mutex
	next    *look
	running bool
}

type look struct {
	entries map[hub.ID]struct{}
	done    chan struct{}
	may     map[hub.ID]bool
	err     error
}

func (g *gate) mayHear(frames []*frame) (map[hub.ID]bool, error) {
	g.mu.Lock()
	if g.next == nil {
		g.next = &look{entries: map[hub.ID]struct{}{}, done: make(chan struct{})}
	}
	mine := g.next
	for _, f := range frames {
		mine.entries[f.entry] = struct{}{}
	}
	if !g.running {
		g.running = true
		go g.run()
	}
	g.mu.Unlock()
	<-mine.done
	return mine.may, mine.err
}

func (g *gate) run() {
	for {
		g.mu.Lock()
		now := g.next
		g.next = nil
		if now == nil {
			g.running = false
			g.mu.Unlock()
			return
		}
		g.mu.Unlock()
		entries := make([]hub.ID, 0, len(now.entries))
		for e := range now.entries {
			entries = append(entries, e)
		}
		now.may, now.err = g.ask(entries)
		close(now.done)
	}
}
