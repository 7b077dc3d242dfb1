package schema

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// resource draws a body with a random part of the type's attributes and normalises it.
func resource(t *rapid.T, typ Type, label string) Resource {
	body := drawObject(t, typ.attributes(), label)
	for _, a := range typ.attributes() {
		if a.Required {
			body[a.Name] = drawText(t, label)
		}
	}
	for _, e := range typ.extensions() {
		if rapid.Bool().Draw(t, label+" extended") {
			body[e.urn] = drawObject(t, e.attributes, label)
		}
	}
	r, err := Normalize(typ, body)
	if err != nil {
		t.Fatalf("normalize %v: %v", body, err)
	}
	return r
}

// Few texts, so that equal values are met.
func drawText(t *rapid.T, label string) string {
	return rapid.SampledFrom([]string{"a", "A", "b", "work", "home", "é", "x y"}).Draw(t, label)
}

func drawObject(t *rapid.T, known []Attribute, label string) map[string]any {
	object := map[string]any{}
	for i := range known {
		a := &known[i]
		if !rapid.Bool().Draw(t, label+" has "+a.Name) {
			continue
		}
		if !a.MultiValued {
			object[a.Name] = drawValue(t, a, label)
			continue
		}
		list, primary := []any{}, false
		for range rapid.IntRange(0, 3).Draw(t, label+" count") {
			element := drawValue(t, a, label)
			if isPrimary(element) {
				if primary {
					continue
				}
				primary = true
			}
			list = append(list, element)
		}
		object[a.Name] = list
	}
	return object
}

func drawValue(t *rapid.T, a *Attribute, label string) any {
	switch a.Type {
	case TypeComplex:
		return drawObject(t, a.Sub, label)
	case TypeBoolean:
		return rapid.Bool().Draw(t, label)
	}
	return drawText(t, label)
}

var types = rapid.SampledFrom([]Type{User, Group})

func TestDiffProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ := types.Draw(t, "type")
		a, b := resource(t, typ, "a").Attributes, resource(t, typ, "b").Attributes
		if names := Diff(typ, a, a); names != nil {
			t.Fatalf("a differs from itself: %v", names)
		}
		names := Diff(typ, a, b)
		if back := Diff(typ, b, a); !slices.Equal(names, back) {
			t.Fatalf("%v one way, %v the other", names, back)
		}
		if !slices.IsSorted(names) {
			t.Fatalf("not sorted: %v", names)
		}
		for _, name := range names {
			if canonical, err := ParseName(typ, name); canonical != name || err != nil {
				t.Fatalf("%q is not canonical: %q, %v", name, canonical, err)
			}
			if len(Diff(typ, Select(typ, a, []string{name}), Select(typ, b, []string{name}))) == 0 {
				t.Fatalf("%s is said to differ and does not", name)
			}
		}
		// What is not named does not differ: b with the named taken from a is a.
		rest := slices.DeleteFunc(leaves(typ), func(name string) bool { return slices.Contains(names, name) })
		if left := Diff(typ, Select(typ, a, rest), Select(typ, b, rest)); left != nil {
			t.Fatalf("not told: %v", left)
		}
	})
}

// leaves lists every name that Diff may give.
func leaves(typ Type) []string {
	var names []string
	for _, f := range indexes[typ].long {
		single := f.attr.Type == TypeComplex && !f.attr.MultiValued
		if (f.sub != nil) == single && !f.managed() {
			names = append(names, f.name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func TestNormalizeIsIdempotent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ := types.Draw(t, "type")
		r := resource(t, typ, "r")
		again, err := Normalize(typ, disguise(t, r.Attributes))
		if err != nil {
			t.Fatal(err)
		}
		if names := Diff(typ, r.Attributes, again.Attributes); names != nil {
			t.Fatalf("sent again, %v differ", names)
		}
	})
}

// disguise says the same in another way: other case of names, other order, empty values.
func disguise(t *rapid.T, object map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range object {
		switch inner := v.(type) {
		case map[string]any:
			v = disguise(t, inner)
		case []any:
			list := []any{nil, map[string]any{}}
			for _, element := range inner {
				list = append(list, disguise(t, element.(map[string]any)))
			}
			random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
			random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
			v = list
		}
		if rapid.Bool().Draw(t, "upper") {
			k = strings.ToUpper(k)
		}
		out[k] = v
	}
	out["nothing"] = nil
	return out
}

func TestNoOpPatchHasNoDiff(t *testing.T) { // SM-45
	rapid.Check(t, func(t *rapid.T) {
		typ := types.Draw(t, "type")
		r := resource(t, typ, "r")
		op := rapid.SampledFrom([]string{"add", "Replace"}).Draw(t, "op")
		operations := []any{map[string]any{"op": op, "value": disguise(t, r.Attributes)}}
		for name, v := range r.Attributes {
			operations = append(operations, map[string]any{"op": op, "path": name, "value": v})
		}
		same, err := Patch(typ, r, message(t, operations))
		if err != nil {
			t.Fatal(err)
		}
		if names := Diff(typ, r.Attributes, same.Attributes); names != nil || same.Active != r.Active {
			t.Fatalf("%s of the same changed %v", op, names)
		}
	})
}

func TestPatchToAnother(t *testing.T) { // SM-45, SM-46, SM-47: any resource can be made of any other
	rapid.Check(t, func(t *rapid.T) {
		typ := types.Draw(t, "type")
		a, b := resource(t, typ, "a"), resource(t, typ, "b")
		before := clone(a)
		var operations []any
		for _, name := range Diff(typ, a.Attributes, b.Attributes) {
			f, _ := typ.locate(name)
			v := any(Select(typ, b.Attributes, []string{name}))
			for _, key := range []string{f.urn, f.attr.Name} {
				if object, ok := v.(map[string]any); ok && key != "" {
					v = object[key]
				}
			}
			if object, ok := v.(map[string]any); ok && f.sub != nil {
				v = object[f.sub.Name]
			}
			o := map[string]any{"op": "replace", "path": strings.ToUpper(name), "value": v}
			if v == nil {
				o = map[string]any{"op": "remove", "path": name}
			}
			operations = append(operations, o)
		}
		if operations == nil {
			return
		}
		got, err := Patch(typ, a, message(t, operations))
		if err != nil {
			t.Fatal(err)
		}
		if names := Diff(typ, got.Attributes, b.Attributes); names != nil {
			t.Fatalf("%v still differ after %v", names, operations)
		}
		if !reflect.DeepEqual(a, before) {
			t.Fatal("the current resource changed")
		}
	})
}

func message(t *rapid.T, operations []any) []byte {
	body, err := json.Marshal(map[string]any{"schemas": []any{patchURN}, "Operations": operations})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":[1,"x",null,true,{"b":1.5e3}]}`, `{"a":1,"a":2}`, `{} {}`, `[[[[`, "{\"\xff\":1}", `{"\u0061":1,"a":2}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := Parse(body)
		if err != nil {
			if scimType(t, err) != InvalidSyntax {
				t.Fatal(err)
			}
			return
		}
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(text)
		if err != nil || !reflect.DeepEqual(m, again) {
			t.Fatalf("%s reads otherwise when written again: %v", body, err)
		}
		for _, typ := range []Type{User, Group} {
			r, err := Normalize(typ, m)
			if scimType(t, err) != "" {
				continue
			}
			checkCanonical(t, typ, r)
		}
	})
}

func checkCanonical(t *testing.T, typ Type, r Resource) {
	t.Helper()
	again, err := Normalize(typ, r.Attributes)
	if err != nil || !reflect.DeepEqual(again.Attributes, r.Attributes) {
		t.Fatalf("not canonical (%v): %s", err, marshal(t, r.Attributes))
	}
	if _, ok := r.Attributes["password"]; ok {
		t.Fatal("a password is kept")
	}
}

func FuzzParseFilter(f *testing.F) {
	for _, seed := range []string{`userName eq "a"`, `emails[type eq "work" and value co "@x"].value sw "a"`, `not (a pr) or ((title le "\u00e9"))`,
		`meta.lastModified gt "2026-01-01T00:00:00Z" and active ne false`, `schemas eq null`, `manager eq "x"`, `emails[[`} {
		f.Add(seed)
	}
	r, err := Normalize(User, map[string]any{"userName": "Anna", "emails": []any{map[string]any{"value": "a@x", "type": "work"}}, "name": map[string]any{"givenName": "A"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		filter, err := ParseFilter(text)
		if err != nil {
			if scimType(t, err) != InvalidFilter {
				t.Fatal(err)
			}
			return
		}
		doc := Document{ID: "1", Active: true, Attributes: r.Attributes}
		direct := filter.Match(User, doc)
		filter.Match(Group, doc)
		filter.Equality()
		if len(text) > maxFilterLength-7 {
			return
		}
		inverse, err := ParseFilter("not (" + text + ")")
		if err == nil && inverse.Match(User, doc) == direct {
			t.Fatalf("%s and its negation agree", text)
		}
	})
}

func FuzzPatch(f *testing.F) {
	for _, seed := range []string{
		`{"op":"add","path":"emails[type eq \"work\"].value","value":"x"}`, `{"op":"remove","path":"emails","value":[{"value":"h@x"}]}`,
		`{"op":"replace","value":{"name.givenName":"G","` + EnterpriseUser + `":{"manager":"m"},"active":"False","password":"p"}}`,
		`{"op":"replace","path":"emails.primary","value":false},{"op":"add","path":"roles","value":["r",{"value":"r","primary":true}]}`,
		`{"op":"add","path":"` + EnterpriseUser + `","value":{"department":null}}`, `{"op":"remove","path":"members[value eq \"a\"]"}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, operations string) {
		for typ, body := range map[Type]string{User: patchedUser, Group: `{"displayName":"G","members":[{"value":"a"},{"value":"b"}]}`} {
			current := normalized(t, typ, body)
			before := clone(current.Attributes)
			r, err := Patch(typ, current, patchBody(operations))
			if !reflect.DeepEqual(current.Attributes, before) {
				t.Fatal("the current resource changed")
			}
			if scimType(t, err) == "" {
				checkCanonical(t, typ, r)
			}
		}
	})
}

func FuzzParseName(f *testing.F) {
	for _, seed := range []string{"userName", "NAME.familyname", "emails[type eq \"work\"].value", EnterpriseUser + ":manager", "urn:", "password", "\u212a"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, typ := range []Type{User, Group} {
			name, err := ParseName(typ, text)
			if err != nil {
				if !errors.Is(err, ErrUnknownAttribute) && !errors.Is(err, ErrNotGrantable) {
					t.Fatal(err)
				}
				continue
			}
			if again, err := ParseName(typ, name); again != name || err != nil {
				t.Fatalf("%q is not canonical", name)
			}
			if Mask(name)&Mask(Root(name)) == 0 {
				t.Fatalf("%q and its root share no bit", name)
			}
		}
		Covers(text, text)
		Root(text)
	})
}
