package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// hints wakes the watchers of this process. They are hints: a lost one costs the watchers' own patience, never a line.
type hints struct {
	config *pgx.ConnConfig
	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu       sync.Mutex
	watchers map[chan struct{}]bool
	started  bool
}

// poll is how often the head is looked at in case notifications do not come through (a proxy between, a broken
// connection): what bounds the delay then.
const poll = time.Second

func newHints(config *pgx.ConnConfig) *hints {
	h := &hints{config: config, watchers: map[chan struct{}]bool{}}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h
}

// Watch hints that something was committed, by this process or another.
func (s *Store) Watch(ctx context.Context) <-chan struct{} {
	h, hint := s.hints, make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ctx.Err() != nil {
		close(hint)
		return hint
	}
	h.watchers[hint] = true
	if !h.started {
		h.started = true
		h.done.Go(h.listen)
		h.done.Go(func() { h.look(s) })
	}
	h.done.Go(func() {
		select {
		case <-ctx.Done():
		case <-h.ctx.Done():
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.watchers, hint)
		close(hint)
	})
	return hint
}

func (h *hints) wake() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for hint := range h.watchers {
		select {
		case hint <- struct{}{}:
		default: // one is waiting already
		}
	}
}

func (h *hints) close() {
	h.mu.Lock()
	h.cancel()
	h.mu.Unlock()
	h.done.Wait()
}

// listen keeps a connection of its own, since one of the pool would be given to others in between, and comes back with
// growing pauses when it is lost.
func (h *hints) listen() {
	const first, last = 100 * time.Millisecond, 5 * time.Second
	for pause := first; h.ctx.Err() == nil; pause = min(2*pause, last) {
		if h.listenOnce() {
			pause = first
		}
		select {
		case <-h.ctx.Done():
		case <-time.After(pause):
		}
	}
}

// listenOnce reports whether it came to listening. What fails is not reported further: the poll goes on.
func (h *hints) listenOnce() (listened bool) {
	conn, err := pgx.ConnectConfig(h.ctx, h.config)
	if err != nil {
		return false
	}
	defer conn.Close(context.WithoutCancel(h.ctx))
	if _, err := conn.Exec(h.ctx, `LISTEN tidings`); err != nil {
		return false
	}
	h.wake() // what came while nobody listened
	for {
		if _, err := conn.WaitForNotification(h.ctx); err != nil {
			return true
		}
		h.wake()
	}
}

// look polls the head.
func (h *hints) look(s *Store) {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	var seen int64
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-tick.C:
		}
		if head, err := s.Head(h.ctx); err == nil && head.Position != seen {
			seen = head.Position
			h.wake()
		}
	}
}
