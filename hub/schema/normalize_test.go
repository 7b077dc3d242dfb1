package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// scimType is the keyword of an error, "" of none; any other error fails the test.
func scimType(t *testing.T, err error) string {
	t.Helper()
	var e *Error
	if err != nil && !errors.As(err, &e) {
		t.Fatalf("not an *Error: %v", err)
	}
	if e == nil {
		return ""
	}
	return e.ScimType
}

func object(t *testing.T, text string) map[string]any {
	t.Helper()
	m, err := Parse([]byte(text))
	if err != nil {
		t.Fatalf("parse %s: %v", text, err)
	}
	return m
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestNormalize(t *testing.T) {
	for _, c := range []struct{ about, body, want string }{
		{"canonical spelling, SM-08", `{"USERNAME":"a","NAME":{"GIVENNAME":"b"}}`, `{"userName":"a","name":{"givenName":"b"}}`},
		{"schemas, id and meta go", `{"schemas":["x"],"id":"1","Meta":{"resourceType":"User"},"userName":"a"}`, `{"userName":"a"}`},
		{"externalId stays, SH-02", `{"externalid":"E","userName":"a"}`, `{"externalId":"E","userName":"a"}`},
		{"readOnly ignored, SM-11", `{"userName":"a","groups":[{"value":"g"}]}`, `{"userName":"a"}`},
		{"readOnly ignored whatever its type, SM-11", `{"userName":"a","groups":7}`, `{"userName":"a"}`},
		{"empty is absent, SM-36", `{"userName":"a","title":null,"nickName":"","emails":[],"name":{},"roles":[{}],"addresses":[null,{"locality":""}]}`, `{"userName":"a"}`},
		{"empty stays unknown, SM-36", `{"userName":"a","manager":null}`, `{"userName":"a"}`},
		{"primary false is absent", `{"userName":"a","emails":[{"value":"x","primary":false}]}`, `{"userName":"a","emails":[{"value":"x"}]}`},
		{"primary as text, SM-50", `{"userName":"a","emails":[{"value":"x","primary":"True"}]}`, `{"userName":"a","emails":[{"value":"x","primary":true}]}`},
		{"the same twice is once", `{"userName":"a","emails":[{"value":"x"},{"value":"x","display":null}]}`, `{"userName":"a","emails":[{"value":"x"}]}`},
		{"the same twice, once primary", `{"userName":"a","emails":[{"value":"x"},{"value":"x","primary":true}]}`, `{"userName":"a","emails":[{"value":"x","primary":true}]}`},
		{"enterprise, SH-06", `{"userName":"a","URN:ietf:params:scim:schemas:extension:enterprise:2.0:user":{"Department":"d","manager":{"value":"m","$ref":"../m","displayName":"M"}}}`,
			`{"userName":"a","` + EnterpriseUser + `":{"department":"d","manager":{"value":"m"}}}`},
		{"empty enterprise", `{"userName":"a","` + EnterpriseUser + `":{"department":""}}`, `{"userName":"a"}`},
		{"certificates and roles", `{"userName":"a","x509Certificates":[{"value":"MII="}],"roles":[{"value":"r"}],"entitlements":[{"value":"e"}]}`,
			`{"userName":"a","x509Certificates":[{"value":"MII="}],"roles":[{"value":"r"}],"entitlements":[{"value":"e"}]}`},
	} {
		r, err := Normalize(User, object(t, c.body))
		if err != nil {
			t.Errorf("%s: %v", c.about, err)
			continue
		}
		if want := Attributes(object(t, c.want)); !reflect.DeepEqual(r.Attributes, want) {
			t.Errorf("%s: got %s, want %s", c.about, marshal(t, r.Attributes), c.want)
		}
		if !r.Active || r.Password {
			t.Errorf("%s: active %v, password %v", c.about, r.Active, r.Password)
		}
	}
}

func TestNormalizeGroup(t *testing.T) { // SH-05
	r, err := Normalize(Group, object(t, `{"displayName":"G","members":[
		{"value":"a","$ref":"https://x/Users/a","type":"User","display":"Anna"},{"value":"a"},{"$ref":null,"value":"b"}]}`))
	if want := `{"displayName":"G","members":[{"value":"a"},{"value":"b"}]}`; err != nil || marshal(t, r.Attributes) != want {
		t.Errorf("got %s, %v", marshal(t, r.Attributes), err)
	}
}

func TestNormalizeActiveAndPassword(t *testing.T) {
	for _, c := range []struct {
		body             string
		active, password bool
	}{
		{`{"userName":"a"}`, true, false},
		{`{"userName":"a","active":null}`, true, false},
		{`{"userName":"a","Active":false}`, false, false},
		{`{"userName":"a","active":"False"}`, false, false}, // SM-50
		{`{"userName":"a","password":"hunter2"}`, true, true},
		{`{"userName":"a","PASSWORD":"hunter2"}`, true, true},
		{`{"userName":"a","password":null}`, true, false},
		{`{"userName":"a","password":""}`, true, false},
	} {
		r, err := Normalize(User, object(t, c.body))
		if err != nil || r.Active != c.active || r.Password != c.password {
			t.Errorf("%s: %+v, %v", c.body, r, err)
		}
		if text := marshal(t, r); strings.Contains(text, "hunter2") || strings.Contains(text, "password") {
			t.Errorf("a password is kept: %s", text)
		}
	}
}

func TestNormalizeRefuses(t *testing.T) {
	const secret = "s3cret-value"
	for _, c := range []struct {
		typ                   Type
		body, scimType, names string
	}{
		{User, `{"userName":"a","shoeSize":"s3cret-value"}`, InvalidSyntax, "shoeSize"},
		{User, `{"userName":"a","name":{"nick":"s3cret-value"}}`, InvalidSyntax, "name.nick"},
		{User, `{"userName":"a","emails":[{"valeu":"s3cret-value"}]}`, InvalidSyntax, "emails.valeu"},
		{User, `{"userName":"a","department":"s3cret-value"}`, InvalidSyntax, "department"},
		{User, `{"userName":"a","s3cret-value @":"x"}`, InvalidSyntax, "unknown attribute"},
		{User, `{"userName":"a","username":"s3cret-value"}`, InvalidSyntax, "userName"},
		{User, `{"userName":"a","` + EnterpriseUser + `":{"x":1}}`, InvalidSyntax, EnterpriseUser + ":x"},
		{User, `{"userName":"a","` + EnterpriseUser + `":{"division":"d"},"` + strings.ToUpper(EnterpriseUser) + `":{"division":"e"}}`, InvalidSyntax, EnterpriseUser},
		{User, `{"userName":"a","` + EnterpriseUser + `":"s3cret-value"}`, InvalidValue, EnterpriseUser},
		{User, `{}`, InvalidValue, "userName"},
		{User, `{"userName":""}`, InvalidValue, "userName"},
		{User, `{"userName":17}`, InvalidValue, "userName"},
		{User, `{"userName":["s3cret-value"]}`, InvalidValue, "userName"},
		{User, `{"userName":"a","name":"s3cret-value"}`, InvalidValue, "name"},
		{User, `{"userName":"a","emails":"s3cret-value"}`, InvalidValue, "emails"},
		{User, `{"userName":"a","emails":{"value":"s3cret-value"}}`, InvalidValue, "emails"},
		{User, `{"userName":"a","emails":["s3cret-value"]}`, InvalidValue, "emails"},
		{User, `{"userName":"a","active":"s3cret-value"}`, InvalidValue, "active"},
		{User, `{"userName":"a","password":{"x":"s3cret-value"}}`, InvalidValue, "password"},
		{User, `{"userName":"a","title":"s3cret-value\u0000"}`, InvalidValue, "title"},
		{User, `{"userName":"a","emails":[{"value":"x","primary":true},{"value":"s3cret-value","primary":true}]}`, InvalidValue, "emails"},
		{Group, `{"members":[]}`, InvalidValue, "displayName"},
		{Group, `{"displayName":"a","userName":"x"}`, InvalidSyntax, "userName"},
	} {
		_, err := Normalize(c.typ, object(t, c.body))
		if got := scimType(t, err); got != c.scimType {
			t.Errorf("%s: %v, want %s", c.body, err, c.scimType)
		} else if !strings.Contains(err.Error(), c.names) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: error %v must name %s and no value", c.body, err, c.names)
		}
	}
}

func TestNormalizeBytesOfOtherSources(t *testing.T) {
	_, err := Normalize(User, map[string]any{"userName": "a\xff"})
	if scimType(t, err) != InvalidValue {
		t.Errorf("text that is not UTF-8: %v", err)
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		body string
		ok   bool
	}{
		{`{}`, true},
		{` {"a":{"b":[1,2,{"c":null}]}} `, true},
		{``, false}, {`null`, false}, {`[]`, false}, {`"x"`, false}, {`1`, false},
		{`{} {}`, false}, {`{}x`, false}, {`{`, false}, {`{"a":1,}`, false}, {`{"a":[1,]}`, false},
		{`{"a":1,"a":2}`, false},
		{`{"a":{"b":1,"b":1}}`, false},
		{`{"a":[{"b":1,"\u0062":1}]}`, false},
		{"{\"a\":\"\xff\"}", false},
		{strings.Repeat(`{"a":`, 32) + `1` + strings.Repeat(`}`, 32), true},
		{strings.Repeat(`{"a":`, 33) + `1` + strings.Repeat(`}`, 33), false},
		{`{"a":` + strings.Repeat(`[`, 32) + strings.Repeat(`]`, 32) + `}`, false},
	} {
		m, err := Parse([]byte(c.body))
		if (err == nil) != c.ok {
			t.Errorf("Parse(%s) = %v, %v", c.body, m, err)
		}
		if err != nil && scimType(t, err) != InvalidSyntax {
			t.Errorf("Parse(%s): %v", c.body, err)
		}
	}
	if m := object(t, `{"n":12345678901234567890}`); fmt.Sprint(m["n"]) != "12345678901234567890" {
		t.Errorf("a number lost digits: %v", m["n"])
	}
}

func TestErrorsQuoteNothing(t *testing.T) {
	for _, body := range []string{`{"anna@example.com":1,"anna@example.com":2}`, `{"a":anna@example.com}`} {
		if _, err := Parse([]byte(body)); err == nil || strings.Contains(err.Error(), "anna") {
			t.Errorf("Parse(%s): %v", body, err)
		}
	}
}
