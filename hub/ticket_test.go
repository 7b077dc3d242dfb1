package hub_test

import (
	"context"
	"errors"
	"testing"

	"tidings/hub"
)

// stuffed is a store in which every group holds as many records as it may.
type stuffed struct{ hub.Store }

func (stuffed) Keep(context.Context, hub.Record, int) error { return hub.ErrLimit }

// A party with as many unused tickets as it may have is told to come again, not that it has to remove something: a ticket
// ends by itself.
func TestTooManyTickets(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		h := must(hub.Open(w.ctx(), stuffed{w.store}, w.key, w.config()))(t)
		if _, _, err := h.NewTicket(w.ctx(), p.caller, nil); !errors.Is(err, hub.ErrTooMany) || errors.Is(err, hub.ErrLimit) {
			t.Errorf("one ticket too many: %v", err)
		}
	})
}
