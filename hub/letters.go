package hub

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"tidings/subscriptions"
)

// DeadLetters lists what was given up, for operators, the newest first. Descriptions stay sealed.
func (h *Hub) DeadLetters(ctx context.Context, q LetterQuery) ([]DeadLetter, error) {
	letters, err := h.store.DeadLetters(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("read dead letters: %w", err)
	}
	now, alive := h.now(), letters[:0]
	for _, l := range letters {
		if l.Expires > now { // dead at once, whenever the upkeep comes by
			alive = append(alive, l)
		}
	}
	return alive, nil
}

// DeadLetter reads one, with what the receiver wrote. ErrNotFound.
func (h *Hub) DeadLetter(ctx context.Context, id ID) (DeadLetter, string, error) {
	letters, err := h.DeadLetters(ctx, LetterQuery{ID: id, Limit: 1})
	if err == nil && (id.IsZero() || len(letters) == 0) {
		err = ErrNotFound
	}
	if err != nil {
		return DeadLetter{}, "", err
	}
	l := letters[0]
	if l.Description == nil {
		return l, "", nil
	}
	plain, err := h.keys.unsealed(l.Description, "letter:"+l.JTI)
	if err != nil {
		return l, "", fmt.Errorf("open description: %w", err)
	}
	return l, string(plain), nil
}

// atOnce bounds the letters of one transaction.
const atOnce = 100

// Replay puts one dead letter back in line, under the grant as it stands; nothing is told of one that ended. ErrNotFound,
// ErrDisabled.
func (h *Hub) Replay(ctx context.Context, letter ID) (Revived, error) {
	l, _, err := h.DeadLetter(ctx, letter)
	if err != nil {
		return Revived{}, fmt.Errorf("replay: %w", err)
	}
	r, err := h.store.Revive(ctx, l.Stream, l.ID, h.now(), Window, 1)
	if err != nil {
		return Revived{}, fmt.Errorf("replay: %w", err)
	}
	return r, nil
}

// ReplayAll puts the dead letters of a stream back in line, oldest first, a portion at a time, until none is left or the
// stream has no more room; progress is told after each portion. ErrNotFound, ErrDisabled.
func (h *Hub) ReplayAll(ctx context.Context, stream ID, progress func(Revived)) (all Revived, err error) {
	for {
		r, err := h.store.Revive(ctx, stream, ID{}, h.now(), Window, atOnce)
		if err != nil {
			return all, fmt.Errorf("replay: %w", err)
		}
		all = Revived{all.Replayed + r.Replayed, all.Withdrawn + r.Withdrawn, r.Left}
		progress(all)
		if r.Left == 0 || r.Replayed+r.Withdrawn == 0 {
			return all, nil
		}
	}
}

// DropLetters forgets the selected letters and says how many there were.
func (h *Hub) DropLetters(ctx context.Context, q LetterQuery) (dropped int, err error) {
	for q.Limit = MaxMoves; ; {
		n, err := h.store.DropLetters(ctx, q)
		if err != nil {
			return dropped, fmt.Errorf("drop dead letters: %w", err)
		}
		if dropped += n; n < q.Limit {
			return dropped, nil
		}
	}
}

// expireLetters forgets those whose life is over.
func (h *Hub) expireLetters(ctx context.Context) error {
	_, err := h.DropLetters(ctx, LetterQuery{Expired: h.now()})
	return err
}

// givenUp counts, by class of reason, the deliveries that this process gave up.
type givenUp struct {
	mu    sync.Mutex
	count map[string]int64
}

func (g *givenUp) add(class string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.count == nil {
		g.count = map[string]int64{}
	}
	g.count[class]++
}

// GivenUp counts the deliveries that this process made dead letters, by class of reason (subscriptions.Class).
func (h *Hub) GivenUp() map[string]int64 {
	h.givenUp.mu.Lock()
	defer h.givenUp.mu.Unlock()
	return maps.Clone(h.givenUp.count)
}

// notice counts and logs what was given up. The log has the reason's class: a code is the receiver's own text.
func (h *Hub) notice(letters []DeadLetter) {
	for _, l := range letters {
		class := subscriptions.Class(l.Reason)
		h.givenUp.add(class)
		h.log.Warn("delivery given up; it is a dead letter", "letter", l.ID, "stream", l.Stream, "reason", class)
	}
}

// sealDescriptions bounds and seals what receivers wrote.
func (h *Hub) sealDescriptions(outcomes []Outcome) []Outcome {
	outcomes = slices.Clone(outcomes) // they are the caller's, who may settle them again
	for i, o := range outcomes {
		if o.Description == "" {
			continue
		}
		text := strings.ToValidUTF8(o.Description[:min(len(o.Description), maxDescription)], "")
		outcomes[i].Sealed, outcomes[i].Description = h.keys.sealed([]byte(text), "letter:"+o.JTI), ""
	}
	return outcomes
}
