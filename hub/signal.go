package hub

import (
	"context"
	"encoding/json"
	"fmt"

	"tidings/events"
	"tidings/hub/schema"
	"tidings/subscriptions"
)

// SignalRequest asks parties to do something once about one person.
type SignalRequest struct {
	// The person, by id or by userName.
	Entry    ID
	UserName string
	Signal   subscriptions.Signal
}

// sealedSignal is what the store keeps sealed of a signal: it may hold an identifier's old value or name a session.
type sealedSignal struct {
	Payload map[string]any            `json:"payload,omitempty"`
	Members map[string]events.Subject `json:"members,omitempty"`
	Details map[string]any            `json:"details,omitempty"`
	Of      string                    `json:"of,omitempty"`
	Besides string                    `json:"besides,omitempty"`
}

func (h *Hub) sealSignal(entry ID, s subscriptions.Signal) []byte {
	return h.keys.sealed(mustJSON(sealedSignal{s.Payload, s.Members, s.Details, s.Of, s.Besides}), "signal:"+entry.String())
}

// Raise puts a signal before every party that the person lets be notified, through the same gate as any change: it is
// never coalesced, served first, and erased when all have settled it or its life is over. It returns the txn that all
// its tokens share, before sectors make it theirs. ErrNotFound, *subscriptions.Invalid.
func (h *Hub) Raise(ctx context.Context, actor string, r SignalRequest) (txn string, err error) {
	if err := r.Signal.Validate(); err != nil {
		return "", err
	}
	entry, err := h.person(ctx, r.Entry, r.UserName)
	if err != nil {
		return "", fmt.Errorf("raise signal: %w", err)
	}
	now := h.now()
	s := Signal{
		Entry: entry, Type: r.Signal.Type, Covers: r.Signal.Covers(), Txn: newTxn(), Time: now,
		Expires: now + SignalLife.Microseconds(), Actor: actor,
		Payload: h.sealSignal(entry, r.Signal),
	}
	if _, err := h.commitOne(ctx, Item{Signals: []Signal{s}}); err != nil {
		return "", fmt.Errorf("raise signal: %w", err)
	}
	return s.Txn, nil
}

// openSignal reads what the store kept sealed.
func (h *Hub) openSignal(s *Signal) (*subscriptions.Signal, error) {
	out := &subscriptions.Signal{Type: s.Type}
	if len(s.Payload) == 0 {
		return out, nil
	}
	plain, err := h.keys.unsealed(s.Payload, "signal:"+s.Entry.String())
	if err != nil {
		return nil, fmt.Errorf("open payload: %w", err)
	}
	var kept sealedSignal
	if err := json.Unmarshal(plain, &kept); err != nil {
		return nil, fmt.Errorf("read payload: %w", err)
	}
	out.Payload, out.Members, out.Details, out.Of, out.Besides = kept.Payload, kept.Members, kept.Details, kept.Of, kept.Besides
	return out, nil
}

// person finds a living person by id or, if that is zero, by userName. ErrNotFound.
func (h *Hub) person(ctx context.Context, id ID, userName string) (ID, error) {
	if id.IsZero() {
		e, err := h.store.ByUserName(ctx, schema.Fold(userName))
		if err != nil {
			return ID{}, err
		}
		return e.ID, nil
	}
	e, err := h.store.Entry(ctx, id)
	if err == nil && (e.Deleted != 0 || e.Type != schema.User) {
		err = ErrNotFound
	}
	return id, err
}
