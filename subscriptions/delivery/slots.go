package delivery

import (
	"context"
	"sync"
)

// slots is what the lanes share: places for requests that are being worked on. Lanes that find none wait in line, and
// whoever took many stands at its end for the next ones, so a busy lane cannot keep the others out.
type slots struct {
	mu   sync.Mutex
	free int
	line []*waiter
}

type waiter struct {
	want  int
	given chan int
}

// take waits for at least one slot and returns how many of the wanted ones it got.
func (s *slots) take(ctx context.Context, want int) (int, error) {
	s.mu.Lock()
	if len(s.line) == 0 && s.free > 0 {
		n := s.share(want)
		s.mu.Unlock()
		return n, nil
	}
	w := &waiter{want: want, given: make(chan int, 1)}
	s.line = append(s.line, w)
	s.mu.Unlock()
	select {
	case n := <-w.given:
		return n, nil
	case <-ctx.Done():
		s.leave(w)
		return 0, ctx.Err()
	}
}

// give returns slots and hands them to those who wait.
func (s *slots) give(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free += n
	for s.free > 0 && len(s.line) > 0 {
		w := s.line[0]
		s.line = s.line[1:]
		w.given <- s.share(w.want)
	}
}

// share leaves something for each that still waits. The lock is held.
func (s *slots) share(want int) int {
	n := min(want, max(1, s.free/(1+len(s.line))))
	s.free -= n
	return n
}

func (s *slots) leave(w *waiter) {
	s.mu.Lock()
	for i := range s.line {
		if s.line[i] == w {
			s.line = append(s.line[:i], s.line[i+1:]...)
			break
		}
	}
	s.mu.Unlock()
	select {
	case n := <-w.given: // handed over in the same moment
		s.give(n)
	default:
	}
}
