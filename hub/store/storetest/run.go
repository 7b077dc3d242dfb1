package storetest

import (
	"os"
	"testing"
	"time"

	"tidings/hub"
)

// Factory makes a fresh, empty store. What it returns opens a handle of it, again and again: several nodes on one
// database. The suite closes every handle that it opened.
type Factory func(t *testing.T) (open func() hub.Store)

// Run runs the suite. SOAK, a duration, lengthens its random part.
func Run(t *testing.T, factory Factory) {
	for _, part := range []struct {
		name  string
		tests map[string]func(f *fixture)
	}{
		{"Commit", commitTests}, {"Reference", referenceTests}, {"Wide", wideTests}, {"Grant", grantTests}, {"Party", partyTests},
		{"Feed", feedTests}, {"Concurrent", concurrentTests}, {"Race", raceTests}, {"Stream", streamTests}, {"Choose", chooseTests}, {"Issue", issueTests}, {"Idle", idleTests},
		{"Digest", digestTests}, {"Send", sendTests}, {"Keyring", keyringTests},
		{"Attempt", attemptTests}, {"Letter", letterTests}, {"Rewind", rewindTests}, {"Signal", signalTests}, {"Standing", standingTests}, {"Lease", leaseTests}, {"Scratch", scratchTests}, {"Trim", trimTests},
	} {
		t.Run(part.name, func(t *testing.T) {
			for name, test := range part.tests {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					f := newFixture(t, factory)
					test(f)
					f.check()
				})
			}
		})
	}
	t.Run("Random", func(t *testing.T) { random(t, factory) })
}

// soak is how long the random part goes on.
func soak() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("SOAK")); err == nil {
		return d
	}
	return 3 * time.Second
}

// patience bounds every wait of the suite.
const patience = 30 * time.Second
