package sqlite

import (
	"context"
	"sync"
	"time"
)

// pollEvery is how often a watched store looks for commits of other processes.
const pollEvery = 250 * time.Millisecond

// watchers are those who want to be woken by commits of this process.
type watchers struct {
	mu sync.Mutex
	of map[chan struct{}]bool
}

func (w *watchers) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ch := range w.of {
		hint(ch)
	}
}

// hint wakes without waiting: a watcher that was told and has not looked yet needs no second hint.
func hint(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Watch implements hub.Log. Commits of this process wake at once, those of others through PRAGMA data_version, which is
// asked on a connection of the watcher's own, since the number only means something compared on one connection.
func (s *Store) Watch(ctx context.Context) <-chan struct{} {
	ch := make(chan struct{}, 1)
	w := &s.watchers
	w.mu.Lock()
	if w.of == nil {
		w.of = map[chan struct{}]bool{}
	}
	w.of[ch] = true
	w.mu.Unlock()
	go func() {
		s.lookAround(ctx, ch)
		w.mu.Lock()
		delete(w.of, ch)
		close(ch)
		w.mu.Unlock()
	}()
	return ch
}

// lookAround hints when another connection committed, until ctx ends. Where it cannot see, it hints for nothing: a hint
// too many is harmless.
func (s *Store) lookAround(ctx context.Context, ch chan struct{}) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	var c *conn
	defer func() {
		if c != nil {
			c.close()
		}
	}()
	last := int64(-1)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var err error
		if c == nil {
			if c, err = connect(ctx, s.reading); err != nil {
				c = nil
				hint(ch)
				continue
			}
		}
		var version int64
		if err = c.value("PRAGMA data_version", nil, &version); err != nil || version != last {
			hint(ch)
		}
		last = version
	}
}
