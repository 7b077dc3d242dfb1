package pgtest

import (
	"bufio"
	"bytes"
	_ "embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
)

// variable names a running server and a user that may create databases on it.
const variable = "TIDINGS_TEST_POSTGRES"

// The same script serves `make test`. Embedded, so that a compiled test binary needs no source tree.
//
//go:embed server.sh
var script string

// server is never closed: its leash ends with this process, and the server with the leash. The function keeps
// what it returned; collected, the leash's descriptor would be closed and the server gone in mid-test.
var server = sync.OnceValues(func() (throwaway, error) {
	if given := os.Getenv(variable); given != "" {
		return throwaway{url: given}, nil
	}
	return start()
})

type throwaway struct {
	url   string
	leash io.Closer // the shell's standard input: closing it ends the server
	shell *exec.Cmd
}

// start returns once the server answers. Its shell has a deadline for that, so the read here needs none.
func start() (throwaway, error) {
	shell := exec.Command("bash", "-c", script, "server.sh")
	// A session of its own: Ctrl-C in a terminal must reach the test binary, not end the server under it.
	shell.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var complaint bytes.Buffer
	shell.Stderr = &complaint
	leash, err := shell.StdinPipe()
	if err != nil {
		return throwaway{}, fmt.Errorf("start PostgreSQL: %w", err)
	}
	output, err := shell.StdoutPipe()
	if err != nil {
		return throwaway{}, fmt.Errorf("start PostgreSQL: %w", err)
	}
	if err := shell.Start(); err != nil {
		return throwaway{}, fmt.Errorf("start PostgreSQL (needs bash, coreutils, util-linux): %w", err)
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		leash.Close()
		err = shell.Wait() // first: the complaint is complete only then
		return throwaway{}, fmt.Errorf("start PostgreSQL: %w: %s", err, bytes.TrimSpace(complaint.Bytes()))
	}
	return throwaway{url: strings.TrimSpace(line), leash: leash, shell: shell}, nil
}
