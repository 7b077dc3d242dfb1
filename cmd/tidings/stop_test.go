package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
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
