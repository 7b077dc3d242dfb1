package schema

import "maps"

// Select returns the part of the attributes that the granted canonical names cover. Values are shared
// with a, not copied.
func Select(t Type, a Attributes, granted []string) Attributes {
	out := Attributes{}
	for _, name := range granted {
		f, ok := t.locate(name)
		if !ok || f.managed() {
			continue
		}
		from, to := a, out
		if f.urn != "" {
			from, _ = a[f.urn].(map[string]any)
		}
		v, ok := from[f.attr.Name]
		if !ok {
			continue
		}
		if f.urn != "" {
			to = child(out, f.urn)
		}
		object, complex := v.(map[string]any)
		if f.sub == nil || !complex {
			to[f.attr.Name] = v
		} else if v, ok := object[f.sub.Name]; ok {
			// A whole attribute granted beside its part is the part of itself: no need to look which came first.
			if whole, _ := to[f.attr.Name].(map[string]any); len(whole) < len(object) {
				child(to, f.attr.Name)[f.sub.Name] = v
			}
		}
	}
	for _, e := range t.extensions() {
		if empty(out[e.urn]) {
			delete(out, e.urn)
		}
	}
	return out
}

// child returns the object under a key, made if there is none.
func child(object map[string]any, key string) map[string]any {
	c, ok := object[key].(map[string]any)
	if !ok {
		c = map[string]any{}
		object[key] = c
	}
	return c
}

// URNs lists the schemas of a resource with these attributes: its "schemas".
func URNs(t Type, a Attributes) []string {
	urns := []string{t.URN()}
	for _, e := range t.extensions() {
		if !empty(a[e.urn]) {
			urns = append(urns, e.urn)
		}
	}
	return urns
}

// Reference is one pointer from a resource to another.
type Reference struct {
	Name  string // canonical name of the attribute: "members", "urn:…:User:manager"
	Value string // the target, as the source calls it
}

// ReferenceNames lists the canonical names of the attributes of the type that point to other resources and are
// written by clients; groups is derived and not among them.
func ReferenceNames(t Type) []string {
	switch t {
	case User:
		return []string{EnterpriseUser + ":manager"}
	case Group:
		return []string{"members"}
	}
	return nil
}

// References lists the pointers in the attributes, members in their order.
func References(t Type, a Attributes) []Reference {
	var all []Reference
	MapReferences(t, a, func(r Reference) (string, bool) {
		all = append(all, r)
		return r.Value, true
	})
	return all
}

// MapReferences returns the attributes with each pointer's value replaced by what to says, and left out
// where it says no. Only what holds pointers is copied.
func MapReferences(t Type, a Attributes, to func(Reference) (string, bool)) Attributes {
	out := maps.Clone(a)
	for _, name := range ReferenceNames(t) {
		f, _ := t.locate(name)
		object := out
		if f.urn != "" {
			inner, ok := a[f.urn].(map[string]any)
			if !ok {
				continue
			}
			object = maps.Clone(inner)
			out[f.urn] = object
		}
		if v := mapPointer(name, object[f.attr.Name], to); v != nil {
			object[f.attr.Name] = v
		} else {
			delete(object, f.attr.Name)
		}
		if f.urn != "" && len(object) == 0 {
			delete(out, f.urn)
		}
	}
	return out
}

// mapPointer maps {"value": x} or a list of such; nil if nothing is left.
func mapPointer(name string, v any, to func(Reference) (string, bool)) any {
	switch v := v.(type) {
	case map[string]any:
		target, ok := v["value"].(string)
		if !ok {
			return nil
		}
		if target, ok = to(Reference{name, target}); !ok {
			return nil
		}
		return map[string]any{"value": target}
	case []any:
		list := make([]any, 0, len(v))
		for _, element := range v {
			if element = mapPointer(name, element, to); element != nil {
				list = append(list, element)
			}
		}
		if len(list) > 0 {
			return list
		}
	}
	return nil
}
