package hub_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"tidings/events"
	"tidings/hub"
	"tidings/subscriptions"
)

// refuse has the receiver refuse what is next for good, with its words.
func (w *world) refuse(s *hub.Stream, p testParty, description string) []sent {
	w.t.Helper()
	all := w.next(s, p)
	for _, o := range all {
		outcome := hub.Outcome{JTI: o.Outgoing.JTI, Next: subscriptions.Dead, Reason: events.CodeInvalidState, Description: description}
		if err := w.h.Settle(w.ctx(), s.ID, []hub.Outcome{outcome}); err != nil {
			w.t.Fatal(err)
		}
	}
	return all
}

func (w *world) letters(q hub.LetterQuery) []hub.DeadLetter {
	w.t.Helper()
	q.Limit = 1000
	return must(w.h.DeadLetters(w.ctx(), q))(w.t)
}

// PA-03, PB-11: what a receiver said of a token is for the operator: sealed in the store, bounded, gone with the person.
func TestDeadLetterDescription(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", nil)
		w.grant(p, anna, "title")
		s := w.stream(p)
		w.patch(anna, replace("title", "Clerk"))
		said := "no mailbox anna@example.com\x1b[2J" + strings.Repeat("ü", 600)
		refused := w.refuse(s, p, said)
		all := w.letters(hub.LetterQuery{Stream: s.ID})
		if len(refused) != 1 || len(all) != 1 || all[0].JTI != refused[0].Outgoing.JTI || all[0].Reason != events.CodeInvalidState {
			t.Fatalf("%+v", all)
		}
		if strings.Contains(string(all[0].Description), "anna") {
			t.Error("the store can read what the receiver wrote")
		}
		_, description, err := w.h.DeadLetter(w.ctx(), all[0].ID)
		if err != nil || !strings.HasPrefix(said, description) || len(description) < 900 || len(description) > 1000 || !utf8.ValidString(description) {
			t.Errorf("%q, %v", description, err)
		}
		if n := w.h.GivenUp()[events.CodeInvalidState]; n != 1 {
			t.Errorf("given up: %v", w.h.GivenUp())
		}
		w.ingest(hub.Report{Entry: anna.ID, Gone: true})
		if _, description, err = w.h.DeadLetter(w.ctx(), all[0].ID); err != nil || description != "" {
			t.Errorf("of a deleted person: %q, %v", description, err)
		}
		for _, unknown := range []hub.ID{{}, hub.NewID()} {
			if _, _, err := w.h.DeadLetter(w.ctx(), unknown); !errors.Is(err, hub.ErrNotFound) {
				t.Errorf("unknown: %v", err)
			}
		}
	})
}

// A replayed letter is told anew, with the names under the grant as it stands; of one that ended nothing is told (I4, I5).
func TestReplayDeadLetters(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna, bob := w.person("anna", nil), w.person("bob", nil)
		w.grant(p, anna, "title", "displayName")
		ends := w.grant(p, bob, "title")
		s := w.stream(p)
		w.patch(anna, replace("title", "Clerk"), replace("displayName", "Anna"))
		w.patch(bob, replace("title", "Clerk"))
		refused := w.refuse(s, p, "")
		if len(refused) != 2 {
			t.Fatalf("%d tokens", len(refused))
		}
		w.grant(p, anna, "title") // narrower now
		w.revoke(ends)
		w.drain(s, p)
		var progress []hub.Revived
		r := must(w.h.ReplayAll(w.ctx(), s.ID, func(r hub.Revived) { progress = append(progress, r) }))(t)
		if r != (hub.Revived{Replayed: 1, Withdrawn: 1}) || !slices.Equal(progress, []hub.Revived{r}) {
			t.Errorf("%+v, %+v", r, progress)
		}
		again := w.next(s, p)
		if len(again) != 1 || again[0].Token.JTI == refused[0].Token.JTI || again[0].SubID.Member("uri") != "/Users/"+w.subjectID(p, anna) {
			t.Fatalf("%+v", again)
		}
		w.settle(s, subscriptions.Done, 0, again...)
		if len(w.letters(hub.LetterQuery{})) != 0 {
			t.Error("letters are left")
		}
		if _, err := w.h.Replay(w.ctx(), hub.NewID()); !errors.Is(err, hub.ErrNotFound) {
			t.Errorf("unknown: %v", err)
		}
	})
}

// Letters are over when their time is, whenever the upkeep comes by; nobody lists or replays them after that.
func TestDeadLettersExpire(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", nil)
		w.grant(p, anna, "title")
		s := w.stream(p)
		w.patch(anna, replace("title", "Clerk"))
		w.refuse(s, p, "")
		letter := w.letters(hub.LetterQuery{})[0]
		w.clock = w.clock.Add(hub.LetterLife - time.Second)
		if len(w.letters(hub.LetterQuery{})) != 1 {
			t.Error("gone too early")
		}
		w.clock = w.clock.Add(time.Second)
		if _, err := w.h.Replay(w.ctx(), letter.ID); !errors.Is(err, hub.ErrNotFound) || len(w.letters(hub.LetterQuery{})) != 0 {
			t.Errorf("after its life: %v", err)
		}
		if n := must(w.h.DropLetters(w.ctx(), hub.LetterQuery{Expired: w.clock.UnixMicro()}))(t); n != 1 {
			t.Errorf("dropped %d", n)
		}
	})
}

// The end of a signal that was refused: it can be told again while it lives.
func TestReplaySignal(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", nil)
		w.grant(p, anna, "title")
		s := w.stream(p)
		request := hub.SignalRequest{Entry: anna.ID, Signal: subscriptions.Signal{Type: events.SessionRevoked}}
		must(w.h.Raise(w.ctx(), "test", request))(t)
		w.refuse(s, p, "")
		letter := w.letters(hub.LetterQuery{})[0]
		if letter.Type != events.SessionRevoked || letter.Kind != "" {
			t.Errorf("%+v", letter)
		}
		must(w.store.EraseSignals(w.ctx(), w.clock.UnixMicro(), 100))(t)
		must(w.h.Replay(w.ctx(), letter.ID))(t)
		if told := w.drain(s, p); !slices.Equal(told, []events.Type{events.SessionRevoked}) {
			t.Errorf("told %v", told)
		}
	})
}
