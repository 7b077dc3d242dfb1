package hub_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"tidings/consent"
	"tidings/events"
	"tidings/hub"
	"tidings/subscriptions"
)

func (w *world) opt(g *hub.Grant, moves ...consent.OptMove) {
	w.t.Helper()
	for _, m := range moves {
		if _, err := w.h.Opt(w.ctx(), "test", g.ID, m); err != nil {
			w.t.Fatalf("%s: %v", m, err)
		}
	}
}

func (w *world) raise(e *hub.Entry, t events.Type) {
	w.t.Helper()
	must(w.h.Raise(w.ctx(), "test", hub.SignalRequest{Entry: e.ID, Signal: subscriptions.Signal{Type: t}}))(w.t)
}

// RI-08 to RI-11, RI-20, MP-31: each move is told to the streams of that party alone. Until the person is out events go
// on; then no account or session event follows while what the grant lets the party know does; opting in resumes.
func TestOptStates(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p, q := w.party(hub.PartyRequest{}), w.party(hub.PartyRequest{Name: "other"})
		anna := w.person("anna", nil)
		g := w.grant(p, anna, "title")
		w.grant(q, anna, "title")
		s, other := w.stream(p), w.stream(q)
		told := func(want ...events.Type) {
			t.Helper()
			if got := w.drain(s, p); !slices.Equal(got, want) {
				t.Errorf("told %v, want %v", got, want)
			}
		}
		w.opt(g, consent.OptOutInitiated)
		w.raise(anna, events.SessionRevoked)
		told(events.OptOutInitiated, events.SessionRevoked)
		w.opt(g, consent.OptOutCancelled)
		told(events.OptOutCancelled)
		w.opt(g, consent.OptOutInitiated, consent.OptOutEffective)
		told(events.OptOutInitiated, events.OptOutEffective)
		w.raise(anna, events.SessionRevoked)
		w.patch(anna, replace("active", false), replace("title", "Clerk"))
		told(events.ProvDeactivate, events.ProvPatchNotice)
		w.opt(g, consent.OptIn)
		told(events.OptIn)
		w.raise(anna, events.SessionRevoked)
		w.patch(anna, replace("active", true))
		told(events.SessionRevoked, events.ProvActivate, events.AccountEnabled)
		for _, e := range w.drain(other, q) {
			if subscriptions.IsOpt(e) {
				t.Errorf("another party was told %s", e)
			}
		}
		for _, move := range []consent.OptMove{consent.OptIn, consent.OptOutCancelled, consent.OptOutEffective} {
			if _, err := w.h.Opt(w.ctx(), "test", g.ID, move); !errors.Is(err, consent.ErrOpt) {
				t.Errorf("RI-21: %s from opt-in: %v", move, err)
			}
		}
		told()
	})
}

// RI-11: what waits when the person opts out is not told, wherever it waits; what was raised meanwhile is not told after
// they opt in again.
func TestOptOutWithdrawsWhatWaits(t *testing.T) {
	for name, wait := range waits {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, w *world) {
				p := w.party(hub.PartyRequest{})
				anna := w.person("anna", nil)
				g := w.grant(p, anna, "title")
				s := w.stream(p)
				w.opt(g, consent.OptOutInitiated)
				w.drain(s, p)
				w.raise(anna, events.SessionRevoked)
				w.patch(anna, replace("active", false), replace("title", "Clerk"))
				wait(w, s, p)
				w.opt(g, consent.OptOutEffective)
				w.raise(anna, events.AccountCredentialChangeRequired)
				if name == "paused" {
					w.opt(g, consent.OptIn)
				}
				w.status(s, p, subscriptions.Enabled)
				w.clock = w.clock.Add(time.Hour)
				for _, e := range w.drain(s, p) {
					d, _ := events.Lookup(e)
					switch {
					case subscriptions.IsOpt(e) || d.Family == events.FamilySCIM:
					case name == "paused" && e != events.AccountCredentialChangeRequired: // opted in again: this is how things are
					default:
						t.Errorf("told %s", e)
					}
				}
			})
		})
	}
}

// An attempt under way when the person opts out is let end, and not repeated.
func TestOptOutLetsTheAttemptEnd(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", nil)
		g := w.grant(p, anna, "title")
		s := w.stream(p)
		w.opt(g, consent.OptOutInitiated)
		w.drain(s, p)
		w.raise(anna, events.SessionRevoked)
		out := w.next(s, p)
		w.opt(g, consent.OptOutEffective)
		w.settle(s, subscriptions.Retry, 0, out...)
		w.clock = w.clock.Add(time.Hour)
		if told := w.drain(s, p); !slices.Equal(told, []events.Type{events.OptOutEffective}) {
			t.Errorf("told %v", told)
		}
	})
}

// MP-18, MP-20: a stream that takes RISC's words and not SCIM's is told that consent was given and withdrawn in these. A
// grant that begins anew begins opted in.
func TestConsentInWordsOfRISC(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", nil)
		s := must(w.h.CreateStream(w.ctx(), p.caller, subscriptions.Settings{
			Delivery:  subscriptions.Delivery{Method: events.MethodPoll},
			Requested: []events.Type{events.OptIn, events.OptOutInitiated, events.OptOutEffective, events.AccountDisabled},
		}))(t)
		told := func(want ...events.Type) {
			t.Helper()
			if got := w.drain(s, p); !slices.Equal(got, want) {
				t.Errorf("told %v, want %v", got, want)
			}
		}
		g := w.grant(p, anna, "title")
		told(events.OptIn)
		w.opt(g, consent.OptOutInitiated)
		told(events.OptOutInitiated)
		w.revoke(g)
		told(events.OptOutEffective)
		if _, err := w.h.Opt(w.ctx(), "test", g.ID, consent.OptIn); !errors.Is(err, hub.ErrNotFound) {
			t.Errorf("the state of a grant that ended moved: %v", err)
		}
		g = w.grant(p, anna, "title")
		told(events.OptIn)
		w.opt(g, consent.OptOutInitiated, consent.OptOutEffective)
		told(events.OptOutInitiated, events.OptOutEffective)
		g = w.grant(p, anna, "title", "displayName") // other terms, the same word
		w.revoke(g)
		told()
		g = w.grant(p, anna, "title")
		told(events.OptIn)
		w.revoke(g)
		told(events.OptOutInitiated, events.OptOutEffective)
		w.grantFor(p, anna, consent.Transfer, "title") // nothing is told of what happens to the account
		told()
	})
}

// Who is off a stream is silent there in this too, and cannot be signalled by hand.
func TestOptOfRemovedSubject(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", nil)
		g := w.grant(p, anna, "title")
		s := w.stream(p)
		w.off(s, p, w.subject(p, anna))
		w.opt(g, consent.OptOutInitiated)
		if told := w.drain(s, p); len(told) != 0 {
			t.Errorf("told %v", told)
		}
		_, err := w.h.Raise(w.ctx(), "test", hub.SignalRequest{Entry: anna.ID, Signal: subscriptions.Signal{Type: events.OptIn}})
		var invalid *subscriptions.Invalid
		if !errors.As(err, &invalid) || invalid.Member != "type" {
			t.Errorf("raised by hand: %v", err)
		}
	})
}
