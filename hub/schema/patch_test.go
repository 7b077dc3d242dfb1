package schema

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func patchBody(operations ...string) []byte {
	return []byte(`{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[` + strings.Join(operations, ",") + `]}`)
}

const patchedUser = `{"userName":"u","title":"t","name":{"givenName":"g","familyName":"f"},
	"emails":[{"value":"w@x","type":"work","primary":true},{"value":"h@x","type":"home"}],
	"roles":[{"value":"r"}],"` + EnterpriseUser + `":{"department":"d","manager":{"value":"m"}}}`

func TestPatchUser(t *testing.T) {
	const urn = EnterpriseUser
	for _, c := range []struct {
		about, operation string
		changed          string // comma-separated Diff
		holds            string // a filter that the result matches
	}{
		// SM-45 add
		{"add absent", `{"op":"add","path":"nickName","value":"n"}`, "nickName", `nickName eq "n"`},
		{"add single replaces", `{"op":"add","path":"title","value":"T2"}`, "title", `title eq "T2"`},
		{"add same", `{"op":"add","path":"title","value":"t"}`, "", ``},
		{"add null", `{"op":"add","path":"title","value":null}`, "", ``},
		{"add element", `{"op":"add","path":"emails","value":[{"value":"o@x","type":"other"}]}`, "emails", `emails[value eq "o@x"] and emails[value eq "w@x"]`},
		{"add element, one object", `{"op":"add","path":"emails","value":{"value":"o@x"}}`, "emails", `emails.value eq "o@x"`},
		{"add existing element", `{"op":"add","path":"emails","value":[{"value":"h@x","type":"home"}]}`, "", ``},
		{"add existing element without its primary", `{"op":"add","path":"emails","value":[{"value":"w@x","type":"work"}]}`, "", ``},
		{"add without path", `{"op":"add","value":{"nickName":"n","emails":[{"value":"o@x"}]}}`, "emails,nickName", `nickName eq "n" and emails.value eq "w@x"`},
		{"add complex", `{"op":"add","path":"name","value":{"middleName":"m"}}`, "name.middleName", `name.givenName eq "g"`},
		{"op in capitals, SM-41", `{"op":"Add","path":"nickName","value":"n"}`, "nickName", ``},
		// SM-46 replace
		{"replace absent", `{"op":"replace","path":"nickName","value":"n"}`, "nickName", ``},
		{"replace complex merges", `{"op":"replace","path":"name","value":{"givenName":"G"}}`, "name.givenName", `name.familyName eq "f"`},
		{"replace complex with null", `{"op":"replace","path":"name","value":{"givenName":null}}`, "name.givenName", `name.familyName eq "f"`},
		{"replace sub", `{"op":"replace","path":"name.familyName","value":"F"}`, "name.familyName", ``},
		{"replace with null", `{"op":"replace","path":"title","value":null}`, "title", `not (title pr)`},
		{"replace with empty", `{"op":"replace","path":"title","value":""}`, "title", `not (title pr)`},
		{"replace list", `{"op":"replace","path":"emails","value":[{"value":"o@x"}]}`, "emails", `not (emails.value eq "w@x")`},
		{"replace with the same list in another order", `{"op":"replace","path":"emails","value":[{"value":"h@x","type":"home"},{"value":"w@x","type":"work","primary":true}]}`, "", ``},
		{"replace with empty list", `{"op":"replace","path":"emails","value":[]}`, "emails", `not (emails pr)`},
		{"replace element", `{"op":"replace","path":"emails[type eq \"home\"]","value":{"value":"n@x","type":"home"}}`, "emails", `emails[type eq "home" and value eq "n@x"]`},
		{"replace in element", `{"op":"replace","path":"emails[type eq \"work\"].value","value":"n@x"}`, "emails", `emails[type eq "work" and value eq "n@x" and primary eq true]`},
		{"replace in all elements", `{"op":"replace","path":"emails.display","value":"E"}`, "emails", `not (emails[display ne "E"])`},
		{"replace without path", `{"op":"replace","value":{"title":"T","name":{"givenName":"G"}}}`, "name.givenName,title", `name.familyName eq "f"`},
		// SM-47 remove
		{"remove", `{"op":"remove","path":"title"}`, "title", `not (title pr)`},
		{"remove absent", `{"op":"remove","path":"nickName"}`, "", ``},
		{"remove sub", `{"op":"remove","path":"name.givenName"}`, "name.givenName", `name.familyName pr`},
		{"remove absent sub of absent", `{"op":"remove","path":"addresses.region"}`, "", ``},
		{"remove complex", `{"op":"remove","path":"name"}`, "name.familyName,name.givenName", `not (name pr)`},
		{"remove elements", `{"op":"remove","path":"emails"}`, "emails", `not (emails pr)`},
		{"remove element", `{"op":"remove","path":"emails[type eq \"work\"]"}`, "emails", `emails.value eq "h@x" and not (emails.value eq "w@x")`},
		{"remove no element", `{"op":"remove","path":"emails[type eq \"other\"]"}`, "", ``},
		{"remove in element", `{"op":"remove","path":"emails[type eq \"work\"].type"}`, "emails", `emails[value eq "w@x" and not (type pr)]`},
		{"remove the last in element", `{"op":"remove","path":"roles[value eq \"r\"].value"}`, "roles", `not (roles pr)`},
		{"remove by part of a value", `{"op":"remove","path":"emails","value":[{"value":"h@x"}]}`, "emails", `emails.value eq "w@x" and not (emails.value eq "h@x")`},
		{"remove by plain value", `{"op":"remove","path":"emails","value":"h@x"}`, "emails", `emails.value eq "w@x"`},
		{"remove by no value", `{"op":"remove","path":"emails","value":[]}`, "", ``},
		{"remove by a value not there", `{"op":"remove","path":"emails","value":[{"value":"z@x"}]}`, "", ``},
		// SM-48
		{"primary wins", `{"op":"add","path":"emails","value":[{"value":"o@x","primary":true}]}`, "emails", `emails[value eq "o@x" and primary eq true] and not (emails[value eq "w@x" and primary eq true])`},
		{"primary of an existing one", `{"op":"add","path":"emails","value":[{"value":"h@x","type":"home","primary":true}]}`, "emails", `emails[value eq "h@x" and primary eq true] and not (emails[value eq "w@x" and primary eq true])`},
		{"primary by path", `{"op":"replace","path":"emails[type eq \"home\"].primary","value":true}`, "emails", `emails[type eq "home" and primary eq true] and not (emails[type eq "work" and primary eq true])`},
		{"primary no more", `{"op":"replace","path":"emails[type eq \"work\"].primary","value":"False"}`, "emails", `not (emails.primary eq true)`},
		{"primary still", `{"op":"replace","path":"emails[type eq \"work\"].primary","value":true}`, "", ``},
		// Entra ID
		{"Entra: new element", `{"op":"Add","path":"phoneNumbers[type eq \"mobile\"].value","value":"+1"}`, "phoneNumbers", `phoneNumbers[type eq "mobile" and value eq "+1"]`},
		{"Entra: replace what is not there", `{"op":"Replace","path":"phoneNumbers[type eq \"mobile\"].value","value":"+1"}`, "phoneNumbers", `phoneNumbers[type eq "mobile" and value eq "+1"]`},
		{"Entra: spelling of the filter is kept", `{"op":"Add","path":"ims[type eq \"XMPP\"].value","value":"x"}`, "ims", `ims[type eq "xmpp"]`},
		{"Entra: element by two", `{"op":"Add","path":"addresses[type eq \"work\" and primary eq true].locality","value":"L"}`, "addresses", `addresses[type eq "work" and locality eq "L" and primary eq true]`},
		{"Entra: new primary role", `{"op":"Add","path":"roles[primary eq \"True\"].value","value":"{\"id\":1}"}`, "roles", `roles[primary eq true and value sw "{"]`},
		{"Entra: role list", `{"op":"Add","path":"roles","value":[{"value":"{\"id\":1}"}]}`, "roles", ``},
		{"Entra: nothing to make", `{"op":"Replace","path":"phoneNumbers[type eq \"mobile\"].value","value":""}`, "", ``},
		{"Entra: manager as list", `{"op":"Add","path":"` + urn + `:manager","value":[{"$ref":"x","value":"m2"}]}`, enterprise + "manager.value", `manager eq "m2"`},
		{"Entra: manager as text", `{"op":"Replace","path":"` + urn + `:manager","value":"m2"}`, enterprise + "manager.value", `manager eq "m2"`},
		{"Entra: no manager", `{"op":"Replace","path":"` + urn + `:manager","value":""}`, enterprise + "manager.value", `not (manager pr) and department eq "d"`},
		{"Entra: manager.value", `{"op":"replace","path":"` + urn + `:manager.value","value":"m2"}`, enterprise + "manager.value", ``},
		{"Entra: value in a list", `{"op":"Replace","path":"title","value":[{"$ref":null,"value":"T"}]}`, "title", `title eq "T"`},
		{"Entra: no path, keys are paths", `{"op":"replace","value":{"name.givenName":"G","` + urn + `:department":"D","active":true,"emails[type eq \"work\"].value":"n@x"}}`,
			"emails,name.givenName," + enterprise + "department", `name.familyName eq "f" and manager eq "m" and emails[type eq "work" and value eq "n@x"]`},
		{"no path, extension", `{"op":"add","value":{"` + strings.ToUpper(urn) + `":{"Division":"v","manager":{"displayName":"M"}}}}`, enterprise + "division", `division eq "v" and manager eq "m"`},
		{"extension by path", `{"op":"replace","path":"` + urn + `","value":{"department":"D"}}`, enterprise + "department", `manager eq "m"`},
		{"remove extension", `{"op":"remove","path":"` + urn + `"}`, enterprise + "department," + enterprise + "manager.value", ``},
		{"no path, readOnly ignored", `{"op":"replace","value":{"id":"1","schemas":[],"groups":[{"value":"x"}],"title":"T","shoe":null}}`, "title", ``},
		{"core URN", `{"op":"replace","path":"urn:ietf:params:scim:schemas:core:2.0:User:title","value":"T"}`, "title", ``},
	} {
		current := normalized(t, User, patchedUser)
		before := marshal(t, current)
		r, err := Patch(User, current, patchBody(c.operation))
		if err != nil {
			t.Errorf("%s: %v", c.about, err)
			continue
		}
		if got := strings.Join(Diff(User, current.Attributes, r.Attributes), ","); got != c.changed {
			t.Errorf("%s: changed %q, want %q: %s", c.about, got, c.changed, marshal(t, r.Attributes))
		}
		if c.holds != "" {
			f, err := ParseFilter(c.holds)
			if err != nil || !f.Match(User, Document{Attributes: r.Attributes}) {
				t.Errorf("%s: %s is not so (%v): %s", c.about, c.holds, err, marshal(t, r.Attributes))
			}
		}
		if again, err := Normalize(User, r.Attributes); err != nil || !reflect.DeepEqual(again.Attributes, r.Attributes) {
			t.Errorf("%s: the result is not canonical (%v): %s", c.about, err, marshal(t, r.Attributes))
		}
		if !r.Active || r.Password {
			t.Errorf("%s: active %v, password %v", c.about, r.Active, r.Password)
		}
		if after := marshal(t, current); after != before {
			t.Errorf("%s: the current resource changed to %s", c.about, after)
		}
	}
}

func TestPatchActiveAndPassword(t *testing.T) {
	for _, c := range []struct {
		operation        string
		active, password bool
	}{
		{`{"op":"Replace","path":"active","value":"False"}`, false, false}, // Entra ID
		{`{"op":"replace","path":"active","value":false}`, false, false},
		{`{"op":"replace","value":{"active":false}}`, false, false}, // Okta
		{`{"op":"replace","value":{"active":"True"}}`, true, false},
		{`{"op":"Add","path":"Active","value":[{"value":"false"}]}`, true, false},
		{`{"op":"replace","path":"password","value":"hunter2"}`, true, true},
		{`{"op":"add","value":{"password":"hunter2"}}`, true, true},
		{`{"op":"replace","path":"password","value":null}`, true, false},
		{`{"op":"remove","path":"password"}`, true, false},
	} {
		r, err := Patch(User, normalized(t, User, patchedUser), patchBody(c.operation))
		if strings.Contains(c.operation, `[{"value":"false"}]`) {
			if scimType(t, err) != InvalidValue {
				t.Errorf("%s: %v", c.operation, err)
			}
			continue
		}
		removed := strings.Contains(c.operation, "null") || strings.Contains(c.operation, "remove") // MP-10
		if err != nil || r.Active != c.active || r.Password != c.password || r.PasswordRemoved != removed {
			t.Errorf("%s: %+v, %v", c.operation, r, err)
		}
		if strings.Contains(marshal(t, r), "hunter2") {
			t.Errorf("a password is kept: %s", marshal(t, r))
		}
	}
	disabled := normalized(t, User, `{"userName":"u","active":false}`)
	if r, err := Patch(User, disabled, patchBody(`{"op":"add","path":"title","value":"x"}`)); err != nil || r.Active {
		t.Errorf("a patch of something else enabled the user: %v", err)
	}
	disabled.Password = true
	if r, err := Patch(User, disabled, patchBody(`{"op":"add","path":"title","value":"x"}`)); err != nil || r.Password {
		t.Errorf("this patch set no password: %v", err)
	}
}

func TestPatchRefuses(t *testing.T) {
	const urn = EnterpriseUser
	for _, c := range []struct{ operation, scimType string }{
		{`{"op":"remove"}`, NoTarget}, // SM-42
		{`{"op":"remove","path":""}`, NoTarget},
		{`{"op":"remove","path":"userName"}`, Mutability},               // SM-47
		{`{"op":"remove","path":"groups"}`, Mutability},                 // SM-47
		{`{"op":"remove","path":"active"}`, Mutability},                 // would enable
		{`{"op":"replace","path":"active","value":null}`, InvalidValue}, // would enable
		{`{"op":"replace","value":{"active":null}}`, InvalidValue},
		{`{"op":"replace","path":"active","value":"s3cret"}`, InvalidValue},
		{`{"op":"replace","path":"userName","value":""}`, InvalidValue},
		{`{"op":"replace","value":{"userName":null}}`, InvalidValue},
		{`{"op":"add","path":"id","value":"s3cret"}`, Mutability}, // SM-49
		{`{"op":"replace","path":"meta.created","value":"s3cret"}`, Mutability},
		{`{"op":"add","path":"groups","value":[{"value":"s3cret"}]}`, Mutability},
		{`{"op":"replace","path":"` + urn + `:manager.displayName","value":"s3cret"}`, Mutability},
		{`{"op":"replace","path":"emails[type eq \"other\"]","value":{"value":"s3cret"}}`, NoTarget}, // SM-46
		{`{"op":"add","path":"emails[type eq \"other\"]","value":{"value":"s3cret"}}`, NoTarget},
		{`{"op":"replace","path":"emails[type ne \"work\" and type ne \"home\"].value","value":"s3cret"}`, NoTarget},
		{`{"op":"add","path":"phoneNumbers[type eq \"a\" or type eq \"b\"].value","value":"s3cret"}`, NoTarget},
		{`{"op":"add","path":"phoneNumbers[type eq \"a\" and type eq \"b\"].value","value":"s3cret"}`, NoTarget},
		{`{"op":"add","path":"shoeSize","value":"s3cret"}`, InvalidPath}, // SM-49
		{`{"op":"add","path":"department","value":"s3cret"}`, InvalidPath},
		{`{"op":"add","value":{"shoeSize":"s3cret"}}`, InvalidPath},
		{`{"op":"add","path":"emails[","value":"s3cret"}`, InvalidFilter},
		{`{"op":"add","path":"emails[type xx \"s3cret\"].value","value":"s3cret"}`, InvalidFilter},
		{`{"op":"add","path":"emails[type eq \"work\"].bogus","value":"s3cret"}`, InvalidPath},
		{`{"op":"add","path":"emails[type eq \"work\"] x","value":"s3cret"}`, InvalidPath},
		{`{"op":"add","path":"name[givenName eq \"s3cret\"]","value":"x"}`, InvalidPath},
		{`{"op":"add","path":"title[value eq \"s3cret\"]","value":"x"}`, InvalidPath},
		{`{"op":"add","path":"s3cret @","value":"x"}`, InvalidPath},
		{`{"op":"add","path":7,"value":"x"}`, InvalidPath},
		{`{"op":"add","path":"title","value":7}`, InvalidValue}, // SM-49
		{`{"op":"add","path":"title","value":["s3cret","b"]}`, InvalidValue},
		{`{"op":"add","path":"title"}`, InvalidValue},
		{`{"op":"add","value":"s3cret"}`, InvalidValue},
		{`{"op":"add","value":null}`, InvalidValue},
		{`{"op":"replace","path":"name","value":"s3cret"}`, InvalidValue},
		{`{"op":"add","path":"emails","value":[{"value":"s3cret","primary":true},{"value":"b","primary":true}]}`, InvalidValue},
		{`{"op":"replace","path":"emails.primary","value":true}`, InvalidValue}, // SM-48
		{`{"op":"remove","path":"emails","value":[{}]}`, InvalidValue},
		{`{"op":"add","path":"emails","value":[{"shoe":"s3cret"}]}`, InvalidSyntax},
		{`{"op":"add","value":{"title":"s3cret","TITLE":"b"}}`, InvalidSyntax},
		{`{"op":"merge","path":"title","value":"s3cret"}`, InvalidSyntax}, // SM-41
		{`{"path":"title","value":"s3cret"}`, InvalidSyntax},
		{`{"op":"add","OP":"remove","path":"title"}`, InvalidSyntax},
		{`"s3cret"`, InvalidSyntax},
	} {
		current := normalized(t, User, patchedUser)
		// SM-43: the first operation alone would succeed; nothing of it may remain.
		r, err := Patch(User, current, patchBody(`{"op":"replace","path":"emails[type eq \"work\"].value","value":"first@x"}`, c.operation))
		if scimType(t, err) != c.scimType {
			t.Errorf("%s: %v, want %s", c.operation, err, c.scimType)
		} else if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the error quotes: %v", c.operation, err)
		}
		if r.Attributes != nil || strings.Contains(marshal(t, current), "first@x") {
			t.Errorf("%s: something of the patch remains", c.operation)
		}
	}
}

func TestPatchMessage(t *testing.T) { // SM-40
	current := normalized(t, User, patchedUser)
	for _, body := range []string{
		``, `[]`, `{}`,
		`{"Operations":[{"op":"remove","path":"title"}]}`,
		`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"Operations":[{"op":"remove","path":"title"}]}`,
		string(patchBody()),
		string(patchBody(strings.TrimSuffix(strings.Repeat(`{"op":"remove","path":"title"},`, 1001), ","))),
		`{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"remove","path":"title"}],"operations":[]}`,
		`{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"remove","path":"title","path":"userName"}]}`,
	} {
		if _, err := Patch(User, current, []byte(body)); scimType(t, err) != InvalidSyntax {
			t.Errorf("%.200s: %v", body, err)
		}
	}
	lower := `{"schemas":["URN:ietf:params:scim:api:messages:2.0:patchop"],"operations":[{"OP":"remove","Path":"title"}]}`
	if r, err := Patch(User, current, []byte(lower)); err != nil || r.Attributes["title"] != nil {
		t.Errorf("other spelling, SM-08: %v", err)
	}
}

func TestPatchOrder(t *testing.T) { // SM-43
	r, err := Patch(User, normalized(t, User, patchedUser), patchBody(
		`{"op":"remove","path":"title"}`, `{"op":"add","path":"title","value":"a"}`, `{"op":"replace","path":"title","value":"b"}`))
	if err != nil || r.Attributes["title"] != "b" {
		t.Errorf("%v, %v", r.Attributes["title"], err)
	}
}

func TestPatchGroup(t *testing.T) {
	const group = `{"displayName":"G","members":[{"value":"a"},{"value":"b"}]}`
	for _, c := range []struct{ about, operations, want string }{
		{"Entra: add", `{"op":"Add","path":"members","value":[{"$ref":null,"value":"c"}]}`, "a b c"},
		{"Entra: add again, SM-45", `{"op":"Add","path":"members","value":[{"$ref":null,"value":"a"}]}`, "a b"},
		{"Entra: remove with values", `{"op":"Remove","path":"members","value":[{"$ref":null,"value":"a"}]}`, "b"},
		{"Entra: remove by filter", `{"op":"remove","path":"members[value eq \"a\"]"}`, "b"},
		{"Okta: remove and add", `{"op":"remove","path":"members[value eq \"a\"]"},{"op":"add","path":"members","value":[{"value":"c","display":"c@x"}]}`, "b c"},
		{"Okta: full push", `{"op":"replace","path":"members","value":[{"value":"z","display":"z"}]}`, "z"},
		{"full push of nobody", `{"op":"replace","path":"members","value":[]}`, ""},
		{"Okta: rename", `{"op":"replace","value":{"id":"1","displayName":"G"}}`, "a b"},
		{"plain values", `{"op":"remove","path":"members","value":["a","b"]}`, ""},
		{"remove all", `{"op":"remove","path":"members"}`, ""},
		{"ids are case exact", `{"op":"remove","path":"members[value eq \"A\"]"}`, "a b"},
		{"one after another", `{"op":"add","path":"members","value":[{"value":"c"}]},{"op":"remove","path":"members[value eq \"a\"]"},{"op":"replace","path":"members[value eq \"b\"].value","value":"b"},
			{"op":"add","path":"members","value":[{"value":"a"}]},{"op":"remove","path":"members[value sw \"b\"]"},{"op":"remove","path":"members[value eq \"x\"]"}`, "c a"},
		{"removed and added", `{"op":"remove","path":"members"},{"op":"add","value":{"members":[{"value":"b"}]}}`, "b"},
		{"remove by no values", `{"op":"remove","path":"members","value":[]}`, "a b"},
		{"remove by two", `{"op":"remove","path":"members[value eq \"a\" and value sw \"a\"]"}`, "b"},
		{"value again", `{"op":"replace","path":"members[value eq \"a\"].value","value":"a"}`, "a b"},
	} {
		r, err := Patch(Group, normalized(t, Group, group), patchBody(c.operations))
		if err != nil {
			t.Errorf("%s: %v", c.about, err)
			continue
		}
		var values []string
		for _, ref := range References(Group, r.Attributes) {
			values = append(values, ref.Value)
		}
		if got := strings.Join(values, " "); got != c.want {
			t.Errorf("%s: %q, want %q", c.about, got, c.want)
		}
	}
	for operation, want := range map[string]string{
		`{"op":"replace","path":"members[value eq \"a\"].value","value":"z"}`:                  Mutability, // SM-49: immutable
		`{"op":"add","path":"members[value eq \"c\"].value","value":"z"}`:                      Mutability,
		`{"op":"remove","path":"members","value":[{"$ref":"https://x/Users/a"}]}`:              InvalidValue, // says nothing, must not match all
		`{"op":"remove","path":"displayName"}`:                                                 Mutability,
		`{"op":"replace","path":"members[value eq \"a\"].display","value":"x"}`:                Mutability,
		`{"op":"replace","path":"active","value":false}`:                                       InvalidPath,
		`{"op":"replace","path":"urn:ietf:params:scim:schemas:core:2.0:User:title","value":1}`: InvalidPath,
	} {
		if _, err := Patch(Group, normalized(t, Group, group), patchBody(operation)); scimType(t, err) != want {
			t.Errorf("%s: %v, want %s", operation, err, want)
		}
	}
}

func largeGroup(n int) Resource {
	members := make([]any, n)
	for i := range members {
		members[i] = map[string]any{"value": fmt.Sprintf("member-%d", i)}
	}
	return Resource{Attributes: Attributes{"displayName": "G", "members": members}, Active: true}
}

func TestPatchBoundsItsWork(t *testing.T) {
	operations := make([]string, maxOperations)
	for i := range operations {
		operations[i] = `{"op":"remove","path":"members[value sw \"x\"]"}`
	}
	if _, err := Patch(Group, largeGroup(maxLooks/maxOperations), patchBody(operations...)); err != nil {
		t.Errorf("at the bound: %v", err)
	}
	if _, err := Patch(Group, largeGroup(maxLooks/maxOperations+1), patchBody(operations...)); scimType(t, err) != TooMany {
		t.Errorf("above the bound: %v", err)
	}
	wide := `{"op":"remove","path":"members[not (` + strings.Repeat(`value pr and `, 100) + `value pr or value pr)]"}`
	if _, err := Patch(Group, largeGroup(maxLooks/102), patchBody(wide)); err != nil {
		t.Errorf("at the bound: %v", err)
	}
	if _, err := Patch(Group, largeGroup(maxLooks/102+1), patchBody(wide)); scimType(t, err) != TooMany {
		t.Errorf("above the bound: %v", err)
	}
}

// BenchmarkPatchLargeGroup is the dearest patch that is let in: a thousand operations on a hundred thousand members.
func BenchmarkPatchLargeGroup(b *testing.B) {
	current := largeGroup(100_000)
	var operations []string
	for i := range maxOperations / 2 {
		operations = append(operations, fmt.Sprintf(`{"op":"remove","path":"members[value eq \"member-%d\"]"}`, i),
			fmt.Sprintf(`{"op":"add","path":"members","value":[{"value":"new-%d"}]}`, i))
	}
	body := patchBody(operations...)
	for b.Loop() {
		if _, err := Patch(Group, current, body); err != nil {
			b.Fatal(err)
		}
	}
}
