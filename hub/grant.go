package hub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tidings/consent"
	"tidings/events"
	"tidings/hub/schema"
)

// GrantRequest is a person's yes.
type GrantRequest struct {
	// The person, by id or by userName.
	Entry    ID
	UserName string
	Party    ID
	// Attributes in any spelling that schema.ParseName reads.
	Attributes []string
	// Purposes; 0 means both.
	Purposes consent.Purposes
	// Until is the end; zero for none.
	Until time.Time
}

// Grant gives, or gives again: one grant stands per party and person, and giving again replaces its terms, with the
// same id and one history. ErrNotFound (person or party), ErrAgreement, ErrUntil, ErrNothingGranted, or an error of
// schema.ParseName.
func (h *Hub) Grant(ctx context.Context, actor string, r GrantRequest) (*Grant, error) {
	terms, err := h.terms(r)
	if err != nil {
		return nil, err
	}
	for range maxRounds {
		item, err := h.grantItem(ctx, actor, r, terms)
		if err != nil {
			return nil, fmt.Errorf("grant: %w", err)
		}
		if len(item.Lines) == 0 {
			return &item.Grant.Grant, nil
		}
		receipt, err := h.commitOne(ctx, item)
		if errors.Is(err, ErrConflict) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("grant: %w", err)
		}
		return receipt.Grants[0], nil
	}
	return nil, fmt.Errorf("grant: %w", ErrConflict)
}

func (h *Hub) terms(r GrantRequest) (consent.Terms, error) {
	t := consent.Terms{Purposes: r.Purposes}
	if t.Purposes == 0 {
		t.Purposes = consent.Transfer | consent.Notify
	}
	for _, text := range r.Attributes {
		name, err := grantable(schema.User, text)
		if err != nil {
			return t, fmt.Errorf("grant: %w: %.80q", err, text)
		}
		t.Attributes = append(t.Attributes, name)
	}
	slices.Sort(t.Attributes)
	t.Attributes = slices.Compact(t.Attributes)
	if !r.Until.IsZero() {
		if t.Until = r.Until.UnixMicro(); t.Until <= h.now() {
			return t, ErrUntil
		}
	}
	return t, nil
}

// grantable reads the name of an attribute to be granted. References are granted whole, since resolving one changes all
// of it.
func grantable(t schema.Type, text string) (string, error) {
	name, err := schema.ParseName(t, text)
	for _, r := range schema.ReferenceNames(t) {
		if schema.Covers(r, name) {
			return r, err
		}
	}
	return name, err
}

// clockSkew is how far the clocks of two nodes may be apart. A grant that ends within it begins anew when it is given
// again: another node may have taken it for ended and withdrawn or passed over what its readers are still owed.
const clockSkew = int64(time.Minute / time.Microsecond)

// grantItem decides what giving means for the grant as it stands: a beginning, other terms, or nothing.
func (h *Hub) grantItem(ctx context.Context, actor string, r GrantRequest, terms consent.Terms) (Item, error) {
	entry, err := h.person(ctx, r.Entry, r.UserName)
	if err != nil {
		return Item{}, err
	}
	page, err := h.store.Told(ctx, r.Party, []ID{entry})
	if err != nil {
		return Item{}, err
	}
	if page.Party.Agreement {
		return Item{}, ErrAgreement
	}
	if len(consent.Within(terms.Attributes, page.Head.Policy, page.Party.Bounds)) == 0 {
		return Item{}, ErrNothingGranted
	}
	now := h.now()
	line := Change{Entry: entry, Party: r.Party, Actor: actor, Txn: newTxn(), Time: now, Attributes: terms.Attributes}
	if len(page.Rows) == 0 {
		line.Kind = Granted
		g := Grant{ID: NewID(), Party: r.Party, Entry: entry, Terms: terms}
		return Item{Grant: &GrantWrite{Grant: g}, Lines: []Change{line}}, nil
	}
	g := *page.Rows[0].Grant
	if g.Ended != 0 || g.Terms.Expired(now+clockSkew) {
		g.Terms = terms
		line.Kind = Granted
		// An expired grant still waits for its tombstone: tokens of the old terms are un-made, and judged anew when begun.
		return Item{Grant: &GrantWrite{Grant: g, Narrowed: true}, Lines: []Change{line}}, nil
	}
	names, narrowed := regrade(g.Terms, terms)
	unchanged := len(names) == 0 && g.Terms.Purposes == terms.Purposes && g.Terms.Until == terms.Until
	g.Terms = terms
	if unchanged {
		return Item{Grant: &GrantWrite{Grant: g}}, nil
	}
	line.Kind, line.Attributes = Regraded, names
	return Item{Grant: &GrantWrite{Grant: g, Names: names, Narrowed: narrowed}, Lines: []Change{line}}, nil
}

// regrade compares old and new terms: which names joined or left, and whether anything may be told less than before.
// When notices begin, everything granted counts as new, since nothing was told of it while they were not wanted.
func regrade(before, after consent.Terms) (names []string, narrowed bool) {
	for _, n := range after.Attributes {
		if !consent.Covered(before.Attributes, n) {
			names = append(names, n)
		}
	}
	for _, n := range before.Attributes {
		if !consent.Covered(after.Attributes, n) {
			names = append(names, n)
			narrowed = true
		}
	}
	if after.Purposes.Has(consent.Notify) && !before.Purposes.Has(consent.Notify) {
		names = append(slices.Clone(after.Attributes), "active")
	}
	slices.Sort(names)
	return slices.Compact(names), narrowed || !after.Purposes.Has(before.Purposes)
}

// Revoke ends a grant. With the commit its deliveries are withdrawn; what follows is one removal. ErrNotFound when there
// is none that runs.
func (h *Hub) Revoke(ctx context.Context, actor string, id ID) error {
	for range maxRounds {
		g, err := h.store.Grant(ctx, id)
		if err != nil {
			return fmt.Errorf("revoke: %w", err)
		}
		if g.Ended != 0 {
			return fmt.Errorf("revoke: %w", ErrNotFound)
		}
		line := Change{Kind: Revoked, Entry: g.Entry, Party: g.Party, Actor: actor, Txn: newTxn(), Time: h.now()}
		_, err = h.commitOne(ctx, Item{Grant: &GrantWrite{Grant: *g}, Lines: []Change{line}})
		if errors.Is(err, ErrConflict) {
			continue
		}
		if err != nil {
			return fmt.Errorf("revoke: %w", err)
		}
		return nil
	}
	return fmt.Errorf("revoke: %w", ErrConflict)
}

// commitOne commits one item; its refusal is the error.
func (h *Hub) commitOne(ctx context.Context, it Item) (Receipt, error) {
	receipt, err := h.store.Commit(ctx, Batch{Now: h.now(), Items: []Item{it}})
	if err != nil {
		return receipt, err
	}
	return receipt, receipt.Errors[0]
}

// Grants lists grants in order of id, after an id; of one party, or of all for the zero id. Ended ones are among them
// as long as their tombstones live.
func (h *Hub) Grants(ctx context.Context, party, after ID, limit int) ([]Grant, error) {
	return h.store.Grants(ctx, party, after, limit)
}

// GrantByID reads one grant. ErrNotFound.
func (h *Hub) GrantByID(ctx context.Context, id ID) (*Grant, error) { return h.store.Grant(ctx, id) }

// SubjectFor is the identifier under which a party knows an entry.
func (h *Hub) SubjectFor(ctx context.Context, p Party, e *Entry) (events.Subject, error) {
	s, err := h.keys.sector(ctx, p.Sector)
	if err != nil {
		return events.Subject{}, err
	}
	return scim(e.Type, s.subject(e.ID)), nil
}

// scim is the identifier of a subject id.
func scim(t schema.Type, subject string) events.Subject {
	return events.SCIM("/"+string(t)+"s/"+subject, "")
}
