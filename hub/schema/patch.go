package schema

import (
	"maps"
	"slices"
)

// maxOperations bounds a PATCH.
const maxOperations = 1000

// Patch applies a PATCH body (RFC 7644 §3.5.2) to a resource in canonical form and returns the result in
// canonical form; current stays as it was, also on error (SM-43). Password and PasswordRemoved of the result say
// whether this patch set or removed one. Beyond the RFC it takes what Entra ID and Okta send: op in any case, Booleans as strings, objects without a
// path whose keys are paths ("name.givenName", URNs), remove with a list of values, a filter of equalities before a
// sub-attribute that selects nothing (the element is made, also by replace), and readOnly attributes in objects without a
// path (ignored, as in a PUT). Setting null is removing, except for active, which always has a value: a slip
// must not enable anybody. At most 1,000 operations, and
// 2,000,000 looks at elements. Errors are *Error.
func Patch(t Type, current Resource, body []byte) (Resource, error) {
	operations, err := parsePatch(body)
	if err != nil {
		return Resource{}, err
	}
	p := &patching{t: t, r: Resource{Attributes: clone(current.Attributes), Active: current.Active}}
	for _, o := range operations {
		if err := p.apply(o); err != nil {
			return Resource{}, err
		}
	}
	p.close()
	for _, e := range t.extensions() {
		if empty(p.r.Attributes[e.urn]) {
			delete(p.r.Attributes, e.urn)
		}
	}
	return p.r, nil
}

type operation struct {
	op      string // add, replace, remove
	path    string
	pathed  bool
	value   any
	present bool // a value was given, maybe null
}

const patchURN = "urn:ietf:params:scim:api:messages:2.0:PatchOp"

func parsePatch(body []byte) ([]operation, error) {
	raw, err := Parse(body)
	if err != nil {
		return nil, err
	}
	message, err := keys(raw, "schemas", "operations")
	if err != nil {
		return nil, err
	}
	schemas, _ := message["schemas"].([]any)
	if !slices.ContainsFunc(schemas, func(v any) bool { s, ok := v.(string); return ok && equalFold(s, patchURN) }) {
		return nil, refuse(InvalidSyntax, "schemas must hold %s", patchURN)
	}
	list, ok := message["operations"].([]any)
	if !ok || len(list) == 0 || len(list) > maxOperations {
		return nil, refuse(InvalidSyntax, "Operations must be a list of 1 to %d operations", maxOperations)
	}
	operations := make([]operation, len(list))
	for i, v := range list {
		if operations[i], err = parseOperation(v); err != nil {
			return nil, err
		}
	}
	return operations, nil
}

func parseOperation(v any) (operation, error) {
	raw, ok := v.(map[string]any)
	if !ok {
		return operation{}, refuse(InvalidSyntax, "an operation must be an object")
	}
	object, err := keys(raw, "op", "path", "value")
	if err != nil {
		return operation{}, err
	}
	var o operation
	o.op, _ = object["op"].(string)
	o.op = lower(o.op)
	if o.op != "add" && o.op != "replace" && o.op != "remove" {
		return o, refuse(InvalidSyntax, "op must be add, replace or remove")
	}
	o.value, o.present = object["value"]
	if at := object["path"]; !empty(at) {
		if o.path, o.pathed = at.(string); !o.pathed {
			return o, refuse(InvalidPath, "path must be a string")
		}
	}
	switch {
	case o.op == "remove" && !o.pathed:
		return o, refuse(NoTarget, "remove needs a path")
	case o.op != "remove" && !o.present:
		return o, refuse(InvalidValue, "%s needs a value", o.op)
	}
	return o, nil
}

// keys picks members by name in any case; one that comes in two spellings is refused, others are ignored.
func keys(object map[string]any, names ...string) (map[string]any, error) {
	out := map[string]any{}
	for k, v := range object {
		name := lower(k)
		if !slices.Contains(names, name) {
			continue
		}
		if _, twice := out[name]; twice {
			return nil, refuse(InvalidSyntax, "%s is given twice", name)
		}
		out[name] = v
	}
	return out, nil
}

// patching is a resource on its way from one operation to the next.
type patching struct {
	t      Type
	r      Resource
	roster *roster // of members, while operations can be done on it
	looks  int     // at elements, so far
}

func (p *patching) apply(o operation) error {
	if !o.pathed {
		return p.object(o.op, "", o.value)
	}
	at, err := parsePath(p.t, o.path)
	if err != nil {
		return err
	}
	return p.at(o, at)
}

// object applies an operation without a path, or on a whole extension: each key is a path (below prefix).
func (p *patching) object(op, prefix string, value any) error {
	body, ok := value.(map[string]any)
	if !ok {
		return refuse(InvalidValue, "a value without a path must be an object")
	}
	seen := map[string]bool{}
	for _, key := range sorted(body) { // "name" comes before "name.givenName"
		at, err := parsePath(p.t, prefix+key)
		if err != nil {
			if empty(body[key]) {
				continue
			}
			return err
		}
		id := lower(key)
		if at.extension == nil && at.filter == nil {
			id = at.field.name
			if at.field.managed() || at.readOnly() {
				continue
			}
		}
		if seen[id] {
			return refuse(InvalidSyntax, "%s is given twice", printable(prefix+key))
		}
		seen[id] = true
		if err := p.at(operation{op: op, value: body[key], present: true}, at); err != nil {
			return err
		}
	}
	return nil
}

func (at path) readOnly() bool {
	return at.field.attr.Mutability == ReadOnly || at.field.leaf().Mutability == ReadOnly
}

// at applies an operation where its path points.
func (p *patching) at(o operation, at path) error {
	if e := at.extension; e != nil {
		if o.op == "remove" || o.op == "replace" && o.value == nil {
			delete(p.r.Attributes, e.urn)
			return nil
		}
		return p.object(o.op, e.urn+":", o.value)
	}
	f := at.field
	switch {
	case at.readOnly():
		return refuse(Mutability, "%s cannot be changed", f.name)
	case f.name == "active":
		return p.active(o)
	case f.name == "password":
		return p.password(o, f)
	}
	holder := p.r.Attributes
	if f.urn != "" {
		holder = child(holder, f.urn)
	}
	switch {
	case f.attr.MultiValued:
		return p.elements(holder, o, at)
	case f.sub != nil:
		object := child(holder, f.attr.Name)
		err := single(object, o, f)
		if len(object) == 0 {
			delete(holder, f.attr.Name)
		}
		return err
	}
	return single(holder, o, f)
}

func (p *patching) active(o operation) error {
	if o.op == "remove" {
		return refuse(Mutability, "active cannot be removed")
	}
	v, err := reader{lenient: true}.single("active", &Attribute{Type: TypeBoolean}, o.value)
	if err != nil {
		return err
	}
	active, ok := v.(bool)
	if !ok {
		return refuse(InvalidValue, "active must be true or false")
	}
	p.r.Active = active
	return nil
}

// password notes that one was set or taken away, whichever came last; its value ends here.
func (p *patching) password(o operation, f field) error {
	v, err := reader{lenient: true}.single(f.name, f.attr, o.value)
	switch {
	case o.op == "remove" || err == nil && v == nil && o.op == "replace":
		p.r.Password, p.r.PasswordRemoved = false, true
		return nil
	case v != nil:
		p.r.Password, p.r.PasswordRemoved = true, false
	}
	return err
}

// single applies an operation to a single-valued attribute, or to a sub-attribute, held by object.
func single(object map[string]any, o operation, f field) error {
	a := f.leaf()
	if o.op == "remove" {
		if a.Required {
			return refuse(Mutability, "%s is required", f.name)
		}
		delete(object, a.Name)
		return nil
	}
	v, err := reader{lenient: true}.single(f.name, a, o.value)
	switch {
	case err != nil:
		return err
	case a.Mutability == Immutable && object[a.Name] != nil && object[a.Name] != v:
		return refuse(Mutability, "%s cannot be changed", f.name)
	case v == nil && a.Required:
		return refuse(InvalidValue, "%s is required", f.name)
	case a.Type == TypeComplex && (v != nil || !empty(unwrap(o.value))):
		merge(object, o, a, v)
	case v != nil:
		object[a.Name] = v
	case o.op == "replace":
		delete(object, a.Name)
	}
	return nil
}

// merge puts the given sub-attributes into a complex attribute (SM-46: those not given stay); replace removes
// those given as null.
func merge(object map[string]any, o operation, a *Attribute, v any) {
	target := child(object, a.Name)
	given, _ := v.(map[string]any)
	maps.Copy(target, given)
	if raw, ok := unwrap(o.value).(map[string]any); ok && o.op == "replace" {
		for key := range raw {
			if sub := find(a.Sub, key); sub != nil && given[sub.Name] == nil && sub.Mutability != ReadOnly {
				delete(target, sub.Name)
			}
		}
	}
	if len(target) == 0 {
		delete(object, a.Name)
	}
}

// unwrap takes the one value out of a list of one, as reader.single does.
func unwrap(v any) any {
	if list, ok := v.([]any); ok && len(list) == 1 {
		return list[0]
	}
	return v
}

// clone copies everything that an operation may change.
func clone[V any](v V) V {
	switch v := any(v).(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, inner := range v {
			out[k] = clone(inner)
		}
		return any(out).(V)
	case []any:
		out := make([]any, len(v))
		for i, inner := range v {
			out[i] = clone(inner)
		}
		return any(out).(V)
	}
	return v
}
