package main

import (
	"time"

	"tidings/hub"
)

type partyAdd struct {
	Name          string   `help:"What people will see it called." required:""`
	Profile       string   `help:"What its streams get by default: tidings (SCIM notices, account and session events, ES256) or caep (CAEP interoperability profile, RS256)." enum:"tidings,caep" default:"tidings"`
	SubjectFormat string   `help:"How CAEP and RISC events name a person: iss_sub, email (where granted) or opaque." enum:"iss_sub,email,opaque" default:"iss_sub"`
	MaxAge        duration `help:"The longest time it may keep a copy, such as 90m or 30d." placeholder:"DURATION"`
	Origin        []string `help:"Web origin whose pages may hold live sockets with its tickets; repeatable." placeholder:"URL"`
	Agreement     bool     `help:"The party acts under an organisation-wide agreement: --types and --attributes take the place of people's grants."`
	Types         []string `help:"Types of entries it may learn of: User,Group." placeholder:"TYPE"`
	Attributes    []string `help:"Attributes it may ever learn." placeholder:"NAME"`
}

func (c *partyAdd) Run(rt *runtime) error {
	return rt.withHub(writing, func(h *hub.Hub) error {
		p, token, err := h.AddParty(rt.ctx, actor, hub.PartyRequest{
			Name: c.Name, Profile: c.Profile, SubjectFormat: c.SubjectFormat, MaxAge: time.Duration(c.MaxAge),
			Origins: c.Origin, Agreement: c.Agreement, Types: c.Types, Attributes: c.Attributes,
		})
		if err != nil {
			return err
		}
		return rt.print(map[string]any{"id": p.ID, "token": token, "audience": p.Audience},
			"party     %s\ntoken     %s   (shown this once)\naudience  %s\n", p.ID, token, p.Audience)
	})
}

// actor is how the log names what an operator does at the shell.
const actor = "operator"

type partyList struct{}

type partyLine struct {
	ID        hub.ID `json:"id"`
	Name      string `json:"name"`
	Audience  string `json:"audience"`
	Profile   string `json:"profile"`
	Agreement bool   `json:"agreement"`
	Created   string `json:"created"`
}

func (c *partyList) Run(rt *runtime) error {
	return rt.withHub(reading, func(h *hub.Hub) error {
		parties, err := h.Parties(rt.ctx)
		if err != nil {
			return err
		}
		var lines []partyLine
		for _, p := range parties {
			lines = append(lines, partyLine{p.ID, p.Name, p.Audience, p.Profile, p.Agreement, stamp(p.CreatedAt)})
		}
		return table(rt, lines, "ID NAME PROFILE AGREEMENT CREATED", func(l partyLine) []string {
			agreement := "no"
			if l.Agreement {
				agreement = "yes"
			}
			return []string{l.ID.String(), l.Name, l.Profile, agreement, l.Created}
		})
	})
}

type partyRemove struct {
	ID string `arg:"" help:"Id of the party."`
}

func (c *partyRemove) Run(rt *runtime) error {
	party, err := id("party", c.ID)
	if err != nil {
		return err
	}
	return rt.withHub(reading, func(h *hub.Hub) error {
		if err := h.RemoveParty(rt.ctx, actor, party); err != nil {
			return err
		}
		return rt.print(map[string]any{"id": party, "removed": true}, "removed %s\n", party)
	})
}
