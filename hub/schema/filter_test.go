package schema

import (
	"strings"
	"testing"
	"time"
)

func anna(t *testing.T) Document {
	r := normalized(t, User, `{"userName":"Anna","externalId":"E-1","name":{"familyName":"Straße"},"title":"Chief \"X\"","emails":[
		{"value":"anna@work.example","type":"work","primary":true},{"value":"anna@home.example","type":"home"}],
		"x509Certificates":[{"value":"MII="}],"`+EnterpriseUser+`":{"department":"d","manager":{"value":"M-1"}}}`)
	return Document{ID: "Id-1", Active: true, Attributes: r.Attributes, Version: `W/"3"`,
		Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), LastModified: time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)}
}

func TestFilterMatch(t *testing.T) {
	doc := anna(t)
	for _, c := range []struct {
		filter string
		want   bool
	}{
		// SM-30, SM-33
		{`userName eq "anna"`, true}, {`USERNAME EQ "ANNA"`, true}, {`userName eq "ann"`, false},
		{`userName ne "anna"`, false}, {`userName ne "bob"`, true},
		{`userName co "NN"`, true}, {`userName sw "an"`, true}, {`userName ew "na"`, true}, {`userName ew "an"`, false},
		{`userName gt "a"`, true}, {`userName ge "ANNA"`, true}, {`userName lt "anna"`, false}, {`userName le "anna"`, true},
		{`name.familyName eq "STRASSE"`, true},
		{`urn:ietf:params:scim:schemas:core:2.0:User:userName eq "anna"`, true},
		{`externalId eq "E-1"`, true}, {`externalId eq "e-1"`, false}, // caseExact
		{`id eq "Id-1"`, true}, {`id eq "id-1"`, false}, {`id pr`, true},
		// SM-31
		{`userName eq "x" and userName eq "y" or userName eq "anna"`, true},
		{`userName eq "anna" or userName eq "x" and userName eq "y"`, true},
		{`userName eq "x" and (userName eq "y" or userName eq "anna")`, false},
		{`not (userName eq "x") and userName eq "anna"`, true},
		{`not (userName eq "anna" or userName eq "x")`, false},
		{`not(userName eq "x")`, true},
		// SM-32
		{`active eq true`, true}, {`active eq false`, false}, {`active ne true`, false}, {`active eq "True"`, true},
		{`title eq "chief \"x\""`, true}, {`userName eq "\u0041nna"`, true},
		{`nickName eq null`, true}, {`userName eq null`, false}, {`userName ne null`, true},
		// SM-34
		{`emails.value ew "home.example"`, true}, {`emails.type eq "work"`, true}, {`emails eq "anna@home.example"`, true},
		{`emails[type eq "work" and value co "@work"]`, true},
		{`emails[type eq "work" and value co "@home"]`, false},
		{`emails[not (type eq "work")]`, true},
		{`emails[primary eq false and type eq "home"]`, true},
		{`emails[type eq "work"].value eq "ANNA@work.example"`, true}, // Entra ID
		{`emails[type eq "work"].value eq "anna@home.example"`, false},
		// SM-36
		{`name pr`, true}, {`emails pr`, true}, {`nickName pr`, false}, {`addresses pr`, false}, {`name.givenName pr`, false},
		{`nickName eq "x"`, false}, {`nickName ne "x"`, true},
		// SM-25: an attribute of the other type has no value
		{`members.value eq "x"`, false}, {`members pr`, false},
		// extension
		{enterprise + `manager.value eq "M-1"`, true}, {`id eq "Id-1" and manager eq "M-1"`, true}, {`department eq "D"`, true}, {`manager pr`, true},
		// meta and schemas
		{`meta.lastModified gt "2026-02-03T05:05:05+01:00"`, true}, {`meta.lastModified lt "2026-02-03T04:05:06Z"`, false},
		{`meta.created eq "2026-01-02T03:04:05Z"`, true}, {`meta.resourceType eq "User"`, true},
		{`schemas eq "` + EnterpriseUser + `"`, true}, {`meta.version eq "W/\"3\""`, true}, {`meta.location pr`, false},
		{`x509Certificates.value eq "MII="`, true},
	} {
		f, err := ParseFilter(c.filter)
		if err != nil {
			t.Errorf("%s: %v", c.filter, err)
			continue
		}
		if got := f.Match(User, doc); got != c.want {
			t.Errorf("%s = %v", c.filter, got)
		}
	}
	if !(Filter{}).Match(User, doc) {
		t.Error("the zero filter selects all")
	}
	group := Document{ID: "g", Attributes: Attributes{"displayName": "Admins", "members": []any{map[string]any{"value": "u1"}}}}
	for filter, want := range map[string]bool{`displayName eq "admins"`: true, `members[value eq "u1"]`: true, `members.value eq "U1"`: false, `active eq true`: false, `active pr`: false} {
		if f, err := ParseFilter(filter); err != nil || f.Match(Group, group) != want {
			t.Errorf("%s on a group is not %v (%v)", filter, want, err)
		}
	}
}

func TestFilterRefuses(t *testing.T) { // SM-35, SM-37
	for _, filter := range []string{
		``, ` `, `userName`, `userName eq`, `userName xx "a"`, `eq "a"`, `userName eq "a`, `userName eq 'a'`, `userName eq a`,
		`userName eq "a" and`, `userName eq "a" userName eq "b"`, `(userName eq "a"`, `userName eq "a")`, `not userName eq "a"`,
		`userName eq "\x"`, `userName eq "a" xor userName eq "b"`, `emails[type eq "a"`, `emails[]`, `emails[bogus eq "a"]`, `emails[userName eq "a"]`,
		`emails[type eq "a"].bogus eq "x"`, `emails[type eq "a"].value`, `userName[value eq "x"]`, `emails.value[type eq "x"]`, `emails[value[type eq "x"]]`,
		`active gt true`, `active co "t"`, `active eq "maybe"`, `active eq 1`, `active gt "true"`, `active co "true"`,
		`x509Certificates.value gt "a"`, `userName eq 5`, `userName eq true`, `userName gt null`,
		`name eq "x"`, `shoeSize eq "x"`, `meta.created gt "yesterday"`, `meta.created co "2026"`,
		`password eq "x"`, `password pr`, `urn:x eq "a"`,
		strings.Repeat("(", 33) + `userName pr` + strings.Repeat(")", 33),
		strings.Repeat("not (", 33) + `userName pr` + strings.Repeat(")", 33),
		`userName eq "` + strings.Repeat("a", maxFilterLength) + `"`,
		"userName\teq \"a\"",
	} {
		f, err := ParseFilter(filter)
		if scimType(t, err) != InvalidFilter {
			t.Errorf("%s: %v, %v", filter, f, err)
		}
	}
	if _, err := ParseFilter(strings.Repeat("(", 32) + `userName pr` + strings.Repeat(")", 32)); err != nil {
		t.Errorf("32 levels: %v", err)
	}
	if _, err := ParseFilter(`userName eq "anna@example.com" foo`); strings.Contains(err.Error(), "anna") {
		t.Errorf("the error quotes: %v", err)
	}
}

func TestFilterEquality(t *testing.T) {
	for _, c := range []struct {
		filter, name, value string
		ok                  bool
	}{
		{`userName eq "BJensen"`, "username", "bjensen", true},
		{`(userName eq "BJensen")`, "username", "bjensen", true},
		{`externalId eq "AbC"`, "externalid", "AbC", true},
		{`emails eq "A@x"`, "emails.value", "a@x", true},
		{`emails.value eq "A@x"`, "emails.value", "a@x", true},
		{`displayName eq "Admins"`, "displayname", "admins", true},
		{`manager eq "M"`, strings.ToLower(enterprise) + "manager.value", "M", true},
		{`userName ne "x"`, "", "", false},
		{`userName eq null`, "", "", false},
		{`active eq true`, "", "", false},
		{`userName eq "x" and active eq true`, "", "", false},
		{`not (userName eq "x")`, "", "", false},
		{`emails[type eq "work"].value eq "x"`, "", "", false},
		{`emails[value eq "x"]`, "", "", false},
	} {
		f, err := ParseFilter(c.filter)
		if err != nil {
			t.Errorf("%s: %v", c.filter, err)
			continue
		}
		name, value, ok := f.Equality()
		if ok != c.ok || ok && (name != c.name || value != c.value) {
			t.Errorf("%s: %q %q %v", c.filter, name, value, ok)
		}
	}
	if _, _, ok := (Filter{}).Equality(); ok {
		t.Error("the zero filter is no equality")
	}
}
