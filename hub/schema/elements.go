package schema

import (
	"maps"
	"slices"
)

// maxLooks bounds how often the operations of one patch look at an element: some tenths of a second.
const maxLooks = 2_000_000

// elements applies an operation to a multi-valued attribute held by object.
func (p *patching) elements(object map[string]any, o operation, at path) error {
	whole := at.attribute()
	list, _ := object[whole.attr.Name].([]any)
	if whole.attr.bare() {
		if p.roster == nil {
			p.roster = rosterOf(list)
		}
		if done, err := p.roster.apply(o, at); done {
			return err
		}
		list = p.roster.elements()
		p.roster = nil
	}
	e := &editing{field: whole, list: list}
	if p.looks += len(list) * cost(o, at); p.looks > maxLooks {
		return refuse(TooMany, "the operations look at too many values of %s", whole.name)
	}
	if err := e.apply(o, at); err != nil {
		return err
	}
	if len(e.list) == 0 {
		delete(object, whole.attr.Name)
	} else {
		object[whole.attr.Name] = e.list
	}
	return nil
}

// cost says how often an operation looks at each element: once for each value to remove, or each comparison
// in the filter.
func cost(o operation, at path) int {
	n := 1
	if values, ok := o.value.([]any); ok && o.op == "remove" {
		n = max(n, len(values))
	}
	return n * comparisons(at.filter)
}

func comparisons(x expression) int {
	n := 0
	switch x := x.(type) {
	case anyOf:
		for _, term := range x {
			n += comparisons(term)
		}
	case allOf:
		for _, term := range x {
			n += comparisons(term)
		}
	case negation:
		n = comparisons(x.inner)
	}
	return max(n, 1)
}

// close writes back what a roster holds.
func (p *patching) close() {
	if p.roster == nil {
		return
	}
	for _, a := range p.t.attributes() {
		if !a.bare() {
			continue
		}
		if list := p.roster.elements(); len(list) > 0 {
			p.r.Attributes[a.Name] = list
		} else {
			delete(p.r.Attributes, a.Name)
		}
	}
}

// editing is the list of an attribute's elements during one operation. They are the patch's own copies and
// may be changed in place. Every element is an object: no schema here has a plural of plain values.
type editing struct {
	field   field
	list    []any
	touched []map[string]any // set or changed by this operation: their primary wins
}

func (e *editing) apply(o operation, at path) error {
	err := e.change(o, at)
	if err == nil {
		err = e.settlePrimary()
	}
	return err
}

func (e *editing) change(o operation, at path) error {
	if at.filter != nil || at.field.sub != nil {
		return e.selected(o, at)
	}
	if o.op == "remove" && o.value == nil {
		e.list = nil
		return nil
	}
	given, err := readElements(e.field, o)
	if err != nil {
		return err
	}
	switch o.op {
	case "add":
		e.add(given)
	case "replace":
		e.list = given
	case "remove":
		e.removeValues(given)
	}
	return nil
}

// readElements normalises the value of an operation as elements of the attribute. A value to remove that
// says nothing is refused: taken as "whatever there is" it would empty a group.
func readElements(f field, o operation) ([]any, error) {
	read, err := reader{lenient: true}.value(f.name, f.attr, o.value)
	given, _ := read.([]any)
	if err == nil && o.op == "remove" && len(given) == 0 && !empty(o.value) {
		err = refuse(InvalidValue, "%s: the values to remove say nothing", f.name)
	}
	return given, err
}

// add appends what is not there yet (SM-45). Whether an element is the primary one does not make it
// another element.
func (e *editing) add(given []any) {
	missing := make(map[string]map[string]any, len(given))
	for _, element := range given {
		object := element.(map[string]any)
		id := identity(plain(object))
		if missing[id] == nil || isPrimary(object) {
			missing[id] = object
		}
	}
	for _, element := range e.list {
		have, _ := element.(map[string]any)
		id := identity(plain(have))
		object := missing[id]
		if object == nil {
			continue
		}
		delete(missing, id)
		if isPrimary(object) {
			have["primary"] = true
			e.touched = append(e.touched, have)
		}
	}
	for _, element := range given { // in the order given
		object := element.(map[string]any)
		id := identity(plain(object))
		if object = missing[id]; object != nil {
			delete(missing, id)
			e.list = append(e.list, object)
			e.touched = append(e.touched, object)
		}
	}
}

// removeValues removes the elements that hold all that one of the given values says: Entra ID removes with a
// list of values and no filter, and whoever ignores the list removes everything.
func (e *editing) removeValues(given []any) {
	e.drop(func(element any) bool {
		return slices.ContainsFunc(given, func(want any) bool {
			return holds(element.(map[string]any), want.(map[string]any))
		})
	})
}

func holds(object, want map[string]any) bool {
	for k, v := range want {
		if object[k] != v {
			return false
		}
	}
	return true
}

func (e *editing) drop(which func(any) bool) { e.list = slices.DeleteFunc(e.list, which) }

// selected applies an operation to the elements that the path's filter selects, all if it has none.
func (e *editing) selected(o operation, at path) error {
	matches := func(element any) bool { return at.filter == nil || inElement(at.filter, element) }
	if at.field.sub == nil {
		return e.selectedWhole(o, matches)
	}
	found := false
	for _, element := range e.list {
		if !matches(element) {
			continue
		}
		found = true
		object := element.(map[string]any)
		if err := single(object, o, at.field); err != nil {
			return err
		}
		if object["primary"] == false {
			delete(object, "primary")
		}
		e.touched = append(e.touched, object)
	}
	if !found && o.op != "remove" {
		if err := e.create(o, at); err != nil {
			return err
		}
	}
	e.drop(empty)
	e.list = distinct(e.list)
	return nil
}

// create makes the element that a filter of equalities describes and sets the sub-attribute in it.
func (e *editing) create(o operation, at path) error {
	element, ok := map[string]any{}, true
	if at.filter != nil {
		element, ok = template(at.filter)
	}
	if !ok {
		return refuse(NoTarget, "no value of %s is selected", e.field.name)
	}
	if err := single(element, o, at.field); err != nil {
		return err
	}
	if element[at.field.sub.Name] == nil {
		return nil // set to null: there is nothing to make
	}
	made, err := reader{}.single(e.field.name, e.field.attr, element)
	if object, ok := made.(map[string]any); ok {
		e.list = append(e.list, object)
		e.touched = append(e.touched, object)
	}
	return err
}

// selectedWhole removes the selected elements, merges a value into them (add) or puts it in their place
// (replace, RFC 7644 §3.5.2.3).
func (e *editing) selectedWhole(o operation, matches func(any) bool) error {
	if o.op == "remove" || o.op == "replace" && o.value == nil {
		e.drop(matches)
		return nil
	}
	given, err := reader{lenient: true}.single(e.field.name, e.field.attr, o.value)
	if err != nil {
		return err
	}
	object, ok := given.(map[string]any)
	if !ok {
		return refuse(InvalidValue, "%s needs an object", e.field.name)
	}
	found := false
	for i, element := range e.list {
		if !matches(element) {
			continue
		}
		found = true
		put := maps.Clone(object)
		if o.op == "add" {
			put = element.(map[string]any)
			maps.Copy(put, object)
		}
		e.list[i] = put
		e.touched = append(e.touched, put)
	}
	if !found {
		return refuse(NoTarget, "no value of %s is selected", e.field.name)
	}
	e.list = distinct(e.list)
	return nil
}

// settlePrimary keeps at most one element primary: the one that this operation made so (SM-48).
func (e *editing) settlePrimary() error {
	chosen := ""
	for _, object := range e.touched {
		if !isPrimary(object) {
			continue
		}
		if chosen != "" && chosen != identity(object) {
			return refuse(InvalidValue, "%s has more than one primary value", e.field.name)
		}
		chosen = identity(object)
	}
	if chosen == "" {
		return nil
	}
	for _, element := range e.list {
		if isPrimary(element) && identity(element) != chosen {
			delete(element.(map[string]any), "primary")
		}
	}
	e.list = distinct(e.list)
	return nil
}
