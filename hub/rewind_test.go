package hub_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"tidings/events"
	"tidings/hub"
	"tidings/subscriptions"
)

// A stream is told again from a moment or from a cursor, under the grants as they stand.
func TestRewind(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p, other := w.party(hub.PartyRequest{}), w.party(hub.PartyRequest{})
		operator := hub.Caller{Role: hub.RoleOperator}
		anna, bob := w.person("anna", nil), w.person("bob", nil)
		w.grant(p, anna, "title", "displayName")
		ends := w.grant(p, bob, "title")
		s := w.stream(p)
		w.clock = w.clock.Add(time.Hour)
		w.patch(anna, replace("displayName", "Anna"))
		w.clock = w.clock.Add(time.Hour)
		between, cursor := w.clock, w.now(p)
		w.clock = w.clock.Add(time.Hour)
		w.patch(anna, replace("title", "Clerk"))
		w.patch(bob, replace("title", "Clerk"))
		must(w.h.Raise(w.ctx(), "test", hub.SignalRequest{Entry: anna.ID, Signal: subscriptions.Signal{Type: events.SessionRevoked}}))(t)
		w.drain(s, p)
		again := func(c hub.Caller, r hub.Rewinding) (names [][]any) {
			t.Helper()
			must(w.h.Rewind(w.ctx(), c, s.ID.String(), r))(t)
			out := w.next(s, p)
			for _, o := range out {
				list, _ := o.Payload["attributes"].([]any)
				names = append(names, list)
				if o.Event == events.SessionRevoked {
					t.Error("a signal is told twice")
				}
			}
			w.settle(s, subscriptions.Done, 0, out...)
			return names
		}
		for what, r := range map[string]hub.Rewinding{"since": {Since: between}, "cursor": {Cursor: cursor}} {
			for who, c := range map[string]hub.Caller{"party": p.caller, "operator": operator} {
				if names := again(c, r); len(names) != 2 || !slices.Equal(names[0], []any{"title"}) || !slices.Equal(names[1], []any{"title"}) {
					t.Errorf("by %s %s: told again %v", who, what, names)
				}
			}
		}
		if names := again(p.caller, hub.Rewinding{Since: time.Unix(1, 0)}); len(names) != 2 {
			t.Errorf("from the beginning: %v", names)
		}
		if names := again(p.caller, hub.Rewinding{Since: w.clock.Add(time.Hour)}); len(names) != 0 {
			t.Errorf("from the future: %v", names)
		}
		w.revoke(ends)
		if told := w.drain(s, p); !slices.Equal(told, []events.Type{events.FeedRemove}) {
			t.Errorf("told %v", told)
		}
		must(w.h.Rewind(w.ctx(), p.caller, s.ID.String(), hub.Rewinding{Since: between}))(t)
		if told := w.drain(s, p); !slices.Equal(told, []events.Type{events.ProvPatchNotice, events.FeedRemove}) { // I5
			t.Errorf("after a revocation told again %v", told)
		}

		refused := func(c hub.Caller, id string, r hub.Rewinding, want error) {
			t.Helper()
			if _, err := w.h.Rewind(w.ctx(), c, id, r); !errors.Is(err, want) {
				t.Errorf("%+v: %v, want %v", r, err, want)
			}
		}
		id := s.ID.String()
		refused(other.caller, id, hub.Rewinding{Since: between}, hub.ErrNotFound) // I10
		refused(p.caller, hub.NewID().String(), hub.Rewinding{Since: between}, hub.ErrNotFound)
		refused(p.caller, "", hub.Rewinding{Since: between}, hub.ErrNotFound)
		refused(hub.Caller{Role: hub.RoleDirectory}, id, hub.Rewinding{Since: between}, hub.ErrForbidden)
		refused(p.caller, id, hub.Rewinding{}, hub.ErrBadRequest)
		refused(p.caller, id, hub.Rewinding{Since: between, Cursor: cursor}, hub.ErrBadRequest)
		refused(p.caller, id, hub.Rewinding{Cursor: w.now(other)}, hub.ErrCursorInvalid)
		refused(operator, id, hub.Rewinding{Cursor: w.now(other)}, hub.ErrCursorInvalid)
		refused(p.caller, id, hub.Rewinding{Cursor: "now"}, hub.ErrCursorInvalid)
		refused(p.caller, id, hub.Rewinding{Cursor: cursor + "A"}, hub.ErrCursorInvalid)
		head := must(w.h.Head(w.ctx()))(t)
		must(w.store.Trim(w.ctx(), head.Position, 1000))(t)
		refused(p.caller, id, hub.Rewinding{Since: between}, hub.ErrCursorExpired) // I8
		refused(p.caller, id, hub.Rewinding{Cursor: cursor}, hub.ErrCursorExpired)
		must(w.h.SetStatus(w.ctx(), p.caller, id, subscriptions.Disabled, ""))(t)
		refused(p.caller, id, hub.Rewinding{Since: w.clock.Add(time.Hour)}, hub.ErrDisabled)
	})
}
