package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"tidings/events"
	"tidings/hub"
	"tidings/subscriptions"
)

// keySetAge is how long receivers may keep the key set: a setting of all processes on one store, which is why it is best
// kept in the configuration file.
type keySetAge struct {
	KeySetAge duration `help:"How long receivers may keep the published key set. The same for every process on the store (default 5m)." default:"5m" placeholder:"DURATION"`
}

func (k keySetAge) config() hub.Config { return hub.Config{KeySetAge: time.Duration(k.KeySetAge)} }

type keysList struct{}

type keyLine struct {
	ID        string           `json:"kid"`
	Algorithm events.Algorithm `json:"alg"`
	State     hub.KeyState     `json:"state"`
	Since     string           `json:"since"`
	Published string           `json:"published"`
	Active    string           `json:"active_at,omitempty"`
	Owed      int              `json:"owed"`
}

func (c *keysList) Run(rt *runtime) error {
	return rt.withHub(reading, func(h *hub.Hub) error { return rt.printKeys(h) })
}

func (rt *runtime) printKeys(h *hub.Hub) error {
	keys, err := h.SigningKeys(rt.ctx)
	if err != nil {
		return err
	}
	lines := make([]keyLine, len(keys))
	for i, k := range keys {
		lines[i] = keyLine{k.ID, k.Algorithm, k.State, stamp(k.Since), stamp(k.Published), stamp(k.Due), k.Tokens}
	}
	return table(rt, lines, "KID ALG STATE SINCE PUBLISHED ACTIVE-AT OWED", func(l keyLine) []string {
		return []string{l.ID, string(l.Algorithm), string(l.State), l.Since, l.Published, l.Active, strconv.Itoa(l.Owed)}
	})
}

type keysRotate struct {
	keySetAge
	Alg   []string `help:"ES256, RS256 or EdDSA; repeatable. Default: all of them." enum:"ES256,RS256,EdDSA" placeholder:"ALG"`
	After duration `help:"How long the new key is published before it signs: twice --key-set-age at least. Default: three times." placeholder:"DURATION" xor:"when"`
	Now   bool     `help:"For emergencies: the new key signs at once, though receivers may not know it yet. A next key that is published already takes over." xor:"when"`
}

// Help says what happens when.
func (c *keysRotate) Help() string {
	return `A new key is published as "next", becomes "active" when every receiver had time to read the key set anew, and the one
before it "retired": it stays published for what it signed, 30 days at least. A running hub does all that by itself;
nothing has to be restarted.

When a key may be known to others: 'tidings keys rotate --now', then 'tidings keys retire --force KID' for the old one.`
}

func (c *keysRotate) Run(rt *runtime) error {
	algorithms := subscriptions.Algorithms()
	if len(c.Alg) > 0 {
		algorithms = nil
		for _, alg := range c.Alg {
			algorithms = append(algorithms, events.Algorithm(alg))
		}
	}
	return rt.withHubOf(reading, c.config(), func(h *hub.Hub) error {
		delay := time.Duration(c.After)
		if delay == 0 {
			delay = h.DefaultKeyDelay()
		}
		rotate := func() error { return h.RotateKeys(rt.ctx, delay, algorithms...) }
		if c.Now {
			fmt.Fprintf(rt.errOut, "tidings: warning: receivers may keep the key set from before for %v; until then they may refuse what the new key signs, which is sent again\n", h.KeySetAge())
			rotate = func() error { return h.ReplaceKeys(rt.ctx, algorithms...) }
		}
		if err := rotate(); err != nil {
			return err
		}
		return rt.printKeys(h)
	})
}

type keysRetire struct {
	KID   string   `arg:"" help:"Id of the key, as 'tidings keys list' prints it." name:"kid"`
	Force bool     `help:"Also while tokens that it signed are owed: they are signed anew with the active key."`
	Wait  duration `help:"With --force: how long to wait for attempts under way." default:"2m" placeholder:"DURATION"`
}

// Help says which keys, and why one may be refused.
func (c *keysRetire) Help() string {
	return `For a "next" key that is not wanted any more, or a "retired" one. An "active" key is refused: rotate first. So is one under
which tokens are owed, since their receivers could not check them any more; --force lets them be signed anew.`
}

func (c *keysRetire) Run(rt *runtime) error {
	return rt.withHub(reading, func(h *hub.Hub) error {
		retire := h.RetireKey
		ctx := rt.ctx
		if c.Force {
			limited, cancel := context.WithTimeout(ctx, time.Duration(c.Wait))
			defer cancel()
			retire, ctx = h.RecallKey, limited
		}
		err := retire(ctx, c.KID)
		switch {
		case errors.Is(err, hub.ErrInUse) && c.Force:
			return errors.New("attempts with this key are still under way; it stays published: run this again in a moment")
		case errors.Is(err, hub.ErrInUse):
			return errors.New("tokens signed with this key are still owed; wait until they are delivered, or use --force to sign them anew")
		case err != nil:
			return err
		}
		return rt.print(map[string]any{"kid": c.KID, "retired": true}, "retired %s\n", c.KID)
	})
}
