package demo

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"tidings/hub"
)

// grant is one row of the table.
type grant struct {
	hub.Grant
	Who      string
	Party    string
	Names    []string
	Purposes []string
	State    string // live, ended, expired, deleted
	Card     string // URL of the website's card
}

// readGrants reads all grants of the demo's party; of one person if entry is not zero.
func (p *pages) readGrants(ctx context.Context, entry hub.ID) ([]grant, error) {
	var out []grant
	for after := (hub.ID{}); ; {
		list, err := p.engine.Grants(ctx, p.conf.Party.ID, after, pageLines)
		if err != nil {
			return nil, fmt.Errorf("read grants: %w", err)
		}
		for _, g := range list {
			after = g.ID
			if !entry.IsZero() && g.Entry != entry {
				continue
			}
			row, err := p.grant(ctx, g)
			if err != nil {
				return nil, err
			}
			out = append(out, row)
		}
		if len(list) < pageLines {
			break
		}
	}
	slices.SortFunc(out, func(a, b grant) int { return cmp.Or(strings.Compare(a.Who, b.Who), bytes.Compare(a.ID[:], b.ID[:])) })
	return out, nil
}

func (p *pages) grant(ctx context.Context, g hub.Grant) (grant, error) {
	row := grant{Grant: g, Party: p.conf.Party.Name, Purposes: g.Terms.Purposes.Names(), State: state(g)}
	for _, name := range g.Terms.Attributes {
		row.Names = append(row.Names, name[strings.LastIndexByte(name, ':')+1:])
	}
	e, err := p.engine.Entry(ctx, g.Entry)
	switch {
	case errors.Is(err, hub.ErrNotFound):
		row.Who = "(deleted)"
		return row, nil
	case err != nil:
		return grant{}, fmt.Errorf("read entry: %w", err)
	}
	row.Who = called(e)
	row.Card, err = p.card(ctx, e)
	return row, err
}

func state(g hub.Grant) string {
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

// card is where the website shows the person, under the id by which it alone knows them.
func (p *pages) card(ctx context.Context, e *hub.Entry) (string, error) {
	s, err := p.engine.SubjectFor(ctx, p.conf.Party, e)
	if err != nil {
		return "", fmt.Errorf("name subject: %w", err)
	}
	return p.conf.Site + "/members/" + strings.TrimPrefix(s.Member("uri"), "/Users/"), nil
}

func (p *pages) grants(w http.ResponseWriter, r *http.Request) error {
	list, err := p.readGrants(r.Context(), hub.ID{})
	if err != nil {
		return err
	}
	p.render(w, http.StatusOK, "grants", page{Here: "grants", Grants: list})
	return nil
}

func (p *pages) revoke(w http.ResponseWriter, r *http.Request) error {
	return p.change(w, r, func(g *hub.Grant) error {
		err := p.engine.Revoke(r.Context(), actor, g.ID)
		if errors.Is(err, hub.ErrNotFound) {
			return nil // it has ended meanwhile
		}
		return err
	})
}

// give gives again what was granted before.
func (p *pages) give(w http.ResponseWriter, r *http.Request) error {
	return p.change(w, r, func(g *hub.Grant) error {
		_, err := p.engine.Grant(r.Context(), actor, hub.GrantRequest{
			Entry: g.Entry, Party: g.Party, Attributes: g.Terms.Attributes, Purposes: g.Terms.Purposes,
		})
		return err
	})
}

// change does something to a grant and goes back to where the button was.
func (p *pages) change(w http.ResponseWriter, r *http.Request, do func(*hub.Grant) error) error {
	grant, err := id(r)
	if err != nil {
		return err
	}
	g, err := p.engine.GrantByID(r.Context(), grant)
	if err != nil {
		return err
	}
	if err := do(g); err != nil {
		return err
	}
	to := "/demo/grants"
	if r.PostFormValue("back") == "person" {
		to = "/demo/people/" + g.Entry.String()
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}
