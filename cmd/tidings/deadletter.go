package main

import (
	"fmt"
	"strconv"
	"strings"

	"tidings/hub"
)

// letterLine is a dead letter as scripts read it: names and ids, never values.
type letterLine struct {
	ID         hub.ID   `json:"id"`
	Stream     hub.ID   `json:"stream"`
	Party      hub.ID   `json:"party"`
	Entry      *hub.ID  `json:"entry,omitempty"`
	Kind       string   `json:"kind,omitempty"`
	Type       string   `json:"type,omitempty"`
	Attributes []string `json:"attributes,omitempty"`
	Signal     int64    `json:"signal,omitempty"`
	JTI        string   `json:"jti,omitempty"`
	Err        string   `json:"err"`
	Attempts   int      `json:"attempts"`
	Time       string   `json:"time"`
	Expires    string   `json:"expires"`
}

func newLetterLine(l hub.DeadLetter) letterLine {
	line := letterLine{ID: l.ID, Stream: l.Stream, Party: l.Party, Kind: string(l.Kind), Type: string(l.Type), Attributes: l.Names,
		Signal: l.Signal, JTI: l.JTI, Err: l.Reason, Attempts: l.Attempts, Time: stamp(l.Time), Expires: stamp(l.Expires)}
	if !l.Entry.IsZero() {
		line.Entry = &l.Entry
	}
	return line
}

// what is the kind of a change, or the last part of an event type.
func (l letterLine) what() string {
	if l.Kind != "" {
		return l.Kind
	}
	return l.Type[strings.LastIndexAny(l.Type, "/:")+1:]
}

func (l letterLine) entry() string {
	if l.Entry == nil {
		return "-"
	}
	return l.Entry.String()
}

type letterList struct {
	Stream string `help:"Only of this stream." placeholder:"ID"`
	Party  string `help:"Only of this party." placeholder:"ID"`
	Limit  int    `help:"At most so many, the newest." default:"100"`
}

func (c *letterList) Run(rt *runtime) error {
	q := hub.LetterQuery{Limit: c.Limit}
	if c.Limit < 1 {
		return misused("--limit is 1 or more")
	}
	if err := choose(&q.Stream, "stream", c.Stream); err != nil {
		return err
	}
	if err := choose(&q.Party, "party", c.Party); err != nil {
		return err
	}
	return rt.withHub(reading, func(h *hub.Hub) error {
		letters, err := h.DeadLetters(rt.ctx, q)
		if err != nil {
			return err
		}
		lines := make([]letterLine, len(letters))
		for i, l := range letters {
			lines[i] = newLetterLine(l)
		}
		return table(rt, lines, "ID TIME STREAM ENTRY WHAT ATTRIBUTES ERR ATTEMPTS", func(l letterLine) []string {
			return []string{l.ID.String(), l.Time, l.Stream.String(), l.entry(), l.what(), strings.Join(l.Attributes, ","), l.Err, strconv.Itoa(l.Attempts)}
		})
	})
}

// choose reads an id that may be left out.
func choose(into *hub.ID, what, text string) (err error) {
	if text != "" {
		*into, err = id(what, text)
	}
	return err
}

type letterShow struct {
	ID string `arg:"" help:"Id of the dead letter."`
}

// Help says what the description may be.
func (c *letterShow) Help() string {
	return "The description is what the receiver wrote. It may hold personal data: it is kept sealed, shown here only, and erased with the person."
}

func (c *letterShow) Run(rt *runtime) error {
	letter, err := id("dead letter", c.ID)
	if err != nil {
		return err
	}
	return rt.withHub(reading, func(h *hub.Hub) error {
		l, description, err := h.DeadLetter(rt.ctx, letter)
		if err != nil {
			return err
		}
		line := newLetterLine(l)
		return rt.print(struct {
			letterLine
			Description string `json:"description,omitempty"`
		}{line, description}, "letter       %s\nstream       %s\nparty        %s\nentry        %s\nwhat         %s\nattributes   %s\njti          %s\nerr          %s\ndescription  %s\nattempts     %d\ntime         %s\nexpires      %s\n",
			line.ID, line.Stream, line.Party, line.entry(), line.what(), strings.Join(line.Attributes, ","), line.JTI, line.Err,
			quoted(description), line.Attempts, line.Time, line.Expires)
	})
}

// quoted shows the words of a receiver, which must not move a terminal's cursor.
func quoted(text string) string {
	if text == "" {
		return "-"
	}
	return strconv.Quote(text)
}

// letterChoice is one letter or all of a stream.
type letterChoice struct {
	ID     string `arg:"" optional:"" help:"Id of the dead letter."`
	Stream string `help:"All of this stream." placeholder:"ID"`
}

func (c letterChoice) query() (q hub.LetterQuery, err error) {
	if (c.ID == "") == (c.Stream == "") {
		return q, misused("give the id of one dead letter, or --stream for all of a stream")
	}
	if err := choose(&q.ID, "dead letter", c.ID); err != nil {
		return q, err
	}
	return q, choose(&q.Stream, "stream", c.Stream)
}

type letterReplay struct {
	letterChoice
}

// Help says what is told.
func (c *letterReplay) Help() string {
	return "It is told anew, with a new jti, under the person's grant as it stands now. Where that ended, or was given again since (which told all there is), " +
		"and of a signal whose seven days are over, nothing is told: the letter is withdrawn."
}

func (c *letterReplay) Run(rt *runtime) error {
	q, err := c.query()
	if err != nil {
		return err
	}
	return rt.withHub(reading, func(h *hub.Hub) (err error) {
		var r hub.Revived
		if q.Stream.IsZero() {
			r, err = h.Replay(rt.ctx, q.ID)
		} else {
			r, err = h.ReplayAll(rt.ctx, q.Stream, func(r hub.Revived) {
				fmt.Fprintf(rt.errOut, "%d replayed, %d withdrawn, %d left\n", r.Replayed, r.Withdrawn, r.Left)
			})
		}
		if err != nil {
			return err
		}
		text := "replayed %d, withdrawn %d\n"
		if !q.Stream.IsZero() && r.Left > 0 {
			text += "The stream has no more room now; run this again when its receiver has taken what waits.\n"
		}
		return rt.print(map[string]int{"replayed": r.Replayed, "withdrawn": r.Withdrawn, "left": r.Left}, text, r.Replayed, r.Withdrawn)
	})
}

type letterDrop struct {
	letterChoice
}

func (c *letterDrop) Run(rt *runtime) error {
	q, err := c.query()
	if err != nil {
		return err
	}
	return rt.withHub(reading, func(h *hub.Hub) error {
		n, err := h.DropLetters(rt.ctx, q)
		if err == nil && n == 0 && !q.ID.IsZero() {
			err = hub.ErrNotFound
		}
		if err != nil {
			return err
		}
		return rt.print(map[string]int{"dropped": n}, "dropped %d\n", n)
	})
}
