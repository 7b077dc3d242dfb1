package schema

import (
	"maps"
	"slices"
)

// elements applies an operation to a multi-valued attribute held by object.
func (p *patching) elements(object map[string]any, o operation, at path) error {
	whole := at.attribute()
	list, _ := object[whole.attr.Name].([]any)
	e := &editing{field: whole, list: list}
	var err error
	switch {
	case at.filter != nil || at.field.sub != nil:
		err = e.selected(o, at)
	case o.op == "add":
		err = e.add(o.value)
	case o.op == "replace":
		err = e.replaceAll(o.value)
	case o.present && o.value != nil:
		err = e.removeValues(o.value)
	default:
		e.list = nil
	}
	if err == nil {
		err = e.settlePrimary()
	}
	if err != nil {
		return err
	}
	if len(e.list) == 0 {
		delete(object, whole.attr.Name)
	} else {
		object[whole.attr.Name] = e.list
	}
	return nil
}

// editing is the list of an attribute's elements during one operation. They are the patch's own copies and
// may be changed in place. Every element is an object: no schema here has a plural of plain values.
type editing struct {
	field   field
	list    []any
	touched []map[string]any // set or changed by this operation: their primary wins
}

// read normalises the value of an operation as elements of the attribute.
func (e *editing) read(v any) ([]any, error) {
	read, err := reader{lenient: true}.value(e.field.name, e.field.attr, v)
	list, _ := read.([]any)
	return list, err
}

// add appends what is not there yet (SM-45). Whether an element is the primary one does not make it
// another element.
func (e *editing) add(v any) error {
	given, err := e.read(v)
	if err != nil {
		return err
	}
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
	return nil
}

// plain is an element without its primary.
func plain(element map[string]any) map[string]any {
	if _, ok := element["primary"]; !ok {
		return element
	}
	element = maps.Clone(element)
	delete(element, "primary")
	return element
}

func (e *editing) replaceAll(v any) error {
	given, err := e.read(v)
	e.list = given
	return err
}

// removeValues removes the elements that hold all that one of the given values says: Entra ID removes members
// with a list and no filter, and whoever ignores the list empties the group.
func (e *editing) removeValues(v any) error {
	if list, ok := v.([]any); ok && len(list) == 0 {
		return nil
	}
	given, err := e.read(v)
	if err != nil {
		return err
	}
	if len(given) == 0 {
		return refuse(InvalidValue, "%s: the values to remove say nothing", e.field.name)
	}
	exact, partial := map[string]bool{}, []map[string]any{}
	for _, element := range given {
		exact[identity(element)] = true
		if !e.onlyValue() {
			partial = append(partial, element.(map[string]any))
		}
	}
	e.drop(func(element any) bool {
		if exact[identity(element)] {
			return true
		}
		object, _ := element.(map[string]any)
		for _, want := range partial {
			if holds(object, want) {
				return true
			}
		}
		return false
	})
	return nil
}

// onlyValue says that an element is its value, so that looking it up is enough however many are given.
func (e *editing) onlyValue() bool {
	for _, sub := range e.field.attr.Sub {
		if sub.Name != "value" && sub.Mutability != ReadOnly {
			return false
		}
	}
	return true
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
	list, err := e.read([]any{element})
	if err != nil || len(list) == 0 {
		return err
	}
	e.list = append(e.list, list[0])
	e.touched = append(e.touched, list[0].(map[string]any))
	return nil
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
