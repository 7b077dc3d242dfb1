package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"tidings/hub"
)

type changesCommand struct {
	Follow bool  `help:"Go on with new lines as they come, until interrupted." short:"f"`
	After  int64 `help:"Begin after this position." default:"0"`
}

// changeLine is one line of the log as scripts read it.
type changeLine struct {
	Position   int64    `json:"position"`
	Time       string   `json:"time"`
	Entry      string   `json:"entry"`
	Party      string   `json:"party,omitempty"`
	Kind       string   `json:"kind"`
	Attributes []string `json:"attributes"`
	Actor      string   `json:"actor"`
	Source     string   `json:"source"`
	Txn        string   `json:"txn"`
}

func newChangeLine(c hub.Change) changeLine {
	l := changeLine{Position: c.Position, Time: time.UnixMicro(c.Time).UTC().Format(time.RFC3339Nano), Kind: string(c.Kind),
		Attributes: c.Attributes, Actor: c.Actor, Source: c.Source, Txn: c.Txn}
	if l.Attributes == nil {
		l.Attributes = []string{}
	}
	if !c.Entry.IsZero() {
		l.Entry = c.Entry.String()
	}
	if !c.Party.IsZero() {
		l.Party = c.Party.String()
	}
	return l
}

func (c *changesCommand) Run(rt *runtime) error {
	s, err := rt.openStore(reading)
	if err != nil {
		return err
	}
	defer s.Close()
	ctx, cancel := context.WithCancel(rt.ctx)
	defer cancel()
	var hints <-chan struct{}
	if c.Follow {
		hints = s.Watch(ctx)
	}
	for after := c.After; ; {
		lines, err := s.Changes(ctx, after, 1000)
		if err != nil && rt.ctx.Err() == nil {
			return fmt.Errorf("read changes: %w", err)
		}
		for _, line := range lines {
			if err := rt.printChange(newChangeLine(line)); err != nil {
				return err
			}
			after = line.Position
		}
		if len(lines) > 0 {
			continue
		}
		if !c.Follow {
			return rt.ctx.Err() // a list that was cut off must not pass for the whole
		}
		select {
		case <-hints:
		case <-time.After(time.Second): // hints may be lost; reading the log is the truth
		case <-rt.ctx.Done():
			return nil
		}
	}
}

func (rt *runtime) printChange(l changeLine) error {
	if rt.JSON {
		return json.NewEncoder(rt.out).Encode(l)
	}
	_, err := fmt.Fprintf(rt.out, "%8d  %s  %-14s %-26s %s%s  by %s\n", l.Position, l.Time, l.Kind, l.Entry, strings.Join(l.Attributes, ","), party(l.Party), l.Actor)
	return err
}

func party(id string) string {
	if id == "" {
		return ""
	}
	return "  party " + id
}

type fsckCommand struct{}

var errProblems = errors.New("the store has problems")

func (c *fsckCommand) Run(rt *runtime) error {
	s, err := rt.openStore(reading)
	if err != nil {
		return err
	}
	defer s.Close()
	problems, err := s.Check(rt.ctx)
	if err != nil {
		return fmt.Errorf("check: %w", err)
	}
	if problems == nil {
		problems = []string{}
	}
	text := "clean\n"
	if len(problems) > 0 {
		text = strings.Join(problems, "\n") + "\n"
	}
	if err := rt.print(map[string]any{"clean": len(problems) == 0, "problems": problems}, "%s", text); err != nil {
		return err
	}
	if len(problems) > 0 {
		return errProblems
	}
	return nil
}
