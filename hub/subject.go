package hub

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tidings/consent"
	"tidings/hub/schema"
)

// Values are the granted attributes of one person or group, as a SCIM resource of the party's own.
type Values struct {
	Resource map[string]any
	ETag     string
	// MaxAge is how long the copy may be kept.
	MaxAge time.Duration
}

// Subject answers the calling party's fetch of one subject, under the grant as it stands now. Malformed, foreign and
// unknown ids take one path: ErrNotFound. ErrGrantEnded and ErrAgreementEnded while the end is remembered,
// ErrNoTransfer when only notices were granted.
func (h *Hub) Subject(ctx context.Context, c Caller, id string) (Values, error) {
	if c.Role != RoleParty {
		return Values{}, ErrForbidden
	}
	party, err := h.store.Party(ctx, c.Party)
	if err != nil {
		return Values{}, fmt.Errorf("fetch: %w", err)
	}
	s, err := h.keys.sector(ctx, party.Sector)
	if err != nil {
		return Values{}, fmt.Errorf("fetch: %w", err)
	}
	entry, err := s.entry(id)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Values{}, err
	}
	page, err := h.store.Told(ctx, c.Party, []ID{entry})
	if err != nil {
		return Values{}, fmt.Errorf("fetch: %w", err)
	}
	if len(page.Rows) == 0 {
		return Values{}, ErrNotFound
	}
	return h.values(ctx, s, page, page.Rows[0])
}

func (h *Hub) values(ctx context.Context, s *sector, page *FeedPage, row FeedRow) (Values, error) {
	now := h.now()
	p := page.Party
	rule, ok := ruled(row, p, page.Head.Policy)
	switch {
	case !ok:
		return Values{}, ErrNotFound
	case !Live(&row, p, now) && p.Agreement:
		return Values{}, ErrAgreementEnded
	case !Live(&row, p, now):
		return Values{}, ErrGrantEnded
	case !rule.Terms.Purposes.Has(consent.Transfer):
		return Values{}, ErrNoTransfer
	}
	e := row.Entry
	out := schema.Select(e.Type, e.Attributes, rule.Terms.Attributes)
	if err := h.translate(ctx, s, p, e, rule.Terms.Attributes, &out); err != nil {
		return Values{}, fmt.Errorf("fetch: %w", err)
	}
	if rule.Terms.Purposes.Has(consent.Notify) || consent.Covered(rule.Terms.Attributes, "active") {
		out["active"] = e.Active
	}
	etag := row.etag(p)
	h.dress(out, e.Type, s.subject(e.ID), etag)
	return Values{Resource: out, ETag: etag, MaxAge: consent.MaxAge(rule.Terms, page.Head.Policy, p.Bounds, now)}, nil
}

// dress makes a SCIM resource of granted attributes.
func (h *Hub) dress(out schema.Attributes, t schema.Type, subject, etag string) {
	out["schemas"], out["id"] = schema.URNs(t, out), subject
	out["meta"] = map[string]any{
		"resourceType": string(t),
		"version":      etag,
		"location":     strings.TrimSuffix(h.conf.Issuer, "/") + "/subjects/" + subject,
	}
}

// translate puts the party's own ids in the place of references, leaving out targets that are not told to the party,
// and adds the groups of a person where they were granted.
func (h *Hub) translate(ctx context.Context, s *sector, p Party, e Entry, granted []string, out *schema.Attributes) error {
	groups := e.Type == schema.User && consent.Covered(granted, "groups")
	if len(schema.References(e.Type, *out)) == 0 && !groups {
		return nil
	}
	from, to, err := h.store.References(ctx, e.ID)
	if err != nil {
		return err
	}
	told, err := h.told(ctx, p.ID, from)
	if err != nil {
		return err
	}
	known := targets(from)
	*out = schema.MapReferences(e.Type, *out, func(r schema.Reference) (string, bool) {
		target := known[r.Name][schema.Fold(r.Value)]
		return s.subject(target), told[target]
	})
	if !groups {
		return nil
	}
	list, err := h.groups(ctx, to, s.subject)
	if len(list) > 0 {
		(*out)["groups"] = list
	}
	return err
}

// targets are an entry's resolved references, by attribute and folded key.
func targets(from []Reference) map[string]map[string]ID {
	known := map[string]map[string]ID{}
	for _, r := range from {
		if known[r.Name] == nil {
			known[r.Name] = map[string]ID{}
		}
		known[r.Name][r.Key] = r.Target
	}
	return known
}

// told asks which targets of references the party may know now.
func (h *Hub) told(ctx context.Context, party ID, refs []Reference) (map[ID]bool, error) {
	ids := map[ID]bool{} // a group may have a hundred thousand
	for _, r := range refs {
		ids[r.Target] = true
	}
	delete(ids, ID{})
	return h.ask(ctx, party, slices.Collect(maps.Keys(ids)), 0)
}

// ask finds for which of the entries the party has a live grant (or agreement) for the purposes, as committed at this
// moment.
func (h *Hub) ask(ctx context.Context, party ID, ids []ID, purposes consent.Purposes) (map[ID]bool, error) {
	yes := map[ID]bool{}
	for chunk := range slices.Chunk(ids, MaxPage) {
		page, err := h.store.Told(ctx, party, chunk)
		if err != nil {
			return nil, err
		}
		for _, row := range page.Rows {
			rule, ok := ruled(row, page.Party, page.Head.Policy)
			yes[row.Entry.ID] = ok && Live(&row, page.Party, h.now()) && rule.Terms.Purposes.Has(purposes)
		}
	}
	return yes, nil
}

// groups lists a person's groups, each with its id as named tells it and its display name.
func (h *Hub) groups(ctx context.Context, to []Reference, named func(ID) string) (list []any, err error) {
	for _, r := range to {
		if r.Name != "members" {
			continue
		}
		g, err := h.store.Entry(ctx, r.From)
		if errors.Is(err, ErrNotFound) || err == nil && g.Deleted != 0 {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read group: %w", err)
		}
		list = append(list, map[string]any{"value": named(g.ID), "display": g.Attributes["displayName"]})
	}
	return list, nil
}

// Document is an entry as the directory's own clients see it: references resolved to entry ids where the target is
// known, and a person's groups.
func (h *Hub) Document(ctx context.Context, e *Entry) (schema.Attributes, error) {
	from, to, err := h.store.References(ctx, e.ID)
	if err != nil {
		return nil, fmt.Errorf("read references: %w", err)
	}
	known := targets(from)
	out := schema.MapReferences(e.Type, e.Attributes, func(r schema.Reference) (string, bool) {
		if target := known[r.Name][schema.Fold(r.Value)]; !target.IsZero() {
			return target.String(), true
		}
		return r.Value, true
	})
	if e.Type != schema.User {
		return out, nil
	}
	list, err := h.groups(ctx, to, ID.String)
	if len(list) > 0 {
		out["groups"] = list
	}
	return out, err
}

// Entry reads one entry; ErrNotFound when there is none or it was deleted.
func (h *Hub) Entry(ctx context.Context, id ID) (*Entry, error) {
	e, err := h.store.Entry(ctx, id)
	if err == nil && e.Deleted != 0 {
		return nil, ErrNotFound
	}
	return e, err
}

// EntryByUserName finds a person, whatever the case of the name. ErrNotFound.
func (h *Hub) EntryByUserName(ctx context.Context, userName string) (*Entry, error) {
	return h.store.ByUserName(ctx, schema.Fold(userName))
}

// Entries lists living entries of a type in order of id, after an id, with their total.
func (h *Hub) Entries(ctx context.Context, t schema.Type, after ID, limit int) ([]*Entry, int, error) {
	return h.store.List(ctx, string(t), after, limit)
}

// Unresolved lists references of a source to objects that nobody reported.
func (h *Hub) Unresolved(ctx context.Context, source string, limit int) ([]Reference, error) {
	return h.store.Unresolved(ctx, source, limit)
}
