package schema

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"
)

const enterprise = EnterpriseUser + ":"

func TestParseName(t *testing.T) {
	for _, c := range []struct {
		typ  Type
		text string
		want string
		err  error
	}{
		{User, "userName", "userName", nil},
		{User, "USERNAME", "userName", nil}, // SM-08
		{User, "name", "name", nil},
		{User, "Name.FamilyName", "name.familyName", nil},
		{User, "urn:ietf:params:scim:schemas:core:2.0:User:name.familyName", "name.familyName", nil}, // SM-08
		{User, "URN:IETF:params:scim:schemas:CORE:2.0:user:EMAILS", "emails", nil},
		{User, "emails.value", "emails", nil},
		{User, "externalid", "externalId", nil},
		{User, "active", "active", nil},
		{User, "groups", "groups", nil},
		{User, "groups.display", "groups", nil},
		{User, "department", enterprise + "department", nil},
		{User, "manager.value", enterprise + "manager.value", nil},
		{User, "urn:ietf:params:scim:schemas:extension:enterprise:2.0:user:Manager", enterprise + "manager", nil}, // SH-06
		{Group, "members.value", "members", nil},
		{Group, "displayName", "displayName", nil},
		{Group, "userName", "", ErrUnknownAttribute},
		{Group, "department", "", ErrUnknownAttribute},
		{User, "members", "", ErrUnknownAttribute},
		{User, "name.bogus", "", ErrUnknownAttribute},
		{User, "name.familyName.x", "", ErrUnknownAttribute},
		{User, `emails[type eq "work"].value`, "", ErrUnknownAttribute},
		{User, EnterpriseUser, "", ErrUnknownAttribute},
		{User, "", "", ErrUnknownAttribute},
		{User, "\u212aname", "", ErrUnknownAttribute},
		{User, "nic\u212aName", "", ErrUnknownAttribute}, // a Kelvin sign is no k
		{User, "password", "", ErrNotGrantable},
		{User, CoreUser + ":PassWord", "", ErrNotGrantable},
		{User, "id", "", ErrNotGrantable},
		{User, "meta.created", "", ErrNotGrantable},
		{User, "schemas", "", ErrNotGrantable},
		{"Device", "displayName", "", ErrUnknownAttribute},
	} {
		got, err := ParseName(c.typ, c.text)
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("ParseName(%s, %q) = %q, %v; want %q, %v", c.typ, c.text, got, err, c.want, c.err)
		}
	}
}

func TestParseNameTellsNoValue(t *testing.T) {
	_, err := ParseName(User, "anna@example.com is who")
	if err == nil || strings.Contains(err.Error(), "anna") {
		t.Errorf("error quotes what is not a name: %v", err)
	}
}

func TestParseType(t *testing.T) {
	for text, want := range map[string]Type{"User": User, "user": User, "GROUP": Group} {
		if got, err := ParseType(text); got != want || err != nil {
			t.Errorf("ParseType(%q) = %q, %v", text, got, err)
		}
	}
	if _, err := ParseType("Device"); !errors.Is(err, ErrUnknownType) {
		t.Errorf("ParseType(Device): %v", err)
	}
}

func TestCovers(t *testing.T) {
	manager := enterprise + "manager"
	for _, c := range []struct {
		granted, name string
		want          bool
	}{
		{"name", "name", true},
		{"name", "name.familyName", true},
		{"name.familyName", "name", false},
		{"name.familyName", "name.givenName", false},
		{"name", "nameless", false},
		{manager, manager + ".value", true},
		{manager + ".value", manager, false},
		{"urn:ietf:params:scim:schemas:extension:enterprise:2", manager, false},
		{EnterpriseUser, manager, false},
		{"", "name", false},
	} {
		if got := Covers(c.granted, c.name); got != c.want {
			t.Errorf("Covers(%q, %q) = %v", c.granted, c.name, got)
		}
	}
}

func TestRoot(t *testing.T) {
	for name, want := range map[string]string{
		"name.familyName":            "name",
		"userName":                   "username",
		enterprise + "manager":       strings.ToLower(enterprise) + "manager",
		enterprise + "manager.value": strings.ToLower(enterprise) + "manager",
	} {
		if got := Root(name); got != want {
			t.Errorf("Root(%q) = %q, want %q", name, got, want)
		}
	}
}

// TestMask pins bits: masks stand in databases, so another hash would lose grants.
func TestMask(t *testing.T) {
	for name, bit := range map[string]uint{"userName": 45, "name": 51, "emails": 9, "active": 26, "members": 48, enterprise + "manager": 2} {
		if got := Mask(name); got != 1<<bit {
			t.Errorf("Mask(%q) = %b, want bit %d", name, got, bit)
		}
	}
	var all uint64
	for _, name := range append(Names(User), "members") {
		if all&Mask(name) != 0 {
			t.Errorf("%s shares its bit", name)
		}
		all |= Mask(name)
	}
	if Mask() != 0 {
		t.Error("a mask of nothing has bits")
	}
}

func allNames() []string {
	var names []string
	for _, typ := range []Type{User, Group} {
		for _, f := range indexes[typ].long {
			if !f.managed() && f.attr.Name != "password" {
				names = append(names, f.name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func TestNamesProperties(t *testing.T) {
	names := rapid.SampledFrom(allNames())
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := names.Draw(t, "a"), names.Draw(t, "b"), names.Draw(t, "c")
		if !Covers(a, a) {
			t.Fatalf("%s does not cover itself", a)
		}
		if Covers(a, b) && Covers(b, c) && !Covers(a, c) {
			t.Fatalf("covering is not transitive: %s %s %s", a, b, c)
		}
		if Covers(a, b) && Mask(a)&Mask(b) == 0 {
			t.Fatalf("the index hides that %s covers %s", a, b)
		}
		both := Mask(a, b)
		if both != Mask(a)|Mask(b) || both>>63 != 0 || both == 0 {
			t.Fatalf("Mask(%s, %s) = %x", a, b, both)
		}
		if Root(a) == Root(b) && Mask(a)&Mask(b) == 0 {
			t.Fatalf("%s and %s have one root and no bit in common", a, b)
		}
		if Root(Root(a)) != Root(a) {
			t.Fatalf("Root(%s) is not a root", a)
		}
	})
}

func TestParseNameIsIdempotent(t *testing.T) {
	for _, typ := range []Type{User, Group} {
		for spelling := range indexes[typ].long {
			name, err := ParseName(typ, spelling)
			if err != nil {
				continue
			}
			if again, err := ParseName(typ, name); again != name || err != nil {
				t.Errorf("ParseName(%q) = %q, and of that %q, %v", spelling, name, again, err)
			}
			if _, ok := Describe(name); !ok {
				t.Errorf("%s is not described", name)
			}
		}
		for _, name := range Names(typ) {
			if canonical, err := ParseName(typ, name); canonical != name || err != nil {
				t.Errorf("Names lists %q, which ParseName calls %q, %v", name, canonical, err)
			}
		}
	}
}

func TestDescribe(t *testing.T) {
	for name, multi := range map[string]bool{"emails": true, "members": true, "name": false, enterprise + "manager": false, "bogus": false} {
		if Multivalued(name) != multi {
			t.Errorf("Multivalued(%q) = %v", name, !multi)
		}
	}
	if a, ok := Describe("userName"); !ok || !a.Required || a.CaseExact || a.Uniqueness != "server" { // SH-04
		t.Errorf("userName is described as %+v", a)
	}
	if a, ok := Describe("password"); !ok || a.Mutability != WriteOnly || a.Returned != ReturnedNever { // SH-04
		t.Errorf("password is described as %+v", a)
	}
	if a, _ := Describe("groups"); a.Mutability != ReadOnly {
		t.Errorf("groups is described as %+v", a)
	}
	if a, _ := Describe("externalId"); !a.CaseExact { // SH-02
		t.Errorf("externalId is described as %+v", a)
	}
}

func TestSchemas(t *testing.T) {
	for _, s := range Schemas() {
		for _, a := range s.Attributes {
			if a.Type == "" || a.Mutability == "" || a.Returned == "" || a.Uniqueness == "" { // SH-07
				t.Errorf("%s of %s lacks a characteristic", a.Name, s.ID)
			}
			for _, sub := range a.Sub {
				if sub.Sub != nil { // SH-08
					t.Errorf("%s.%s is complex inside complex", a.Name, sub.Name)
				}
			}
		}
	}
	for _, r := range ResourceTypes() { // SH-10
		if typ, err := ParseType(r.ID); err != nil || typ.URN() != r.Schema {
			t.Errorf("resource type %s: %v", r.ID, err)
		}
	}
}

func TestFold(t *testing.T) {
	for _, c := range [][2]string{
		{"BJensen", "bjensen"},
		{"STRASSE", "straße"},
		{"É", "e\u0301"},
		{"\u212b", "å"}, // Ångström sign
		{"ΣΊΣΥΦΟΣ", "σίσυφος"},
	} {
		if Fold(c[0]) != Fold(c[1]) {
			t.Errorf("Fold(%q) = %q, Fold(%q) = %q", c[0], Fold(c[0]), c[1], Fold(c[1]))
		}
	}
	if Fold("a") == Fold("b") {
		t.Error("different texts fold to one")
	}
}

func TestFoldTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s")
		if once := Fold(s); Fold(once) != once {
			t.Fatalf("folding %q again changes it", s)
		}
	})
}

func TestFoldJoinsAllCases(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		for other := unicode.SimpleFold(r); other > r; other = unicode.SimpleFold(other) {
			if Fold(string(r)) != Fold(string(other)) {
				t.Errorf("%U and %U are one letter in two cases", r, other)
			}
		}
		if unicode.SimpleFold(r) == r {
			continue
		}
		if once := Fold(string(r)); Fold(once) != once {
			t.Errorf("folding %U again changes it", r)
		}
	}
}
