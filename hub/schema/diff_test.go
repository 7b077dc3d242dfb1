package schema

import (
	"slices"
	"testing"
)

func normalized(t *testing.T, typ Type, body string) Resource {
	t.Helper()
	r, err := Normalize(typ, object(t, body))
	if err != nil {
		t.Fatalf("normalize %s: %v", body, err)
	}
	return r
}

func TestDiff(t *testing.T) {
	for _, c := range []struct {
		about, before, after string
		want                 []string
	}{
		{"nothing", `{}`, `{}`, nil},
		{"simple", `{"title":"x"}`, `{"title":"y"}`, []string{"title"}},
		{"case is a difference", `{"title":"x"}`, `{"title":"X"}`, []string{"title"}},
		{"leaves", `{"name":{"givenName":"a","familyName":"b"}}`, `{"name":{"givenName":"c"}}`, []string{"name.familyName", "name.givenName"}},
		{"whole name appears", `{}`, `{"name":{"givenName":"c"}}`, []string{"name.givenName"}},
		{"order", `{"emails":[{"value":"a"},{"value":"b"}]}`, `{"emails":[{"value":"b"},{"value":"a"}]}`, nil},
		{"element", `{"emails":[{"value":"a"}]}`, `{"emails":[{"value":"a","type":"work"}]}`, []string{"emails"}},
		{"one more", `{"emails":[{"value":"a"}]}`, `{"emails":[{"value":"a"},{"value":"b"}]}`, []string{"emails"}},
		{"one less", `{"emails":[{"value":"a"},{"value":"b"}]}`, `{"emails":[{"value":"b"}]}`, []string{"emails"}},
		{"all gone", `{"emails":[{"value":"a"}]}`, `{}`, []string{"emails"}},
		{"value is not the element", `{"roles":[{"value":"a"}]}`, `{"roles":[{"display":"a"}]}`, []string{"roles"}},
		{"sent again in another way, SM-45", `{"emails":[{"value":"a"}],"title":"x"}`, `{"EMAILS":[{"value":"a","primary":false,"display":null}],"Title":"x","nickName":""}`, nil},
		{"extension", `{"` + EnterpriseUser + `":{"department":"d","manager":{"value":"m"}}}`, `{"` + EnterpriseUser + `":{"department":"e","manager":{"value":"n"}}}`,
			[]string{enterprise + "department", enterprise + "manager.value"}},
		{"extension gone", `{"` + EnterpriseUser + `":{"department":"d"}}`, `{}`, []string{enterprise + "department"}},
		{"externalId", `{"externalId":"1"}`, `{"externalId":"2","title":"t"}`, []string{"externalId", "title"}},
	} {
		before, after := object(t, c.before), object(t, c.after)
		before["userName"], after["userName"] = "u", "u"
		b, err := Normalize(User, before)
		if err != nil {
			t.Fatal(err)
		}
		a, err := Normalize(User, after)
		if err != nil {
			t.Fatal(err)
		}
		if got := Diff(User, b.Attributes, a.Attributes); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.about, got, c.want)
		}
		if got := Diff(User, a.Attributes, b.Attributes); !slices.Equal(got, c.want) {
			t.Errorf("%s, backwards: %v, want %v", c.about, got, c.want)
		}
	}
	if got := Diff(User, nil, Attributes{"userName": "u"}); !slices.Equal(got, []string{"userName"}) {
		t.Errorf("from nothing: %v", got)
	}
}

func TestSelect(t *testing.T) {
	r := normalized(t, User, `{"userName":"u","name":{"givenName":"g","familyName":"f"},"emails":[{"value":"e"}],
		"`+EnterpriseUser+`":{"department":"d","manager":{"value":"m"}}}`)
	r.Attributes["groups"] = []any{map[string]any{"value": "g1"}} // derived by the hub
	before := marshal(t, r.Attributes)
	for _, c := range []struct {
		granted []string
		want    string
	}{
		{nil, `{}`},
		{[]string{"title", "active", "bogus", "id"}, `{}`},
		{[]string{"userName"}, `{"userName":"u"}`},
		{[]string{"name"}, `{"name":{"familyName":"f","givenName":"g"}}`},
		{[]string{"name.givenName"}, `{"name":{"givenName":"g"}}`},
		{[]string{"name.middleName"}, `{}`},
		{[]string{"name.givenName", "name.familyName"}, `{"name":{"familyName":"f","givenName":"g"}}`},
		{[]string{"name.givenName", "name"}, `{"name":{"familyName":"f","givenName":"g"}}`},
		{[]string{"name", "name.givenName"}, `{"name":{"familyName":"f","givenName":"g"}}`},
		{[]string{"emails", "groups"}, `{"emails":[{"value":"e"}],"groups":[{"value":"g1"}]}`},
		{[]string{enterprise + "manager"}, `{"` + EnterpriseUser + `":{"manager":{"value":"m"}}}`},
		{[]string{enterprise + "manager.value", enterprise + "department"}, `{"` + EnterpriseUser + `":{"department":"d","manager":{"value":"m"}}}`},
		{[]string{enterprise + "division"}, `{}`},
	} {
		if got := marshal(t, Select(User, r.Attributes, c.granted)); got != c.want {
			t.Errorf("Select(%v) = %s, want %s", c.granted, got, c.want)
		}
	}
	if after := marshal(t, r.Attributes); after != before {
		t.Errorf("selecting changed the attributes: %s", after)
	}
}

func TestReferences(t *testing.T) {
	user := normalized(t, User, `{"userName":"u","`+EnterpriseUser+`":{"manager":{"value":"m"}}}`)
	if got := References(User, user.Attributes); !slices.Equal(got, []Reference{{enterprise + "manager", "m"}}) {
		t.Errorf("of a user: %v", got)
	}
	group := normalized(t, Group, `{"displayName":"g","members":[{"value":"b"},{"value":"a"}]}`)
	if got := References(Group, group.Attributes); !slices.Equal(got, []Reference{{"members", "b"}, {"members", "a"}}) {
		t.Errorf("of a group: %v", got)
	}
	if got := References(User, nil); got != nil {
		t.Errorf("of nothing: %v", got)
	}
	mapped := MapReferences(Group, group.Attributes, func(r Reference) (string, bool) { return r.Value + "!", r.Value == "a" })
	if got := marshal(t, mapped); got != `{"displayName":"g","members":[{"value":"a!"}]}` {
		t.Errorf("mapped: %s", got)
	}
	none := func(Reference) (string, bool) { return "", false }
	if got := marshal(t, MapReferences(Group, group.Attributes, none)); got != `{"displayName":"g"}` {
		t.Errorf("mapped to nothing: %s", got)
	}
	if got := marshal(t, MapReferences(User, user.Attributes, none)); got != `{"userName":"u"}` {
		t.Errorf("mapped to nothing: %s", got)
	}
	if len(References(Group, group.Attributes)) != 2 || len(References(User, user.Attributes)) != 1 {
		t.Error("mapping changed the attributes")
	}
}

func TestURNs(t *testing.T) {
	if got := URNs(User, Attributes{"userName": "u"}); !slices.Equal(got, []string{CoreUser}) {
		t.Error(got)
	}
	if got := URNs(User, Attributes{EnterpriseUser: map[string]any{"department": "d"}}); !slices.Equal(got, []string{CoreUser, EnterpriseUser}) {
		t.Error(got)
	}
}
