package receiver

import "sync"

// remembered is how many ids of kept tokens are remembered. A hub repeats soon or not at all; what comes later than
// this many others is kept again.
const remembered = 10_000

// seen remembers the ids of tokens. The zero value is ready.
type seen struct {
	mu    sync.Mutex
	state map[string]progress
	ring  [remembered]string // ids that were kept, the oldest at next
	next  int
}

type progress int

const (
	unknown progress = iota
	underway
	kept
)

// begin says what is known of a token and, if nothing, notes that it is under way; end must follow then.
func (s *seen) begin(jti string) progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.state[jti]
	if was == unknown {
		if s.state == nil {
			s.state = map[string]progress{}
		}
		s.state[jti] = underway
	}
	return was
}

// end notes whether the token was kept.
func (s *seen) end(jti string, done bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !done {
		delete(s.state, jti)
		return
	}
	delete(s.state, s.ring[s.next])
	s.state[jti] = kept
	s.ring[s.next] = jti
	s.next = (s.next + 1) % remembered
}
