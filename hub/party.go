package hub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"tidings/consent"
	"tidings/hub/schema"
	"tidings/subscriptions"
)

// PartyRequest is what an operator says of a relying party.
type PartyRequest struct {
	Name string
	// Profile is tidings (default) or caep; SubjectFormat iss_sub (default), email, phone_number, opaque or scim, of which
	// a caep party's receivers take the first two only.
	Profile, SubjectFormat string
	// Events bound what its streams may ask for, as subscriptions.ParseTypes reads them; none for no bound. Claims are
	// those of its users' tokens, as subscriptions.ParseClaims reads them.
	Events, Claims []string
	// MaxAge bounds how long the party may keep a copy; 0 for no bound of its own.
	MaxAge time.Duration
	// Origins are the web origins whose pages may hold sockets with the party's tickets.
	Origins []string
	// Agreement puts Types and Attributes in the place of people's grants; both are required then.
	Agreement         bool
	Types, Attributes []string
}

// AddParty makes a party and its first credential, which is shown this once. ErrBadRequest, or an error of
// schema.ParseName.
func (h *Hub) AddParty(ctx context.Context, actor string, r PartyRequest) (Party, string, error) {
	p, err := r.party()
	if err != nil {
		return Party{}, "", fmt.Errorf("add party: %w", err)
	}
	p.CreatedAt = h.now()
	text, hash := newToken()
	token := &Token{ID: NewID(), Role: RoleParty, Party: p.ID, Name: p.Name, Hash: hash, Scopes: RoleParty.Scopes(), CreatedAt: p.CreatedAt}
	line := Change{Kind: PartyAdded, Party: p.ID, Actor: actor, Txn: newTxn(), Time: p.CreatedAt}
	receipt, err := h.commitOne(ctx, Item{Party: &PartyWrite{Party: p, Token: token}, Lines: []Change{line}})
	if err != nil {
		return Party{}, "", fmt.Errorf("add party: %w", err)
	}
	return *receipt.Parties[0], text, nil
}

func (r PartyRequest) party() (p Party, err error) {
	id := NewID()
	// The audience is a URN of the party's own, so that no SET for one party can be replayed to another (DE-09).
	p = Party{ID: id, Sector: id, Audience: "urn:tidings:party:" + id.String(), Profile: r.Profile, SubjectFormat: r.SubjectFormat, Agreement: r.Agreement}
	if p.Name, err = label(r.Name); err != nil {
		return p, err
	}
	if p.Profile == "" {
		p.Profile = string(subscriptions.Tidings)
	}
	if !slices.Contains([]string{string(subscriptions.Tidings), string(subscriptions.CAEP)}, p.Profile) {
		return p, fmt.Errorf("%w: profile is tidings or caep", ErrBadRequest)
	}
	if p.SubjectFormat, err = subjectFormat(p.Profile, r.SubjectFormat); err != nil {
		return p, err
	}
	if p.Events, err = subscriptions.ParseTypes(r.Events); err != nil {
		return p, fmt.Errorf("%w: %w", ErrBadRequest, err)
	}
	if p.Claims, err = subscriptions.ParseClaims(r.Claims); err != nil {
		return p, fmt.Errorf("%w: %w", ErrBadRequest, err)
	}
	for _, text := range r.Origins {
		o, err := origin(text)
		if err != nil {
			return p, err
		}
		p.Origins = append(p.Origins, o)
	}
	p.Bounds, err = r.bounds()
	return p, err
}

// subjectFormat reads how CAEP and RISC events are to name people. Receivers of the CAEP profile have to take email and
// iss_sub, and opaque for verification only (CAEP interoperability profile 1.0 section 2.5).
func subjectFormat(profile, text string) (string, error) {
	f := cmp.Or(subscriptions.SubjectFormat(text), subscriptions.FormatIssSub)
	switch {
	case !slices.Contains(subscriptions.Formats(), f):
		return "", fmt.Errorf("%w: subject format is iss_sub, email, phone_number, opaque or scim", ErrBadRequest)
	case profile == string(subscriptions.CAEP) && f != subscriptions.FormatIssSub && f != subscriptions.FormatEmail:
		return "", fmt.Errorf("%w: a caep party's subject format is iss_sub or email", ErrBadRequest)
	}
	return string(f), nil
}

func (r PartyRequest) bounds() (b consent.Bounds, err error) {
	if r.MaxAge < 0 || r.MaxAge > 0 && r.MaxAge < time.Second {
		return b, fmt.Errorf("%w: a copy is kept for whole seconds", ErrBadRequest)
	}
	b.MaxAge = r.MaxAge
	if r.Agreement && (len(r.Types) == 0 || len(r.Attributes) == 0) {
		return b, fmt.Errorf("%w: an agreement names its types and attributes", ErrBadRequest)
	}
	types := []schema.Type{schema.User, schema.Group}
	if len(r.Types) > 0 {
		types = nil
	}
	for _, text := range r.Types {
		t, err := schema.ParseType(text)
		if err != nil {
			return b, fmt.Errorf("%w: %.40q", err, text)
		}
		types = append(types, t)
		b.Types = append(b.Types, string(t))
	}
	for _, text := range r.Attributes {
		var known bool
		for _, t := range types {
			name, err := grantable(t, text)
			if err == nil {
				b.Attributes, known = append(b.Attributes, name), true
			} else if !errors.Is(err, schema.ErrUnknownAttribute) {
				return b, fmt.Errorf("%w: %.80q", err, text)
			}
		}
		if !known {
			return b, fmt.Errorf("%w: %.80q", schema.ErrUnknownAttribute, text)
		}
	}
	slices.Sort(b.Attributes)
	b.Attributes = slices.Compact(b.Attributes)
	return b, nil
}

// origin reads a web origin: scheme, host and port, nothing else.
func origin(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("%w: an origin looks like https://www.example.com", ErrBadRequest)
	}
	return u.Scheme + "://" + u.Host, nil
}

// PartyChange is what an operator changes of a party; what is nil or empty stays as it is.
type PartyChange struct {
	SubjectFormat string
	// Events and Claims replace those that stand there; empty ones but not nil are none.
	Events, Claims []string
}

// SetParty changes a party. Its generation moves on: what waits on its streams was decided under what stood before and
// is dropped (Regenerate; signals stay), and each tells one feed-changed. ErrNotFound, ErrBadRequest.
func (h *Hub) SetParty(ctx context.Context, actor string, id ID, change PartyChange) (*Party, error) {
	for range maxRounds {
		p, err := h.store.Party(ctx, id)
		if err == nil && p.Removed != 0 {
			err = ErrNotFound
		}
		if err == nil {
			err = change.apply(p)
		}
		if err != nil {
			return nil, fmt.Errorf("set party: %w", err)
		}
		line := Change{Kind: PartyChanged, Party: id, Actor: actor, Txn: newTxn(), Time: h.now()}
		receipt, err := h.commitOne(ctx, Item{Party: &PartyWrite{Party: *p}, Lines: []Change{line}})
		if errors.Is(err, ErrConflict) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("set party: %w", err)
		}
		return receipt.Parties[0], nil
	}
	return nil, fmt.Errorf("set party: %w", ErrConflict)
}

func (c PartyChange) apply(p *Party) (err error) {
	if c.SubjectFormat != "" {
		if p.SubjectFormat, err = subjectFormat(p.Profile, c.SubjectFormat); err != nil {
			return err
		}
	}
	if c.Events != nil {
		if p.Events, err = subscriptions.ParseTypes(c.Events); err != nil {
			return fmt.Errorf("%w: %w", ErrBadRequest, err)
		}
	}
	if c.Claims != nil {
		if p.Claims, err = subscriptions.ParseClaims(c.Claims); err != nil {
			return fmt.Errorf("%w: %w", ErrBadRequest, err)
		}
	}
	return nil
}

// RemoveParty ends a party: its credentials, streams and grants are dead with the commit. ErrNotFound.
func (h *Hub) RemoveParty(ctx context.Context, actor string, id ID) error {
	for range maxRounds {
		p, err := h.store.Party(ctx, id)
		if err == nil && p.Removed != 0 {
			err = ErrNotFound
		}
		if err != nil {
			return fmt.Errorf("remove party: %w", err)
		}
		line := Change{Kind: PartyRemoved, Party: id, Actor: actor, Txn: newTxn(), Time: h.now()}
		_, err = h.commitOne(ctx, Item{Party: &PartyWrite{Party: *p}, Lines: []Change{line}})
		if errors.Is(err, ErrConflict) {
			continue
		}
		if err != nil {
			return fmt.Errorf("remove party: %w", err)
		}
		return nil
	}
	return fmt.Errorf("remove party: %w", ErrConflict)
}

// Parties lists the living parties.
func (h *Hub) Parties(ctx context.Context) ([]Party, error) {
	all, err := h.store.Parties(ctx)
	return slices.DeleteFunc(all, func(p Party) bool { return p.Removed != 0 }), err
}

// Party reads one. ErrNotFound.
func (h *Hub) Party(ctx context.Context, id ID) (*Party, error) { return h.store.Party(ctx, id) }
