package consent

import "errors"

// Opt is a person's word on account and session events towards one party, beside the grant that lets it know the person
// at all (RISC 1.0 section 2.8). A grant begins with OptedIn.
type Opt string

const (
	OptedIn Opt = ""
	// OptingOut: the person asked to opt out; events go on for a while, lest whoever took over the account silences them.
	OptingOut Opt = "opt-out-initiated"
	OptedOut  Opt = "opt-out"
)

// OptMove moves an Opt; it is named as the event that tells it.
type OptMove string

const (
	OptIn           OptMove = "opt-in"
	OptOutInitiated OptMove = "opt-out-initiated"
	OptOutCancelled OptMove = "opt-out-cancelled"
	OptOutEffective OptMove = "opt-out-effective"
)

// ErrOpt is a move that does not lead on from where the person stands.
var ErrOpt = errors.New("opt state does not move so")

var optMoves = map[OptMove]struct{ from, to Opt }{
	OptOutInitiated: {OptedIn, OptingOut},
	OptOutCancelled: {OptingOut, OptedIn},
	OptOutEffective: {OptingOut, OptedOut},
	OptIn:           {OptedOut, OptedIn},
}

// Move is where a move leads. ErrOpt for any that RISC 1.0 section 2.8 does not know from there.
func (o Opt) Move(m OptMove) (Opt, error) {
	move, ok := optMoves[m]
	if !ok || move.from != o {
		return o, ErrOpt
	}
	return move.to, nil
}

// IsOptMove reports whether the text names a move.
func IsOptMove(text string) bool {
	_, ok := optMoves[OptMove(text)]
	return ok
}

// String is the state as people read it.
func (o Opt) String() string {
	if o == OptedIn {
		return "opt-in"
	}
	return string(o)
}
