// Command mutants tests the tests: it makes the one-line changes that ARCHITECTURE.md names for the invariants, one at a
// time, runs the test that pins each, and fails if one stays green. The tree is not touched (go test -overlay).
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
)

// mutant is a row of a table whose cells are code: file, from, to, and the arguments of go test.
type mutant struct {
	invariant, file, from, to string
	test                      []string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	text, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	all := read(string(text))
	var green, total int
	for _, m := range all {
		if len(args) > 0 && !strings.Contains(m.invariant+" "+m.file, args[0]) {
			continue
		}
		total++
		red, err := m.try(ctx, dir)
		if err != nil {
			return fmt.Errorf("invariant %s, %s: %w", m.invariant, m.file, err)
		}
		verdict := "red"
		if !red {
			verdict = "GREEN"
			green++
		}
		fmt.Printf("%-5s  invariant %-3s %s: %s -> %s\n", verdict, m.invariant, m.file, m.from, m.to)
	}
	fmt.Printf("%d mutants, %d caught\n", total, total-green)
	if green > 0 || total == 0 {
		return errors.New("a change that breaks an invariant goes unnoticed")
	}
	return nil
}

var row = regexp.MustCompile("(?m)^\\| *(\\d+) *\\| `([^`]+)` \\| `([^`]+)` \\| `([^`]*)` \\| `([^`]+)` \\|$")

func read(text string) (all []mutant) {
	for _, m := range row.FindAllStringSubmatch(text, -1) {
		all = append(all, mutant{m[1], m[2], m[3], m[4], strings.Fields(m[5])})
	}
	return all
}

// try runs the test on the changed file and reports whether it failed. A change that does not compile proves nothing.
func (m mutant) try(ctx context.Context, dir string) (red bool, err error) {
	source, err := os.ReadFile(m.file)
	if err != nil {
		return false, err
	}
	if n := strings.Count(string(source), m.from); n != 1 {
		return false, fmt.Errorf("%q stands there %d times, not once", m.from, n)
	}
	changed := filepath.Join(dir, "changed.go")
	if err := os.WriteFile(changed, []byte(strings.Replace(string(source), m.from, m.to, 1)), 0o600); err != nil {
		return false, err
	}
	path, err := filepath.Abs(m.file)
	if err != nil {
		return false, err
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {path: changed}})
	if err != nil {
		return false, err
	}
	overlayFile := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlayFile, overlay, 0o600); err != nil {
		return false, err
	}
	out, err := exec.CommandContext(ctx, "go", append([]string{"test", "-count=1", "-vet=off", "-overlay", overlayFile}, m.test...)...).CombinedOutput()
	if err == nil {
		if strings.Contains(string(out), "no tests to run") {
			return false, fmt.Errorf("no such test: go test %s", strings.Join(m.test, " "))
		}
		return false, nil
	}
	if strings.Contains(string(out), "[build failed]") || ctx.Err() != nil {
		return false, fmt.Errorf("the changed code was not tried:\n%s", out)
	}
	return true, nil
}
