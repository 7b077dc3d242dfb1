package main

import (
	"os"

	"tidings/hub"
)

type partyKeys struct {
	ID    string   `arg:"" help:"Id of the party."`
	JWKS  string   `name:"jwks" help:"JWK Set (RFC 7517) of public keys: EC P-256, Ed25519, or RSA of 2048 bits and more. It takes the place of the keys that stand there; those in both stay. An empty set removes all. Without --jwks the keys are listed." placeholder:"FILE" type:"path"`
	Scope []string `help:"What tokens got with these keys may be used for; repeatable. Default: all of a party." placeholder:"SCOPE"`
}

func (c *partyKeys) Run(rt *runtime) error {
	party, err := id("party", c.ID)
	if err != nil {
		return err
	}
	var set []byte
	switch {
	case c.JWKS != "":
		if set, err = os.ReadFile(c.JWKS); err != nil {
			return err
		}
	case len(c.Scope) > 0:
		return misused("--scope goes with --jwks")
	}
	return rt.withHub(reading, func(h *hub.Hub) error {
		var keys []hub.Token
		if set == nil {
			keys, err = h.PartyKeys(rt.ctx, party)
		} else {
			var scopes []hub.Scope
			for _, s := range c.Scope {
				scopes = append(scopes, hub.Scope(s))
			}
			keys, err = h.SetPartyKeys(rt.ctx, party, set, scopes)
		}
		if err != nil {
			return err
		}
		var lines []tokenLine
		for _, k := range keys {
			lines = append(lines, tokenLineOf(k))
		}
		return table(rt, lines, "ID KID CREATED USED SCOPE", func(l tokenLine) []string {
			return []string{l.ID.String(), l.Name, l.Created, l.Used, l.Scopes}
		})
	})
}
