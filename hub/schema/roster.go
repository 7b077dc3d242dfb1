package schema

// roster is the list of an attribute whose elements are nothing but their value (members), indexed for the life of one
// patch: Okta and Entra ID remove members one operation each, and a thousand walks through a group of a hundred
// thousand take a quarter of a minute (BenchmarkPatchLargeGroup).
type roster struct {
	list  []any // nil where a member was removed
	place map[string]int
}

// bare says that clients write nothing of an element but its value.
func (a *Attribute) bare() bool {
	for _, sub := range a.Sub {
		if (sub.Name == "value") == (sub.Mutability == ReadOnly) {
			return false
		}
	}
	return a.MultiValued && a.Type == TypeComplex
}

func rosterOf(list []any) *roster {
	r := &roster{place: make(map[string]int, len(list))}
	r.add(list)
	return r
}

func (r *roster) add(elements []any) {
	for _, element := range elements {
		value, _ := element.(map[string]any)["value"].(string)
		if _, there := r.place[value]; !there {
			r.place[value] = len(r.list)
			r.list = append(r.list, element)
		}
	}
}

func (r *roster) remove(value string) {
	if i, there := r.place[value]; there {
		r.list[i] = nil
		delete(r.place, value)
	}
}

// elements is the list without the gaps.
func (r *roster) elements() []any {
	list := make([]any, 0, len(r.place))
	for _, element := range r.list {
		if element != nil {
			list = append(list, element)
		}
	}
	return list
}

// apply does an operation that needs no look at every member, and says whether it did.
func (r *roster) apply(o operation, at path) (bool, error) {
	whole := at.attribute()
	if at.filter != nil {
		c, ok := at.filter.(comparison)
		value, _ := c.value.(string)
		if !ok || o.op != "remove" || at.field.sub != nil || c.op != "eq" || c.field.sub.Name != "value" || value == "" {
			return false, nil
		}
		r.remove(value)
		return true, nil
	}
	if at.field.sub != nil {
		return false, nil
	}
	if o.op == "remove" && o.value == nil {
		*r = *rosterOf(nil)
		return true, nil
	}
	given, err := readElements(whole, o)
	if err != nil {
		return true, err
	}
	switch o.op {
	case "replace":
		*r = *rosterOf(given)
	case "add":
		r.add(given)
	case "remove":
		for _, element := range given {
			value, _ := element.(map[string]any)["value"].(string)
			r.remove(value)
		}
	}
	return true, nil
}
