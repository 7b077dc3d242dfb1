package main

import "tidings/hub"

type tokenAdd struct {
	Role string `help:"directory (may write SCIM) or operator." enum:"directory,operator" required:""`
	Name string `help:"What it is for, to find it again." required:""`
}

func (c *tokenAdd) Run(rt *runtime) error {
	return rt.withHub(writing, func(h *hub.Hub) error {
		t, text, err := h.AddToken(rt.ctx, hub.Role(c.Role), c.Name)
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
	Name    string   `json:"name"`
	Created string   `json:"created"`
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
			lines = append(lines, tokenLine{t.ID, t.Role, t.Name, stamp(t.CreatedAt), stamp(t.Revoked)})
		}
		return table(rt, lines, "ID ROLE NAME CREATED REVOKED", func(l tokenLine) []string {
			return []string{l.ID.String(), string(l.Role), l.Name, l.Created, l.Revoked}
		})
	})
}

type tokenRevoke struct {
	ID string `arg:"" help:"Id of the token."`
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
