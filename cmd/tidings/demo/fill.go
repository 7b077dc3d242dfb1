package demo

import (
	"bytes"
	"context"
	_ "embed" // the directory stands beside this file
	"fmt"
	"time"

	"tidings/hub"
	"tidings/hub/source/file"
)

// people is a directory of forty invented people and four groups.
//
//go:embed people.ldif
var people []byte

// SiteName is the sample website, as people see it.
const SiteName = "Harbour Garden Club"

// actor is how the log names what is done on the demo's pages.
const actor = "demo"

// Filler is what filling an empty hub needs of it.
type Filler interface {
	file.Ingester
	AddParty(ctx context.Context, actor string, r hub.PartyRequest) (hub.Party, string, error)
	AddToken(ctx context.Context, r hub.TokenRequest) (hub.Token, string, error)
	Grant(ctx context.Context, actor string, r hub.GrantRequest) (*hub.Grant, error)
	EntryByUserName(ctx context.Context, userName string) (*hub.Entry, error)
	FinishEchoes(ctx context.Context) error
}

// Cast is what a filled hub is used with.
type Cast struct {
	Party          hub.Party
	PartyToken     string
	DirectoryToken string
	// Lead is the userName of a person who granted much, to begin with; Entry its id.
	Lead  string
	Entry hub.ID
}

// grants are who shares what with the website. Not everybody shares the same, or anything.
var grants = []struct {
	user       string
	attributes []string
	until      time.Duration
}{
	{"nfairley", []string{"displayName", "name", "title", "emails", "phoneNumbers"}, 0},
	{"tokonjo", []string{"displayName", "title", "department"}, 0},
	{"cbrandl", []string{"displayName", "emails", "preferredLanguage"}, 0},
	{"slindqvst", []string{"displayName", "title", "phoneNumbers"}, 0},
	{"pamari", []string{"displayName", "title"}, 2 * time.Hour},
	{"lstrand", []string{"displayName", "emails", "title", "groups"}, 0},
	{"mteague", []string{"name", "title"}, 0},
	{"hsato", []string{"displayName", "title", "emails", "userType"}, 30 * 24 * time.Hour},
}

// Fill puts the directory, the website at the given origin and its grants into an empty hub.
func Fill(ctx context.Context, h Filler, site string) (Cast, error) {
	sum, err := file.Import(ctx, bytes.NewReader(people), h, file.Options{Source: "people.ldif", Actor: actor})
	if err == nil && len(sum.Refused) > 0 {
		err = fmt.Errorf("line %d: %s", sum.Refused[0].Line, sum.Refused[0].Reason)
	}
	if err != nil {
		return Cast{}, fmt.Errorf("fill the directory: %w", err)
	}
	if err := h.FinishEchoes(ctx); err != nil {
		return Cast{}, fmt.Errorf("fill the directory: %w", err)
	}
	c := Cast{Lead: grants[0].user}
	if c.Party, c.PartyToken, err = h.AddParty(ctx, actor, hub.PartyRequest{Name: SiteName, Origins: []string{site}}); err != nil {
		return Cast{}, err
	}
	if _, c.DirectoryToken, err = h.AddToken(ctx, hub.TokenRequest{Role: hub.RoleDirectory, Name: "demo directory"}); err != nil {
		return Cast{}, err
	}
	for _, g := range grants {
		r := hub.GrantRequest{UserName: g.user, Party: c.Party.ID, Attributes: g.attributes}
		if g.until > 0 {
			r.Until = time.Now().Add(g.until)
		}
		if _, err := h.Grant(ctx, actor, r); err != nil {
			return Cast{}, err
		}
	}
	lead, err := h.EntryByUserName(ctx, c.Lead)
	if err != nil {
		return Cast{}, err
	}
	c.Entry = lead.ID
	return c, nil
}
