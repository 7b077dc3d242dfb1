package subscriptions_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"tidings/consent"
	"tidings/events"
	. "tidings/subscriptions"
)

const enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"

// valued is person where stream, grant and policy let values travel.
func valued(kind consent.Kind, names ...string) Occasion {
	o := person(kind, names...)
	o.Granted = []string{"active", "emails", "groups", "name", "roles", "title", enterprise + ":manager", enterprise + ":department"}
	o.Values = map[string]any{
		"id": subject, "active": true, "title": "Clerk", "name": map[string]any{"familyName": "Berg"},
		"emails":   []any{map[string]any{"value": "old@example.org"}, map[string]any{"value": "kim@example.org", "primary": true}},
		"groups":   []any{map[string]any{"value": "g1", "display": "Sales"}},
		"roles":    []any{map[string]any{"value": "buyer"}},
		enterprise: map[string]any{"department": "Sales"},
	}
	o.Claims = map[string]string{"email": "emails", "family_name": "name.familyName", "groups": "groups", "roles": "roles", "dept": enterprise + ":department"}
	return o
}

// SV-23, SV-25, SV-27, MP-01, MP-02, MP-16, MP-18, MP-19, SV-08, SV-11: what carries values and what is named all the same.
func TestValues(t *testing.T) {
	all := Offer{Profile: Tidings, Values: true}.Supported()
	without := func(out ...events.Type) []events.Type {
		return slices.DeleteFunc(slices.Clone(all), func(t events.Type) bool { return slices.Contains(out, t) })
	}
	const manager = enterprise + ":manager"
	for _, row := range []struct {
		id        string
		occasion  Occasion
		delivered []events.Type
		want      string
	}{
		{"SV-25", valued(consent.Updated, "title"), all, "prov:patch:full"},
		{"SV-27 where only that was asked for", valued(consent.Updated, "title"), without(events.ProvPatchFull), "prov:put:full"},
		{"SV-24 where neither was", valued(consent.Updated, "title"), without(events.ProvPatchFull, events.ProvPutFull), "prov:patch:notice[title]"},
		{"SV-24 without values", with(valued(consent.Updated, "title", "emails"), func(o *Occasion) { o.Values = nil }), all, "prov:patch:notice[emails title]"},
		{"SV-11 pointers are named", valued(consent.Updated, manager, "title"), all, "prov:patch:full, prov:patch:notice[" + manager + "]"},
		{"SV-11 pointers only", valued(consent.Updated, manager), all, "prov:patch:notice[" + manager + "]"},
		{"MP-16 members", with(valued(consent.Updated, "members"), func(o *Occasion) { o.ResourceType = "Group" }), all, "prov:patch:notice[members]"},
		{"MP-18", valued(consent.Added, "title"), all, "feed:add, prov:create:full"},
		{"MP-18 not wanted", valued(consent.Added, "title"), without(events.ProvCreateFull), "feed:add"},
		{"SV-23 MP-01", with(valued(consent.Added, "title", manager), func(o *Occasion) { o.Agreement = true }), all, "prov:create:full, prov:patch:notice[" + manager + "]"},
		{"CA-11 MP-02", valued(consent.Updated, "emails"), []events.Type{events.TokenClaimsChange}, "token-claims-change"},
		{"CA-11 no claim of it", valued(consent.Updated, "title"), []events.Type{events.TokenClaimsChange}, ""},
		{"CA-11 without values", with(valued(consent.Updated, "emails"), func(o *Occasion) { o.Values = nil }), []events.Type{events.TokenClaimsChange}, ""},
		{"MP-05 with others", valued(consent.Disabled, "active", "title"), all, "prov:deactivate, account-disabled, prov:patch:full"},
		{"MP-09 never full", with(valued(""), func(o *Occasion) {
			o.Signal = &Signal{Type: events.CredentialChange, Payload: map[string]any{"credential_type": "password", "change_type": "update"}}
		}), all, "credential-change, prov:patch:notice[password]"},
	} {
		t.Run(row.id, func(t *testing.T) {
			list := Translate(row.occasion, row.delivered)
			if got := told(list); got != row.want {
				t.Errorf("told %q, want %q", got, row.want)
			}
			for _, e := range list {
				if err := events.Validate(e.Type, e.Payload); err != nil {
					t.Errorf("%s: %v", e.Type, err)
				}
			}
		})
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// SV-25, MP-19: a PATCH takes a copy to the present values; what has none any more or left the grant is removed.
func TestPatchFullBody(t *testing.T) {
	o := valued(consent.Updated, "title", "nickName", "name", "active", enterprise+":department")
	got := text(t, Translate(o, []events.Type{events.ProvPatchFull})[0].Payload["data"])
	want := `{"Operations":[{"op":"replace","path":"active","value":true},{"op":"remove","path":"name"},{"op":"replace","path":"name","value":{"familyName":"Berg"}},` +
		`{"op":"remove","path":"nickName"},{"op":"replace","path":"title","value":"Clerk"},{"op":"replace","path":"` + enterprise + `:department","value":"Sales"}],` +
		`"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"]}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// CA-11, MP-03, MP-16, MP-19, MP-23: claims with their new values, null for one that is gone.
func TestTokenClaims(t *testing.T) {
	o := valued(consent.Updated, "emails", "groups", "roles", "name", enterprise+":department")
	delete(o.Values, enterprise)
	list := Translate(o, []events.Type{events.TokenClaimsChange})
	want := `{"dept":null,"email":"kim@example.org","family_name":"Berg","groups":["Sales"],"roles":["buyer"]}`
	if got := text(t, list[0].Payload["claims"]); got != want || list[0].Subject != events.IssSub(issuer, subject) {
		t.Errorf("got %s", got)
	}
}

// RI-05: the new value goes with the event where values may travel, and only then.
func TestNewValue(t *testing.T) {
	s := &Signal{Type: events.IdentifierChanged, Payload: map[string]any{"kind": "email", "old": "old@example.org"}}
	o := with(valued(""), func(o *Occasion) { o.Signal = s })
	if e := Translate(o, []events.Type{events.IdentifierChanged})[0]; e.Payload["new-value"] != "kim@example.org" || e.Subject != events.Email("old@example.org") {
		t.Errorf("got %v", e.Payload)
	}
	o.Values = nil
	if e := Translate(o, []events.Type{events.IdentifierChanged})[0]; len(e.Payload) != 0 {
		t.Errorf("without values: %v", e.Payload)
	}
}

// MP-11: everybody learns that a certificate came; which one it is goes with the values of certificates.
func TestCertificateDetails(t *testing.T) {
	s := &Signal{Type: events.CredentialChange, Payload: map[string]any{"credential_type": "x509", "change_type": "create"},
		Of: "x509Certificates", Details: map[string]any{"x509_serial": "7f", "nickname": "no member of the event"}}
	serial := func(change func(*Occasion)) any {
		o := with(valued(""), func(o *Occasion) { o.Signal = s; change(o) })
		p := Translate(o, []events.Type{events.CredentialChange})[0].Payload
		if p["nickname"] != nil {
			t.Errorf("told %v", p)
		}
		return p["x509_serial"]
	}
	if got := serial(func(o *Occasion) { o.Granted = append(o.Granted, "x509Certificates") }); got != "7f" {
		t.Errorf("granted: %v", got)
	}
	if got := serial(func(o *Occasion) {}); got != nil {
		t.Errorf("not granted: %v", got)
	}
	if got := serial(func(o *Occasion) { o.Granted, o.Values = append(o.Granted, "x509Certificates"), nil }); got != nil {
		t.Errorf("values may not travel: %v", got)
	}
}

// RI-03, MP-30: why an account was disabled is told while it is.
func TestDisabledReason(t *testing.T) {
	s := Signal{Type: events.AccountDisabled, Payload: map[string]any{"reason": "hijacking"}}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	o := with(person(""), func(o *Occasion) { o.Signal, o.Inactive = &s, true })
	if list := Translate(o, []events.Type{events.AccountDisabled}); len(list) != 1 || list[0].Payload["reason"] != "hijacking" {
		t.Errorf("told %v", list)
	}
	o.Inactive = false
	if list := Translate(o, []events.Type{events.AccountDisabled}); len(list) != 0 {
		t.Error("told although the account was enabled again")
	}
}

// CA-13: the direction goes with the previous level where the levels say it, and is not contradicted.
func TestAssuranceDirection(t *testing.T) {
	for _, row := range []struct{ namespace, before, now, given, want string }{
		{"NIST-AAL", "nist-aal1", "nist-aal2", "", "increase"},
		{"NIST-IAL", "nist-ial3", "nist-ial1", "", "decrease"},
		{"ISO-IEC-29115", "4", "2", "decrease", "decrease"},
		{"NIST-AAL", "nist-aal1", "nist-aal2", "decrease", "refused"},
		{"NIST-AAL", "nist-aal2", "nist-aal2", "", ""},
		{"NIST-AAL", "", "nist-aal2", "", ""},
		{"RFC8176", "pwd", "hwk", "increase", "increase"},
		{"RFC8176", "otp1", "otp2", "", ""},
	} {
		s := Signal{Type: events.AssuranceLevelChange, Payload: map[string]any{"namespace": row.namespace, "current_level": row.now}}
		if row.before != "" {
			s.Payload["previous_level"] = row.before
		}
		if row.given != "" {
			s.Payload["change_direction"] = row.given
		}
		if err := s.Validate(); (err != nil) != (row.want == "refused") {
			t.Errorf("%v: %v", row, err)
		}
		if row.want == "refused" {
			continue
		}
		got, _ := Translate(with(person(""), func(o *Occasion) { o.Signal = &s }), []events.Type{events.AssuranceLevelChange})[0].Payload["change_direction"].(string)
		if got != row.want {
			t.Errorf("%v: told %q", row, got)
		}
	}
}

// A party that may know the address by its userName is told once that it changed (MP-03).
func TestBesides(t *testing.T) {
	s := &Signal{Type: events.IdentifierChanged, Payload: map[string]any{"kind": "email", "old": "a@example.org"}, Besides: "userName"}
	o := with(person(""), func(o *Occasion) { o.Signal, o.Granted = s, []string{"emails"} })
	if list := Translate(o, []events.Type{events.IdentifierChanged}); len(list) != 1 {
		t.Error("not told to a party that knows the mail only")
	}
	o.Granted = append(o.Granted, "userName")
	if list := Translate(o, []events.Type{events.IdentifierChanged}); len(list) != 0 {
		t.Error("told twice")
	}
}

func TestParseTypes(t *testing.T) {
	got, err := ParseTypes([]string{"session-revoked", "prov:patch:full", string(events.FeedAdd), "session-revoked"})
	if want := []events.Type{events.SessionRevoked, events.FeedAdd, events.ProvPatchFull}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v %v", got, err)
	}
	if got, err := ParseTypes([]string{"risc"}); err != nil || !slices.Contains(got, events.AccountPurged) || slices.Contains(got, events.SessionRevoked) {
		t.Errorf("family: %v %v", got, err)
	}
	for _, bad := range []string{"", "sessions-revoked", "verification", "urn:example:x", "ssf"} {
		if _, err := ParseTypes([]string{bad}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// SC-04, SC-06: what is offered is the profile's, within the operator's bound and the policy; values are no default.
func TestOfferBounds(t *testing.T) {
	o := Offer{Profile: CAEP, Types: []events.Type{events.SessionRevoked, events.ProvPatchFull}}
	if got := o.Supported(); !slices.Equal(got, []events.Type{events.SessionRevoked}) {
		t.Errorf("supported %v", got)
	}
	if got := o.Defaults(); !slices.Equal(got, []events.Type{events.SessionRevoked}) {
		t.Errorf("defaults %v", got)
	}
	o.Values = true
	if got := o.Delivered(Settings{Requested: []events.Type{events.ProvPatchFull, events.FeedAdd}}); !slices.Equal(got, []events.Type{events.ProvPatchFull}) || !WantValues(got) {
		t.Errorf("delivered %v", got)
	}
	for _, p := range []Profile{Tidings, CAEP} {
		if WantValues(Offer{Profile: p, Values: true}.Delivered(Settings{})) {
			t.Errorf("%s has values by default", p)
		}
	}
}

func TestParseClaims(t *testing.T) {
	got, err := ParseClaims([]string{"email", "dept=department"})
	if err != nil || got["email"] != "emails" || got["dept"] != enterprise+":department" {
		t.Errorf("%v %v", got, err)
	}
	for _, bad := range []string{"", "shoe_size", "x=", "=emails", "x=password", "x=shoeSize"} {
		if _, err := ParseClaims([]string{bad}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// Whatever happens: on a stream whose types carry no values, nothing that is told of an entry's state holds one, and of
// an event that does it is told how long the value may be kept (invariant 9).
func TestValuesOnlyInTypesThatCarryThem(t *testing.T) {
	notices, all := Offer{Profile: CAEP}.Supported(), Offer{Values: true}.Supported()
	for _, kind := range []consent.Kind{consent.Added, consent.Updated, consent.Disabled, consent.Enabled, consent.Removed} {
		for _, agreement := range []bool{false, true} {
			o := with(valued(kind, "active", "emails", "groups", "name", "roles", "title"), func(o *Occasion) { o.Agreement, o.MaxAge = agreement, 60 })
			for _, e := range Translate(o, notices) {
				if told := text(t, e.Payload); strings.Contains(told, "Clerk") || strings.Contains(told, "buyer") || strings.Contains(told, "example.org") {
					t.Errorf("%s %s: %s", kind, e.Type, told)
				}
			}
			for _, e := range Translate(o, all) {
				if _, full := e.Payload["data"]; full != (e.Payload["max_age"] == int64(60)) {
					t.Errorf("%s %s: max_age %v", kind, e.Type, e.Payload["max_age"])
				}
			}
		}
	}
}
