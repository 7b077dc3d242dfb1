package hub

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"time"

	"tidings/consent"
	"tidings/subscriptions"
)

// Place is a place in a party's feed, of a generation.
type Place struct{ Base, At, Generation int64 }

// Rewound is the stream moved back to a place, never forward: what its receiver already was told since is told again, and
// what it was not told stays owed. Only the feed is: a signal asks for something to be done once. line is the tag of the line
// at to.At. ErrDisabled; ErrCursorExpired where tombstones that the receiver would have to hear of were forgotten.
//
// Drivers call it with the head held, so that no tombstone goes before the stream is seen to stand before it.
func (s Stream) Rewound(to Place, head Head, p Party, line Tag) (Stream, error) {
	switch {
	case s.Status == subscriptions.Disabled:
		return s, ErrDisabled // it begins at the head when it is enabled
	case to.Generation != p.Generation, to.At < head.Oldest, to.At > head.Position:
		return s, ErrCursorExpired
	}
	if to.At < s.At {
		s.At, s.Tag = to.At, line
	}
	s.Base, s.Quiet = min(s.Base, to.Base), 0 // a digest of it is due at once
	return s, nil
}

// Rewinding says from where a stream is told again: a moment, or a cursor of the party's own /delta.
type Rewinding struct {
	Since  time.Time
	Cursor string
}

// Rewind tells a stream again from a place in the past, under the grants as they stand: by its party, or by an operator any
// stream. ErrNotFound, ErrDisabled; errors of a cursor as Delta; ErrCursorExpired also for a moment before the oldest
// tombstone.
func (h *Hub) Rewind(ctx context.Context, c Caller, id string, r Rewinding) (*Stream, error) {
	if c.Role != RoleParty && c.Role != RoleOperator {
		return nil, ErrForbidden
	}
	if r.Since.IsZero() == (r.Cursor == "") {
		return nil, fmt.Errorf("%w: either since or cursor is needed", ErrBadRequest)
	}
	stream, _ := ParseID(id) // as in Stream
	s, err := h.store.Stream(ctx, c.Party, stream)
	if err != nil {
		return nil, fmt.Errorf("rewind: %w", err)
	}
	var to Place
	if r.Cursor != "" {
		to, err = h.placeOf(ctx, s.Party, r.Cursor)
	} else {
		to, err = h.placeAt(ctx, s.Party, r.Since)
	}
	if err != nil {
		return nil, fmt.Errorf("rewind: %w", err)
	}
	if s, err = h.store.Rewind(ctx, c.Party, stream, to); err != nil {
		return nil, fmt.Errorf("rewind: %w", err)
	}
	return s, nil
}

// placeOf opens a cursor, with the checks of a reader.
func (h *Hub) placeOf(ctx context.Context, party ID, text string) (Place, error) {
	if text == "now" {
		return Place{}, ErrCursorInvalid
	}
	read, err := h.startReading(ctx, party, text)
	if err != nil {
		return Place{}, err
	}
	to := Place{read.at.Base, read.at.At, read.at.Generation}
	_, err = read.next(ctx, 1, func(FeedRow, consent.Terms, consent.Telling) error { return nil })
	return to, err
}

// placeAt finds the place where a reader stood that had read all until a moment.
func (h *Hub) placeAt(ctx context.Context, party ID, moment time.Time) (Place, error) {
	head, err := h.store.Head(ctx)
	if err != nil {
		return Place{}, err
	}
	if head.Oldest > 0 {
		lines, err := h.store.Changes(ctx, head.Oldest-1, 1)
		if err != nil {
			return Place{}, err
		}
		if len(lines) == 0 || lines[0].Time > moment.UnixMicro() {
			return Place{}, ErrCursorExpired
		}
	}
	// The node that wrote a line may have had another time of day: told is rather too much than too little.
	at, err := h.lastBefore(ctx, head, moment.UnixMicro()-clockSkew)
	if err != nil {
		return Place{}, err
	}
	p, err := h.store.Party(ctx, party)
	if err != nil {
		return Place{}, err
	}
	return Place{Base: at, At: at, Generation: p.Generation}, nil
}

// lastBefore is the position of the last line that is not after a time, or Oldest if all are.
func (h *Hub) lastBefore(ctx context.Context, head Head, time int64) (position int64, failed error) {
	n := sort.Search(int(head.Position-head.Oldest), func(i int) bool {
		lines, err := h.store.Changes(ctx, head.Oldest+int64(i), 1)
		failed = errors.Join(failed, err)
		return len(lines) == 0 || lines[0].Time > time
	})
	return head.Oldest + int64(n), failed
}
