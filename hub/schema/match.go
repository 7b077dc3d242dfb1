package schema

import (
	"cmp"
	"strings"
	"time"
)

// Document is what a filter looks at.
type Document struct {
	ID           string
	Active       bool // of a User; a Group has none
	Attributes   Attributes
	Created      time.Time
	LastModified time.Time
	Version      string // as in meta.version
	Location     string // as in meta.location
}

// Match says whether the filter selects a resource of type t. An attribute that is absent, or that the type does not
// have, has no value: eq and pr are false, "eq null" is true (SM-25, SM-36). A multi-valued attribute matches when any of
// its values does (SM-34).
func (f Filter) Match(t Type, r Document) bool {
	return f.root == nil || f.root.match(func(f field) []any { return r.values(t, f) })
}

// expression is a node of a filter; values gives the values of a field in whatever is being looked at.
type expression interface {
	match(values func(field) []any) bool
}

type (
	anyOf      []expression
	allOf      []expression
	negation   struct{ inner expression }
	presence   struct{ field field }
	comparison struct {
		field field
		op    string
		value any // as parser.literal makes it
		given any // the same, not folded: what a PATCH gives an element it makes
	}
	// elements holds when one element of the field satisfies the whole of inner (SM-34).
	elements struct {
		field field
		inner expression
	}
)

func (x anyOf) match(values func(field) []any) bool {
	for _, term := range x {
		if term.match(values) {
			return true
		}
	}
	return false
}

func (x allOf) match(values func(field) []any) bool {
	for _, term := range x {
		if !term.match(values) {
			return false
		}
	}
	return true
}

func (x negation) match(values func(field) []any) bool { return !x.inner.match(values) }

func (x presence) match(values func(field) []any) bool {
	for _, v := range values(x.field) {
		if !empty(v) {
			return true
		}
	}
	return false
}

func (x elements) match(values func(field) []any) bool {
	for _, v := range values(x.field) {
		if inElement(x.inner, v) {
			return true
		}
	}
	return false
}

// inElement matches an expression about sub-attributes with one value of the attribute.
func inElement(x expression, element any) bool {
	return x.match(func(f field) []any { return within(element, f.sub) })
}

func (x comparison) match(values func(field) []any) bool {
	present := values(x.field)
	if x.value == nil {
		return (len(present) == 0) == (x.op == "eq")
	}
	if len(present) == 0 {
		return x.op == "ne"
	}
	for _, v := range present {
		if x.holds(v) {
			return true
		}
	}
	return false
}

// holds compares one value; values of another kind than the literal are only unequal.
func (x comparison) holds(v any) bool {
	switch want := x.value.(type) {
	case bool:
		return (v == want) == (x.op == "eq")
	case time.Time:
		at, ok := v.(time.Time)
		return ok && ordered(x.op, at.Compare(want))
	case string:
		s, ok := v.(string)
		if !ok {
			return x.op == "ne"
		}
		if !x.field.leaf().CaseExact {
			s = Fold(s)
		}
		switch x.op {
		case "co":
			return strings.Contains(s, want)
		case "sw":
			return strings.HasPrefix(s, want)
		case "ew":
			return strings.HasSuffix(s, want)
		}
		return ordered(x.op, cmp.Compare(s, want))
	}
	return false
}

func ordered(op string, c int) bool {
	switch op {
	case "eq":
		return c == 0
	case "ne":
		return c != 0
	case "gt":
		return c > 0
	case "ge":
		return c >= 0
	case "lt":
		return c < 0
	case "le":
		return c <= 0
	}
	return false
}

// values collects the values of a field in the document; of a sub-attribute, those in all elements.
func (r Document) values(t Type, f field) []any {
	if f.urn == "" {
		switch f.attr.Name {
		case "id":
			return []any{r.ID}
		case "active":
			if t != User {
				return nil
			}
			return []any{r.Active}
		case "schemas":
			var urns []any
			for _, urn := range URNs(t, r.Attributes) {
				urns = append(urns, urn)
			}
			return urns
		case "meta":
			return r.meta(t, f.sub)
		}
	}
	object := r.Attributes
	if f.urn != "" {
		object, _ = object[f.urn].(map[string]any)
	}
	v, ok := object[f.attr.Name]
	if !ok {
		return nil
	}
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	if f.sub == nil {
		return list
	}
	var subs []any
	for _, v := range list {
		subs = append(subs, within(v, f.sub)...)
	}
	return subs
}

// within is the value of a sub-attribute in one element, if it has one.
func within(element any, sub *Attribute) []any {
	object, ok := element.(map[string]any)
	if v := object[sub.Name]; v != nil {
		return []any{v}
	}
	// Canonical form leaves a false primary out (RFC 7643 §2.4); asking for it still finds it.
	if ok && sub.Name == "primary" {
		return []any{false}
	}
	return nil
}

func (r Document) meta(t Type, sub *Attribute) []any {
	if sub == nil {
		return []any{true} // pr: there always is one
	}
	switch sub.Name {
	case "resourceType":
		return []any{string(t)}
	case "created":
		return []any{r.Created}
	case "lastModified":
		return []any{r.LastModified}
	case "location":
		return present(r.Location)
	case "version":
		return present(r.Version)
	}
	return nil
}

func present(s string) []any {
	if s == "" {
		return nil
	}
	return []any{s}
}
