package hub_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"tidings/consent"
	"tidings/events"
	"tidings/hub"
	"tidings/subscriptions"
)

const busy = 15 * time.Second

// stream makes a poll stream of the party.
func (w *world) stream(p testParty) *hub.Stream {
	w.t.Helper()
	return must(w.h.CreateStream(w.ctx(), p.caller, subscriptions.Settings{Delivery: subscriptions.Delivery{Method: events.MethodPoll}}))(w.t)
}

type sent struct {
	hub.Outgoing
	events.Token
}

// next takes what is next on the stream and verifies each token as a receiver does.
func (w *world) next(s *hub.Stream, p testParty) (all []sent) {
	w.t.Helper()
	out, _, err := w.h.Next(w.ctx(), s.ID, "test", busy, 100)
	if err != nil {
		w.t.Fatal(err)
	}
	keys := must(w.h.KeySet(w.ctx()))(w.t)
	for _, o := range out {
		token, err := events.Verify(o.Compact, keys, events.Expect{Issuer: w.h.Issuer(), Audience: p.Audience, Now: w.clock})
		if err != nil {
			w.t.Fatalf("token does not verify: %v", err)
		}
		all = append(all, sent{o, token})
	}
	return all
}

func (w *world) settle(s *hub.Stream, next subscriptions.Next, after time.Duration, all ...sent) {
	w.t.Helper()
	var outcomes []hub.Outcome
	for _, o := range all {
		outcomes = append(outcomes, hub.Outcome{JTI: o.Outgoing.JTI, Next: next, Due: w.clock.Add(after).UnixMicro()})
	}
	if err := w.h.Settle(w.ctx(), s.ID, outcomes); err != nil {
		w.t.Fatal(err)
	}
}

// drain settles everything and lists the types that were told, in order.
func (w *world) drain(s *hub.Stream, p testParty) (told []events.Type) {
	w.t.Helper()
	for {
		out := w.next(s, p)
		if len(out) == 0 {
			return told
		}
		for _, o := range out {
			told = append(told, o.Event)
		}
		w.settle(s, subscriptions.Done, 0, out...)
	}
}

// Thousands of changes of a hundred people while a receiver is away (ten thousand with SOAK) cost it one event per person
// and kind, not thousands.
func TestAwayReceiverGetsNoFlood(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		people := w.crowd(p, 100, "title")
		s := w.stream(p)
		rounds := 20
		if os.Getenv("SOAK") != "" {
			rounds = 100
		}
		for round := range rounds {
			w.patchAll(people, replace("title", fmt.Sprintf("Clerk %d", round)))
		}
		told := w.drain(s, p)
		if len(told) != len(people) || slices.ContainsFunc(told, func(e events.Type) bool { return e != events.ProvPatchNotice }) {
			t.Errorf("told %d events, want one for each of %d people", len(told), len(people))
		}
	})
}

// A stream is a reader with two positions too: an entry that changes again while a full window ends before it is told
// with both changes.
func TestStreamReadsBetweenTwoChanges(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", nil)
		w.grant(p, anna, "title", "displayName")
		people := w.crowd(p, hub.Window, "title")
		s := w.stream(p)
		w.patch(anna, replace("displayName", "Anna"))
		w.patchAll(people, replace("title", "Clerk"))
		w.patch(anna, replace("title", "Manager")) // now she stands last, behind a full window
		told := map[string]bool{}
		for {
			out := w.next(s, p)
			if len(out) == 0 {
				break
			}
			if len(told) == 0 {
				w.patch(people[0], replace("title", "Cook")) // the end of the feed moves on
			}
			for _, o := range out {
				names, _ := o.Payload["attributes"].([]any)
				for _, n := range names {
					told[o.SubID.Member("uri")+fmt.Sprint(n)] = true
				}
			}
			w.settle(s, subscriptions.Done, 0, out...)
		}
		for _, n := range []string{"displayName", "title"} {
			if !told["/Users/"+w.subjectID(p, anna)+n] {
				t.Errorf("%s was not told", n)
			}
		}
	})
}

// A change of two attributes of which one was granted names that one, and no value (MP-02).
func TestOnlyGrantedNamesAreTold(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", nil)
		w.grant(p, anna, "title")
		s := w.stream(p)
		w.patch(anna, replace("title", "Secret-Title"), replace("displayName", "Secret-Name"))
		out := w.next(s, p)
		if len(out) != 1 {
			t.Fatalf("got %d tokens", len(out))
		}
		if names, _ := out[0].Payload["attributes"].([]any); len(names) != 1 || names[0] != "title" {
			t.Errorf("payload %v", out[0].Payload)
		}
		if got := out[0].SubID; got != must(w.h.SubjectFor(w.ctx(), p.Party, anna))(t) {
			t.Errorf("subject %v", got.Member("uri"))
		}
	})
}

// Revoking withdraws what waits in a paused stream, in a retry and in a poll window: one removal follows, and nothing
// after it (invariants 4, 5).
func TestRevokeWithdrawsWhatWaits(t *testing.T) {
	for name, wait := range map[string]func(*world, *hub.Stream, testParty){
		"unread": func(*world, *hub.Stream, testParty) {},
		"paused": func(w *world, s *hub.Stream, p testParty) {
			must(w.h.SetStatus(w.ctx(), p.caller, s.ID.String(), subscriptions.Paused, ""))(w.t)
		},
		"retry": func(w *world, s *hub.Stream, p testParty) {
			w.settle(s, subscriptions.Retry, time.Minute, w.next(s, p)...)
		},
		"poll window": func(w *world, s *hub.Stream, p testParty) {
			w.settle(s, subscriptions.Retry, 30*time.Second, w.next(s, p)...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, w *world) {
				p := w.party(hub.PartyRequest{})
				anna := w.person("anna", nil)
				g := w.grant(p, anna, "title", "emails")
				s := w.stream(p)
				w.patch(anna, replace("title", "Clerk"), replace("active", false))
				wait(w, s, p)
				w.revoke(g)
				w.patch(anna, replace("title", "Cook"), replace("active", true))
				must(w.h.SetStatus(w.ctx(), p.caller, s.ID.String(), subscriptions.Enabled, ""))(t)
				w.clock = w.clock.Add(time.Hour)
				if told := w.drain(s, p); !slices.Equal(told, []events.Type{events.FeedRemove}) {
					t.Errorf("after the end: %v, want one removal", told)
				}
			})
		})
	}
}

// An attempt under way when the grant ends is let end; the removal waits for it, and what was under way is not repeated.
func TestRemovalWaitsForTheAttemptUnderWay(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", nil)
		g := w.grant(p, anna, "title")
		s := w.stream(p)
		w.patch(anna, replace("title", "Clerk"))
		out := w.next(s, p)
		w.revoke(g)
		if early := w.next(s, p); len(early) != 0 {
			t.Fatalf("sent beside the attempt under way: %v", early[0].Event)
		}
		w.settle(s, subscriptions.Retry, 0, out...)
		if told := w.drain(s, p); !slices.Equal(told, []events.Type{events.FeedRemove}) {
			t.Errorf("told %v, want one removal", told)
		}
	})
}

// A token is made once: every retry has the same jti and bytes; once settled it never returns (invariant 7). Narrowing
// un-makes it: same names, another jti.
func TestRetriesKeepTheirBytes(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", nil)
		w.grant(p, anna, "title", "displayName")
		s := w.stream(p)
		w.patch(anna, replace("title", "Clerk"), replace("displayName", "Anna"))
		first := w.next(s, p)
		w.settle(s, subscriptions.Retry, 0, first...)
		second := w.next(s, p)
		if len(second) != 1 || string(second[0].Compact) != string(first[0].Compact) {
			t.Fatal("the retry has other bytes")
		}
		w.settle(s, subscriptions.Retry, 0, second...)
		w.grant(p, anna, "title")
		third := w.next(s, p)
		if len(third) != 1 || third[0].Outgoing.JTI == first[0].Outgoing.JTI {
			t.Fatalf("a narrowed grant's token was not made anew")
		}
		w.settle(s, subscriptions.Done, 0, third...)
		w.settle(s, subscriptions.Retry, 0, third...) // a late word on what is settled changes nothing
		w.clock = w.clock.Add(time.Hour)
		if told := w.drain(s, p); len(told) != 0 {
			t.Errorf("what was settled came back: %v", told)
		}
	})
}

// Disabling an account tells the session revocation first, then the state (MP-05); a rename names the old address in
// the subject, only where the address was granted (MP-03, RI-05).
func TestSignals(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		blind := w.party(hub.PartyRequest{Name: "blind"})
		anna := w.person("anna", map[string]any{"emails": []any{map[string]any{"value": "anna@example.com", "type": "work"}}})
		w.grant(p, anna, "emails")
		w.grant(blind, anna, "title")
		s, sBlind := w.stream(p), w.stream(blind)
		w.patch(anna, replace("active", false))
		told := w.drain(s, p)
		if len(told) < 3 || told[0] != events.SessionRevoked || !slices.Contains(told, events.ProvDeactivate) || !slices.Contains(told, events.AccountDisabled) {
			t.Errorf("disabled: %v", told)
		}
		w.drain(sBlind, blind)
		w.patch(anna, replace(`emails[type eq "work"].value`, "anna@example.org"))
		out := w.next(s, p)
		if out[0].Event != events.IdentifierChanged || out[0].SubID != events.Email("anna@example.com") {
			t.Errorf("renamed: %v of %v", out[0].Event, out[0].SubID.Format())
		}
		for _, o := range out {
			if strings.Contains(string(must(o.SubID.MarshalJSON())(t)), "example.org") {
				t.Error("the new address was told")
			}
		}
		if told := w.drain(sBlind, blind); len(told) != 0 {
			t.Errorf("a party without the address heard %v", told)
		}
	})
}

// All tokens of one cause share a txn, and another cause has another one; two sectors are told different ones (SP-09).
func TestTxnNamesTheCause(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p, other := w.party(hub.PartyRequest{}), w.party(hub.PartyRequest{Name: "other"})
		anna := w.person("anna", nil)
		w.grant(p, anna, "title")
		w.grant(other, anna, "title")
		s, sOther := w.stream(p), w.stream(other)
		txns := func(s *hub.Stream, p testParty) (all []string) {
			for {
				out := w.next(s, p)
				if len(out) == 0 {
					return slices.Compact(all)
				}
				for _, o := range out {
					all = append(all, o.Txn)
				}
				w.settle(s, subscriptions.Done, 0, out...)
			}
		}
		w.patch(anna, replace("active", false))
		first := txns(s, p)
		if len(first) != 1 || first[0] == "" {
			t.Errorf("one cause, txns %q", first)
		}
		if foreign := txns(sOther, other); foreign[0] == first[0] {
			t.Error("two sectors can join what they were told")
		}
		w.patch(anna, replace("title", "Clerk"))
		if second := txns(s, p); len(second) != 1 || second[0] == first[0] {
			t.Errorf("another cause: %q, was %q", second, first)
		}
	})
}

// Deleting a person erases what waits about the person, and is told as deleting (MP-07).
func TestDeletionErases(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", nil)
		w.grant(p, anna, "title")
		s := w.stream(p)
		w.patch(anna, replace("title", "Clerk"))
		w.settle(s, subscriptions.Retry, time.Minute, w.next(s, p)...)
		cursor := w.now(p)
		w.ingest(hub.Report{Entry: anna.ID, Gone: true})
		w.clock = w.clock.Add(time.Hour)
		told := w.drain(s, p)
		if !slices.Contains(told, events.ProvDelete) || !slices.Contains(told, events.AccountPurged) || slices.Contains(told, events.FeedRemove) || slices.Contains(told, events.ProvPatchNotice) {
			t.Errorf("deleted: %v (MP-07)", told)
		}
		page := w.delta(p, cursor, 10)
		if len(page.Changes) != 1 || page.Changes[0].Change != events.Removed || page.Changes[0].Reason != events.ReasonDeleted {
			t.Errorf("delta after the deletion: %+v", page.Changes)
		}
		again := w.person("anna", nil)
		if again.ID == anna.ID {
			t.Error("the id was used again")
		}
	})
}

// Under an agreement everybody of the agreed types stands in the feed by the agreed attributes; creating is told as
// creating.
func TestAgreement(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{Agreement: true, Types: []string{"User"}, Attributes: []string{"title"}})
		s := w.stream(p)
		anna := w.person("anna", map[string]any{"title": "Clerk", "displayName": "Anna"})
		if told := w.drain(s, p); !slices.Equal(told, []events.Type{events.ProvCreateNotice}) {
			t.Errorf("created: %v", told)
		}
		w.patch(anna, replace("displayName", "A."))
		if told := w.drain(s, p); len(told) != 0 {
			t.Errorf("outside the bounds: %v", told)
		}
		v := must(w.h.Subject(w.ctx(), p.caller, w.subjectID(p, anna)))(t)
		if v.Resource["title"] != "Clerk" || v.Resource["displayName"] != nil {
			t.Errorf("values %v", v.Resource)
		}
		page := w.delta(p, "", 10)
		if len(page.Changes) != 1 || page.Changes[0].Change != events.Added {
			t.Errorf("snapshot %+v", page.Changes)
		}
	})
}

// The one secret that a receiver gives us comes back verbatim for its pushes, and stands nowhere in the store in the
// clear (PR-11, DE-02, SC-22).
func TestAuthorizationHeader(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		const secret = "Bearer quite-secret"
		s := must(w.h.CreateStream(w.ctx(), p.caller, subscriptions.Settings{Delivery: subscriptions.Delivery{
			Method: events.MethodPush, EndpointURL: "https://receiver.example.com/events", AuthorizationHeader: secret}}))(t)
		if to, err := w.h.Endpoint(w.ctx(), s.ID); err != nil || to.URL != "https://receiver.example.com/events" || to.Authorization != secret {
			t.Errorf("endpoint %q %q %v", to.URL, to.Authorization, err)
		}
		kept := must(w.store.Stream(w.ctx(), p.ID, s.ID))(t)
		if strings.Contains(kept.Settings.Delivery.AuthorizationHeader, "secret") {
			t.Error("the header is kept in the clear")
		}
		conf := must(w.h.Configuration(w.ctx(), s))(t)
		if conf.Delivery.AuthorizationHeader != "" {
			t.Error("the header is shown")
		}
		edit := func(_ hub.Stream, settings *subscriptions.Settings) error { settings.Description = "x"; return nil }
		must(w.h.UpdateStream(w.ctx(), p.caller, s.ID.String(), edit))(t)
		if to, err := w.h.Endpoint(w.ctx(), s.ID); err != nil || to.Authorization != secret {
			t.Errorf("after an update of something else: %q %v", to.Authorization, err)
		}
	})
}

// Verification is first in line, echoes its state, and waits while the stream is paused (ST-11, ST-12, VE-04).
func TestVerification(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		s := w.stream(p)
		state := "abc"
		must(w.h.SetStatus(w.ctx(), p.caller, s.ID.String(), subscriptions.Paused, ""))(t)
		if err := w.h.Verify(w.ctx(), p.caller, s.ID.String(), &state); err != nil {
			t.Fatal(err)
		}
		if out := w.next(s, p); len(out) != 0 {
			t.Fatal("sent while paused")
		}
		must(w.h.SetStatus(w.ctx(), p.caller, s.ID.String(), subscriptions.Enabled, ""))(t)
		out := w.next(s, p)
		if len(out) != 1 || out[0].Event != events.Verification || out[0].Payload["state"] != state || out[0].SubID != events.Opaque(s.ID.String()) {
			t.Fatalf("got %+v", out)
		}
	})
}

// What concerns a party as a whole raises its generation: cursors expire, and a stream tells one feed-changed in the
// place of what waited.
func TestGeneration(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", nil)
		w.grant(p, anna, "title")
		s := w.stream(p)
		cursor := w.now(p)
		w.patch(anna, replace("title", "Clerk"))
		w.settle(s, subscriptions.Retry, time.Minute, w.next(s, p)...)
		policy := consent.Default()
		policy.MaxAge = time.Minute
		it := hub.Item{Policy: &policy, Lines: []hub.Change{{Kind: hub.PolicyChanged, Actor: "test", Time: w.clock.UnixMicro()}}}
		must(w.store.Commit(w.ctx(), hub.Batch{Now: w.clock.UnixMicro(), Items: []hub.Item{it}}))(t)
		if _, err := w.h.Delta(w.ctx(), p.caller, cursor, 10, 0); !errors.Is(err, hub.ErrCursorExpired) {
			t.Errorf("a cursor of an older generation: %v", err)
		}
		w.clock = w.clock.Add(time.Hour)
		if told := w.drain(s, p); !slices.Equal(told, []events.Type{events.FeedChanged}) {
			t.Errorf("told %v, want one feed-changed", told)
		}
		if v := must(w.h.Subject(w.ctx(), p.caller, w.subjectID(p, anna)))(t); v.MaxAge > time.Minute {
			t.Errorf("max-age %v under the new policy (invariant 9)", v.MaxAge)
		}
		w.patch(anna, replace("title", "Cook"))
		if told := w.drain(s, p); !slices.Equal(told, []events.Type{events.ProvPatchNotice}) {
			t.Errorf("after the notice: %v", told)
		}
	})
}

// An expired grant is dead for every check at once; the sweeper's tombstone tells that it ended.
func TestExpiry(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", nil)
		must(w.h.Grant(w.ctx(), "test", hub.GrantRequest{Entry: anna.ID, Party: p.ID, Attributes: []string{"title"}, Until: w.clock.Add(time.Minute)}))(t)
		s := w.stream(p)
		cursor := w.now(p)
		w.patch(anna, replace("title", "Clerk"))
		if v := must(w.h.Subject(w.ctx(), p.caller, w.subjectID(p, anna)))(t); v.MaxAge > time.Minute {
			t.Errorf("max-age %v outlives the grant (invariant 9)", v.MaxAge)
		}
		w.clock = w.clock.Add(2 * time.Minute)
		if told := w.drain(s, p); len(told) != 0 {
			t.Errorf("told after the end: %v", told)
		}
		if page := w.delta(p, cursor, 10); len(page.Changes) != 0 {
			t.Errorf("read after the end: %+v", page.Changes)
		}
		if _, err := w.h.Subject(w.ctx(), p.caller, w.subjectID(p, anna)); !errors.Is(err, hub.ErrGrantEnded) {
			t.Errorf("fetched after the end: %v", err)
		}
		if err := w.h.Sweep(w.ctx()); err != nil {
			t.Fatal(err)
		}
		if told := w.drain(s, p); !slices.Equal(told, []events.Type{events.FeedRemove}) {
			t.Errorf("told %v, want one removal", told)
		}
		if page := w.delta(p, cursor, 10); len(page.Changes) != 1 || page.Changes[0].Change != events.Removed {
			t.Errorf("read %+v, want one removal", page.Changes)
		}
	})
}
