package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tidings/hub"
	"tidings/hub/schema"
)

const (
	shownLines = 25
	pageLines  = 100
)

// line is one line of the log, as shown: positions, times, ids and names, never a value.
type line struct {
	hub.Change
	Person bool // its entry is a person who can be looked at
	Group  bool
	Party  string // name
}

func (p *pages) lines(ctx context.Context, after int64, limit int) ([]line, error) {
	changes, err := p.engine.Changes(ctx, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	out := make([]line, len(changes))
	for i, c := range changes {
		out[i].Change = c
		if c.Party == p.conf.Party.ID {
			out[i].Party = p.conf.Party.Name
		}
		if c.Entry.IsZero() {
			continue
		}
		e, err := p.engine.Entry(ctx, c.Entry)
		if err != nil && !errors.Is(err, hub.ErrNotFound) {
			return nil, fmt.Errorf("read entry: %w", err)
		}
		out[i].Person = err == nil && e.Type == schema.User
		out[i].Group = err == nil && e.Type == schema.Group
	}
	return out, nil
}

// log shows the newest lines; the page follows from there.
func (p *pages) log(w http.ResponseWriter, r *http.Request) error {
	head, err := p.engine.Head(r.Context())
	if err != nil {
		return fmt.Errorf("read head: %w", err)
	}
	lines, err := p.lines(r.Context(), max(0, head.Position-shownLines), shownLines)
	if err != nil {
		return err
	}
	with := page{Here: "log", Head: head.Position}
	for i := range lines { // newest first
		with.Lines = append(with.Lines, lines[len(lines)-1-i])
	}
	p.render(w, http.StatusOK, "log", with)
	return nil
}

// follow sends lines as they are committed (server-sent events). A page whose connection broke says by Last-Event-ID
// how far it got.
func (p *pages) follow(w http.ResponseWriter, r *http.Request) error {
	from := r.Header.Get("Last-Event-ID")
	if from == "" {
		from = r.URL.Query().Get("after")
	}
	after, err := strconv.ParseInt(from, 10, 64)
	if err != nil || after < 0 {
		http.Error(w, "after is a position", http.StatusBadRequest)
		return nil
	}
	w.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(w)
	alive := time.NewTicker(15 * time.Second)
	defer alive.Stop()
	for {
		wake := p.engine.Wake() // before reading: what is committed in between closes it
		lines, err := p.lines(r.Context(), after, pageLines)
		if err != nil {
			return err
		}
		for _, l := range lines {
			var html bytes.Buffer
			if err := templates.ExecuteTemplate(&html, "line", l); err != nil {
				panic(err) // the templates are the program's own
			}
			text := strings.ReplaceAll(strings.TrimSpace(html.String()), "\n", "\ndata: ")
			if _, err := fmt.Fprintf(w, "id: %d\ndata: %s\n\n", l.Position, text); err != nil {
				return nil // the page has gone
			}
			after = l.Position
		}
		if len(lines) == pageLines {
			continue
		}
		if control.Flush() != nil {
			return nil
		}
		select {
		case <-wake:
		case <-alive.C: // hints may be lost, and a page that has gone is noticed by writing to it
			if _, err := w.Write([]byte(":\n\n")); err != nil {
				return nil
			}
		case <-r.Context().Done():
			return nil
		}
	}
}
