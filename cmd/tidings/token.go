package main

import (
	"errors"
	"fmt"

	"tidings/hub"
)

type tokenAdd struct {
	Role  string   `help:"party, directory (may write SCIM) or operator." enum:"party,directory,operator" required:""`
	Party string   `help:"Id of the party, with --role party. It has two valid tokens at most: add one, let the website take it into use, revoke the other." placeholder:"ID"`
	Name  string   `help:"What it is for, to find it again; by default the party's name."`
	Scope []string `help:"What it may be used for; repeatable. Of a party: ssf.read, ssf.manage, changes.read, subjects.read, live.ticket. Default: all of its role." placeholder:"SCOPE"`
	Until string   `help:"When it ends: a time such as 2027-01-31T12:00:00Z, or a duration from now such as 30d." placeholder:"TIME"`
}

func (c *tokenAdd) Run(rt *runtime) (err error) {
	r := hub.TokenRequest{Role: hub.Role(c.Role), Name: c.Name}
	if c.Party != "" {
		if r.Party, err = id("party", c.Party); err != nil {
			return err
		}
	}
	if (c.Party != "") != (r.Role == hub.RoleParty) {
		return misused("--role party and --party ID go together")
	}
	for _, s := range c.Scope {
		r.Scopes = append(r.Scopes, hub.Scope(s))
	}
	if r.Until, err = parseUntil(c.Until); err != nil {
		return err
	}
	return rt.withHub(writing, func(h *hub.Hub) error {
		t, text, err := h.AddToken(rt.ctx, r)
		if errors.Is(err, hub.ErrLimit) {
			return fmt.Errorf("the party has %d valid tokens already; 'tidings token list' shows them, 'tidings token revoke' ends one", hub.MaxPartyTokens)
		}
		if err != nil {
			return err
		}
		return rt.print(map[string]any{"id": t.ID, "token": text}, "id     %s\ntoken  %s   (shown this once)\n", t.ID, text)
	})
}

type tokenList struct{}

type tokenLine struct {
	ID      hub.ID   `json:"id"`
	Role    hub.Role `json:"role"`
	Party   hub.ID   `json:"party,omitzero"`
	Kind    string   `json:"kind"` // token or key
	Name    string   `json:"name"`
	Scopes  string   `json:"scope"`
	Created string   `json:"created"`
	Expires string   `json:"expires,omitempty"`
	Used    string   `json:"used,omitempty"`
	Revoked string   `json:"revoked,omitempty"`
}

func (c *tokenList) Run(rt *runtime) error {
	return rt.withHub(reading, func(h *hub.Hub) error {
		tokens, err := h.Tokens(rt.ctx)
		if err != nil {
			return err
		}
		var lines []tokenLine
		for _, t := range tokens {
			lines = append(lines, tokenLineOf(t))
		}
		return table(rt, lines, "ID ROLE KIND NAME CREATED EXPIRES USED REVOKED SCOPE", func(l tokenLine) []string {
			return []string{l.ID.String(), string(l.Role), l.Kind, l.Name, l.Created, l.Expires, l.Used, l.Revoked, l.Scopes}
		})
	})
}

func tokenLineOf(t hub.Token) tokenLine {
	kind := "token"
	if t.Key != nil {
		kind = "key"
	}
	return tokenLine{t.ID, t.Role, t.Party, kind, t.Name, hub.ScopeText(t.Scopes), stamp(t.CreatedAt), stamp(t.Expires), stamp(t.Used), stamp(t.Revoked)}
}

type tokenRevoke struct {
	ID string `arg:"" help:"Id of the token or key."`
}

func (c *tokenRevoke) Run(rt *runtime) error {
	token, err := id("token", c.ID)
	if err != nil {
		return err
	}
	return rt.withHub(reading, func(h *hub.Hub) error {
		if err := h.RevokeToken(rt.ctx, token); err != nil {
			return err
		}
		return rt.print(map[string]any{"id": token, "revoked": true}, "revoked %s\n", token)
	})
}
