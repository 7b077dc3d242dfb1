package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"
)

// TestCommandLine: each mistake gives one clear line and a status that tells a mistake from a failure.
func TestCommandLine(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	const hub = "http://127.0.0.1:1"
	for name, test := range map[string]struct {
		args  []string
		token string
		code  int
		says  string
	}{
		"no hub":         {nil, "t", 2, "--hub"},
		"no token":       {[]string{"--hub", hub}, "", 2, tokenVariable},
		"a hub of words": {[]string{"--hub", "hub", "--listen", "127.0.0.1:0"}, "t", 1, "issuer"},
		"a URL of words": {[]string{"--hub", hub, "--url", "here", "--listen", "127.0.0.1:0"}, "t", 1, "URL"},
		"port in use":    {[]string{"--hub", hub, "--listen", taken.Addr().String()}, "t", 1, "in use"},
		"unknown flag":   {[]string{"--hub", hub, "--token", "t"}, "t", 2, "--token"},
	} {
		var out, errOut bytes.Buffer
		code := run(t.Context(), test.args, test.token, &out, &errOut)
		if text := errOut.String(); code != test.code || strings.Count(text, "\n") != 1 || !strings.Contains(text, test.says) {
			t.Errorf("%s: exit %d: %s", name, code, text)
		}
	}
}

// TestStops: the website comes up without its hub, says where it is, and ends when it is told to.
func TestStops(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"--hub", "http://127.0.0.1:1", "--listen", "127.0.0.1:0"}, "t", writer, io.Discard)
		writer.Close()
	}()
	said := make([]byte, 200)
	n, err := reader.Read(said)
	if err != nil || !strings.Contains(string(said[:n]), "http://127.0.0.1:") {
		t.Fatalf("%q (%v)", said[:n], err)
	}
	stop()
	if got := <-code; got != 0 {
		t.Errorf("exit %d", got)
	}
}
