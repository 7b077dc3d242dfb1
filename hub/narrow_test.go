package hub_test

import (
	"slices"
	"testing"
	"time"

	"tidings/consent"
	"tidings/events"
	"tidings/hub"
	"tidings/subscriptions"
)

// withdrawn is not told after it (invariant 4).
func TestNoticesWithdrawnWhileTheyWait(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", nil)
		w.grant(p, anna, "title")
		s := w.stream(p)
		w.patch(anna, replace("title", "Clerk"), replace("active", false))
		first := w.next(s, p)
		w.settle(s, subscriptions.Retry, time.Minute, first...)
		w.grantFor(p, anna, consent.Transfer, "title")
		w.clock = w.clock.Add(time.Hour)
		if told := w.drain(s, p); len(told) != 0 {
			t.Errorf("told without a yes to notices: %v", told)
		}
	})
}

// A signal that waits is told only while the grant covers what it is about.
func TestSignalNarrowedWhileItWaits(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", map[string]any{"emails": []any{map[string]any{"value": "a@example.com"}}})
		w.grant(p, anna, "title", "emails")
		s := must(w.h.CreateStream(w.ctx(), p.caller, subscriptions.Settings{
			Requested: []events.Type{events.IdentifierChanged}, Delivery: subscriptions.Delivery{Method: events.MethodPoll}}))(t)
		w.patch(anna, replace("emails", []any{map[string]any{"value": "b@example.com"}}))
		first := w.next(s, p)
		if len(first) != 1 || first[0].Event != events.IdentifierChanged {
			t.Fatalf("told %+v", first)
		}
		w.settle(s, subscriptions.Retry, time.Minute, first...)
		w.grant(p, anna, "title")
		w.clock = w.clock.Add(time.Hour)
		if told := w.drain(s, p); slices.Contains(told, events.IdentifierChanged) {
			t.Errorf("told without a grant of it: %v", told)
		}
	})
}

// A signal carries a value: what policy or the party's bounds withhold is not told in one either.
func TestSignalWithinBounds(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{Attributes: []string{"title"}})
		anna := w.person("anna", map[string]any{"emails": []any{map[string]any{"value": "a@example.com"}}})
		w.grant(p, anna, "title", "emails")
		s := must(w.h.CreateStream(w.ctx(), p.caller, subscriptions.Settings{
			Requested: []events.Type{events.IdentifierChanged}, Delivery: subscriptions.Delivery{Method: events.MethodPoll}}))(t)
		w.patch(anna, replace("emails", []any{map[string]any{"value": "b@example.com"}}))
		if told := w.drain(s, p); len(told) != 0 {
			t.Errorf("told outside the bounds: %v", told)
		}
	})
}
