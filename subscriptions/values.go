package subscriptions

import (
	"slices"

	"tidings/consent"
	"tidings/events"
	"tidings/hub/schema"
)

// Values inside events. Whoever makes an Occasion fills in Values only where stream, grant and policy all say so; here is
// decided how they are told.

const patchURN = "urn:ietf:params:scim:api:messages:2.0:PatchOp"

// created tells the whole resource where its values may travel, and names what is not among them. It reports whether it
// did.
func (t *translation) created(names []string) bool {
	if t.Values == nil || !slices.Contains(t.delivered, events.ProvCreateFull) {
		return false
	}
	t.full(events.ProvCreateFull, t.Values)
	if _, left := t.split(names); len(left) > 0 {
		t.scim(events.ProvPatchNotice, map[string]any{"attributes": left})
	}
	return true
}

// carried tells a change by its values, as a PATCH or, where the stream asked for that only, as the whole resource, and
// returns the names that still have to be told.
func (t *translation) carried(names []string) (rest []string) {
	valued, left := t.split(names)
	switch {
	case t.Values == nil || len(valued) == 0:
		return names
	case slices.Contains(t.delivered, events.ProvPatchFull):
		t.full(events.ProvPatchFull, map[string]any{"schemas": []string{patchURN}, "Operations": t.operations(valued)})
	case slices.Contains(t.delivered, events.ProvPutFull):
		t.full(events.ProvPutFull, t.Values)
	default:
		return names
	}
	return left
}

// full tells data, and how long what it holds may be kept: a copy that came by an event is a copy like any other (a member
// of our own, as SSF 1.0 section 4.2.3 allows).
func (t *translation) full(of events.Type, data map[string]any) {
	t.scim(of, map[string]any{"data": data, "max_age": t.MaxAge})
}

// split divides names into those whose values may travel and those that point to others, which are named only.
func (t *translation) split(names []string) (valued, pointing []string) {
	points := schema.ReferenceNames(schema.Type(t.ResourceType))
	for _, n := range names {
		if slices.ContainsFunc(points, func(p string) bool { return schema.Covers(p, n) }) {
			pointing = append(pointing, n)
		} else {
			valued = append(valued, n)
		}
	}
	return valued, pointing
}

// operations are a PATCH that takes a copy to the present values (RFC 7644 section 3.5.2). What has no value (any more),
// or left the grant, is removed; so is a complex attribute before it is set, since replacing one may leave parts of it.
func (t *translation) operations(names []string) (list []map[string]any) {
	for _, n := range names {
		value, ok := schema.Value(schema.Type(t.ResourceType), t.Values, n)
		_, complex := value.(map[string]any)
		if !ok || complex {
			list = append(list, map[string]any{"op": "remove", "path": n})
		}
		if ok {
			list = append(list, map[string]any{"op": "replace", "path": n, "value": value})
		}
	}
	return list
}

// claimed tells claims of the party's tokens that changed with the names, with their new values (MP-02, MP-23); one that
// has none any more, or left the grant (MP-19), is null.
func (t *translation) claimed(names []string) {
	if t.Values == nil {
		return
	}
	changed := map[string]any{}
	for claim, attribute := range t.Claims {
		if slices.ContainsFunc(names, func(n string) bool { return schema.Covers(attribute, n) || schema.Covers(n, attribute) }) {
			value, _ := schema.Value(schema.User, t.Values, attribute)
			changed[claim] = claimValue(attribute, value)
		}
	}
	if len(changed) > 0 {
		t.about(events.TokenClaimsChange, t.user(), map[string]any{"claims": changed})
	}
}

// claimValue is an attribute as tokens hold it: of addresses and numbers the one that a person is known by, of groups
// their names, of other lists the values.
func claimValue(attribute string, value any) any {
	list, many := value.([]any)
	switch {
	case !many:
		return value
	case slices.Contains([]string{"emails", "phoneNumbers", "photos"}, attribute):
		return schema.Preferred(list)
	}
	member := "value"
	if attribute == "groups" {
		member = "display"
	}
	out := []any{}
	for _, element := range list {
		if object, _ := element.(map[string]any); object[member] != nil {
			out = append(out, object[member])
		}
	}
	return out
}

// detail adds to a signal's payload what may be told where values may travel: a certificate's number (MP-11), and the
// value that an identifier has now (RI-05).
func (t *translation) detail(s Signal, payload map[string]any) {
	if t.Values == nil {
		return
	}
	if s.Of != "" && consent.Covered(t.Granted, s.Of) {
		for _, name := range carries[s.Type] {
			if value, ok := s.Details[name]; ok {
				payload[name] = value
			}
		}
	}
	if s.Type == events.IdentifierChanged {
		value, _ := schema.Value(schema.User, t.Values, s.Covers())
		if now := schema.Preferred(value); now != "" && now != s.Payload["old"] {
			payload["new-value"] = now
		}
	}
}
