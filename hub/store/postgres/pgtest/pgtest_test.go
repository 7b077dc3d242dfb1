package pgtest

import (
	"bufio"
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func TestDatabasesAreFreshEmptyAndDropped(t *testing.T) {
	var urls [2]string
	t.Run("two tests", func(t *testing.T) {
		for i := range urls {
			urls[i] = URL(t)
			// The table's name is the same: the second CREATE fails unless the databases are two.
			if err := execute(urls[i], "CREATE TABLE mark (n int)"); err != nil {
				t.Fatal(err)
			}
		}
		// Left open on purpose: a test that leaks a connection must not keep its database.
		if _, err := pgx.Connect(context.Background(), urls[0]); err != nil {
			t.Fatal(err)
		}
	})
	for _, gone := range urls {
		err := execute(gone, "SELECT 1")
		if err == nil || !strings.Contains(err.Error(), "does not exist") {
			t.Errorf("after its test the database answers %v, want: does not exist", err)
		}
	}
}

// The design forbids the store to let the database order text. This server makes it visible when it does.
func TestServerOrdersTextUnlikeBytes(t *testing.T) {
	conn, err := pgx.Connect(t.Context(), URL(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var linguistic bool
	if err := conn.QueryRow(t.Context(), "SELECT 'a' < 'B'").Scan(&linguistic); err != nil {
		t.Fatal(err)
	}
	if !linguistic {
		t.Error("'a' sorts after 'B': text is compared as bytes, misplaced trust in the database would pass unseen")
	}
}

// TestMain can play a test binary that waits to be killed, for the next test.
func TestMain(m *testing.M) {
	if os.Getenv("PGTEST_PLAY_VICTIM") != "" {
		server, err := start()
		if err != nil {
			os.Stdout.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Stdout.WriteString(server.url + "\n")
		select {}
	}
	os.Exit(m.Run())
}

func TestServerEndsWithItsProcessEvenKilled(t *testing.T) {
	tmp := openFolder(t)
	victim := exec.Command(os.Args[0])
	victim.Env = append(os.Environ(), "PGTEST_PLAY_VICTIM=1", variable+"=", "TMPDIR="+tmp)
	output, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	server := strings.TrimSpace(line)
	if err := execute(server, "SELECT 1"); err != nil {
		t.Fatalf("the server does not answer: %v", err)
	}
	where, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	if port, err := strconv.Atoi(where.Port()); err != nil || port >= 32768 || where.Hostname() != "127.0.0.1" {
		t.Errorf("the server listens on %s, want loopback below 32768", where.Host)
	}
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	victim.Wait()
	gone(t, server, tmp)
}

func TestServerEndsWhenItsShellIsKilled(t *testing.T) {
	t.Setenv("TMPDIR", openFolder(t))
	server, err := start()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.shell.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	server.shell.Wait()
	gone(t, server.url, "") // the files stay: nobody is left to remove them
}

func TestMissingServerIsNamed(t *testing.T) {
	// By another name: an initdb of this machine may be on PATH beside what the script needs.
	saved := script
	t.Cleanup(func() { script = saved })
	script = strings.NewReplacer("-v initdb", "-v no-such-initdb", "*/bin/initdb", "*/bin/no-such-initdb").Replace(script)
	_, err := start()
	if err == nil || !strings.Contains(err.Error(), "apt-get install postgresql") {
		t.Fatalf("start without a server on the machine: %v, want what to install", err)
	}
}

// openFolder is a temporary folder that the server's user can enter, removed with the test.
func openFolder(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("/tmp", "pgtest-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	return folder
}

// gone waits until the server no longer answers and, where a folder is given, has left nothing in it.
func gone(t *testing.T, server, folder string) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		left, _ := filepath.Glob(filepath.Join(folder, "tidings-postgres.*"))
		if err := execute(server, "SELECT 1"); err != nil && (folder == "" || len(left) == 0) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("the server outlived its process; left behind: %v", left)
		}
	}
}
