package schema

import (
	"slices"
)

// Diff returns the sorted canonical names that differ: leaves of single-valued complex attributes
// ("name.givenName"), whole multi-valued attributes (compared as sets), extension attributes with their URN.
// Both sides are in canonical form; then sending equal values again gives no names.
func Diff(t Type, before, after Attributes) []string {
	var names []string
	compareObjects("", t.attributes(), before, after, &names)
	for _, e := range t.extensions() {
		b, _ := before[e.urn].(map[string]any)
		a, _ := after[e.urn].(map[string]any)
		compareObjects(e.urn+":", e.attributes, b, a, &names)
	}
	if before[externalID.Name] != after[externalID.Name] {
		names = append(names, externalID.Name)
	}
	slices.Sort(names)
	return names
}

func compareObjects(prefix string, known []Attribute, before, after map[string]any, names *[]string) {
	for _, a := range known {
		b, c := before[a.Name], after[a.Name]
		switch {
		case b == nil && c == nil:
		case a.MultiValued:
			if !sameSet(b, c) {
				*names = append(*names, prefix+a.Name)
			}
		case a.Type == TypeComplex:
			x, _ := b.(map[string]any)
			y, _ := c.(map[string]any)
			compareObjects(prefix+a.Name+".", a.Sub, x, y, names)
		case b != c:
			*names = append(*names, prefix+a.Name)
		}
	}
}

func sameSet(b, c any) bool {
	x, _ := b.([]any)
	y, _ := c.([]any)
	set := make(map[string]bool, len(x))
	for _, v := range x {
		set[identity(v)] = true
	}
	met := make(map[string]bool, len(y))
	for _, v := range y {
		k := identity(v)
		if !set[k] {
			return false
		}
		met[k] = true
	}
	return len(met) == len(set)
}
