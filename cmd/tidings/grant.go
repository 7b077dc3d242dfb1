package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"tidings/consent"
	"tidings/events"
	"tidings/hub"
)

type grantAdd struct {
	User       string   `help:"userName of the person." required:"" placeholder:"USERNAME"`
	Party      string   `help:"Id of the party." required:"" placeholder:"ID"`
	Attributes []string `help:"What may be told: SCIM names such as emails,name.familyName,title." required:"" placeholder:"NAME"`
	Purposes   []string `help:"transfer (the party may fetch values), notify (it may be told of changes)." default:"transfer,notify"`
	Until      string   `help:"When it ends: a time such as 2027-01-31T12:00:00Z, or a duration from now such as 30d." placeholder:"TIME"`
}

func (c *grantAdd) Run(rt *runtime) error {
	party, err := id("party", c.Party)
	if err != nil {
		return err
	}
	purposes, err := consent.ParsePurposes(c.Purposes)
	if err != nil {
		return &misuse{err.Error()}
	}
	until, err := parseUntil(c.Until)
	if err != nil {
		return err
	}
	return rt.withHub(reading, func(h *hub.Hub) error {
		p, err := h.Party(rt.ctx, party)
		switch {
		case errors.Is(err, hub.ErrNotFound), err == nil && p.Removed != 0:
			return errors.New("grant: there is no such party; 'tidings party list' shows them")
		case err != nil:
			return fmt.Errorf("grant: %w", err)
		}
		e, err := h.EntryByUserName(rt.ctx, c.User)
		switch {
		case errors.Is(err, hub.ErrNotFound):
			return errors.New("grant: there is nobody of that userName")
		case err != nil:
			return fmt.Errorf("grant: %w", err)
		}
		g, err := h.Grant(rt.ctx, actor, hub.GrantRequest{Entry: e.ID, Party: party, Attributes: c.Attributes, Purposes: purposes, Until: until})
		if err != nil {
			return err
		}
		subject, err := h.SubjectFor(rt.ctx, *p, e)
		if err != nil {
			return err
		}
		return rt.print(struct {
			ID      hub.ID         `json:"id"`
			Subject events.Subject `json:"subject"`
		}{g.ID, subject}, "grant    %s\nsubject  %s\n", g.ID, subject.Member("uri"))
	})
}

func parseUntil(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	var d duration
	if err := d.UnmarshalText([]byte(text)); err != nil {
		return time.Time{}, misused("--until is a time such as 2027-01-31T12:00:00Z or a duration such as 30d")
	}
	return time.Now().Add(time.Duration(d)), nil
}

type grantList struct {
	Party string `help:"Only of this party." placeholder:"ID"`
}

type grantLine struct {
	ID         hub.ID   `json:"id"`
	Party      hub.ID   `json:"party"`
	Entry      hub.ID   `json:"entry"`
	Attributes []string `json:"attributes"`
	Purposes   []string `json:"purposes"`
	Until      string   `json:"until,omitempty"`
	State      string   `json:"state"`
	Opt        string   `json:"opt"`
	Given      string   `json:"given"`
}

func (c *grantList) Run(rt *runtime) error {
	var party hub.ID
	if c.Party != "" {
		var err error
		if party, err = id("party", c.Party); err != nil {
			return err
		}
	}
	return rt.withHub(reading, func(h *hub.Hub) error {
		var lines []grantLine
		for after := (hub.ID{}); ; {
			grants, err := h.Grants(rt.ctx, party, after, 1000)
			if err != nil {
				return err
			}
			if len(grants) == 0 {
				break
			}
			for _, g := range grants {
				lines = append(lines, grantLine{g.ID, g.Party, g.Entry, g.Terms.Attributes, g.Terms.Purposes.Names(),
					stamp(g.Terms.Until), grantState(g), g.Opt.String(), stamp(g.CreatedAt)})
				after = g.ID
			}
		}
		return table(rt, lines, "ID PARTY STATE OPT ATTRIBUTES PURPOSES UNTIL GIVEN", func(l grantLine) []string {
			return []string{l.ID.String(), l.Party.String(), l.State, l.Opt, strings.Join(l.Attributes, ","), strings.Join(l.Purposes, ","), l.Until, l.Given}
		})
	})
}

func grantState(g hub.Grant) string {
	switch {
	case g.Gone:
		return "deleted"
	case g.Ended != 0:
		return "ended"
	case g.Terms.Expired(time.Now().UnixMicro()):
		return "expired"
	}
	return "live"
}

type grantRevoke struct {
	ID string `arg:"" help:"Id of the grant."`
}

func (c *grantRevoke) Run(rt *runtime) error {
	grant, err := id("grant", c.ID)
	if err != nil {
		return err
	}
	return rt.withHub(reading, func(h *hub.Hub) error {
		if err := h.Revoke(rt.ctx, actor, grant); err != nil {
			return err
		}
		return rt.print(map[string]any{"id": grant, "revoked": true}, "revoked %s\n", grant)
	})
}
