package schema

import "strings"

// path is where a PATCH operation acts: an attribute, a sub-attribute, the elements that a filter selects, a
// sub-attribute of those; or everything of an extension.
type path struct {
	field     field
	filter    expression // nil: all elements
	extension *extension // set: the extension as a whole, and nothing else is
}

// attribute is the path's attribute without its sub-attribute.
func (p path) attribute() field {
	f := p.field
	if f.sub != nil {
		f.name, f.sub = strings.TrimSuffix(f.name, "."+f.sub.Name), nil
	}
	return f
}

// parsePath reads a PATCH path (RFC 7644 §3.5.2, figure 7). Errors are *Error: invalidPath, and invalidFilter for what
// stands in brackets.
func parsePath(t Type, text string) (path, error) {
	if e := t.extension(text); e != nil {
		return path{extension: e}, nil
	}
	if len(text) > maxFilterLength {
		return path{}, refuse(InvalidPath, "the path is longer than %d bytes", maxFilterLength)
	}
	p := &parser{text: text, scimType: InvalidPath, resolve: t.locate}
	p.next()
	if p.kind != word {
		p.fail("expected an attribute")
		return path{}, p.err
	}
	f, ok := p.resolve(p.token)
	if !ok {
		name, _, _ := strings.Cut(text, "[")
		return path{}, refuse(InvalidPath, "unknown attribute %s", printable(name))
	}
	p.next()
	at := path{field: f}
	if p.is("[") {
		if !f.attr.MultiValued || f.sub != nil || f.attr.Type != TypeComplex {
			p.fail("a value path on an attribute without elements")
			return path{}, p.err
		}
		p.scimType = InvalidFilter
		at.filter = p.elements(f)
		p.scimType = InvalidPath
		if p.kind == word && p.token[0] == '.' {
			if sub := p.suffix(f); sub != nil {
				at.field = *sub
			}
		}
	}
	if p.kind != end {
		p.fail("expected the end of the path")
	}
	return at, p.err
}

// template makes an element that the filter would select: {"type": "mobile"} of [type eq "mobile"]. Only
// equalities, joined by and, say how such an element looks.
func template(filter expression) (map[string]any, bool) {
	switch x := filter.(type) {
	case comparison:
		if x.op != "eq" || x.value == nil || x.field.sub.Mutability == ReadOnly {
			return nil, false
		}
		return map[string]any{x.field.sub.Name: x.given}, true
	case allOf:
		element := map[string]any{}
		for _, term := range x {
			part, ok := template(term)
			if !ok {
				return nil, false
			}
			for k, v := range part {
				if have, twice := element[k]; twice && have != v {
					return nil, false
				}
				element[k] = v
			}
		}
		return element, true
	}
	return nil, false
}
