package sqlite

import (
	"testing"
	"time"

	"tidings/hub"
	"tidings/subscriptions"
)

// What a receiver says of tokens that it never got disturbs nobody, however often it says so.
func TestSettlingNothingWakesNobody(t *testing.T) {
	s := open(t)
	hint := make(chan struct{}, 1)
	s.watchers.of = map[chan struct{}]bool{hint: true}
	if _, err := s.Settle(t.Context(), hub.NewID(), time.Now().UnixMicro(), []hub.Outcome{{JTI: "none", Next: subscriptions.Done}}); err != nil {
		t.Fatal(err)
	}
	if len(hint) > 0 {
		t.Error("everybody was woken")
	}
}
