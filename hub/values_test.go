package hub_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"tidings/consent"
	"tidings/events"
	"tidings/hub"
	"tidings/hub/schema"
	"tidings/subscriptions"
)

const secret = "s3cret-title"

var everyType = slices.Concat(subscriptions.Offer{Values: true}.Supported())

// valueStream is a stream that asks for everything, or for the given types.
func (w *world) valueStream(p testParty, types ...events.Type) *hub.Stream {
	w.t.Helper()
	if len(types) == 0 {
		types = everyType
	}
	return must(w.h.CreateStream(w.ctx(), p.caller, subscriptions.Settings{Requested: types, Delivery: subscriptions.Delivery{Method: events.MethodPoll}}))(w.t)
}

func (w *world) values(yes bool) {
	w.t.Helper()
	policy := consent.Default()
	policy.Values = yes
	if err := w.h.SetPolicy(w.ctx(), "test", policy); err != nil {
		w.t.Fatal(err)
	}
}

// leaks says whether a token holds the text, signed as it is.
func (w *world) leaks(all []sent, text string) bool {
	return slices.ContainsFunc(all, func(s sent) bool {
		_, rest, _ := strings.Cut(string(s.Compact), ".")
		body, _, _ := strings.Cut(rest, ".")
		plain := must(base64.RawURLEncoding.DecodeString(body))(w.t)
		return strings.Contains(string(plain), text)
	})
}

func types(all []sent) (list []events.Type) {
	for _, s := range all {
		list = append(list, s.Event)
	}
	return list
}

// SV-23, SV-25, CA-11: values travel where stream, grant and policy all say so, and none when any of the three says no.
func TestValuesNeedThreeYeses(t *testing.T) {
	notices := subscriptions.Offer{}.Supported()
	both(t, func(t *testing.T, w *world) {
		for _, row := range []struct {
			name     string
			policy   bool
			purposes consent.Purposes
			types    []events.Type
			want     []events.Type
		}{
			{"all three", true, consent.Transfer | consent.Notify, everyType, []events.Type{events.ProvPatchFull, events.TokenClaimsChange}},
			{"no policy", false, consent.Transfer | consent.Notify, everyType, []events.Type{events.ProvPatchNotice}},
			{"no transfer", true, consent.Notify, everyType, []events.Type{events.ProvPatchNotice}},
			{"no stream", true, consent.Transfer | consent.Notify, notices, []events.Type{events.ProvPatchNotice}},
			{"no notify", true, consent.Transfer, everyType, nil},
		} {
			w.values(row.policy)
			p := w.party(hub.PartyRequest{Claims: []string{"job=title"}})
			anna := w.person("anna", nil)
			w.grantFor(p, anna, row.purposes, "title")
			s := w.valueStream(p, row.types...)
			w.patch(anna, replace("title", secret))
			told := w.next(s, p)
			if !slices.Equal(types(told), row.want) || w.leaks(told, secret) != (row.name == "all three") {
				t.Errorf("%s: told %v, leaks %v", row.name, types(told), w.leaks(told, secret))
			}
			w.patch(anna, replace("title", nil))
		}
		for _, line := range must(w.h.Changes(w.ctx(), 0, 1000))(t) {
			if slices.ContainsFunc(append(line.Attributes, line.Actor, line.Source, line.Txn), func(s string) bool { return strings.Contains(s, secret) }) {
				t.Errorf("the log holds a value: %+v", line)
			}
		}
	})
}

// MP-19, invariant 4: what was made under wider terms is made anew, with no value that is not granted any more, by
// whichever of the three the terms became narrower.
func TestValuesNarrowedWhileTheyWait(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		for name, narrow := range map[string]func(p testParty, anna *hub.Entry, s *hub.Stream){
			"attribute": func(p testParty, anna *hub.Entry, _ *hub.Stream) { w.grant(p, anna, "displayName") },
			"transfer": func(p testParty, anna *hub.Entry, _ *hub.Stream) {
				w.grantFor(p, anna, consent.Notify, "title", "displayName")
			},
			"policy": func(testParty, *hub.Entry, *hub.Stream) { w.values(false) },
			"stream": func(p testParty, _ *hub.Entry, s *hub.Stream) {
				must(w.h.UpdateStream(w.ctx(), p.caller, s.ID.String(), func(_ hub.Stream, now *subscriptions.Settings) error {
					now.Requested = []events.Type{events.ProvPatchNotice}
					return nil
				}))(t)
			},
		} {
			w.values(true)
			p := w.party(hub.PartyRequest{Claims: []string{"job=title"}})
			anna := w.person("anna", nil)
			w.grant(p, anna, "title", "displayName")
			s := w.valueStream(p)
			w.patch(anna, replace("title", secret), replace("displayName", "Anna"))
			first := w.next(s, p)
			if !w.leaks(first, secret) {
				t.Fatalf("%s: nothing was told at first: %v", name, types(first))
			}
			w.settle(s, subscriptions.Retry, time.Minute, first...)
			narrow(p, anna, s)
			w.clock = w.clock.Add(time.Hour)
			for told := 0; ; told++ {
				again := w.next(s, p)
				if len(again) == 0 {
					if told == 0 {
						t.Errorf("%s: nothing is told of it any more", name)
					}
					break
				}
				if w.leaks(again, secret) {
					t.Errorf("%s: %v hold what is not granted any more", name, types(again))
				}
				for _, a := range again {
					if slices.ContainsFunc(first, func(f sent) bool { return f.Outgoing.JTI == a.Outgoing.JTI }) {
						t.Errorf("%s: a token of the wider terms left again", name)
					}
				}
				w.settle(s, subscriptions.Done, 0, again...)
			}
			w.patch(anna, replace("title", nil), replace("displayName", nil))
		}
	})
}

// SV-23, MP-18: a grant makes its person join with its values where they are wanted; under an agreement they are created
// with them. What points to others is named, never carried (SV-11).
func TestCreateFull(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		w.values(true)
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", map[string]any{"title": secret})
		s := w.valueStream(p)
		w.grant(p, anna, "title")
		told := w.next(s, p)
		if !slices.Equal(types(told), []events.Type{events.FeedAdd, events.ProvCreateFull}) {
			t.Fatalf("told %v", types(told))
		}
		data, _ := told[1].Payload["data"].(map[string]any)
		// Invariant 9: a copy that came by an event has its lifetime too.
		if age := fmt.Sprint(told[1].Payload["max_age"]); age != fmt.Sprint((12 * time.Hour).Seconds()) {
			t.Errorf("max_age %s", age)
		}
		if data["title"] != secret || data["id"] != w.subjectID(p, anna) || data["userName"] != nil {
			t.Errorf("carried %v", data)
		}
		all := w.party(hub.PartyRequest{Agreement: true, Types: []string{"User"}, Attributes: []string{"title", "manager"}})
		s = w.valueStream(all)
		const manager = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
		w.person("bert", map[string]any{"title": secret, manager: map[string]any{"manager": map[string]any{"value": anna.ID.String()}}})
		told = w.next(s, all)
		if !slices.Equal(types(told), []events.Type{events.ProvCreateFull, events.ProvPatchNotice}) || w.leaks(told, w.subjectID(all, anna)) || w.leaks(told, anna.ID.String()) {
			t.Errorf("told %v", types(told))
		}
	})
}

// A9, RI-05, MP-03: an address that is userName and mail is told once, with the new one where values may travel.
func TestIdentifierChangedOnce(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		w.values(true)
		mail := func(text string) []any { return []any{map[string]any{"value": text}} }
		whole, half := w.party(hub.PartyRequest{}), w.party(hub.PartyRequest{})
		anna := w.person("a@example.com", map[string]any{"emails": mail("a@example.com")})
		w.grant(whole, anna, "userName", "emails")
		w.grant(half, anna, "emails") // its stream asks for no values
		one, two := w.valueStream(whole, events.IdentifierChanged, events.TokenClaimsChange), w.valueStream(half, events.IdentifierChanged)
		w.patch(anna, replace("userName", "b@example.com"), replace("emails", mail("b@example.com")))
		for _, row := range []struct {
			stream *hub.Stream
			party  testParty
			value  any
		}{{one, whole, "b@example.com"}, {two, half, nil}} {
			var told []sent
			for out := w.next(row.stream, row.party); len(out) > 0; out = w.next(row.stream, row.party) {
				told = append(told, out...)
				w.settle(row.stream, subscriptions.Done, 0, out...)
			}
			if len(told) != 1 || told[0].SubID != events.Email("a@example.com") || told[0].Payload["new-value"] != row.value {
				t.Errorf("told %+v", told)
			}
		}
	})
}

// MP-10: taking a password away is a change of a credential. MP-11: so are certificates that come and go.
func TestCredentialChanges(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		w.values(true)
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", nil)
		w.grant(p, anna, "x509Certificates")
		s := w.valueStream(p, events.CredentialChange, events.TokenClaimsChange)
		change := func(operations ...map[string]any) (told []map[string]any) {
			w.patch(anna, operations...)
			for out := w.next(s, p); len(out) > 0; out = w.next(s, p) {
				for _, o := range out {
					told = append(told, o.Payload)
				}
				w.settle(s, subscriptions.Done, 0, out...)
			}
			return told
		}
		is := func(told []map[string]any, kind, how string) bool {
			return len(told) == 1 && told[0]["credential_type"] == kind && told[0]["change_type"] == how
		}
		if told := change(map[string]any{"op": "remove", "path": "password"}); !is(told, "password", "delete") {
			t.Errorf("MP-10: %v", told)
		}
		if told := change(replace("password", "hunter2")); !is(told, "password", "update") {
			t.Errorf("MP-09: %v", told)
		}
		told := change(replace("x509Certificates", []any{map[string]any{"value": certificate(t)}}))
		if !is(told, "x509", "create") || told[0]["x509_serial"] != "2a" || told[0]["x509_issuer"] != "CN=anna" {
			t.Errorf("MP-11: %v", told)
		}
		if told := change(replace("x509Certificates", nil)); !is(told, "x509", "delete") || told[0]["x509_serial"] != "2a" {
			t.Errorf("MP-11: %v", told)
		}
		var many []any
		for i := range 20 {
			many = append(many, map[string]any{"value": base64.StdEncoding.EncodeToString([]byte{byte(i), 1})})
		}
		if told := change(replace("x509Certificates", many)); !is(told, "x509", "update") {
			t.Errorf("MP-11: many at once: %v", told)
		}
	})
}

func certificate(t *testing.T) string {
	key := must(rsa.GenerateKey(rand.Reader, 2048))(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(42), Subject: pkix.Name{CommonName: "anna"}}
	der := must(x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key))(t)
	return base64.StdEncoding.EncodeToString(der)
}

// SC-04, SC-06: an operator bounds what a party's streams may ask for; what is delivered follows, and a change of it is
// one feed-changed.
func TestOffered(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{Events: []string{"session-revoked", "prov:patch:notice", "prov:patch:full"}})
		s := w.valueStream(p)
		shown := func() events.StreamConfiguration { return must(w.h.Configuration(w.ctx(), s))(t) }
		if c := shown(); len(c.EventsSupported) != 2 || len(c.EventsDelivered) != 2 {
			t.Errorf("supported %v, delivered %v", c.EventsSupported, c.EventsDelivered)
		}
		w.values(true)
		if c := shown(); len(c.EventsSupported) != 3 {
			t.Errorf("with values: supported %v", c.EventsSupported)
		}
		anna := w.person("anna", nil)
		w.grant(p, anna, "title")
		w.drain(s, p)
		w.patch(anna, replace("title", secret))
		must(w.h.SetParty(w.ctx(), "test", p.ID, hub.PartyChange{Events: []string{"risc"}}))(t)
		if told := w.drain(s, p); !slices.Equal(told, []events.Type{events.FeedChanged}) {
			t.Errorf("told %v", told)
		}
		if c := shown(); slices.Contains(c.EventsDelivered, events.SessionRevoked) || !slices.Contains(c.EventsDelivered, events.AccountPurged) {
			t.Errorf("delivered %v", c.EventsDelivered)
		}
		w.patch(anna, replace("active", false))
		if told := w.drain(s, p); !slices.Equal(told, []events.Type{events.AccountDisabled}) {
			t.Errorf("told %v", told)
		}
	})
}

// CA-02: who was behind it, as far as the log says.
func TestInitiatingEntity(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{Profile: "caep"})
		anna := w.person("anna", nil)
		w.grant(p, anna, "title")
		s := w.stream(p)
		raise := func(actor string) func() {
			return func() {
				must(w.h.Raise(w.ctx(), actor, hub.SignalRequest{Entry: anna.ID, Signal: subscriptions.Signal{Type: events.SessionRevoked}}))(t)
			}
		}
		for _, row := range []struct {
			cause func()
			want  any
		}{
			{raise(hub.ActorOperator), "admin"},
			{raise(anna.ID.String()), "user"},
			{raise(hub.NewID().String()), nil},
			{func() {
				w.ingest(hub.Report{Entry: anna.ID, Source: "scim", Patch: patchBody(t, replace("active", false))})
			}, "system"},
		} {
			row.cause()
			told := w.next(s, p)
			if len(told) != 1 || told[0].Payload["initiating_entity"] != row.want {
				t.Errorf("want %v, told %+v", row.want, told)
			}
			w.settle(s, subscriptions.Done, 0, told...)
		}
	})
}

// CI-12, formats per party: what a caep party's receivers need not know is refused.
func TestSubjectFormatOfParties(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		for _, row := range []struct {
			profile, format string
			good            bool
		}{
			{"caep", "iss_sub", true}, {"caep", "email", true}, {"caep", "opaque", false}, {"caep", "phone_number", false}, {"caep", "scim", false},
			{"tidings", "opaque", true}, {"tidings", "phone_number", true}, {"tidings", "scim", true}, {"tidings", "account", false},
		} {
			p, _, err := w.h.AddParty(w.ctx(), "test", hub.PartyRequest{Name: "x", Profile: row.profile, SubjectFormat: row.format})
			if (err == nil) != row.good {
				t.Errorf("%v: %v", row, err)
			}
			if !row.good {
				p, _, _ = w.h.AddParty(w.ctx(), "test", hub.PartyRequest{Name: "x", Profile: row.profile})
			}
			if _, err := w.h.SetParty(w.ctx(), "test", p.ID, hub.PartyChange{SubjectFormat: row.format}); (err == nil) != row.good {
				t.Errorf("set %v: %v", row, err)
			}
		}
	})
}

// MP-16, MP-23: a group that a person joined is a claim of its tokens, by its name.
func TestGroupClaim(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		w.values(true)
		p := w.party(hub.PartyRequest{Claims: []string{"groups"}})
		anna := w.person("anna", nil)
		w.grant(p, anna, "groups")
		s := w.valueStream(p, events.TokenClaimsChange)
		r := must(schema.Normalize(schema.Group, map[string]any{"displayName": "Sales", "members": []any{map[string]any{"value": anna.ID.String()}}}))(t)
		sales := w.ingest(hub.Report{Source: "test", Key: "sales", Type: schema.Group, Resource: &r}).Entry
		claims := func() any {
			told := w.next(s, p)
			if len(told) != 1 {
				t.Fatalf("told %v", types(told))
			}
			w.settle(s, subscriptions.Done, 0, told...)
			return told[0].Payload["claims"].(map[string]any)["groups"]
		}
		if got := claims(); fmt.Sprint(got) != "[Sales]" {
			t.Errorf("joined: %v", got)
		}
		w.ingest(hub.Report{Entry: sales.ID, Gone: true})
		if got := claims(); got != nil {
			t.Errorf("left: %v", got)
		}
	})
}

// SV-27: a stream that asked for whole resources gets them, each as it stands when its token is made.
func TestPutFull(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		w.values(true)
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", map[string]any{"displayName": "Anna"})
		w.grant(p, anna, "title", "displayName")
		s := w.valueStream(p, events.ProvPutFull)
		w.patch(anna, replace("title", "Clerk"))
		w.patch(anna, replace("title", "Cook"))
		told := w.next(s, p)
		data, _ := told[0].Payload["data"].(map[string]any)
		if len(told) != 1 || data["title"] != "Cook" || data["displayName"] != "Anna" || data["active"] != true || data["userName"] != nil {
			t.Errorf("told %v %v", types(told), data)
		}
	})
}
