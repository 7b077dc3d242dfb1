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
