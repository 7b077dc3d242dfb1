package postgres_test

import (
	"testing"

	"tidings/hub"
	"tidings/hub/store/postgres"
	"tidings/hub/store/postgres/pgtest"
	"tidings/hub/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) func() hub.Store {
		url := pgtest.URL(t)
		return func() hub.Store {
			s, err := postgres.Open(t.Context(), url)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
	})
}
