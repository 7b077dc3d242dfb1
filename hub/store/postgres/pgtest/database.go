package pgtest

import (
	"context"
	"crypto/rand"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// patience bounds every statement of this package. Creating a database takes about 50 ms; on a busy machine
// with all packages' tests at it, seconds.
const patience = time.Minute

// URL returns the connection URL of a fresh, empty database. It is dropped when the test ends, together with
// whatever is still connected to it.
func URL(t testing.TB) string {
	t.Helper()
	shared, err := server()
	if err != nil {
		t.Fatal(err)
	}
	database, err := url.Parse(shared.url)
	if err != nil {
		// Without the cause: it would quote the URL, and with it the password.
		t.Fatalf("%s is not a URL", variable)
	}
	name := "test_" + strings.ToLower(rand.Text())
	// template0, because nobody can be connected to it; copying template1 fails while anybody is.
	if err := execute(shared.url, "CREATE DATABASE "+name+" TEMPLATE template0"); err != nil {
		t.Fatalf("create a database for the test: %v", err)
	}
	t.Cleanup(func() {
		// FORCE: a test of crashes leaves connections of processes that are only now dying.
		if err := execute(shared.url, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("drop the test's database: %v", err)
		}
	})
	database.Path = "/" + name
	return database.String()
}

// execute runs one statement on a connection of its own: tests hold no idle connections to the server.
func execute(server, statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}
