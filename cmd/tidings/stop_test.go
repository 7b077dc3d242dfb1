package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"tidings/events"
	"time"
)

// Whoever stops the program twice does not want to wait for what is under way.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s site) {
		hub := s.serve("127.0.0.1:0")
		conn, err := net.Dial("tcp", strings.TrimPrefix(hub.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		// Half a request: one that is under way, and that the program gives some time when it stops.
		fmt.Fprintf(conn, "POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\n")
		began := time.Now()
		ended := make(chan error, 1)
		go func() { ended <- hub.cmd.Wait() }()
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_ = hub.cmd.Process.Signal(os.Interrupt) // an error means that it is gone
			case <-ended:
				if status := hub.cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() {
					t.Errorf("it ended by itself after %v: %v", time.Since(began), hub.cmd.ProcessState)
				}
				return
			}
		}
	})
}

// What is under way when the program stops is answered: a write with what became of it, and whoever waits for something to
// come with the answer that nothing did (PS-01).
func TestStopping(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s site) {
		w := s.world()
		anna := w.person("anna", object{"title": "Clerk"}, "--attributes", "title")
		p := w.poller()
		start := w.delta(w.shop.Token, "now").Cursor
		var first events.Notices
		w.must("GET", "/live?ticket="+w.ticket(anna.subject), "", nil, &first)

		poll := w.begin("POST", strings.TrimPrefix(p.endpoint, w.hub.url), w.shop.Token, "{}")
		delta := w.begin("GET", "/delta?wait=60&cursor="+start, w.shop.Token, "")
		live := w.begin("GET", "/live?ticket="+first.Ticket+"&cursor="+first.Cursor, "", "")
		body := `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"bert"}`
		write := w.begin("POST", "/scim/v2/Users", w.directory.Token, body)
		// Whose request was not read when the program stops is cut off. This one is told to go on once its handler reads.
		for _, want := range []string{" 100 ", "\r\n"} {
			if line, err := write.in.ReadString('\n'); !strings.Contains(line, want) {
				t.Fatalf("the write is answered %q, %v", line, err)
			}
		}
		if !eventually(patience, func() bool { return strings.Contains(w.metrics(), "tidings_http_requests_under_way 5\n") }) {
			t.Fatal("four requests and the one that asks are not under way")
		}
		began := time.Now()
		if err := w.hub.cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if !eventually(patience, func() bool {
			c, err := net.Dial("tcp", write.RemoteAddr().String())
			if err == nil {
				c.Close()
			}
			return err != nil
		}) {
			t.Fatal("it goes on listening")
		}
		fmt.Fprint(write, body)
		if status, text := write.answer(); status != http.StatusCreated {
			t.Errorf("a write that was under way is answered %d %s", status, text)
		}
		for _, wait := range []struct {
			*exchange
			want string
		}{{poll, `{"sets":{}}`}, {delta, `{"changes":[],"cursor":`}, {live, `"ticket":"`}} {
			status, text := wait.answer()
			if status == http.StatusServiceUnavailable && wait.exchange == live && strings.Contains(text, "urn:tidings:problem:busy") {
				continue // it had no place yet when the program was told to stop
			}
			if status != http.StatusOK || !strings.Contains(text, wait.want) {
				t.Errorf("who waited is answered %d %q, want %s", status, text, wait.want)
			}
		}
		if err := w.hub.cmd.Wait(); err != nil || time.Since(began) > stopTime {
			t.Errorf("it ended after %v: %v", time.Since(began), err)
		}
		w.tidings(nil, "grant", "add", "--user", "bert", "--party", w.shop.ID, "--attributes", "title")
		w.clean()
	})
}

// exchange is a request on a connection of its own.
type exchange struct {
	net.Conn
	in *bufio.Reader
}

// begin sends a request; of a write only the header, the body is to follow.
func (w *world) begin(method, path, token, body string) *exchange {
	w.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.hub.url, "http://"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n", method, path, len(body))
	if token != "" {
		fmt.Fprintf(conn, "Authorization: Bearer %s\r\n", token)
	}
	if strings.HasPrefix(path, "/scim") {
		body = "Expect: 100-continue\r\n\r\n"
	} else {
		body = "\r\n" + body
	}
	fmt.Fprint(conn, body)
	return &exchange{conn, bufio.NewReader(conn)}
}

func (e *exchange) answer() (status int, text string) {
	_ = e.SetReadDeadline(time.Now().Add(patience)) // what it does not bound is bounded by the test's own time
	response, err := http.ReadResponse(e.in, nil)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(body)
}
