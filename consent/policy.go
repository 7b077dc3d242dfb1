package consent

import (
	"slices"
	"time"

	"tidings/hub/schema"
)

// Policy holds the operator's bounds: per class of attributes, whether they may be told at all and how long a copy may
// be kept. It lives in the store; Default is what a new store starts with.
type Policy struct {
	Classes []Class `json:"classes"`
	// MaxAge bounds attributes that no class names.
	MaxAge time.Duration `json:"max_age"`
	// Values lets values travel inside events (":full") where grant and stream say so too.
	Values bool `json:"values"`
}

// Class is a set of attributes that are treated alike.
type Class struct {
	Name       string        `json:"name"`
	Attributes []string      `json:"attributes"`
	MaxAge     time.Duration `json:"max_age"`
	// Withheld attributes are told to nobody, whatever was granted.
	Withheld bool `json:"withheld,omitempty"`
}

// Default is the policy of a new store: contact data and standing go stale sooner than names.
func Default() Policy {
	const enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:"
	return Policy{
		MaxAge: 24 * time.Hour,
		Classes: []Class{
			{Name: "standing", MaxAge: 15 * time.Minute, Attributes: []string{"groups", "roles", "entitlements"}},
			{Name: "contact", MaxAge: time.Hour, Attributes: []string{"emails", "phoneNumbers", "addresses", "ims"}},
			{Name: "work", MaxAge: 12 * time.Hour, Attributes: []string{"title", "userType",
				enterprise + "employeeNumber", enterprise + "costCenter", enterprise + "organization",
				enterprise + "division", enterprise + "department", enterprise + "manager"}},
		},
	}
}

// Bounds are what a party may ever learn, whatever a person grants it, and how long it may keep a copy.
type Bounds struct {
	// Types and Attributes are empty for "no bound" except under an agreement, which tells only what it names.
	Types      []string      `json:"types,omitempty"`
	Attributes []string      `json:"attributes,omitempty"`
	MaxAge     time.Duration `json:"max_age,omitempty"`
}

// AllowsType reports whether entries of this type may be told.
func (b Bounds) AllowsType(t string) bool { return len(b.Types) == 0 || slices.Contains(b.Types, t) }

// Within narrows granted names to what policy and bounds let a party learn. A granted name that is broader than the
// bounds ("name" where only "name.familyName" is allowed) becomes the allowed part.
func Within(granted []string, p Policy, b Bounds) []string {
	var names []string
	for _, g := range granted {
		if len(b.Attributes) == 0 || Covered(b.Attributes, g) {
			names = append(names, g)
			continue
		}
		for _, allowed := range b.Attributes {
			if Covered([]string{g}, allowed) {
				names = append(names, allowed)
			}
		}
	}
	names = slices.DeleteFunc(names, func(n string) bool {
		return slices.ContainsFunc(p.Classes, func(c Class) bool { return c.Withheld && c.touches(n) })
	})
	slices.Sort(names)
	return slices.Compact(names)
}

// MayCarry reports whether values may travel inside events that are told under the terms: the policy lets them, and the
// person said yes to both fetching and notifying. The stream has to ask for them too.
func MayCarry(t Terms, p Policy) bool { return p.Values && t.Purposes.Has(Transfer|Notify) }

// touches reports whether the class says something of name, of a part of it or of the whole that it is part of: a
// granted "name" holds the "name.familyName" that a class names.
func (c Class) touches(name string) bool {
	return slices.ContainsFunc(c.Attributes, func(a string) bool { return schema.Covers(a, name) || schema.Covers(name, a) })
}

// MaxAge is how long a copy of the named attributes fetched at now (Unix microseconds) may be kept: the shortest of the
// policy's classes, the party's bound and what is left of the grant; never negative, whole seconds. Whoever is notified
// gets "active" too, and so its class counts.
func MaxAge(terms Terms, p Policy, b Bounds, now int64) time.Duration {
	age := p.MaxAge
	for _, c := range p.Classes {
		if c.MaxAge > 0 && (slices.ContainsFunc(terms.Attributes, c.touches) || terms.Purposes.Has(Notify) && c.touches("active")) {
			age = min(age, c.MaxAge)
		}
	}
	if b.MaxAge > 0 {
		age = min(age, b.MaxAge)
	}
	if terms.Until != 0 {
		age = min(age, time.Duration(terms.Until-now)*time.Microsecond)
	}
	return max(age, 0).Truncate(time.Second)
}
