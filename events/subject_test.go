package events_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"tidings/events"
)

// Each format takes its members and nothing else (FM-01 to FM-05, SI-01 to SI-03, SV-02).
func TestParseSubject(t *testing.T) {
	tests := []struct {
		id, in, want string // an empty want: refused
	}{
		{"account", `{"format":"account","uri":"acct:ann@example.com"}`, `{"format":"account","uri":"acct:ann@example.com"}`},
		{"account of no host", `{"format":"account","uri":"acct:ann@"}`, ""},
		{"account of another scheme", `{"format":"account","uri":"https://example.com/ann"}`, ""},
		{"email", `{"email":"ann@example.com","format":"email"}`, `{"format":"email","email":"ann@example.com"}`},
		{"email, non-ASCII", `{"format":"email","email":"änn@example.com"}`, `{"format":"email","email":"änn@example.com"}`},
		{"email with display name", `{"format":"email","email":"Ann <ann@example.com>"}`, ""},
		{"email in brackets", `{"format":"email","email":"<ann@example.com>"}`, ""},
		{"email with comment", `{"format":"email","email":"ann@example.com (Ann)"}`, ""},
		{"email of two", `{"format":"email","email":"ann@example.com,bob@example.com"}`, ""},
		{"email without @", `{"format":"email","email":"ann"}`, ""},
		{"iss_sub", `{"sub":"7","iss":"https://i.example/","format":"iss_sub"}`, `{"format":"iss_sub","iss":"https://i.example/","sub":"7"}`},
		{"FM-06 iss missing", `{"format":"iss_sub","sub":"7"}`, ""},
		{"opaque", `{"format":"opaque","id":"a<b>&\"\u0001"}`, `{"format":"opaque","id":"a<b>&\"\u0001"}`},
		{"FM-03 empty", `{"format":"opaque","id":""}`, ""},
		{"FM-03 null", `{"format":"opaque","id":null}`, ""},
		{"FM-03 number", `{"format":"opaque","id":7}`, ""},
		{"FM-01 extra member", `{"format":"email","email":"ann@example.com","id":"7"}`, ""},
		{"FM-01 format missing", `{"id":"7"}`, ""},
		{"FM-01 names have case", `{"Format":"opaque","ID":"7"}`, ""},
		{"FM-02 unknown format", `{"format":"shoe_size","id":"7"}`, ""},
		{"format no string", `{"format":["opaque"],"id":"7"}`, ""},
		{"RI-22 subject_type", `{"subject_type":"opaque","id":"7"}`, ""},
		{"phone_number", `{"format":"phone_number","phone_number":"+493012345"}`, `{"format":"phone_number","phone_number":"+493012345"}`},
		{"SI-03 phone", `{"format":"phone","phone_number":"+493012345"}`, `{"format":"phone_number","phone_number":"+493012345"}`},
		{"phone without plus", `{"format":"phone_number","phone_number":"493012345"}`, ""},
		{"phone with spaces", `{"format":"phone_number","phone_number":"+49 30 12345"}`, ""},
		{"phone too long", `{"format":"phone_number","phone_number":"+1234567890123456"}`, ""},
		{"did", `{"format":"did","url":"did:example:123456/did/url/path?versionId=1"}`, `{"format":"did","url":"did:example:123456/did/url/path?versionId=1"}`},
		{"did of another scheme", `{"format":"did","url":"https://example.com"}`, ""},
		{"uri", `{"format":"uri","uri":"urn:uuid:4e851e98-83c4-4743-a5da-150ecb53042f"}`, `{"format":"uri","uri":"urn:uuid:4e851e98-83c4-4743-a5da-150ecb53042f"}`},
		{"uri relative", `{"format":"uri","uri":"/users/1"}`, ""},
		{"aliases sorted, once each",
			`{"format":"aliases","identifiers":[{"id":"b","format":"opaque"},{"format":"opaque","id":"a"},{"format":"opaque","id":"b"}]}`,
			`{"format":"aliases","identifiers":[{"format":"opaque","id":"a"},{"format":"opaque","id":"b"}]}`},
		{"aliases of none", `{"format":"aliases","identifiers":[]}`, ""},
		{"aliases null", `{"format":"aliases","identifiers":null}`, ""},
		{"aliases in aliases", `{"format":"aliases","identifiers":[{"format":"aliases","identifiers":[{"format":"opaque","id":"a"}]}]}`, ""},
		{"complex in aliases", `{"format":"aliases","identifiers":[{"format":"complex","user":{"format":"opaque","id":"a"}}]}`, ""},
		{"complex",
			`{"user":{"sub":"7","format":"iss_sub","iss":"i"},"format":"complex","tenant":{"format":"opaque","id":"t"}}`,
			`{"format":"complex","tenant":{"format":"opaque","id":"t"},"user":{"format":"iss_sub","iss":"i","sub":"7"}}`},
		{"complex with a name of its own", `{"format":"complex","badge":{"format":"opaque","id":"t"}}`, `{"format":"complex","badge":{"format":"opaque","id":"t"}}`},
		{"complex with aliases",
			`{"format":"complex","user":{"format":"aliases","identifiers":[{"format":"opaque","id":"a"}]}}`,
			`{"format":"complex","user":{"format":"aliases","identifiers":[{"format":"opaque","id":"a"}]}}`},
		{"complex of none", `{"format":"complex"}`, ""},
		{"complex of a string", `{"format":"complex","user":"ann"}`, ""},
		{"SI-02 complex in complex", `{"format":"complex","user":{"format":"complex","user":{"format":"opaque","id":"a"}}}`, ""},
		{"jwt_id", `{"format":"jwt_id","iss":"https://i.example","jti":"j"}`, `{"format":"jwt_id","iss":"https://i.example","jti":"j"}`},
		{"saml_assertion_id", `{"format":"saml_assertion_id","issuer":"https://i.example","assertion_id":"_8e"}`, `{"format":"saml_assertion_id","assertion_id":"_8e","issuer":"https://i.example"}`},
		{"ip-addresses", `{"format":"ip-addresses","ip-addresses":["192.0.2.1","2001:db8::1"]}`, `{"format":"ip-addresses","ip-addresses":["192.0.2.1","2001:db8::1"]}`},
		{"ip-addresses of none", `{"format":"ip-addresses","ip-addresses":[]}`, ""},
		{"ip-addresses with a name", `{"format":"ip-addresses","ip-addresses":["localhost"]}`, ""},
		{"SV-02 scim", `{"format":"scim","uri":"/Users/2b"}`, `{"format":"scim","uri":"/Users/2b"}`},
		{"SV-03 scim with more", `{"format":"scim","uri":"/Users/2b","externalId":"jdoe","id":"2b"}`, `{"format":"scim","externalId":"jdoe","id":"2b","uri":"/Users/2b"}`},
		{"scim elsewhere", `{"format":"scim","uri":"https://other.example/Users/2b"}`, ""},
		{"scim elsewhere, no scheme", `{"format":"scim","uri":"//other.example/Users/2b"}`, ""},
		{"member repeated", `{"format":"opaque","id":"a","id":"b"}`, ""},
		{"member repeated by escape", `{"format":"opaque","id":"a","\u0069d":"b"}`, ""},
		{"two values", `{"format":"opaque","id":"a"} {}`, ""},
		{"array", `[{"format":"opaque","id":"a"}]`, ""},
		{"nothing", ``, ""},
		{"not UTF-8", "{\"format\":\"opaque\",\"id\":\"\xff\"}", ""},
		{"too large", `{"format":"opaque","id":"` + strings.Repeat("a", events.MaxSubject) + `"}`, ""},
		{"too deep", strings.Repeat(`{"format":"complex","user":`, 200) + `1` + strings.Repeat(`}`, 200), ""},
	}
	for _, test := range tests {
		t.Run(test.id, func(t *testing.T) {
			subject, err := events.ParseSubject([]byte(test.in))
			if test.want == "" {
				if !errors.Is(err, events.ErrSubject) || !subject.IsZero() {
					t.Fatalf("got %#v and error %v, want ErrSubject", subject, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			out, err := json.Marshal(map[string]events.Subject{"s": subject})
			if err != nil {
				t.Fatal(err)
			}
			// Inside another value encoding/json escapes <, > and & anew.
			var back map[string]events.Subject
			if err := json.Unmarshal(out, &back); err != nil || back["s"] != subject {
				t.Errorf("%s read back as another subject (%v)", out, err)
			}
			if text, _ := subject.MarshalJSON(); string(text) != test.want {
				t.Errorf("got %s\nwant %s", text, test.want)
			}
		})
	}
}

// A constructor gives what parsing its JSON gives, or the zero Subject.
func TestSubjectConstructors(t *testing.T) {
	user := events.IssSub("https://i.example", "7")
	tests := []struct {
		made events.Subject
		json string
	}{
		{user, `{"format":"iss_sub","iss":"https://i.example","sub":"7"}`},
		{events.Email("ann@example.com"), `{"format":"email","email":"ann@example.com"}`},
		{events.Phone("+493012345"), `{"format":"phone_number","phone_number":"+493012345"}`},
		{events.Opaque("s-1"), `{"format":"opaque","id":"s-1"}`},
		{events.SCIM("/Users/2b", ""), `{"format":"scim","uri":"/Users/2b"}`},
		{events.SCIM("/Users/2b", "jdoe"), `{"format":"scim","uri":"/Users/2b","externalId":"jdoe"}`},
		{events.Complex(map[string]events.Subject{"user": user, "tenant": events.Opaque("t")}),
			`{"format":"complex","user":{"format":"iss_sub","iss":"https://i.example","sub":"7"},"tenant":{"format":"opaque","id":"t"}}`},
	}
	for _, test := range tests {
		parsed, err := events.ParseSubject([]byte(test.json))
		if err != nil {
			t.Fatal(err)
		}
		if !parsed.Equal(test.made) || parsed != test.made {
			t.Errorf("constructor and %s differ", test.json)
		}
	}
	for name, zero := range map[string]events.Subject{
		"iss_sub":            events.IssSub("", "7"),
		"email":              events.Email("ann"),
		"phone":              events.Phone("030 12345"),
		"opaque":             events.Opaque(""),
		"opaque, not UTF-8":  events.Opaque("\xff"),
		"opaque, too large":  events.Opaque(strings.Repeat("a", events.MaxSubject)),
		"scim":               events.SCIM("Users/2b", ""),
		"complex of none":    events.Complex(nil),
		"complex of zero":    events.Complex(map[string]events.Subject{"user": {}}),
		"complex of complex": events.Complex(map[string]events.Subject{"user": events.Complex(map[string]events.Subject{"user": user})}),
		"complex, no name":   events.Complex(map[string]events.Subject{"": user}),
		"complex, format":    events.Complex(map[string]events.Subject{"format": user}),
	} {
		if !zero.IsZero() {
			t.Errorf("%s: made a subject, want zero", name)
		}
	}
}

func TestSubjectMembers(t *testing.T) {
	user, tenant := events.IssSub("https://i.example", "7"), events.Opaque("t")
	both := events.Complex(map[string]events.Subject{"user": user, "tenant": tenant})
	if got := user.Member("sub"); got != "7" {
		t.Errorf("Member(sub) = %q", got)
	}
	if got := user.Member("nothing"); got != "" {
		t.Errorf("Member(nothing) = %q", got)
	}
	if got := both.Member("user"); got != "" {
		t.Errorf("a complex member is no string, got %q", got)
	}
	if got, ok := both.Part("user"); !ok || got != user || got.Format() != events.FormatIssSub {
		t.Errorf("Part(user) = %#v, %v", got, ok)
	}
	if _, ok := both.Part("format"); ok {
		t.Error("format is no part")
	}
	if got := both.Parts(); len(got) != 2 || got["tenant"] != tenant {
		t.Errorf("Parts = %v", got)
	}
	if got := user.Identifiers(); len(got) != 1 || got[0] != user {
		t.Errorf("Identifiers of a simple subject = %v", got)
	}
}

// A subject's values do not reach a log through fmt.
func TestSubjectPrintsItsFormatOnly(t *testing.T) {
	for _, verb := range []string{"%v", "%+v", "%s", "%#v", "%q"} {
		if out := fmt.Sprintf(verb, events.Email("ann@example.com")); strings.Contains(out, "ann") {
			t.Errorf("%s prints %s", verb, out)
		}
	}
}

func parse(t *testing.T, text string) events.Subject {
	t.Helper()
	s, err := events.ParseSubject([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSubjectMatches(t *testing.T) {
	a, b := events.Opaque("a"), events.Opaque("b")
	complex := func(pairs ...any) events.Subject {
		members := map[string]events.Subject{}
		for i := 0; i < len(pairs); i += 2 {
			members[pairs[i].(string)] = pairs[i+1].(events.Subject)
		}
		return events.Complex(members)
	}
	aliases := parse(t, `{"format":"aliases","identifiers":[{"format":"opaque","id":"a"},{"format":"email","email":"ann@example.com"}]}`)
	others := parse(t, `{"format":"aliases","identifiers":[{"format":"opaque","id":"x"},{"format":"email","email":"ann@example.com"}]}`)
	tests := []struct {
		id          string
		left, right events.Subject
		want        bool
	}{
		{"MA-01 same", a, parse(t, `{"id":"a","format":"opaque"}`), true},
		{"MA-01 other value", a, b, false},
		{"MA-01 other format", events.IssSub("i", "a"), a, false},
		{"MA-01 one member differs", events.IssSub("i", "a"), events.IssSub("i", "b"), false},
		{"MA-02 equal", complex("user", a), complex("user", a), true},
		{"MA-02 one differs", complex("user", a, "tenant", a), complex("user", b, "tenant", a), false},
		{"MA-03 event narrower", complex("tenant", a), complex("tenant", a, "user", b), true},
		{"MA-04 other group", complex("user", a, "group", a), complex("user", a, "group", b), false},
		{"MA-05 format is no member", complex("user", a), complex("user", a, "device", b), true},
		{"MA-06 simple and complex", a, complex("user", a), false},
		{"MA-07 nothing in common", complex("user", a), complex("tenant", b), true},
		{"MA-08 alias", aliases, a, true},
		{"MA-08 no alias", aliases, b, false},
		{"MA-08 aliases of both", aliases, others, true},
		{"MA-08 alias in complex", complex("user", aliases, "tenant", b), complex("user", a), true},
		{"zero", events.Subject{}, events.Subject{}, false},
		{"zero and complex", events.Subject{}, complex("user", a), false},
	}
	for _, test := range tests {
		t.Run(test.id, func(t *testing.T) {
			if got := test.left.Matches(test.right); got != test.want {
				t.Errorf("Matches = %v, want %v", got, test.want)
			}
			if got := test.right.Matches(test.left); got != test.want {
				t.Errorf("the other way: Matches = %v, want %v", got, test.want)
			}
		})
	}
}

// MA-07: a complex subject of unknown members would match all.
func TestSubjectAddable(t *testing.T) {
	for _, name := range []string{"user", "device", "session", "application", "tenant", "org_unit", "group"} {
		if !events.Complex(map[string]events.Subject{name: events.Opaque("a")}).Addable() {
			t.Errorf("complex of %s is not addable", name)
		}
	}
	if events.Complex(map[string]events.Subject{"badge": events.Opaque("a")}).Addable() {
		t.Error("complex of unknown members is addable")
	}
	if !events.Opaque("a").Addable() || (events.Subject{}).Addable() {
		t.Error("a simple subject is addable, zero is not")
	}
}

// What is parsed is held in its one canonical form, which parses to itself.
func FuzzParseSubject(f *testing.F) {
	for _, seed := range []string{
		`{"format":"email","email":"ann@example.com"}`,
		`{"format":"phone","phone_number":"+493012345"}`,
		`{"format":"complex","user":{"format":"iss_sub","iss":"i","sub":"7"},"\u0000":{"format":"opaque","id":"\ud800"}}`,
		`{"format":"aliases","identifiers":[{"format":"opaque","id":"b"},{"format":"account","uri":"acct:a@b"}]}`,
		`{"format":"ip-addresses","ip-addresses":["192.0.2.1"]}`,
		`{"format":"scim","uri":"/Users/2b","externalId":"x"}`,
		`{"format":"did","url":"did:a:b"}`, `{"format":"uri","uri":"a:b"}`, `[[[[`, `{"format":1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		subject, err := events.ParseSubject(data)
		if err != nil {
			if !errors.Is(err, events.ErrSubject) || !subject.IsZero() {
				t.Fatalf("error %v with %#v", err, subject)
			}
			return
		}
		text, _ := subject.MarshalJSON()
		again, err := events.ParseSubject(text)
		if err != nil || again != subject {
			t.Fatalf("%s is not canonical: %v", text, err)
		}
		if !subject.Matches(again) {
			t.Fatalf("%s does not match itself", text)
		}
		for name, part := range subject.Parts() {
			if one, ok := subject.Part(name); !ok || one != part || part.IsZero() {
				t.Fatalf("part of %s is lost", text)
			}
		}
	})
}
