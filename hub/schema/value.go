package schema

// Value is the value of a canonical name in a resource, if it has one.
func Value(t Type, a Attributes, name string) (any, bool) {
	f, ok := t.locate(name)
	if !ok {
		return nil, false
	}
	if f.urn != "" {
		a, _ = a[f.urn].(map[string]any)
	}
	v, ok := a[f.attr.Name]
	if f.sub == nil || !ok {
		return v, ok
	}
	object, _ := v.(map[string]any)
	v, ok = object[f.sub.Name]
	return v, ok
}

// Preferred is the one value of an attribute by which others may know a person: of many the primary one, else the first
// of type work, else the first; "" if there is none.
func Preferred(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	best, rank := "", 0
	list, _ := v.([]any)
	for _, element := range list {
		m, _ := element.(map[string]any)
		value, _ := m["value"].(string)
		r := 1
		if m["type"] == "work" {
			r = 2
		}
		if m["primary"] == true {
			r = 3
		}
		if value != "" && r > rank {
			best, rank = value, r
		}
	}
	return best
}
