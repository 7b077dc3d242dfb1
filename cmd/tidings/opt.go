package main

import (
	"errors"
	"fmt"

	"tidings/consent"
	"tidings/hub"
)

type grantOpt struct {
	ID   string `arg:"" help:"Id of the grant."`
	Move string `arg:"" help:"opt-out-initiated, opt-out-cancelled, opt-out-effective or opt-in." enum:"opt-in,opt-out-initiated,opt-out-cancelled,opt-out-effective"`
}

// Help tells the states.
func (c *grantOpt) Help() string {
	return `A grant begins opted in. opt-out-initiated asks to opt out; events go on for now, so that whoever took over an account does not
silence the alarm. From there opt-out-cancelled leads back and opt-out-effective out: the party gets no account or session event
of the person any more, until opt-in. The party's streams are told each move. What the grant lets the party know is not touched
('tidings grant revoke' ends that).`
}

func (c *grantOpt) Run(rt *runtime) error {
	grant, err := id("grant", c.ID)
	if err != nil {
		return err
	}
	return rt.withHub(reading, func(h *hub.Hub) error {
		g, err := h.Opt(rt.ctx, actor, grant, consent.OptMove(c.Move))
		if errors.Is(err, consent.ErrOpt) {
			now, readErr := h.GrantByID(rt.ctx, grant)
			if readErr != nil {
				return readErr
			}
			return fmt.Errorf("grant: the person stands at %s, and %s does not lead on from there", now.Opt, c.Move)
		}
		if err != nil {
			return err
		}
		return rt.print(map[string]any{"id": grant, "opt": g.Opt.String()}, "%s  %s\n", grant, g.Opt)
	})
}
