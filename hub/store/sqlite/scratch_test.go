package sqlite

import (
	"context"
	"errors"
	"testing"
	"time"

	"tidings/hub"
)

// Invariant 10: a stranger's key that is none never waits for the store's one writer, nor holds it up.
func TestTakeOfNothingTakesNoLock(t *testing.T) {
	s := open(t)
	if err := s.write(t.Context(), "test", func(*conn) error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := s.Take(ctx, "none", time.Now().UnixMicro())
		if !errors.Is(err, hub.ErrNotFound) {
			t.Errorf("beside a writer: %v", err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
