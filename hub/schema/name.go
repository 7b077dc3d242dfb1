package schema

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
)

// field is an attribute, or one sub-attribute of it, at its place in a resource.
type field struct {
	name string     // canonical: "emails.value"
	urn  string     // of the extension it belongs to; "" for core and common attributes
	attr *Attribute // the attribute
	sub  *Attribute // its sub-attribute; nil when the attribute is meant as a whole
}

// leaf is what the field's values look like.
func (f field) leaf() *Attribute {
	if f.sub != nil {
		return f.sub
	}
	return f.attr
}

// managed says that the hub alone sets the attribute: id, schemas and meta.
func (f field) managed() bool {
	return f.urn == "" && (f.attr.Name == "id" || f.attr.Name == "schemas" || f.attr.Name == "meta")
}

// within makes the field of a sub-attribute of f, nil if f has none of this name.
func (f field) within(name string) *field {
	if f.sub != nil {
		return nil
	}
	sub := find(f.attr.Sub, name)
	if sub == nil {
		return nil
	}
	return &field{f.name + "." + sub.Name, f.urn, f.attr, sub}
}

// index knows every spelling, folded, of the fields of a type. long are the spellings of RFC 7644 §3.10;
// short adds the names of extension attributes without their URN where no core attribute has them.
type index struct{ long, short map[string]field }

var indexes = map[Type]index{User: indexOf(User), Group: indexOf(Group)}

func indexOf(t Type) index {
	x := index{map[string]field{}, map[string]field{}}
	add := func(spelling string, f field) {
		x.long[lower(spelling)] = f
	}
	each(common, "", func(f field) { add(f.name, f) })
	each(t.attributes(), "", func(f field) {
		add(f.name, f)
		add(t.URN()+":"+f.name, f)
	})
	claims := map[string]int{}
	for _, e := range t.extensions() {
		each(e.attributes, e.urn, func(f field) {
			add(f.name, f)
			short := lower(strings.TrimPrefix(f.name, e.urn+":"))
			claims[short]++
			x.short[short] = f
		})
	}
	for short, n := range claims {
		if _, core := x.long[short]; core || n > 1 {
			delete(x.short, short)
		}
	}
	return x
}

// each visits the fields of a schema: every attribute, then its sub-attributes.
func each(attributes []Attribute, urn string, visit func(field)) {
	prefix := ""
	if urn != "" {
		prefix = urn + ":"
	}
	for i := range attributes {
		f := field{prefix + attributes[i].Name, urn, &attributes[i], nil}
		visit(f)
		for j := range f.attr.Sub {
			visit(*f.within(f.attr.Sub[j].Name))
		}
	}
}

// locate finds a field by a client's spelling.
func (t Type) locate(text string) (field, bool) {
	f, ok := indexes[t].long[lower(text)]
	return f, ok
}

// locateShort also takes an extension attribute's short name, as operators and Entra ID's filters write it.
func (t Type) locateShort(text string) (field, bool) {
	f, ok := t.locate(text)
	if !ok {
		f, ok = indexes[t].short[lower(text)]
	}
	return f, ok
}

// ParseName returns the canonical name of what text means for the type: "name.familyName", "emails",
// "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager". Case does not matter; the URN of the core schema may
// stand before the name, that of an extension may be missing if no other attribute is called so. A sub-attribute of a
// multi-valued attribute names the whole attribute: such attributes are granted and told whole. Errors:
// ErrUnknownAttribute; ErrNotGrantable for password, id, meta and schemas.
func ParseName(t Type, text string) (string, error) {
	f, ok := t.locateShort(text)
	if !ok {
		return "", fmt.Errorf("parse name %q: %w", printable(text), ErrUnknownAttribute)
	}
	if f.managed() || f.leaf().Returned == ReturnedNever {
		return "", fmt.Errorf("parse name %q: %w", f.name, ErrNotGrantable)
	}
	if f.sub != nil && f.attr.MultiValued {
		return strings.TrimSuffix(f.name, "."+f.sub.Name), nil
	}
	return f.name, nil
}

// Names lists the canonical names of the attributes of the type that can be granted, whole ones only, sorted.
func Names(t Type) []string {
	var names []string
	for _, f := range indexes[t].long {
		if f.sub == nil && !f.managed() && f.attr.Returned != ReturnedNever {
			names = append(names, f.name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Describe returns the definition behind a canonical name (in any case). Where types share a name, it is the User's.
func Describe(name string) (Attribute, bool) {
	for _, t := range []Type{User, Group} {
		if f, ok := t.locate(name); ok {
			return *f.leaf(), true
		}
	}
	return Attribute{}, false
}

// Multivalued says whether the attribute of a canonical name has many values, and so is told whole.
func Multivalued(name string) bool {
	a, ok := Describe(name)
	return ok && a.MultiValued
}

// Covers says whether a grant of one canonical name holds for another: "name" covers itself and
// "name.familyName", which covers only itself.
func Covers(granted, name string) bool {
	if granted == name {
		return true
	}
	root, sub := split(name)
	return sub != "" && granted == root
}

// Root returns the folded root of a canonical name: "name", "emails", "urn:…:2.0:user:manager".
func Root(name string) string {
	root, _ := split(name)
	return lower(root)
}

// split divides a canonical name at the dot before its sub-attribute; the dot in a URN's "2.0" is not one.
func split(name string) (root, sub string) {
	colon := strings.LastIndexByte(name, ':') + 1
	dot := strings.IndexByte(name[colon:], '.')
	if dot < 0 {
		return name, ""
	}
	return name[:colon+dot], name[colon+dot+1:]
}

// maskSalt is the first number with which no two of the attributes known here share a bit.
const maskSalt = "1154:"

// Mask sums names up as one bit for each root, so that a store can select by "mask & mask <> 0": names with the same
// root always share a bit, others seldom do. It is an index of a rule and never the rule. The top bit stays
// clear, as SQL's bigint is signed. Masks are stored: hash and salt may never change (TestMask pins them).
func Mask(names ...string) uint64 {
	var mask uint64
	for _, name := range names {
		h := fnv.New64a()
		h.Write([]byte(maskSalt + Root(name)))
		mask |= 1 << (h.Sum64() % 63)
	}
	return mask
}
