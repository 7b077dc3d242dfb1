package consent_test

import (
	"errors"
	"testing"

	"tidings/consent"
)

// RI-08 to RI-11, RI-21: the moves that there are, and no others.
func TestOptMoves(t *testing.T) {
	states := []consent.Opt{consent.OptedIn, consent.OptingOut, consent.OptedOut}
	leads := map[consent.Opt]map[consent.OptMove]consent.Opt{
		consent.OptedIn:   {consent.OptOutInitiated: consent.OptingOut},
		consent.OptingOut: {consent.OptOutCancelled: consent.OptedIn, consent.OptOutEffective: consent.OptedOut},
		consent.OptedOut:  {consent.OptIn: consent.OptedIn},
	}
	for _, from := range states {
		for _, move := range []consent.OptMove{consent.OptIn, consent.OptOutInitiated, consent.OptOutCancelled, consent.OptOutEffective, "", "opt-out"} {
			to, err := from.Move(move)
			want, ok := leads[from][move]
			if ok && (err != nil || to != want) || !ok && (!errors.Is(err, consent.ErrOpt) || to != from) {
				t.Errorf("%s from %s leads to %s, %v", move, from, to, err)
			}
		}
	}
	if consent.IsOptMove("opt-out") || !consent.IsOptMove("opt-out-effective") {
		t.Error("a state is no move")
	}
}
