package hub_test

import (
	"slices"
	"testing"

	"tidings/events"
	"tidings/hub"
	"tidings/subscriptions"
)

// trim lets all tombstones' lives be over.
func (w *world) trim() {
	w.t.Helper()
	head := must(w.store.Head(w.ctx()))(w.t)
	for more := true; more; {
		more = must(w.store.Trim(w.ctx(), head.Position, 1000))(w.t)
	}
}

// A removal that waits longer than its tombstone lives is told as a changed feed.
func TestRemovalOutlivesItsTombstone(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", nil)
		g := w.grant(p, anna, "title")
		s := w.stream(p)
		w.patch(anna, replace("title", "Clerk"))
		first := w.next(s, p) // under way: the removal waits for it
		w.revoke(g)
		w.next(s, p)
		must(w.h.SetStatus(w.ctx(), p.caller, s.ID.String(), subscriptions.Paused, ""))(t)
		w.settle(s, subscriptions.Done, 0, first...)
		w.trim()
		must(w.h.SetStatus(w.ctx(), p.caller, s.ID.String(), subscriptions.Enabled, ""))(t)
		if told := w.drain(s, p); !slices.Equal(told, []events.Type{events.FeedChanged}) && !slices.Equal(told, []events.Type{events.FeedRemove}) {
			t.Errorf("the end was not told: %v", told)
		}
	})
}

// Signals and rows share the window's room (invariant 11).
func TestSignalsAndRowsShareTheWindow(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		s := w.stream(p)
		for _, name := range []string{"anna", "bert", "cleo"} {
			e := w.person(name, nil)
			w.grant(p, e, "title")
			w.patch(e, replace("active", false))
		}
		must(w.store.Issue(w.ctx(), s.ID, w.clock.UnixMicro(), 4, func(in hub.Issuing) hub.Issued {
			if n := len(in.Signals) + len(in.Page.Rows); n > in.Room || len(in.Signals) != 3 || !in.Page.More {
				t.Errorf("%d signals and %d rows for a room of %d, more %v", len(in.Signals), len(in.Page.Rows), in.Room, in.Page.More)
			}
			st := in.Stream
			return hub.Issued{Base: st.Base, At: st.At, Tag: st.Tag, Signal: st.Signal, Generation: st.Generation}
		}))(t)
	})
}
