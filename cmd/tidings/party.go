package main

import (
	"time"

	"tidings/hub"
)

type partyAdd struct {
	Name          string   `help:"What people will see it called." required:""`
	Profile       string   `help:"What its streams get by default: tidings (SCIM notices, account and session events, ES256) or caep (CAEP interoperability profile, RS256)." enum:"tidings,caep" default:"tidings"`
	SubjectFormat string   `help:"How CAEP and RISC events name a person: iss_sub, email or phone_number (where granted), opaque or scim; for a caep party iss_sub or email." enum:"iss_sub,email,phone_number,opaque,scim" default:"iss_sub"`
	Events        []string `help:"What its streams may ask for: families (scim, caep, risc) and types such as session-revoked or prov:patch:full. Default: all." placeholder:"TYPE"`
	Claims        []string `help:"What its users' tokens hold, told by token-claims-change: usual names such as email,given_name,roles, or NAME=ATTRIBUTE." placeholder:"CLAIM"`
	MaxAge        duration `help:"The longest time it may keep a copy, such as 90m or 30d." placeholder:"DURATION"`
	Origin        []string `help:"Web origin whose pages may hold live sockets with its tickets; repeatable." placeholder:"URL"`
	Agreement     bool     `help:"The party acts under an organisation-wide agreement: --types and --attributes take the place of people's grants."`
	Types         []string `help:"Types of entries it may learn of: User,Group." placeholder:"TYPE"`
	Attributes    []string `help:"Attributes it may ever learn." placeholder:"NAME"`
}

func (c *partyAdd) Run(rt *runtime) error {
	return rt.withHub(writing, func(h *hub.Hub) error {
		p, token, err := h.AddParty(rt.ctx, actor, hub.PartyRequest{
			Name: c.Name, Profile: c.Profile, SubjectFormat: c.SubjectFormat, Events: c.Events, Claims: c.Claims, MaxAge: time.Duration(c.MaxAge),
			Origins: c.Origin, Agreement: c.Agreement, Types: c.Types, Attributes: c.Attributes,
		})
		if err != nil {
			return err
		}
		return rt.print(map[string]any{"id": p.ID, "token": token, "audience": p.Audience},
			"party     %s\ntoken     %s   (shown this once)\naudience  %s\n", p.ID, token, p.Audience)
	})
}

type partySet struct {
	ID            string   `arg:"" help:"Id of the party."`
	SubjectFormat string   `help:"How CAEP and RISC events name a person: iss_sub, email or phone_number (where granted), opaque or scim; for a caep party iss_sub or email." placeholder:"FORMAT"`
	Events        []string `help:"What its streams may ask for, in place of what they might: families (scim, caep, risc) and types such as session-revoked; 'all' for everything." placeholder:"TYPE"`
	Claims        []string `help:"What its users' tokens hold, in place of what was said before: email,given_name,dept=department; 'none' for nothing." placeholder:"CLAIM"`
}

// Help says what it costs.
func (c *partySet) Help() string {
	return "What waits on the party's streams is dropped, and each tells one feed-changed: its cursors answer 410, and it reads a fresh snapshot."
}

func (c *partySet) Run(rt *runtime) error {
	party, err := id("party", c.ID)
	if err != nil {
		return err
	}
	change := hub.PartyChange{SubjectFormat: c.SubjectFormat, Events: unless(c.Events, "all"), Claims: unless(c.Claims, "none")}
	if change.SubjectFormat == "" && change.Events == nil && change.Claims == nil {
		return misused("say what to change: --subject-format, --events or --claims")
	}
	return rt.withHub(reading, func(h *hub.Hub) error {
		p, err := h.SetParty(rt.ctx, actor, party, change)
		if err != nil {
			return err
		}
		return rt.print(map[string]any{"id": p.ID, "subject_format": p.SubjectFormat, "events": p.Events, "claims": p.Claims}, "set %s\n", p.ID)
	})
}

// unless is the list, empty where it is just the word for an empty one, and nil where nothing was given.
func unless(list []string, word string) []string {
	if len(list) == 1 && list[0] == word {
		return []string{}
	}
	return list
}

// actor is how the log names what an operator does at the shell.
const actor = hub.ActorOperator

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
