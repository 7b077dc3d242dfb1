package hub

import (
	"context"
	"fmt"

	"tidings/consent"
	"tidings/hub/schema"
)

// SetPolicy puts the operator's bounds in force for everybody: each party's generation moves on, so that nothing that was
// decided under the old ones is told. ErrBadRequest, or an error of schema.ParseName.
func (h *Hub) SetPolicy(ctx context.Context, actor string, p consent.Policy) error {
	if err := readPolicy(&p); err != nil {
		return fmt.Errorf("set policy: %w", err)
	}
	line := Change{Kind: PolicyChanged, Actor: actor, Txn: newTxn(), Time: h.now()}
	if _, err := h.commitOne(ctx, Item{Policy: &p, Lines: []Change{line}}); err != nil {
		return fmt.Errorf("set policy: %w", err)
	}
	return nil
}

// readPolicy checks a policy and brings its names to their canonical form: one that nobody knows would bound nothing.
func readPolicy(p *consent.Policy) error {
	if p.MaxAge <= 0 {
		return fmt.Errorf("%w: max_age says how long a copy may be kept where no class does", ErrBadRequest)
	}
	for i := range p.Classes {
		c := &p.Classes[i]
		if c.MaxAge < 0 {
			return fmt.Errorf("%w: max_age is not negative", ErrBadRequest)
		}
		for j, text := range c.Attributes {
			name, err := schema.ParseName(schema.User, text)
			if err != nil {
				name, err = schema.ParseName(schema.Group, text)
			}
			if err != nil {
				return fmt.Errorf("%w: %.80q", err, text)
			}
			c.Attributes[j] = name
		}
	}
	return nil
}
