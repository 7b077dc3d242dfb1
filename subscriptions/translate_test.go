package subscriptions_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tidings/consent"
	"tidings/events"
	. "tidings/subscriptions"
)

const (
	issuer  = "https://hub.example"
	subject = "7f3a2c"
)

// person is an occasion about a person of whom the party holds everything.
func person(kind consent.Kind, names ...string) Occasion {
	return Occasion{
		Kind: kind, Names: names, ResourceType: "User", ID: subject, Issuer: issuer, Format: FormatIssSub,
		Email: "kim@example.org", Phone: "+4915112345678", Version: `W/"12"`, Time: 1_700_000_000_999_999, Profile: Tidings,
	}
}

func with(o Occasion, change func(*Occasion)) Occasion { change(&o); return o }

// told writes events in short: the end of the type's URI, then the attributes.
func told(list []Event) string {
	var out []string
	for _, e := range list {
		text := string(e.Type)
		for _, prefix := range []string{"urn:ietf:params:scim:event:", "https://schemas.openid.net/secevent/caep/event-type/", "https://schemas.openid.net/secevent/risc/event-type/"} {
			text = strings.TrimPrefix(text, prefix)
		}
		if names, ok := e.Payload["attributes"].([]string); ok {
			text += "[" + strings.Join(names, " ") + "]"
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

func TestMapping(t *testing.T) {
	all := Offer{Profile: Tidings}.Supported()
	password := &Signal{Type: events.CredentialChange, Payload: map[string]any{"credential_type": "password", "change_type": "update"}}
	for _, row := range []struct {
		id        string
		occasion  Occasion
		delivered []events.Type
		want      string
	}{
		{"MP-01 agreement", with(person(consent.Added, "title", "emails", "title"), func(o *Occasion) { o.Agreement = true }), all, "prov:create:notice[emails title]"},
		{"MP-01 agreement, nothing to name", with(person(consent.Added), func(o *Occasion) { o.Agreement = true }), all, "feed:add"},
		{"MP-18", person(consent.Added, "title"), all, "feed:add"},
		{"MP-18 active is granted and true", person(consent.Added, "active", "title"), all, "feed:add"},
		{"MP-18 inactive", with(person(consent.Added, "active"), func(o *Occasion) { o.Inactive = true }), all, "feed:add, prov:deactivate, account-disabled"},
		{"MP-02", person(consent.Updated, "title", "emails", "title"), all, "prov:patch:notice[emails title]"},
		{"MP-02 no name left", person(consent.Updated), all, ""},
		{"MP-02 CAEP only", person(consent.Updated, "title"), Offer{Profile: CAEP}.Defaults(), ""},
		{"MP-05", person(consent.Disabled, "active"), all, "prov:deactivate, account-disabled"},
		{"MP-05 other names", person(consent.Disabled, "active", "title"), all, "prov:deactivate, account-disabled, prov:patch:notice[title]"},
		{"MP-05 by name", person(consent.Disabled, "active", "title"), []events.Type{events.ProvPatchNotice}, "prov:patch:notice[active title]"},
		{"MP-06", person(consent.Enabled, "active", "title"), all, "prov:activate, account-enabled, prov:patch:notice[title]"},
		{"MP-07", with(person(consent.Removed), func(o *Occasion) { o.Gone = true }), all, "session-revoked, prov:delete, account-purged"},
		{"MP-07 SV-28 never feed:remove", with(person(consent.Removed), func(o *Occasion) { o.Gone = true }), []events.Type{events.FeedRemove}, ""},
		{"MP-17 MP-20", person(consent.Removed), all, "feed:remove"},
		{"MP-09", with(person(""), func(o *Occasion) { o.Signal = password }), all, "credential-change, prov:patch:notice[password]"},
		{"MP-22", with(person(""), func(o *Occasion) { o.Signal = &Signal{Type: events.SessionRevoked} }), all, "session-revoked"},
		{"MP-16 group", with(person(consent.Updated, "members"), func(o *Occasion) { o.ResourceType = "Group" }), all, "prov:patch:notice[members]"},
		{"group deleted", with(person(consent.Removed), func(o *Occasion) { o.ResourceType, o.Gone = "Group", true }), all, "prov:delete"},
		{"group signalled", with(person(""), func(o *Occasion) { o.ResourceType, o.Signal = "Group", password }), all, ""},
		{"a state cannot be signalled", with(person(""), func(o *Occasion) { o.Signal = &Signal{Type: events.AccountPurged} }), all, ""},
		{"nothing", Occasion{}, all, ""},
	} {
		t.Run(row.id, func(t *testing.T) {
			if got := told(Translate(row.occasion, row.delivered)); got != row.want {
				t.Errorf("told %q, want %q", got, row.want)
			}
		})
	}
}

// SV-02, SV-06: SCIM events are about the resource, with the version the party would get. MP-04: renaming leaves the URI.
func TestScimSubjectAndVersion(t *testing.T) {
	for _, resource := range []string{"User", "Group"} {
		o := with(person(consent.Disabled, "title"), func(o *Occasion) { o.ResourceType = resource })
		for _, e := range Translate(o, []events.Type{events.ProvDeactivate, events.ProvPatchNotice}) {
			if e.Subject != events.SCIM("/"+resource+"s/"+subject, "") || e.Payload["version"] != `W/"12"` {
				t.Errorf("%s: %s has payload %v", resource, e.Type, e.Payload)
			}
		}
	}
}

// CI-12, PR-05, design: the asked format where the grant holds its value, else the opaque id.
func TestSubjectFormats(t *testing.T) {
	bare := func(o *Occasion) { o.Email, o.Phone = "", "" }
	for _, row := range []struct {
		format  SubjectFormat
		profile Profile
		change  func(*Occasion)
		want    events.Subject
	}{
		{FormatIssSub, Tidings, nil, events.IssSub(issuer, subject)},
		{FormatEmail, Tidings, nil, events.Email("kim@example.org")},
		{FormatPhone, CAEP, nil, events.Phone("+4915112345678")},
		{FormatOpaque, CAEP, nil, events.IssSub(issuer, subject)},
		{FormatOpaque, Tidings, nil, events.Opaque(subject)},
		{FormatSCIM, Tidings, nil, events.SCIM("/Users/"+subject, "")},
		{"", Tidings, nil, events.Opaque(subject)},
		{FormatEmail, Tidings, bare, events.Opaque(subject)},
		{FormatEmail, CAEP, bare, events.IssSub(issuer, subject)},
		{FormatPhone, Tidings, func(o *Occasion) { o.Phone = "0151 12345678" }, events.Opaque(subject)},
		{FormatEmail, CAEP, func(o *Occasion) { o.Email = "Kim <kim@example.org>" }, events.IssSub(issuer, subject)},
	} {
		o := with(person(consent.Enabled), func(o *Occasion) {
			o.Format, o.Profile = row.format, row.profile
			if row.change != nil {
				row.change(o)
			}
		})
		got := Translate(o, []events.Type{events.AccountEnabled})
		if len(got) != 1 || got[0].Subject != row.want {
			t.Errorf("%s for %s: %#v", row.format, row.profile, got)
		}
	}
}

// CI-23, CI-24, CI-25, CA-01, CA-02, MP-32: the interoperability profile's claims on every CAEP event.
func TestInteropClaims(t *testing.T) {
	signal := func(kind events.Type, payload map[string]any) map[string]any {
		o := with(person(""), func(o *Occasion) {
			o.Profile, o.Actor, o.Signal = CAEP, "admin", &Signal{Type: kind, Payload: payload}
		})
		list := Translate(o, Offer{Profile: CAEP}.Supported())
		if len(list) == 0 {
			t.Fatalf("%s: nothing told", kind)
		}
		return list[0].Payload
	}
	for _, kind := range (Offer{Profile: CAEP}).Defaults() {
		p := signal(kind, nil)
		reason, _ := p["reason_admin"].(map[string]string)
		if reason["en"] == "" || p["event_timestamp"] != int64(1_700_000_000) || p["initiating_entity"] != "admin" {
			t.Errorf("%s: %v", kind, p)
		}
	}
	own := map[string]any{"de": "auf Wunsch"}
	if p := signal(events.SessionRevoked, map[string]any{"reason_admin": own, "event_timestamp": 5}); !reflect.DeepEqual(p["reason_admin"], own) || p["event_timestamp"] != 5 {
		t.Errorf("given claims were replaced: %v", p)
	}
	gone := with(person(consent.Removed), func(o *Occasion) { o.Gone, o.Profile, o.Actor = true, CAEP, "stranger" })
	p := Translate(gone, Offer{Profile: CAEP}.Defaults())[0].Payload
	if p["reason_admin"] == nil || p["initiating_entity"] != nil {
		t.Errorf("deletion: %v", p)
	}
	if p := Translate(person(consent.Enabled), (Offer{Profile: Tidings}).Supported())[1].Payload; len(p) != 0 {
		t.Errorf("account-enabled has no claims (RI-04): %v", p)
	}
}

// RI-05, MP-03: the subject is the old identifier, and neither value is in the payload.
func TestIdentifierChanged(t *testing.T) {
	for _, row := range []struct {
		kind, old string
		want      events.Subject
	}{
		{"email", "old@example.org", events.Email("old@example.org")},
		{"phone", "+4930123456", events.Phone("+4930123456")},
		{"userName", "old@example.org", events.Email("old@example.org")},
		{"userName", "old", events.Subject{}},
		{"title", "old@example.org", events.Subject{}},
	} {
		for _, kind := range []events.Type{events.IdentifierChanged, events.IdentifierRecycled} {
			s := Signal{Type: kind, Payload: map[string]any{"kind": row.kind, "old": row.old}}
			if (s.Validate() == nil) == row.want.IsZero() {
				t.Errorf("%s %q: Validate says %v", row.kind, row.old, s.Validate())
			}
			s.Payload["new-value"] = "new@example.org"
			got := Translate(with(person(""), func(o *Occasion) { o.Signal = &s }), Offer{Profile: Tidings}.Supported())
			if row.want.IsZero() {
				if len(got) != 0 {
					t.Errorf("%s %q was told", row.kind, row.old)
				}
				continue
			}
			if len(got) != 1 || got[0].Subject != row.want || len(got[0].Payload) != 0 {
				t.Errorf("%s: %#v", row.kind, got)
			}
		}
	}
}

// MP-21: the narrowest subject; the person is always one of its members.
func TestSignalMembers(t *testing.T) {
	session := events.Opaque("s1")
	s := Signal{Type: events.SessionRevoked, Members: map[string]events.Subject{"session": session}}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	o := with(person(""), func(o *Occasion) { o.Signal = &s })
	got := Translate(o, Offer{Profile: Tidings}.Supported())[0].Subject
	if want := events.Complex(map[string]events.Subject{"user": events.IssSub(issuer, subject), "session": session}); got != want {
		t.Errorf("subject is a %v", got)
	}
	if len(s.Members) != 1 {
		t.Error("the signal was written to")
	}
}

func mustSubject(text string) events.Subject {
	s, err := events.ParseSubject([]byte(text))
	if err != nil {
		panic(err)
	}
	return s
}

func TestSignalValidate(t *testing.T) {
	for _, row := range []struct {
		signal Signal
		member string // "" for none
	}{
		{Signal{Type: events.SessionRevoked}, ""},
		{Signal{Type: events.CredentialChange, Payload: map[string]any{"credential_type": "pin", "change_type": "revoke"}}, ""},
		{Signal{Type: events.CredentialChange, Payload: map[string]any{"credential_type": "pin", "change_type": "lose"}}, "payload"}, // CA-21
		{Signal{Type: events.CredentialChange}, "payload"},
		{Signal{Type: events.DeviceComplianceChange, Payload: map[string]any{"previous_status": "compliant", "current_status": "not-compliant"}}, "members"}, // CA-14
		{Signal{Type: events.DeviceComplianceChange, Payload: map[string]any{"previous_status": "compliant", "current_status": "not-compliant"},
			Members: map[string]events.Subject{"device": events.Opaque("d1")}}, ""},
		{Signal{Type: events.DeviceComplianceChange, Payload: map[string]any{"previous_status": "compliant", "current_status": "broken"},
			Members: map[string]events.Subject{"device": events.Opaque("d1")}}, "payload"},
		{Signal{Type: events.RiskLevelChange, Payload: map[string]any{"principal": "USER", "current_level": "HIGH", "risk_reason": "odd"}}, ""}, // CA-17
		{Signal{Type: events.RiskLevelChange, Payload: map[string]any{"principal": "USER", "current_level": "high"}}, "payload"},
		{Signal{Type: events.AccountCredentialChangeRequired}, ""}, // RI-01, MP-12
		{Signal{Type: events.AccountDisabled}, "payload"},          // RI-03
		{Signal{Type: events.AccountDisabled, Payload: map[string]any{"reason": "whim"}}, "payload"},
		{Signal{Type: events.SessionRevoked, Members: map[string]events.Subject{"session": mustSubject(`{"format":"jwt_id","iss":"https://idp.example","jti":"j1"}`)}}, ""}, // MP-21
		{Signal{Type: events.SessionRevoked, Payload: map[string]any{"nickname": "Kim"}}, "payload"},
		{Signal{Type: events.SessionRevoked, Payload: map[string]any{"reason_admin": "text"}}, "payload"}, // CA-06
		{Signal{Type: events.SessionsRevoked}, "type"},                                                    // RI-14
		{Signal{Type: events.TokenClaimsChange, Payload: map[string]any{"claims": map[string]any{"a": 1}}}, "type"},
		{Signal{Type: events.FeedAdd}, "type"},
		{Signal{Type: events.SessionRevoked, Members: map[string]events.Subject{"user": events.Opaque("x")}}, "subject"},
		{Signal{Type: events.SessionRevoked, Members: map[string]events.Subject{"session": {}}}, "subject"},
	} {
		err := row.signal.Validate()
		if invalid, _ := err.(*Invalid); (err == nil) != (row.member == "") || invalid != nil && invalid.Member != row.member {
			t.Errorf("%s: %v", row.signal.Type, err)
		}
	}
}

// Whatever happens: only delivered types (SC-06), fit to be signed (CI-22), and no value but the subject's own identifier.
func TestTranslateProperty(t *testing.T) {
	const secret = "s3cret"
	rapid.Check(t, func(t *rapid.T) {
		every := slices.Concat(Offer{Profile: CAEP}.Supported(), []events.Type{events.ProvPatchFull, events.TokenClaimsChange, events.Verification, "urn:x:y"})
		names := rapid.SliceOf(rapid.SampledFrom([]string{"active", "title", "emails", "name.familyName"}))
		o := Occasion{
			Kind:         rapid.SampledFrom([]consent.Kind{consent.Added, consent.Updated, consent.Disabled, consent.Enabled, consent.Removed, ""}).Draw(t, "kind"),
			Names:        names.Draw(t, "names"),
			Gone:         rapid.Bool().Draw(t, "gone"),
			Inactive:     rapid.Bool().Draw(t, "inactive"),
			Agreement:    rapid.Bool().Draw(t, "agreement"),
			ResourceType: rapid.SampledFrom([]string{"User", "Group"}).Draw(t, "type"),
			ID:           rapid.SampledFrom([]string{"", subject}).Draw(t, "id"),
			Issuer:       rapid.SampledFrom([]string{"", issuer}).Draw(t, "issuer"),
			Format:       rapid.SampledFrom([]SubjectFormat{"", FormatEmail, FormatPhone, FormatIssSub, FormatOpaque}).Draw(t, "format"),
			Email:        rapid.SampledFrom([]string{"", "nonsense", secret + "@example.org"}).Draw(t, "email"),
			Phone:        rapid.SampledFrom([]string{"", "nonsense", "+4930123456"}).Draw(t, "phone"),
			Version:      rapid.SampledFrom([]string{"", `W/"3"`}).Draw(t, "version"),
			Time:         rapid.Int64Min(0).Draw(t, "time"),
			Profile:      rapid.SampledFrom([]Profile{Tidings, CAEP}).Draw(t, "profile"),
			Actor:        rapid.SampledFrom([]string{"", "admin", "user", "policy", "system", secret}).Draw(t, "actor"),
		}
		if rapid.Bool().Draw(t, "signalled") {
			o.Signal = &Signal{Type: rapid.SampledFrom(every).Draw(t, "signal"), Payload: map[string]any{
				"kind": rapid.SampledFrom([]string{"email", "phone", "userName"}).Draw(t, "of"), "old": secret + "@example.org",
				"new-value": secret, "claims": map[string]any{"a": secret}, "data": secret, "subject": secret, "nickname": secret,
				"credential_type": "password", "change_type": "update", "previous_status": "compliant", "current_status": "not-compliant",
				"principal": "USER", "current_level": "HIGH", "namespace": "NIST-AAL",
			}}
		}
		delivered := rapid.SliceOf(rapid.SampledFrom(every)).Draw(t, "delivered")
		before := slices.Clone(o.Names)
		for _, e := range Translate(o, delivered) {
			definition, known := events.Lookup(e.Type)
			if !slices.Contains(delivered, e.Type) || !known || !definition.Subject.Accepts(e.Subject) {
				t.Fatalf("%s about a %v", e.Type, e.Subject)
			}
			if err := events.Validate(e.Type, e.Payload); err != nil {
				t.Fatalf("%s: %v", e.Type, err)
			}
			text, err := json.Marshal(e.Payload)
			if err != nil || strings.Contains(string(text), secret) {
				t.Fatalf("%s: %s %v", e.Type, text, err)
			}
		}
		if !slices.Equal(before, o.Names) {
			t.Fatal("the names were written to")
		}
	})
}

func TestOwnEvents(t *testing.T) {
	state, empty := "VGhpcw==", ""
	for _, row := range []struct {
		id   string
		got  Event
		want string
	}{
		{"VE-04", Verification("st1", &state), `{"state":"VGhpcw=="}`},
		{"VE-04 empty", Verification("st1", &empty), `{"state":""}`},
		{"VE-05 VE-06", Verification("st1", nil), `{}`},
		{"SE-01", StreamUpdated("st1", Paused, "maintenance"), `{"reason":"maintenance","status":"paused"}`},
		{"SE-01 no reason", StreamUpdated("st1", Enabled, ""), `{"status":"enabled"}`},
		{"feed-changed", FeedChanged("st1"), `{}`},
	} {
		text, _ := json.Marshal(row.got.Payload)
		if string(text) != row.want || row.got.Subject != events.Opaque("st1") || events.Validate(row.got.Type, row.got.Payload) != nil {
			t.Errorf("%s: %s %s", row.id, row.got.Type, text)
		}
	}
}
