package schema

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Resource is a client's resource in canonical form.
type Resource struct {
	Attributes Attributes
	Active     bool
	Password   bool // a password was given, and dropped
	// PasswordRemoved: a PATCH took the password away. Whether there was one nobody here knows.
	PasswordRemoved bool
}

// Normalize turns a client's resource (a decoded JSON object) into canonical form. schemas, id, meta and readOnly
// attributes are ignored (SM-11); null, "", [] and {} are absent values (RFC 7643 §2.5), also of attributes nobody
// knows; Booleans may be the strings "true" and "false" in any case, as some clients send them. Errors are *Error: invalidSyntax
// for an unknown attribute or one given twice in two spellings, invalidValue for a wrong type, for a missing
// required attribute and for two primary values.
func Normalize(t Type, body map[string]any) (Resource, error) {
	r := Resource{Active: true}
	core, extensions := map[string]any{}, map[string]any{}
	for _, key := range sorted(body) {
		e := t.extension(key)
		if e == nil {
			core[key] = body[key]
			continue
		}
		if _, twice := extensions[e.urn]; twice {
			return r, refuse(InvalidSyntax, "%s is given twice", e.urn)
		}
		extensions[e.urn] = nil
		object, err := reader{}.extension(e, body[key])
		if err != nil {
			return r, err
		}
		if object != nil {
			extensions[e.urn] = object
		}
	}
	var err error
	if r.Attributes, err = (reader{}).object("", append(slices.Clone(common), t.attributes()...), core); err != nil {
		return r, err
	}
	r.takeOut()
	for urn, object := range extensions {
		if object != nil {
			r.Attributes[urn] = object
		}
	}
	for _, a := range t.attributes() {
		if _, ok := r.Attributes[a.Name]; a.Required && !ok {
			return r, refuse(InvalidValue, "%s is required", a.Name)
		}
	}
	return r, nil
}

// takeOut moves active and password out of the attributes. This is the only place a password ever reaches.
func (r *Resource) takeOut() {
	if active, ok := r.Attributes["active"].(bool); ok {
		r.Active = active
	}
	_, r.Password = r.Attributes["password"]
	delete(r.Attributes, "active")
	delete(r.Attributes, "password")
}

// reader reads values. A lenient one, for PATCH, takes the shapes Entra ID sends there: a list of one for a single value,
// {"value": x} for a plain x and the other way round, one object for a list of objects.
type reader struct{ lenient bool }

func (rd reader) extension(e *extension, v any) (map[string]any, error) {
	if empty(v) {
		return nil, nil
	}
	body, ok := v.(map[string]any)
	if !ok {
		return nil, refuse(InvalidValue, "%s must be an object", e.urn)
	}
	object, err := rd.object(e.urn+":", e.attributes, body)
	if len(object) == 0 {
		return nil, err
	}
	return object, err
}

// object reads the attributes known by name; prefix stands before their names in errors.
func (rd reader) object(prefix string, known []Attribute, body map[string]any) (map[string]any, error) {
	out, seen := map[string]any{}, map[*Attribute]bool{}
	for _, key := range sorted(body) {
		a := find(known, key)
		if a == nil {
			if empty(body[key]) {
				continue
			}
			return nil, refuse(InvalidSyntax, "unknown attribute %s", prefix+printable(key))
		}
		if seen[a] {
			return nil, refuse(InvalidSyntax, "%s is given twice", prefix+a.Name)
		}
		seen[a] = true
		if a.Mutability == ReadOnly {
			continue
		}
		v, err := rd.value(prefix+a.Name, a, body[key])
		if err != nil {
			return nil, err
		}
		if v != nil {
			out[a.Name] = v
		}
	}
	return out, nil
}

// value reads the value of an attribute; nil if it is absent.
func (rd reader) value(name string, a *Attribute, v any) (any, error) {
	if !a.MultiValued {
		return rd.single(name, a, v)
	}
	if empty(v) {
		return nil, nil
	}
	list, ok := v.([]any)
	if !ok {
		if !rd.lenient {
			return nil, refuse(InvalidValue, "%s must be a list", name)
		}
		list = []any{v}
	}
	out, primaries := []any{}, 0
	for _, element := range list {
		element, err := rd.single(name, a, element)
		if err != nil {
			return nil, err
		}
		if element != nil {
			out = append(out, element)
		}
	}
	out = distinct(out)
	for _, element := range out {
		if isPrimary(element) {
			primaries++
		}
	}
	if primaries > 1 {
		return nil, refuse(InvalidValue, "%s has more than one primary value", name)
	}
	if len(out) == 0 {
		return nil, nil
	}
	return out, nil
}

// single reads one value; nil if it is absent.
func (rd reader) single(name string, a *Attribute, v any) (any, error) {
	if list, ok := v.([]any); ok && rd.lenient && len(list) == 1 {
		v = list[0]
	}
	if empty(v) {
		return nil, nil
	}
	switch a.Type {
	case TypeComplex:
		return rd.complex(name, a, v)
	case TypeBoolean:
		return boolean(name, v)
	}
	if object, ok := v.(map[string]any); ok && rd.lenient {
		v = object["value"]
		if empty(v) {
			return nil, nil
		}
	}
	s, ok := v.(string)
	if !ok {
		return nil, refuse(InvalidValue, "%s must be a string", name)
	}
	// PostgreSQL cannot store a NUL in text, and a source other than JSON may hand in any bytes.
	if !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 {
		return nil, refuse(InvalidValue, "%s is not text", name)
	}
	return s, nil
}

func (rd reader) complex(name string, a *Attribute, v any) (any, error) {
	object, ok := v.(map[string]any)
	if _, text := v.(string); !ok && rd.lenient && text && find(a.Sub, "value") != nil {
		object, ok = map[string]any{"value": v}, true
	}
	if !ok {
		return nil, refuse(InvalidValue, "%s must be an object", name)
	}
	out, err := rd.object(name+".", a.Sub, object)
	if err != nil {
		return nil, err
	}
	// RFC 7643 §2.4: a primary that is absent is false. One spelling, so that re-sending is no change.
	if out["primary"] == false {
		delete(out, "primary")
	}
	if len(out) == 0 {
		return nil, nil
	}
	return out, nil
}

func boolean(name string, v any) (any, error) {
	switch v := v.(type) {
	case bool:
		return v, nil
	case string:
		if equalFold(v, "true") || equalFold(v, "false") {
			return equalFold(v, "true"), nil
		}
	}
	return nil, refuse(InvalidValue, "%s must be true or false", name)
}

// empty says whether a value is as good as absent (RFC 7643 §2.5).
func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

func isPrimary(element any) bool {
	object, ok := element.(map[string]any)
	return ok && object["primary"] == true
}

// distinct drops elements that were there before, in place. One that differs only in being primary is the
// same: were it another, adding what is there (SM-45) could mean either of the two.
func distinct(list []any) []any {
	seen := make(map[string]map[string]any, len(list))
	return slices.DeleteFunc(list, func(v any) bool {
		element := v.(map[string]any)
		id := identity(plain(element))
		first := seen[id]
		if first == nil {
			seen[id] = element
		} else if isPrimary(element) {
			first["primary"] = true
		}
		return first != nil
	})
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

// identity is equal for equal values. Members have only a value, and may be a hundred thousand: they are their
// own key. No text has a NUL, so the two forms do not meet.
func identity(v any) string {
	if object, ok := v.(map[string]any); ok && len(object) == 1 {
		if s, ok := object["value"].(string); ok {
			return s
		}
	}
	text, err := json.Marshal(v)
	if err != nil {
		panic("schema: a value that is not JSON: " + err.Error())
	}
	return "\x00" + string(text)
}

// sorted gives the keys in order, so that of two mistakes always the same one is reported.
func sorted(object map[string]any) []string { return slices.Sorted(maps.Keys(object)) }
