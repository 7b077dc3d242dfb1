package events_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"tidings/events"
)

// Every type of the specifications is listed once, under its family, and SCIM
// types end as RFC 9967 §2.4 says (CA-10 to CA-17, RI-01 to RI-14, SV-07, SV-20 to SV-31, VE-02, SE-01).
func TestCatalogue(t *testing.T) {
	families := map[events.Family]int{
		events.FamilySCIM: 12, events.FamilyCAEP: 8, events.FamilyRISC: 14, events.FamilySSF: 2, events.FamilyTidings: 4,
	}
	seen := map[events.Type]bool{}
	for _, d := range events.Catalogue() {
		if seen[d.Type] {
			t.Errorf("%s is listed twice", d.Type)
		}
		seen[d.Type] = true
		families[d.Family]--
		if found, ok := events.Lookup(d.Type); !ok || found.Family != d.Family {
			t.Errorf("%s is not found", d.Type)
		}
		name := string(d.Type)
		if full := strings.HasSuffix(name, ":full"); full && (!d.Values || d.Value != "data") {
			t.Errorf("SV-07 %s: carries data", d.Type)
		}
		if strings.HasSuffix(name, ":notice") && (d.Value != "" || !slices.Contains(d.Required, "attributes")) {
			t.Errorf("SV-07 %s: names attributes only", d.Type)
		}
		if d.Values && !slices.Contains(d.Required, d.Value) {
			t.Errorf("%s carries values that it does not require", d.Type)
		}
	}
	for family, missing := range families {
		if missing != 0 {
			t.Errorf("%s: %d types too few", family, missing)
		}
	}
	if _, ok := events.Lookup("https://example.com/event"); ok {
		t.Error("a stranger's type is in the catalogue")
	}
}

func TestSubjectKinds(t *testing.T) {
	scim, email, phone, opaque := events.SCIM("/Users/1", ""), events.Email("a@b.example"), events.Phone("+4930123"), events.Opaque("s")
	tests := []struct {
		id     string
		event  events.Type
		yes    []events.Subject
		refuse []events.Subject
	}{
		{"SV-02", events.FeedRemove, []events.Subject{scim}, []events.Subject{email, opaque}},
		{"RI-05", events.IdentifierChanged, []events.Subject{email, phone}, []events.Subject{scim, opaque}},
		{"RI-06", events.IdentifierRecycled, []events.Subject{email, phone}, []events.Subject{scim, opaque}},
		{"VE-03", events.Verification, []events.Subject{opaque}, []events.Subject{scim, email}},
		{"SE-02", events.StreamUpdated, []events.Subject{opaque}, []events.Subject{scim, email}},
		{"CA-10", events.SessionRevoked, []events.Subject{opaque, email, scim}, []events.Subject{{}}},
	}
	for _, test := range tests {
		d, _ := events.Lookup(test.event)
		for _, s := range test.yes {
			if !d.Subject.Accepts(s) {
				t.Errorf("%s: refuses %v", test.id, s)
			}
		}
		for _, s := range test.refuse {
			if d.Subject.Accepts(s) {
				t.Errorf("%s: accepts %v", test.id, s)
			}
		}
	}
}

func TestValidate(t *testing.T) {
	tests := []struct {
		id    string
		event events.Type
		json  string
		ok    bool
	}{
		{"CA-01", events.SessionRevoked, `{"event_timestamp":1790000000}`, true},
		{"CA-01 fraction", events.SessionRevoked, `{"event_timestamp":1790000000.5}`, true},
		{"CA-01 text", events.SessionRevoked, `{"event_timestamp":"1790000000"}`, false},
		{"CA-02", events.SessionRevoked, `{"initiating_entity":"policy"}`, true},
		{"CA-02 other", events.SessionRevoked, `{"initiating_entity":"robot"}`, false},
		{"CA-03", events.SessionRevoked, `{"reason_admin":{"en":"left","de-AT":"ging"}}`, true},
		{"CA-06 plain string", events.SessionRevoked, `{"reason_admin":"left"}`, false},
		{"CA-03 of none", events.SessionRevoked, `{"reason_admin":{}}`, false},
		{"CA-03 empty text", events.SessionRevoked, `{"reason_admin":{"en":""}}`, false},
		{"CA-03 no tag", events.SessionRevoked, `{"reason_admin":{"in English":"left"}}`, false},
		{"CA-04 plain string", events.SessionRevoked, `{"reason_user":"left"}`, false},
		{"CA-10", events.SessionRevoked, `{}`, true},
		{"SP-12 unknown member", events.SessionRevoked, `{"whatever":[1]}`, true},
		{"SP-03 subject in payload", events.SessionRevoked, `{"subject":{"format":"opaque","id":"a"}}`, true},
		{"CA-11", events.TokenClaimsChange, `{"claims":{"role":"admin"}}`, true},
		{"CA-11 missing", events.TokenClaimsChange, `{}`, false},
		{"CA-11 of none", events.TokenClaimsChange, `{"claims":{}}`, false},
		{"CA-11 names only", events.TokenClaimsChange, `{"claims":["role"]}`, false},
		{"CA-12", events.CredentialChange, `{"credential_type":"password","change_type":"update"}`, true},
		{"CA-20 agreed value", events.CredentialChange, `{"credential_type":"smartcard","change_type":"create"}`, true},
		{"CA-12 type missing", events.CredentialChange, `{"change_type":"update"}`, false},
		{"CA-12 change missing", events.CredentialChange, `{"credential_type":"password"}`, false},
		{"CA-21 other", events.CredentialChange, `{"credential_type":"password","change_type":"reset"}`, false},
		{"CA-25 x509", events.CredentialChange, `{"credential_type":"x509","change_type":"create","x509_issuer":"CN=a","x509_serial":"1"}`, true},
		{"CA-25 x509 of a password", events.CredentialChange, `{"credential_type":"password","change_type":"create","x509_serial":"1"}`, false},
		{"CA-25 aaguid", events.CredentialChange, `{"credential_type":"fido2-roaming","change_type":"create","fido2_aaguid":"a"}`, true},
		{"CA-25 aaguid of a pin", events.CredentialChange, `{"credential_type":"pin","change_type":"create","fido2_aaguid":"a"}`, false},
		{"CA-13", events.AssuranceLevelChange, `{"namespace":"NIST-AAL","current_level":"nist-aal2","change_direction":"increase"}`, true},
		{"CA-13 missing", events.AssuranceLevelChange, `{"namespace":"NIST-AAL"}`, false},
		{"CA-23 other", events.AssuranceLevelChange, `{"namespace":"NIST-AAL","current_level":"2","change_direction":"up"}`, false},
		{"CA-14", events.DeviceComplianceChange, `{"previous_status":"compliant","current_status":"not-compliant"}`, true},
		{"CA-14 other", events.DeviceComplianceChange, `{"previous_status":"compliant","current_status":"unknown"}`, false},
		{"CA-15", events.SessionEstablished, `{"amr":["pwd","otp"],"acr":"2","fp_ua":"x","ext_id":"y"}`, true},
		{"CA-15 amr text", events.SessionEstablished, `{"amr":"pwd"}`, false},
		{"CA-16", events.SessionPresented, `{"ext_id":7}`, false},
		{"CA-17", events.RiskLevelChange, `{"principal":"USER","current_level":"HIGH","previous_level":"LOW","risk_reason":"PASSWORD_FOUND_IN_DATA_BREACH"}`, true},
		{"CA-17 lower case", events.RiskLevelChange, `{"principal":"USER","current_level":"high"}`, false},
		{"RI-02", events.AccountPurged, `{}`, true},
		{"RI-03", events.AccountDisabled, `{"reason":"hijacking"}`, true},
		{"RI-03 no reason", events.AccountDisabled, `{}`, true},
		{"RI-03 other", events.AccountDisabled, `{"reason":"left"}`, false},
		{"RI-05", events.IdentifierChanged, `{"new-value":"new@example.com"}`, true},
		{"RI-05 without", events.IdentifierChanged, `{}`, true},
		{"RI-05 empty", events.IdentifierChanged, `{"new-value":""}`, false},
		{"RI-07", events.CredentialCompromise, `{"credential_type":"password","reason_user":{"en":"found"}}`, true},
		{"RI-07 missing", events.CredentialCompromise, `{}`, false},
		{"RI-07 reason", events.CredentialCompromise, `{"credential_type":"password","reason_user":"found"}`, false},
		{"RI-22", events.AccountEnabled, `{"subject_type":"email"}`, false},
		{"SV-20", events.FeedAdd, `{}`, true},
		{"SV-01", events.FeedAdd, `{"sub_id":{"format":"scim","uri":"/Users/1"}}`, false},
		{"SV-08 feed:add", events.FeedAdd, `{"attributes":["a"]}`, false},
		{"SV-22", events.ProvCreateNotice, `{"attributes":["emails"],"version":"W/\"1\""}`, true},
		{"SV-08 neither", events.ProvCreateNotice, `{}`, false},
		{"SV-08 of none", events.ProvPatchNotice, `{"attributes":[]}`, false},
		{"SV-08 both", events.ProvPatchNotice, `{"attributes":["emails"],"data":{"a":1}}`, false},
		{"SV-06 version", events.ProvPutNotice, `{"attributes":["emails"],"version":1}`, false},
		{"SV-23", events.ProvCreateFull, `{"data":{"id":"1"}}`, true},
		{"SV-08 both, full", events.ProvPatchFull, `{"data":{"a":1},"attributes":["a"]}`, false},
		{"SV-27 missing", events.ProvPutFull, `{}`, false},
		{"SV-28", events.ProvDelete, `{}`, true},
		{"SV-28 data", events.ProvDelete, `{"data":{"a":1}}`, false},
		{"SV-30", events.ProvDeactivate, `{"attributes":["active"]}`, false},
		{"SV-31", events.MiscAsyncResponse, `{"method":"POST","status":"201"}`, true},
		{"SV-31 missing", events.MiscAsyncResponse, `{"method":"POST"}`, false},
		{"VE-04", events.Verification, `{"state":""}`, true},
		{"VE-05", events.Verification, `{}`, true},
		{"VE-04 number", events.Verification, `{"state":1}`, false},
		{"SE-01", events.StreamUpdated, `{"status":"paused","reason":"quiet"}`, true},
		{"SE-01 missing", events.StreamUpdated, `{"reason":"quiet"}`, false},
		{"ST-02", events.StreamUpdated, `{"status":"asleep"}`, false},
		{"SP-03 new types", events.Digest, `{"subject":{}}`, false},
		{"feed-changed", events.FeedChanged, `{}`, true},
		{"copy-expired", events.CopyExpired, `{"attributes":["emails"],"version":"W/\"1\""}`, true},
		{"copy-superseded", events.CopySuperseded, `{"version":1}`, false},
		{"unknown type", "urn:example:event", `{}`, false},
	}
	for _, test := range tests {
		t.Run(test.id, func(t *testing.T) {
			var payload map[string]any
			if err := json.Unmarshal([]byte(test.json), &payload); err != nil {
				t.Fatal(err)
			}
			err := events.Validate(test.event, payload)
			if test.ok && err != nil || !test.ok && !errors.Is(err, events.ErrPayload) {
				t.Errorf("error %v, want it accepted: %v", err, test.ok)
			}
		})
	}
}

// A payload made in Go is held to the same rules as one that was decoded.
func TestValidateTakesGoValues(t *testing.T) {
	for _, payload := range []map[string]any{
		{"event_timestamp": int64(1790000000), "reason_admin": map[string]string{"en": "left"}},
		{"event_timestamp": json.Number("1790000000")},
	} {
		if err := events.Validate(events.SessionRevoked, payload); err != nil {
			t.Error(err)
		}
	}
	for _, payload := range []map[string]any{
		{"reason_admin": map[string]string{}}, {"reason_admin": map[string]string{"": "left"}}, {"event_timestamp": true},
	} {
		if err := events.Validate(events.SessionRevoked, payload); !errors.Is(err, events.ErrPayload) {
			t.Errorf("%v is accepted", payload)
		}
	}
	if err := events.Validate(events.ProvPatchNotice, map[string]any{"attributes": []string{"emails"}}); err != nil {
		t.Error(err)
	}
	if err := events.Validate(events.ProvPutFull, map[string]any{"data": json.RawMessage(`{"id":"1"}`)}); err != nil {
		t.Error(err)
	}
	if err := events.Validate(events.ProvPutFull, map[string]any{"data": json.RawMessage(`[]`)}); !errors.Is(err, events.ErrPayload) {
		t.Error("data that is no object is accepted")
	}
}
