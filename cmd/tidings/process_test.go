package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidings/hub/store/postgres/pgtest"
)

// asProgram makes the test binary act as the program, so that tests run it as a process of its own, and kill it.
const asProgram = "TIDINGS_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Unsetenv(asProgram)
		main()
	}
	os.Exit(m.Run())
}

func newProcess(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	// With -race a process would sleep for a second before it exits, and there are hundreds of them.
	cmd.Env = append(os.Environ(), asProgram+"=1", "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	return cmd
}

// site is a store and the flags that lead there.
type site struct {
	t     testing.TB
	flags []string
}

// onBoth runs a test on a new store of either kind.
func onBoth(t *testing.T, test func(t *testing.T, s site)) {
	t.Run("sqlite", func(t *testing.T) {
		test(t, site{t, []string{"--store", "sqlite:" + filepath.Join(t.TempDir(), "hub.db")}})
	})
	t.Run("postgres", func(t *testing.T) {
		test(t, site{t, []string{"--store", pgtest.URL(t), "--key-file", filepath.Join(t.TempDir(), "key")}})
	})
}

// tidings runs a command to its end and decodes its JSON.
func (s site) tidings(result any, args ...string) {
	s.t.Helper()
	out, stderr, code := s.try(append(args, "--json")...)
	if code != 0 {
		s.t.Fatalf("tidings %s: exit %d: %s", strings.Join(args, " "), code, stderr)
	}
	if result != nil {
		if err := json.Unmarshal([]byte(out), result); err != nil {
			s.t.Fatalf("tidings %s: %v in %q", strings.Join(args, " "), err, out)
		}
	}
}

func (s site) try(args ...string) (out, stderr string, code int) {
	s.t.Helper()
	var o, e bytes.Buffer
	cmd := newProcess(s.t.Context(), append(args, s.flags...)...)
	cmd.Stdout, cmd.Stderr = &o, &e
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		s.t.Fatal(err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// served is a running hub process.
type served struct {
	cmd *exec.Cmd
	url string
	log *lockedBuffer
}

// serve starts the hub on an address, of its own choice if the port is 0, and waits until it is ready.
func (s site) serve(address string, args ...string) *served {
	s.t.Helper()
	p := s.start(append([]string{"--listen", address, "--allow-insecure-receivers"}, args...)...)
	if !eventually(20*time.Second, func() bool {
		_, issuer, _ := strings.Cut(p.log.String(), " issuer=")
		p.url, _, _ = strings.Cut(issuer, "\n")
		status, _ := call("GET", p.url+"/readyz", "", nil, nil)
		return status == http.StatusOK
	}) {
		p.kill()
		s.t.Fatalf("the hub did not get ready:\n%s", p.log)
	}
	return p
}

// start starts the hub and waits for nothing.
func (s site) start(args ...string) *served {
	s.t.Helper()
	p := &served{cmd: newProcess(context.Background(), append(append([]string{"serve"}, s.flags...), args...)...), log: &lockedBuffer{}}
	p.cmd.Stderr = p.log
	if err := p.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(p.kill)
	return p
}

// stop ends the process as an operator does, and expects it to end well.
func (p *served) stop(t testing.TB) {
	t.Helper()
	if err := errors.Join(p.cmd.Process.Signal(os.Interrupt), p.cmd.Wait()); err != nil {
		t.Errorf("the hub stopped with %v:\n%s", err, p.log)
	}
}

// kill ends the process as a power cut would.
func (p *served) kill() {
	_ = p.cmd.Process.Kill() // SIGKILL; an error means that it is gone already
	_ = p.cmd.Wait()
}

// eventually asks until the answer is yes, or the time is over.
func eventually(within time.Duration, yes func() bool) bool {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(within); time.Now().Before(end); <-tick.C {
		if yes() {
			return true
		}
	}
	return yes()
}

// ports counts the addresses given away: two programs that start at once must not get the same one.
var ports atomic.Int64

// freeAddress is a loopback address that nobody listens on, below the ports that the kernel hands out by itself.
func freeAddress(t testing.TB) string {
	t.Helper()
	for range 5000 {
		port := 20000 + (os.Getpid()+int(ports.Add(1)))%5000
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no free port")
	return ""
}

// call makes one request and decodes a JSON answer; status 0 if there was none.
func call(method, url, token string, body, result any) (status int, header http.Header) {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			panic(err)
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, url, in)
	if err != nil {
		panic(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	if result != nil {
		if err := json.NewDecoder(resp.Body).Decode(result); err != nil && resp.StatusCode < 300 {
			return 0, nil
		}
	}
	return resp.StatusCode, resp.Header
}
