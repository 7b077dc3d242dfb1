package hub_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"tidings/consent"
	"tidings/events"
	"tidings/hub"
	"tidings/subscriptions"
)

// off takes somebody off a stream, on puts them back.
func (w *world) off(s *hub.Stream, p testParty, subject events.Subject) {
	w.t.Helper()
	if err := w.h.RemoveSubject(w.ctx(), p.caller, s.ID.String(), subject); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) on(s *hub.Stream, p testParty, subject events.Subject) {
	w.t.Helper()
	if err := w.h.AddSubject(w.ctx(), p.caller, s.ID.String(), subject); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) subject(p testParty, e *hub.Entry) events.Subject {
	w.t.Helper()
	return must(w.h.SubjectFor(w.ctx(), p.Party, e))(w.t)
}

func (w *world) status(s *hub.Stream, p testParty, status subscriptions.Status) {
	w.t.Helper()
	must(w.h.SetStatus(w.ctx(), p.caller, s.ID.String(), status, ""))(w.t)
}

// waits are the places where something about a person may wait to be told.
var waits = map[string]func(*world, *hub.Stream, testParty){
	"unread": func(*world, *hub.Stream, testParty) {},
	"paused": func(w *world, s *hub.Stream, p testParty) { w.status(s, p, subscriptions.Paused) },
	"retry": func(w *world, s *hub.Stream, p testParty) {
		w.settle(s, subscriptions.Retry, time.Minute, w.next(s, p)...)
	},
	"paused retry": func(w *world, s *hub.Stream, p testParty) {
		w.settle(s, subscriptions.Retry, time.Minute, w.next(s, p)...)
		w.status(s, p, subscriptions.Paused)
	},
	"poll window": func(w *world, s *hub.Stream, p testParty) {
		w.settle(s, subscriptions.Retry, 30*time.Second, w.next(s, p)...)
	},
}

// Taking a subject off withdraws what waits of it, changes and signals, wherever it waits; nothing follows on this stream,
// and nothing changes on another or in /delta (SU-06, SU-07, SU-11, PR-12).
func TestRemovedSubjectIsSilent(t *testing.T) {
	for name, wait := range waits {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, w *world) {
				p := w.party(hub.PartyRequest{})
				anna, bert := w.person("anna", nil), w.person("bert", nil)
				w.grant(p, anna, "title")
				w.grant(p, bert, "title")
				s, other := w.stream(p), w.stream(p)
				cursor := w.now(p)
				w.patch(anna, replace("title", "Clerk"), replace("active", false)) // and a signal
				wait(w, s, p)
				w.off(s, p, w.subject(p, anna))
				w.patch(anna, replace("title", "Cook"), replace("active", true))
				w.patch(bert, replace("title", "Cook"))
				w.status(s, p, subscriptions.Enabled)
				w.clock = w.clock.Add(time.Hour)
				if told := w.drain(s, p); !slices.Equal(told, []events.Type{events.ProvPatchNotice}) {
					t.Errorf("told %v, want one notice about the other", told)
				}
				if told := w.drain(other, p); len(told) < 4 {
					t.Errorf("the other stream was told %v", told)
				}
				if page := w.delta(p, cursor, 10); len(page.Changes) != 2 {
					t.Errorf("delta tells %v", page.Changes)
				}
			})
		})
	}
}

// An attempt under way when the subject is taken off is let end; it does not come again, and neither does what waited
// behind it.
func TestRemovalOfSubjectLetsTheAttemptEnd(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", nil)
		w.grant(p, anna, "title")
		s := w.stream(p)
		w.patch(anna, replace("title", "Clerk"))
		out := w.next(s, p)
		w.patch(anna, replace("title", "Cook"))
		if early := w.next(s, p); len(early) != 0 { // it waits behind the first
			t.Fatalf("told %v", early[0].Event)
		}
		w.off(s, p, w.subject(p, anna))
		w.on(s, p, w.subject(p, anna))
		if early := w.next(s, p); len(early) != 0 {
			t.Fatalf("sent beside the attempt under way: %v", early[0].Event)
		}
		w.settle(s, subscriptions.Retry, 0, out...)
		w.clock = w.clock.Add(time.Hour)
		if told := w.drain(s, p); !slices.Equal(told, []events.Type{events.FeedAdd}) {
			t.Errorf("told %v, want that the subject is back", told)
		}
	})
}

// A subject that is added again is told afresh, once, and then goes on: what happened meanwhile was passed over. Also on a
// stream that is paused when it is added, and with its attempt's token settled late.
func TestAddedSubjectIsToldAfresh(t *testing.T) {
	for name, wait := range waits {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, w *world) {
				p := w.party(hub.PartyRequest{})
				anna := w.person("anna", nil)
				w.grant(p, anna, "title", "displayName")
				s := w.stream(p)
				subject := w.subject(p, anna)
				w.patch(anna, replace("title", "Clerk"))
				wait(w, s, p)
				w.off(s, p, subject)
				w.patch(anna, replace("title", "Cook"))
				if name == "unread" {
					w.drain(s, p) // the cursor passes it
				}
				w.on(s, p, subject)
				w.on(s, p, subject)
				w.patch(anna, replace("displayName", "Anna"))
				w.status(s, p, subscriptions.Enabled)
				w.clock = w.clock.Add(time.Hour)
				if told := w.drain(s, p); !slices.Equal(told, []events.Type{events.FeedAdd}) {
					t.Errorf("told %v, want that the subject is back", told)
				}
				w.patch(anna, replace("title", "Manager"))
				if told := w.drain(s, p); !slices.Equal(told, []events.Type{events.ProvPatchNotice}) {
					t.Errorf("told %v of a change after it", told)
				}
			})
		})
	}
}

// The end of a grant stays silent on a stream that the subject is off, and stands in /delta; whoever adds the subject again
// is told that it ended. A new grant does not put anybody back.
func TestEndOfGrantOfRemovedSubject(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", nil)
		g := w.grant(p, anna, "title")
		s := w.stream(p)
		subject, cursor := w.subject(p, anna), w.now(p)
		w.off(s, p, subject)
		w.revoke(g)
		if told := w.drain(s, p); len(told) != 0 {
			t.Errorf("told %v", told)
		}
		page := w.delta(p, cursor, 10)
		if len(page.Changes) != 1 || page.Changes[0].Change != "removed" {
			t.Errorf("delta tells %v", page.Changes)
		}
		w.grant(p, anna, "title")
		if told := w.drain(s, p); len(told) != 0 {
			t.Errorf("a new grant told %v", told)
		}
		w.revoke(g)
		w.drain(s, p)
		w.on(s, p, subject)
		if told := w.drain(s, p); !slices.Equal(told, []events.Type{events.FeedRemove}) {
			t.Errorf("told %v, want that it ended", told)
		}
		w.grant(p, anna, "title")
		if told := w.drain(s, p); !slices.Equal(told, []events.Type{events.FeedAdd}) {
			t.Errorf("told %v of the new grant", told)
		}
	})
}

// Revoking between the addition and its telling: what is told is the end, never the addition (invariant 5).
func TestRevokedOnTheWayBack(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", nil)
		g := w.grant(p, anna, "title")
		s := w.stream(p)
		subject := w.subject(p, anna)
		w.off(s, p, subject)
		w.drain(s, p)
		w.status(s, p, subscriptions.Paused)
		w.on(s, p, subject)
		w.revoke(g)
		w.status(s, p, subscriptions.Enabled)
		if told := w.drain(s, p); !slices.Equal(told, []events.Type{events.FeedRemove}) {
			t.Errorf("told %v, want that it ended", told)
		}
	})
}

// What ended already cannot be taken off: that it ended is still told. The same of somebody never granted, whose later
// grant is told as any.
func TestRemovalOfSubjectThatIsNotGranted(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna, bert := w.person("anna", nil), w.person("bert", nil)
		g := w.grant(p, anna, "title")
		s := w.stream(p)
		w.revoke(g)
		w.off(s, p, w.subject(p, anna))
		w.off(s, p, w.subject(p, bert))
		w.grant(p, bert, "title")
		if told := w.drain(s, p); !slices.Equal(told, []events.Type{events.FeedRemove, events.FeedAdd}) {
			t.Errorf("told %v", told)
		}
	})
}

// A disabled stream holds nothing: neither does it hold that somebody was added again. Who is off stays off (SU-12).
func TestSubjectsOfDisabledStream(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna, bert, carl := w.person("anna", nil), w.person("bert", nil), w.person("carl", nil)
		s := w.stream(p)
		for _, e := range []*hub.Entry{anna, bert, carl} {
			w.grant(p, e, "title")
			w.off(s, p, w.subject(p, e))
		}
		w.drain(s, p)
		w.on(s, p, w.subject(p, anna))
		w.status(s, p, subscriptions.Disabled)
		w.on(s, p, w.subject(p, bert))
		w.status(s, p, subscriptions.Enabled)
		if told := w.drain(s, p); len(told) != 0 {
			t.Errorf("told %v of the gap", told)
		}
		for _, e := range []*hub.Entry{anna, bert, carl} {
			w.patch(e, replace("title", "Clerk"))
		}
		if told := w.drain(s, p); len(told) != 2 {
			t.Errorf("told %v, want two", told)
		}
	})
}

// The deletion of somebody who is off the stream stays silent too, until the tombstone goes and the exclusion with it.
func TestDeletionOfRemovedSubject(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", nil)
		w.grant(p, anna, "title")
		s := w.stream(p)
		w.off(s, p, w.subject(p, anna))
		w.ingest(hub.Report{Entry: anna.ID, Gone: true})
		if told := w.drain(s, p); len(told) != 0 {
			t.Errorf("told %v", told)
		}
		w.person("bert", nil) // the line at Oldest stays, and its entry
		for more := true; more; {
			more = must(w.store.Trim(w.ctx(), must(w.store.Head(w.ctx()))(t).Position, 1))(t)
		}
		w.on(s, p, w.subject(p, anna))
		if told := w.drain(s, p); len(told) != 0 {
			t.Errorf("told %v of who was forgotten", told)
		}
	})
}

// A party under an agreement narrows its stream too.
func TestSubjectsUnderAgreement(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{Agreement: true, Types: []string{"User"}, Attributes: []string{"title"}})
		anna := w.person("anna", nil)
		s := w.stream(p)
		w.off(s, p, w.subject(p, anna))
		w.patch(anna, replace("title", "Clerk"))
		if told := w.drain(s, p); len(told) != 0 {
			t.Errorf("told %v", told)
		}
		w.on(s, p, w.subject(p, anna))
		if told := w.drain(s, p); !slices.Equal(told, []events.Type{events.ProvCreateNotice}) {
			t.Errorf("told %v", told)
		}
	})
}

// However a receiver names somebody (MA-01, MA-06, MA-08), and never by what is another's.
func TestNamesOfSubjects(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p, q := w.party(hub.PartyRequest{}), w.party(hub.PartyRequest{Name: "other"})
		anna := w.person("anna", nil)
		w.grant(p, anna, "title")
		w.grant(q, anna, "title")
		s := w.stream(p)
		id := w.subjectID(p, anna)
		parse := func(format string, a ...any) events.Subject {
			t.Helper()
			return must(events.ParseSubject(fmt.Appendf(nil, format, a...)))(t)
		}
		means := func(subject events.Subject) bool {
			t.Helper()
			w.off(s, p, subject)
			w.patch(anna, replace("title", hub.NewID().String()))
			silent := len(w.drain(s, p)) == 0
			w.on(s, p, subject)
			if back := len(w.drain(s, p)) > 0; back != silent {
				t.Errorf("taken off by a name that does not put back, or the other way round")
			}
			return silent
		}
		for name, subject := range map[string]events.Subject{
			"opaque": events.Opaque(id), "iss_sub": events.IssSub("https://hub.example.com", id), "scim": w.subject(p, anna),
			"aliases":    parse(`{"format":"aliases","identifiers":[{"format":"opaque","id":"x"},{"format":"opaque","id":%q}]}`, id),
			"complex":    events.Complex(map[string]events.Subject{"user": events.Opaque(id)}),
			"and tenant": events.Complex(map[string]events.Subject{"user": events.Opaque(id), "tenant": events.Opaque("t")}),
			"complex aliases": events.Complex(map[string]events.Subject{
				"user": parse(`{"format":"aliases","identifiers":[{"format":"opaque","id":%q}]}`, id)}),
		} {
			if !means(subject) {
				t.Errorf("%s does not name her", name)
			}
		}
		part := events.Complex(map[string]events.Subject{"user": events.Opaque(id), "session": events.Opaque("s")})
		var invalid *subscriptions.Invalid
		if err := w.h.RemoveSubject(w.ctx(), p.caller, s.ID.String(), part); !errors.As(err, &invalid) {
			t.Errorf("a session was taken off: %v", err)
		}
		w.on(s, p, part) // she is on the stream, and so are her sessions
		for name, subject := range map[string]events.Subject{
			"the other party's": w.subject(q, anna), "the hub's own id": events.Opaque(anna.ID.String()), "the stream": events.Opaque(s.ID.String()),
			"another issuer's": events.IssSub("https://other.example", id), "complex without a user": events.Complex(map[string]events.Subject{"tenant": events.Opaque(id)}),
		} {
			if means(subject) {
				t.Errorf("%s names her", name)
			}
		}
	})
}

// By an address, a number or a userName somebody is named where the party may know it: by the value that events would
// tell, granted, and fetchable or the party's own way of naming people. SI-03, PR-01, PR-05.
func TestIdentifiersOfSubjects(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p, mail := w.party(hub.PartyRequest{}), w.party(hub.PartyRequest{Name: "mail", SubjectFormat: "email"})
		person := func(name, address string) *hub.Entry {
			return w.person(name, map[string]any{
				"emails":       []any{map[string]any{"value": "private." + address, "type": "home"}, map[string]any{"value": address, "type": "work"}},
				"phoneNumbers": []any{map[string]any{"value": "+4930123456"}},
			})
		}
		anna := person("Anna@Example.com", "anna@example.com")
		s, mailed := w.stream(p), w.stream(mail)
		named := func(s *hub.Stream, p testParty, format, member, value string) bool {
			t.Helper()
			subject := must(events.ParseSubject(fmt.Appendf(nil, `{"format":%q,%q:%q}`, format, member, value)))(t)
			w.drain(s, p)
			w.off(s, p, subject)
			w.patch(anna, replace("active", false))
			w.patch(anna, replace("active", true))
			silent := len(w.drain(s, p)) == 0
			w.on(s, p, subject)
			if back := len(w.drain(s, p)) > 0; back != silent {
				t.Errorf("%s takes off and does not put back, or the other way round", format)
			}
			return silent
		}
		all := []consent.Purposes{consent.Transfer | consent.Notify, consent.Notify}
		for _, c := range []struct {
			granted               string
			purposes              consent.Purposes
			format, member, value string
			is                    bool
		}{
			{"emails", all[0], "email", "email", "ANNA@example.com", true},
			{"emails", all[0], "email", "email", "private.anna@example.com", false},
			{"emails", all[1], "email", "email", "anna@example.com", false},
			{"title", all[0], "email", "email", "anna@example.com", false},
			{"phoneNumbers", all[0], "phone", "phone_number", "+4930123456", true},
			{"phoneNumbers", all[0], "phone_number", "phone_number", "+4930123456", true},
			{"emails", all[0], "phone_number", "phone_number", "+4930123456", false},
			{"userName", all[0], "account", "uri", "acct:anna@example.com", true},
			{"emails", all[0], "account", "uri", "acct:anna@example.com", false},
		} {
			w.grantFor(p, anna, c.purposes, c.granted)
			if named(s, p, c.format, c.member, c.value) != c.is {
				t.Errorf("granted %s for %v: %s %s names her: %t", c.granted, c.purposes.Names(), c.format, c.value, !c.is)
			}
		}
		g := w.grantFor(mail, anna, consent.Notify, "emails")
		if !named(mailed, mail, "email", "email", "anna@example.com") {
			t.Error("a party that is told of her by her address cannot name her by it")
		}
		w.patch(anna, replace("emails", []any{map[string]any{"value": "berg@example.com", "type": "work"}}))
		if named(mailed, mail, "email", "email", "anna@example.com") || !named(mailed, mail, "email", "email", "berg@example.com") {
			t.Error("she is named by the address that she had")
		}
		bert := person("bert", "berg@example.com") // an address of two is of both, as far as they were granted
		w.grantFor(mail, bert, consent.Notify, "emails")
		if !named(mailed, mail, "email", "email", "berg@example.com") {
			t.Error("an address of two does not name the one")
		}
		w.ingest(hub.Report{Entry: bert.ID, Gone: true}) // and Check finds nothing left of him
		w.drain(mailed, mail)
		w.off(mailed, mail, events.Email("berg@example.com"))
		w.revoke(g)
		w.on(mailed, mail, events.Email("berg@example.com")) // which the party may not know her by any more
		w.grantFor(mail, anna, consent.Notify, "emails")
		if told := w.drain(mailed, mail); len(told) != 0 {
			t.Errorf("put back by an address that is not granted any more: %v", told)
		}
	})
}

// full is a store whose streams leave out as many subjects as they may.
type full struct{ hub.Store }

func (f full) Choose(ctx context.Context, party, stream hub.ID, named hub.Naming, now int64, choose func(hub.Choosing) (hub.Chosen, error)) error {
	return f.Store.Choose(ctx, party, stream, named, now, func(in hub.Choosing) (hub.Chosen, error) {
		in.Count = hub.MaxExclusions
		return choose(in)
	})
}

// A receiver can take off so many and no more. Who is off already, or on the way back, makes none more, and who is not
// there gets the usual answer.
func TestSubjectsAreBounded(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna, bert, nobody := w.person("anna", nil), w.person("bert", nil), w.person("carl", nil)
		w.grant(p, anna, "title")
		w.grant(p, bert, "title")
		s := w.stream(p)
		w.off(s, p, w.subject(p, anna))
		w.h = must(hub.Open(w.ctx(), full{w.store}, w.key, w.config()))(t)
		w.off(s, p, w.subject(p, anna))
		w.on(s, p, w.subject(p, anna))
		w.off(s, p, w.subject(p, anna))
		w.off(s, p, w.subject(p, nobody))
		if err := w.h.RemoveSubject(w.ctx(), p.caller, s.ID.String(), w.subject(p, bert)); !errors.Is(err, hub.ErrSubjects) {
			t.Errorf("one more: %v", err)
		}
	})
}
