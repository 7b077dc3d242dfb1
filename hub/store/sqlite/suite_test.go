package sqlite_test

import (
	"context"
	"path/filepath"
	"testing"

	"tidings/hub"
	"tidings/hub/store/sqlite"
	"tidings/hub/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) func() hub.Store {
		path := filepath.Join(t.TempDir(), "tidings.db")
		return func() hub.Store {
			s, err := sqlite.Open(context.Background(), path)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
	})
}
