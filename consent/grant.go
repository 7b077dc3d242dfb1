package consent

import (
	"errors"
	"fmt"
	"strings"
)

// Purposes are the two separate yeses of a grant (RFC 7642 section 3.5: the user authorises both the transfer and the
// notifying).
type Purposes uint8

const (
	// Transfer lets the party fetch values.
	Transfer Purposes = 1 << iota
	// Notify lets the party be told that something changed.
	Notify
)

// ErrPurpose is a purpose that is neither transfer nor notify, or none at all.
var ErrPurpose = errors.New("purposes are transfer, notify or both")

// ParsePurposes reads names such as "transfer" and "notify". At least one is required.
func ParsePurposes(names []string) (Purposes, error) {
	var p Purposes
	for _, n := range names {
		switch strings.ToLower(strings.TrimSpace(n)) {
		case "transfer":
			p |= Transfer
		case "notify":
			p |= Notify
		default:
			return 0, fmt.Errorf("%w: %q", ErrPurpose, n)
		}
	}
	if p == 0 {
		return 0, ErrPurpose
	}
	return p, nil
}

// Has reports whether every purpose of q is among p.
func (p Purposes) Has(q Purposes) bool { return p&q == q }

// Names lists the purposes as they are written in JSON and on the command line.
func (p Purposes) Names() []string {
	var names []string
	if p.Has(Transfer) {
		names = append(names, "transfer")
	}
	if p.Has(Notify) {
		names = append(names, "notify")
	}
	return names
}

// Terms are what a grant or an agreement allows: which attributes, for what, until when.
type Terms struct {
	// Attributes are canonical names; a name covers what is below it.
	Attributes []string
	Purposes   Purposes
	// Until is the moment the terms end, in Unix microseconds; 0 means that no end was set.
	Until int64
}

// Expired reports whether the terms have run out at now (Unix microseconds). An expired grant is dead for every check
// at once, long before the sweeper writes its tombstone.
func (t Terms) Expired(now int64) bool { return t.Until != 0 && t.Until <= now }
