package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"tidings/consent"
	"tidings/events"
	"tidings/hub"
	"tidings/subscriptions"
)

// A directory raises a signal; the party that may be notified gets it once, narrowed to the session it names (CA-10,
// MP-21); nobody else may raise one, and what the catalogue does not know is refused.
func TestRaiseSignal(t *testing.T) {
	wd := open(t)
	wd.give(consent.Notify)
	caller := hub.Caller{Role: hub.RoleParty, Party: wd.partyID}
	stream, err := wd.hub.CreateStream(t.Context(), caller, subscriptions.Settings{Delivery: subscriptions.Delivery{Method: events.MethodPoll}})
	if err != nil {
		t.Fatal(err)
	}
	const good = `{"userName":"ada","type":"session-revoked","payload":{"reason_admin":{"en":"device lost"}},"members":{"session":{"format":"opaque","id":"s1"}}}`
	for _, row := range []struct {
		name, token, body string
		status            int
	}{
		{"directory", wd.directory, good, http.StatusAccepted},
		{"by id", wd.directory, strings.Replace(good, `"userName":"ada"`, `"id":"`+wd.person.String()+`"`, 1), http.StatusAccepted},
		{"party", wd.party, good, http.StatusForbidden},
		{"nobody", "", good, http.StatusUnauthorized},
		{"unknown person", wd.directory, strings.Replace(good, "ada", "eve", 1), http.StatusNotFound},
		{"no id at all", wd.directory, strings.Replace(good, `"userName":"ada"`, `"id":"xyz"`, 1), http.StatusNotFound},
		{"nobody named", wd.directory, `{"type":"session-revoked"}`, http.StatusBadRequest},
		{"state is no signal", wd.directory, `{"userName":"ada","type":"account-disabled"}`, http.StatusBadRequest},
		{"CA-12 member missing", wd.directory, `{"userName":"ada","type":"credential-change","payload":{"credential_type":"pin"}}`, http.StatusBadRequest},
		{"CA-03 reason is text", wd.directory, `{"userName":"ada","type":"session-revoked","payload":{"reason_admin":"lost"}}`, http.StatusBadRequest},
		{"user named again", wd.directory, `{"userName":"ada","type":"session-revoked","members":{"user":{"format":"opaque","id":"x"}}}`, http.StatusBadRequest},
		{"unknown member", wd.directory, `{"userName":"ada","type":"session-revoked","loud":true}`, http.StatusBadRequest},
		{"no JSON", wd.directory, `{`, http.StatusBadRequest},
	} {
		if a := wd.send(row.token, http.MethodPost, "/signals", row.body); a.status != row.status {
			t.Errorf("%s: %d, want %d: %s", row.name, a.status, row.status, a.raw)
		}
	}
	out, _, err := wd.hub.Next(t.Context(), stream.ID, "test", time.Minute, 10)
	if err != nil || len(out) != 1 {
		t.Fatalf("%d tokens at once about one person, %v", len(out), err)
	}
	keys, err := wd.hub.KeySet(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	party, err := wd.hub.Party(t.Context(), wd.partyID)
	if err != nil {
		t.Fatal(err)
	}
	token, err := events.Verify(out[0].Compact, keys, events.Expect{Issuer: wd.hub.Issuer(), Audience: party.Audience, Now: wd.now})
	if err != nil {
		t.Fatal(err)
	}
	session, _ := token.SubID.Part("session")
	user, _ := token.SubID.Part("user")
	if token.Event != events.SessionRevoked || session != events.Opaque("s1") || user.Format() != events.FormatIssSub {
		t.Errorf("told %s about %s", token.Event, token.SubID)
	}
}

// Every kind of signal, as a directory raises it, by the row that it is for; and what the catalogue does not allow.
func TestSignalsByRow(t *testing.T) {
	wd := open(t)
	wd.give(consent.Notify)
	const device = `,"members":{"device":{"format":"opaque","id":"d1"}}`
	for _, row := range []struct {
		id, body string
		status   int
	}{
		{"MP-22 all sessions", `"type":"session-revoked"`, 202},
		{"MP-21 one session by jwt_id", `"type":"session-revoked","members":{"session":{"format":"jwt_id","iss":"https://idp.example","jti":"j1"}}`, 202},
		{"MP-21 one session by SAML", `"type":"session-revoked","members":{"session":{"format":"saml_assertion_id","issuer":"https://idp.example","assertion_id":"a1"}}`, 202},
		{"MP-21 format unknown", `"type":"session-revoked","members":{"session":{"format":"shoe","id":"x"}}`, 400},
		{"SI-02 nested complex", `"type":"session-revoked","members":{"session":{"format":"complex","user":{"format":"opaque","id":"x"}}}`, 400},
		{"CA-01 timestamp", `"type":"session-revoked","payload":{"event_timestamp":1700000000}`, 202},
		{"CA-01 timestamp is text", `"type":"session-revoked","payload":{"event_timestamp":"1700000000"}`, 400},
		{"CA-02", `"type":"session-revoked","payload":{"initiating_entity":"policy"}`, 202},
		{"CA-02 unknown", `"type":"session-revoked","payload":{"initiating_entity":"boss"}`, 400},
		{"CA-04", `"type":"session-revoked","payload":{"reason_user":{"de":"Gerät verloren"}}`, 202},
		{"CA-06", `"type":"session-revoked","payload":{"reason_user":"lost"}`, 400},
		{"CA-12 CA-20 CA-25", `"type":"credential-change","payload":{"credential_type":"fido2-roaming","change_type":"create","fido2_aaguid":"a1","friendly_name":"key"}`, 202},
		{"CA-25 aaguid of a pin", `"type":"credential-change","payload":{"credential_type":"pin","change_type":"create","fido2_aaguid":"a1"}`, 400},
		{"CA-21", `"type":"credential-change","payload":{"credential_type":"pin","change_type":"lose"}`, 400},
		{"CA-13 MP-24", `"type":"assurance-level-change","payload":{"namespace":"NIST-AAL","current_level":"nist-aal2","previous_level":"nist-aal1"}`, 202},
		{"CA-13 CA-24 previous unknown", `"type":"assurance-level-change","payload":{"namespace":"NIST-AAL","current_level":"nist-aal2"}`, 202},
		{"CA-13 the other way", `"type":"assurance-level-change","payload":{"namespace":"NIST-AAL","current_level":"nist-aal2","previous_level":"nist-aal1","change_direction":"decrease"}`, 400},
		{"CA-13 no level", `"type":"assurance-level-change","payload":{"namespace":"NIST-AAL"}`, 400},
		{"CA-23", `"type":"assurance-level-change","payload":{"namespace":"x","current_level":"2","change_direction":"up"}`, 400},
		{"CA-14 CI-25 MP-25", `"type":"device-compliance-change","payload":{"previous_status":"compliant","current_status":"not-compliant"}` + device, 202},
		{"CA-14 no device", `"type":"device-compliance-change","payload":{"previous_status":"compliant","current_status":"not-compliant"}`, 400},
		{"CA-14 status", `"type":"device-compliance-change","payload":{"previous_status":"compliant","current_status":"lost"}` + device, 400},
		{"CA-15", `"type":"session-established","payload":{"acr":"2","amr":["pwd","otp"],"fp_ua":"f","ext_id":"e"}`, 202},
		{"CA-15 amr", `"type":"session-established","payload":{"amr":"pwd"}`, 400},
		{"CA-16", `"type":"session-presented","payload":{"event_timestamp":1700000000,"fp_ua":"f"}`, 202},
		{"CA-17", `"type":"risk-level-change","payload":{"principal":"USER","current_level":"HIGH","previous_level":"LOW","risk_reason":"leak"}`, 202},
		{"CA-17 case", `"type":"risk-level-change","payload":{"principal":"USER","current_level":"high"}`, 400},
		{"RI-01 MP-12", `"type":"account-credential-change-required"`, 202},
		{"RI-01 has no members", `"type":"account-credential-change-required","payload":{"reason":"x"}`, 400},
		{"RI-03", `"type":"account-disabled","payload":{"reason":"hijacking"}`, 202},
		{"RI-03 reason", `"type":"account-disabled","payload":{"reason":"whim"}`, 400},
		{"RI-05", `"type":"identifier-changed","payload":{"kind":"email","old":"old@example.org"}`, 202},
		{"RI-05 no identifier", `"type":"identifier-changed","payload":{"kind":"email","old":"old"}`, 400},
		{"RI-05 new value is the directory's to say", `"type":"identifier-changed","payload":{"kind":"email","old":"old@example.org","new-value":"x@example.org"}`, 400},
		{"RI-06 MP-15", `"type":"identifier-recycled","payload":{"kind":"phone","old":"+4930123456"}`, 202},
		{"RI-07 MP-13", `"type":"credential-compromise","payload":{"credential_type":"password","event_timestamp":1700000000}`, 202},
		{"RI-07 no type", `"type":"credential-compromise"`, 400},
		{"RI-12 MP-14", `"type":"recovery-activated"`, 202},
		{"RI-13 MP-14", `"type":"recovery-information-changed"`, 202},
		{"RI-14", `"type":"sessions-revoked"`, 400},
		{"CA-11 claims come from the directory", `"type":"token-claims-change","payload":{"claims":{"role":"x"}}`, 400},
		{"RI-22", `"type":"recovery-activated","payload":{"subject_type":"email"}`, 400},
		{"SV-01", `"type":"prov:delete"`, 400},
	} {
		if a := wd.send(wd.directory, http.MethodPost, "/signals", `{"userName":"ada",`+row.body+`}`); a.status != row.status {
			t.Errorf("%s: %d, want %d: %s", row.id, a.status, row.status, a.raw)
		}
	}
}
