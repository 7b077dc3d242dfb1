package hub

import (
	"context"
	"sync"
	"time"
)

const (
	// MaxWaiting bounds a party's calls of Delta that wait at a time.
	MaxWaiting = 64
	// LeastRest is the rest of a call that waits between two looks: hints come with every commit of anybody.
	LeastRest = 50 * time.Millisecond
)

// waits counts the calls of each party that wait.
type waits struct {
	mu sync.Mutex
	of map[ID]int
}

// enter is false for a party that has as many as it may.
func (w *waits) enter(party ID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.of[party] >= MaxWaiting {
		return false
	}
	if w.of == nil {
		w.of = map[ID]int{}
	}
	w.of[party]++
	return true
}

func (w *waits) leave(party ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.of[party]--; w.of[party] == 0 {
		delete(w.of, party)
	}
}

// rest waits for a hint, and no less than LeastRest; false when there is no more time.
func (h *Hub) rest(ctx context.Context, wake <-chan struct{}, deadline <-chan time.Time) bool {
	least := time.NewTimer(LeastRest)
	defer least.Stop()
	select {
	case <-wake:
	case <-deadline:
		return false
	case <-h.closing:
		return false
	case <-ctx.Done():
		return false
	}
	select {
	case <-least.C:
	case <-deadline:
		return false
	case <-h.closing:
		return false
	case <-ctx.Done():
		return false
	}
	return true
}
