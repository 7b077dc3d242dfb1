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

// anew raises the party's generation: what concerns it as a whole has changed.
func (w *world) anew(p testParty) {
	w.t.Helper()
	must(w.h.SetParty(w.ctx(), "test", p.ID, hub.PartyChange{}))(w.t)
}

// A signal is owed whatever becomes of the feed: no snapshot tells it (invariant 3). It is told once, in a token of the new
// generation's terms.
func TestSignalsOutliveTheGeneration(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		for name, before := range map[string]func(s *hub.Stream, p testParty) (jti string){
			"not looked at": func(*hub.Stream, testParty) string { return "" },
			"issued": func(s *hub.Stream, p testParty) string {
				must(w.h.Waiting(w.ctx(), s.ID))(t)
				return ""
			},
			"sent": func(s *hub.Stream, p testParty) string {
				all := w.next(s, p)
				w.settle(s, subscriptions.Retry, 0, all...)
				return all[0].Outgoing.JTI
			},
			"paused": func(s *hub.Stream, p testParty) string {
				w.status(s, p, subscriptions.Paused)
				return ""
			},
		} {
			p := w.party(hub.PartyRequest{Name: name})
			anna := w.person("anna", nil)
			w.grant(p, anna, "title")
			s := w.stream(p)
			w.raise(anna, events.SessionRevoked)
			jti := before(s, p)
			w.patch(anna, replace("title", name))
			w.anew(p)
			w.anew(p)
			if name == "paused" {
				w.status(s, p, subscriptions.Enabled)
			}
			all := append(w.next(s, p), w.next(s, p)...)
			var told []events.Type
			for _, o := range all {
				told = append(told, o.Event)
				if o.Outgoing.JTI == jti {
					t.Errorf("%s: the token of other terms left again", name)
				}
			}
			if !slices.Equal(told, []events.Type{events.FeedChanged, events.SessionRevoked}) {
				t.Errorf("%s: told %v", name, told)
			}
			w.settle(s, subscriptions.Done, 0, all...)
			if again := w.drain(s, p); len(again) != 0 {
				t.Errorf("%s: then %v", name, again)
			}
		}
	})
}

// What is under way to the receiver is neither sent beside nor sent again if it arrives, and sent anew if it does not.
func TestSignalUnderWayWhenTheGenerationMovesOn(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		for _, arrives := range []bool{true, false} {
			p := w.party(hub.PartyRequest{})
			anna := w.person("anna", nil)
			w.grant(p, anna, "title")
			s := w.stream(p)
			w.raise(anna, events.SessionRevoked)
			under := w.next(s, p)
			w.anew(p)
			if all := w.next(s, p); len(all) != 1 || all[0].Event != events.FeedChanged {
				t.Fatalf("beside the attempt: %+v", all)
			}
			want := []events.Type{events.SessionRevoked}
			if arrives {
				w.settle(s, subscriptions.Done, 0, under...)
				want = nil
			} else {
				w.settle(s, subscriptions.Retry, 0, under...)
			}
			if told := w.drain(s, p); !slices.Equal(told, want) {
				t.Errorf("arrived %v: told %v", arrives, told)
			}
		}
	})
}

// Whether a signal may be told is asked again under the new bounds.
func TestSignalThatNewBoundsForbid(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", nil)
		w.grant(p, anna, "title")
		s := w.stream(p)
		w.raise(anna, events.SessionRevoked)
		w.settle(s, subscriptions.Retry, 0, w.next(s, p)...)
		narrower := *must(w.h.Party(w.ctx(), p.ID))(t)
		narrower.Bounds = consent.Bounds{Types: []string{"Group"}}
		line := hub.Change{Kind: hub.PartyChanged, Party: p.ID, Time: 1}
		receipt := must(w.store.Commit(w.ctx(), hub.Batch{Now: 1, Items: []hub.Item{{Party: &hub.PartyWrite{Party: narrower}, Lines: []hub.Change{line}}}}))(t)
		if err := receipt.Errors[0]; err != nil {
			t.Fatal(err)
		}
		if told := w.drain(s, p); !slices.Equal(told, []events.Type{events.FeedChanged}) {
			t.Errorf("told %v", told)
		}
	})
}

// A window full of signals leaves a change of generation no room, and needs none.
func TestFullWindowAndGeneration(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		people := w.crowd(p, 10, "title")
		s := w.stream(p)
		for range (hub.Window + 9) / 10 {
			for _, e := range people {
				w.raise(e, events.SessionRevoked)
			}
		}
		first := w.next(s, p)
		w.settle(s, subscriptions.Retry, time.Minute, first...)
		w.anew(p)
		w.clock = w.clock.Add(time.Minute)
		told := w.drain(s, p)
		if n := len(told); n != 1+(hub.Window+9)/10*10 {
			t.Errorf("%d events were told", n)
		}
	})
}

// However often what concerns it as a whole changes while a receiver is away, it is told once.
func TestChangedFeedIsToldOnce(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", nil)
		w.grant(p, anna, "title")
		s := w.stream(p)
		for range hub.MaxOwn + 2 {
			w.anew(p)
			w.settle(s, subscriptions.Retry, time.Hour, w.next(s, p)...) // it does not answer
		}
		for _, digests := range []bool{true, false} { // nor does the other way of following add to it
			must(w.h.UpdateStream(w.ctx(), p.caller, s.ID.String(), func(_ hub.Stream, to *subscriptions.Settings) error {
				to.Requested = nil
				if digests {
					to.Requested = []events.Type{events.Digest}
				}
				return nil
			}))(t)
		}
		w.clock = w.clock.Add(time.Hour)
		if told := w.drain(s, p); !slices.Equal(told, []events.Type{events.FeedChanged}) {
			t.Errorf("told %v", told)
		}
	})
}
