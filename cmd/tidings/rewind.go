package main

import (
	"errors"
	"time"

	"tidings/hub"
)

type streamReplay struct {
	ID     string `arg:"" help:"Id of the stream."`
	Since  string `help:"Tell again what changed since: a time such as 2027-01-31T12:00:00Z, or a duration such as 2h for that long ago." placeholder:"TIME"`
	Cursor string `help:"Tell again what changed since this cursor of the party's /delta." placeholder:"CURSOR"`
}

// Help says what is told.
func (c *streamReplay) Help() string {
	return "Each subject that changed since is told once more, as it stands now and as its grant allows now, rather from a minute before. " +
		"Nothing that the receiver is still owed is lost. Signals are done once and not told again; one that was refused is a dead letter. " +
		"Beyond 30 days there is only the snapshot of /delta."
}

func (c *streamReplay) Run(rt *runtime) error {
	stream, err := id("stream", c.ID)
	if err != nil {
		return err
	}
	if (c.Since == "") == (c.Cursor == "") {
		return misused("give either --since or --cursor")
	}
	from := hub.Rewinding{Cursor: c.Cursor}
	if c.Since != "" {
		if from.Since, err = parseSince(c.Since); err != nil {
			return err
		}
	}
	return rt.withHub(reading, func(h *hub.Hub) error {
		s, err := h.Rewind(rt.ctx, hub.Caller{Role: hub.RoleOperator}, stream.String(), from)
		switch {
		case errors.Is(err, hub.ErrCursorExpired):
			return errors.New("that is longer ago than is remembered; the receiver has to read a snapshot from /delta")
		case errors.Is(err, hub.ErrCursorInvalid):
			return errors.New("this is no cursor of the stream's party")
		case err != nil:
			return err
		}
		return rt.print(map[string]any{"id": s.ID, "position": s.At}, "told again from position %d: %s\n", s.At, s.ID)
	})
}

func parseSince(text string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	var d duration
	if err := d.UnmarshalText([]byte(text)); err != nil {
		return time.Time{}, misused("--since is a time such as 2027-01-31T12:00:00Z or a duration such as 2h")
	}
	return time.Now().Add(-time.Duration(d)), nil
}
