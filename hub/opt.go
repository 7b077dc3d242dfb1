package hub

import (
	"context"
	"errors"
	"fmt"

	"tidings/consent"
	"tidings/subscriptions"
)

// Opt moves a person's opt state with a party (RISC 1.0 section 2.8), and tells that party's streams so, in one
// transaction. Once somebody opted out the party is told no account or session event of them, also none that waits; what
// the grant itself lets it know goes on. ErrNotFound when the grant does not run, consent.ErrOpt.
func (h *Hub) Opt(ctx context.Context, actor string, grant ID, move consent.OptMove) (*Grant, error) {
	for range maxRounds {
		item, err := h.optItem(ctx, actor, grant, move)
		if err != nil {
			return nil, fmt.Errorf("opt: %w", err)
		}
		receipt, err := h.commitOne(ctx, item)
		if errors.Is(err, ErrConflict) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("opt: %w", err)
		}
		return receipt.Grants[0], nil
	}
	return nil, fmt.Errorf("opt: %w", ErrConflict)
}

func (h *Hub) optItem(ctx context.Context, actor string, grant ID, move consent.OptMove) (Item, error) {
	g, err := h.store.Grant(ctx, grant)
	if err != nil {
		return Item{}, err
	}
	now := h.now()
	if g.Ended != 0 || g.Terms.Expired(now) {
		return Item{}, ErrNotFound
	}
	if g.Opt, err = g.Opt.Move(move); err != nil {
		return Item{}, err
	}
	line := Change{Kind: ChangeKind(move), Entry: g.Entry, Party: g.Party, Actor: actor, Txn: newTxn(), Time: now}
	signal := Signal{
		Entry: g.Entry, Party: g.Party, Type: subscriptions.OptEvent(move), Txn: line.Txn, Time: now,
		Expires: now + SignalLife.Microseconds(), Actor: actor, Payload: h.keys.sealed(mustJSON(sealedSignal{}), "signal:"+g.Entry.String()),
	}
	// Tokens of account events that were made before may not be tried again.
	narrowed := g.Opt == consent.OptedOut
	return Item{Grant: &GrantWrite{Grant: *g, Narrowed: narrowed}, Lines: []Change{line}, Signals: []Signal{signal}}, nil
}
