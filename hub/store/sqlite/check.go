package sqlite

import (
	"context"

	"tidings/hub"
)

// Check implements hub.State.
func (s *Store) Check(ctx context.Context) (problems []string, err error) {
	_ = hub.ID{}
	return nil, nil
}
