package hub_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"tidings/events"
	"tidings/hub"
	"tidings/hub/store/storetest"
	"tidings/subscriptions"
)

// digests makes a poll stream that is told its feed by digests.
func (w *world) digests(p testParty, also ...events.Type) *hub.Stream {
	w.t.Helper()
	return must(w.h.CreateStream(w.ctx(), p.caller, subscriptions.Settings{Requested: append(also, events.Digest)}))(w.t)
}

// digest takes the one token that is to be a digest, and reads its cursor.
func (w *world) digest(s *hub.Stream, p testParty) (sent, string) {
	w.t.Helper()
	out, more, err := w.h.NextTokens(w.ctx(), s.ID, "test", busy, 10)
	if err != nil || len(out) != 1 || more {
		w.t.Fatalf("%d tokens, more %v, %v", len(out), more, err)
	}
	token := must(events.Verify(out[0].Compact, must(w.h.KeySet(w.ctx()))(w.t), events.Expect{Issuer: w.h.Issuer(), Audience: p.Audience, Now: w.clock}))(w.t)
	cursor, _ := token.Payload["cursor"].(string)
	if token.Event != events.Digest || cursor == "" || token.SubID != events.Opaque(s.ID.String()) || len(token.Payload) != 1 {
		w.t.Fatalf("no digest: %s %v", token.Event, token.Payload)
	}
	return sent{out[0], token}, cursor
}

// silent holds that nothing is to be sent now, nor said to be.
func (w *world) silent(s *hub.Stream, why string) {
	w.t.Helper()
	out, more, err := w.h.NextTokens(w.ctx(), s.ID, "test", busy, 10)
	if err != nil || len(out) > 0 || more {
		w.t.Errorf("%s: %d tokens, more %v, %v", why, len(out), more, err)
	}
}

// tells holds that /delta tells exactly these people from the cursor on, as so changed.
func (w *world) tells(p testParty, cursor string, change events.Kind, people ...*hub.Entry) {
	w.t.Helper()
	page := w.delta(p, cursor, 100)
	told := map[string]events.Kind{}
	for _, c := range page.Changes {
		told[c.ID] = c.Change
	}
	want := map[string]events.Kind{}
	for _, e := range people {
		want[w.subjectID(p, e)] = change
	}
	if !maps.Equal(told, want) || page.More {
		w.t.Errorf("told %v, want %v", told, want)
	}
}

// A stream of digests is told of all changes of an interval by one notice, the first at once, whose cursor yields exactly
// what changed since the one before. Signals go one by one.
func TestDigests(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna, bert := w.person("anna", nil), w.person("bert", nil)
		g := w.grant(p, anna, "title")
		w.grant(p, bert, "title")
		s := w.digests(p, events.SessionRevoked, events.ProvPatchNotice, events.AccountDisabled)
		shown := must(w.h.Configuration(w.ctx(), s))(t)
		if shown.DigestInterval != 60 || !slices.Equal(shown.EventsDelivered, []events.Type{events.SessionRevoked, events.Digest}) ||
			!slices.Contains(shown.EventsSupported, events.Digest) {
			t.Errorf("shown as %d s, %v", shown.DigestInterval, shown.EventsDelivered)
		}
		w.silent(s, "nothing happened")
		w.patch(anna, replace("title", "Clerk"))
		w.patch(bert, replace("title", "Clerk"))
		first, cursor := w.digest(s, p)
		w.tells(p, cursor, events.Updated, anna, bert)
		w.settle(s, subscriptions.Done, 0, first)

		w.patch(anna, replace("title", "Cook"))
		w.silent(s, "the interval is not over")
		w.clock = w.clock.Add(59 * time.Second)
		w.silent(s, "the interval is not over")
		w.clock = w.clock.Add(time.Second)
		second, cursor := w.digest(s, p)
		w.tells(p, cursor, events.Updated, anna)

		w.patch(bert, replace("title", "Cook"))
		w.clock = w.clock.Add(time.Hour)
		w.settle(s, subscriptions.Retry, time.Minute, second)
		w.silent(s, "one is not settled")
		w.clock = w.clock.Add(time.Minute)
		again, _ := w.digest(s, p)
		if string(again.Compact) != string(second.Compact) {
			t.Error("the repeat is another token")
		}
		w.settle(s, subscriptions.Done, 0, again)
		third, cursor := w.digest(s, p)
		w.tells(p, cursor, events.Updated, bert)
		w.settle(s, subscriptions.Done, 0, third)

		must(w.h.Raise(w.ctx(), "test", hub.SignalRequest{Entry: anna.ID, Signal: subscriptions.Signal{Type: events.SessionRevoked}}))(t)
		if told := w.drain(s, p); !slices.Equal(told, []events.Type{events.SessionRevoked}) {
			t.Errorf("a signal is told as %v", told)
		}
		w.clock = w.clock.Add(time.Minute)
		w.patch(anna, replace("displayName", "Anna"))
		w.silent(s, "what was not granted changed")
		w.revoke(g)
		last, cursor := w.digest(s, p)
		w.tells(p, cursor, events.Removed, anna)
		w.settle(s, subscriptions.Done, 0, last)
	})
}

// Pausing lets the cursor stand still, disabling forgets, a change of what the party may see asks for a snapshot; and a
// digest that was made before says so too, by its cursor.
func TestDigestsAndStatus(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", nil)
		w.grant(p, anna, "title")
		s := w.digests(p)
		set := func(status subscriptions.Status) {
			must(w.h.SetStatus(w.ctx(), p.caller, s.ID.String(), status, ""))(t)
		}
		set(subscriptions.Paused)
		w.patch(anna, replace("title", "Clerk"))
		w.silent(s, "it is paused")
		set(subscriptions.Enabled)
		_, cursor := w.digest(s, p)
		w.tells(p, cursor, events.Updated, anna)

		w.patch(anna, replace("title", "Cook"))
		w.clock = w.clock.Add(time.Minute)
		set(subscriptions.Disabled)
		set(subscriptions.Enabled)
		w.silent(s, "it was disabled")
		w.patch(anna, replace("title", "Clown"))
		d, cursor := w.digest(s, p)
		w.tells(p, cursor, events.Updated, anna)

		policy := must(w.store.Head(w.ctx()))(t).Policy
		must(w.store.Commit(w.ctx(), hub.Batch{Now: 1, Items: []hub.Item{{Policy: &policy, Lines: []hub.Change{{Kind: hub.PolicyChanged, Time: 1}}}}}))(t)
		if told := w.drain(s, p); !slices.Equal(told, []events.Type{events.FeedChanged}) {
			t.Errorf("told %v", told)
		}
		if _, err := w.h.Delta(w.ctx(), p.caller, cursor, 10, 0); !errors.Is(err, hub.ErrCursorExpired) {
			t.Errorf("a cursor of before: %v", err)
		}
		w.settle(s, subscriptions.Done, 0, d)
		w.silent(s, "all was told")
	})
}

// A stream of digests that is told again tells a digest at once, from the place that it went back to.
func TestDigestsRewound(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", nil)
		w.grant(p, anna, "title")
		s := w.digests(p)
		place := w.now(p)
		w.patch(anna, replace("title", "Clerk"))
		d, _ := w.digest(s, p)
		w.settle(s, subscriptions.Done, 0, d)
		w.silent(s, "all was told")
		must(w.h.Rewind(w.ctx(), p.caller, s.ID.String(), hub.Rewinding{Cursor: place}))(t)
		_, cursor := w.digest(s, p)
		w.tells(p, cursor, events.Updated, anna)
	})
}

// A digest that its receiver refused is told again as what closes the gap for sure: read a snapshot.
func TestRefusedDigest(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", nil)
		w.grant(p, anna, "title")
		s := w.digests(p)
		w.patch(anna, replace("title", "Clerk"))
		d, _ := w.digest(s, p)
		w.settle(s, subscriptions.Dead, 0, d)
		w.silent(s, "it was refused")
		must(w.h.ReplayAll(w.ctx(), s.ID, func(hub.Revived) {}))(t)
		if told := w.drain(s, p); !slices.Equal(told, []events.Type{events.FeedChanged}) {
			t.Errorf("told %v", told)
		}
	})
}

// A stream that becomes one of digests, or is one no more, tells its receiver to read a snapshot; another interval holds
// from the next digest on, which is due at once.
func TestDigestsBeginAndEnd(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", nil)
		w.grant(p, anna, "title")
		s := w.stream(p)
		choose := func(seconds int64, types ...events.Type) {
			must(w.h.UpdateStream(w.ctx(), p.caller, s.ID.String(), func(_ hub.Stream, s *subscriptions.Settings) error {
				s.Requested, s.DigestInterval = types, seconds
				return nil
			}))(t)
		}
		w.patch(anna, replace("title", "Clerk"))
		w.settle(s, subscriptions.Retry, 0, w.next(s, p)...)
		choose(0, events.Digest)
		if told := w.drain(s, p); !slices.Contains(told, events.FeedChanged) || slices.Contains(told, events.Digest) {
			t.Errorf("told %v", told)
		}
		for range 2 { // at once, and at once again since the interval is another
			w.patch(anna, replace("title", hub.NewID().String()))
			d, cursor := w.digest(s, p)
			w.tells(p, cursor, events.Updated, anna)
			w.settle(s, subscriptions.Done, 0, d)
			choose(3600, events.Digest)
		}
		w.patch(anna, replace("title", "Cook"))
		w.clock = w.clock.Add(59 * time.Minute)
		w.silent(s, "an hour is not over")
		choose(0)
		w.patch(anna, replace("title", "Count"))
		if told := w.drain(s, p); !slices.Equal(told, []events.Type{events.FeedChanged, events.ProvPatchNotice}) {
			t.Errorf("told %v", told)
		}
	})
}

// Whatever happens in whatever order, and whatever call of the store fails before or after its effect, a relying party that reads nothing but a snapshot at first and then from each
// digest's cursor ends with the right copies (invariant 3).
func TestFollowingDigests(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		for seed := range uint64(3) {
			followDigests(t, w, rand.New(rand.NewPCG(seed, 7)), seed)
		}
	})
}

func followDigests(t *testing.T, w *world, rnd *rand.Rand, seed uint64) {
	failing := false
	faulty := func() *hub.Hub {
		return w.faulty(func(string) storetest.Fault {
			if failing && rnd.IntN(10) == 0 {
				return storetest.Fault(1 + rnd.IntN(3))
			}
			return storetest.Pass
		})
	}
	h := faulty()
	p := w.party(hub.PartyRequest{Name: fmt.Sprint("shop", seed)})
	people, grants := make([]*hub.Entry, 8), make([]*hub.Grant, 8)
	for i := range people {
		people[i] = w.person(fmt.Sprintf("person%d-%d", seed, i), map[string]any{"title": "none"})
	}
	s := w.digests(p)
	held := map[string]any{} // what the relying party has, by subject
	follow := func(cursor string) {
		for more := true; more; {
			page, err := w.h.Delta(w.ctx(), p.caller, cursor, 1+rnd.IntN(3), 0)
			if errors.Is(err, hub.ErrCursorExpired) {
				held, cursor = map[string]any{}, ""
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range page.Changes {
				delete(held, c.ID)
				values, err := w.h.Subject(w.ctx(), p.caller, c.ID)
				if err == nil {
					held[c.ID] = values.Resource
				} else if !errors.Is(err, hub.ErrGrantEnded) {
					t.Fatal(err)
				}
			}
			cursor, more = page.Cursor, page.More
		}
	}
	follow("")
	keys := must(w.h.KeySet(w.ctx()))(t)
	receive := func() {
		out, _, err := h.NextTokens(w.ctx(), s.ID, "test", busy, 10)
		if err != nil {
			return // it may have begun all the same; then its time passes
		}
		for _, o := range out {
			token := must(events.Verify(o.Compact, keys, events.Expect{Issuer: w.h.Issuer(), Audience: p.Audience, Now: w.clock}))(t)
			said := hub.Outcome{JTI: o.JTI, Attempt: o.Attempts, Next: subscriptions.Retry}
			if rnd.IntN(4) > 0 { // else it does not get there
				said.Next = subscriptions.Done
				if token.Event == events.Digest {
					follow(token.Payload["cursor"].(string))
				} else {
					held = map[string]any{}
					follow("")
				}
			}
			_ = h.Settle(w.ctx(), s.ID, []hub.Outcome{said}) // lost or not
		}
	}
	failing = true
	status := subscriptions.Enabled
	for range 300 {
		i := rnd.IntN(len(people))
		switch rnd.IntN(12) {
		case 0, 1, 2:
			w.patch(people[i], replace("title", fmt.Sprint(rnd.IntN(5))))
		case 3:
			w.patch(people[i], replace("displayName", fmt.Sprint(rnd.IntN(5))))
		case 4:
			if g := grants[i]; g != nil && rnd.IntN(2) == 0 {
				w.revoke(g)
				grants[i] = nil
			} else {
				grants[i] = w.grant(p, people[i], [][]string{{"title"}, {"title", "displayName"}}[rnd.IntN(2)]...)
			}
		case 5:
			w.clock = w.clock.Add(time.Duration(rnd.IntN(60)) * time.Second)
		case 6:
			if rnd.IntN(3) == 0 {
				if status = subscriptions.Paused; rnd.IntN(2) == 0 {
					status = subscriptions.Enabled
				}
				must(w.h.SetStatus(w.ctx(), p.caller, s.ID.String(), status, ""))(t)
			}
			if rnd.IntN(5) == 0 { // the hub starts anew
				failing = false
				h = faulty()
				failing = true
			}
		default:
			receive()
		}
	}
	failing = false
	must(w.h.SetStatus(w.ctx(), p.caller, s.ID.String(), subscriptions.Enabled, ""))(t)
	for range 20 {
		w.clock = w.clock.Add(time.Minute)
		receive()
	}
	right := map[string]any{}
	for i, e := range people {
		if grants[i] != nil {
			id := w.subjectID(p, e)
			right[id] = must(w.h.Subject(w.ctx(), p.caller, id))(t).Resource
		}
	}
	for _, id := range slices.Sorted(maps.Keys(right)) {
		if !reflect.DeepEqual(held[id], right[id]) {
			t.Errorf("seed %d: holds %v, the truth is %v", seed, held[id], right[id])
		}
	}
	if len(held) > len(right) {
		t.Errorf("seed %d: holds %d copies that it may not hold", seed, len(held)-len(right))
	}
}

// A digest that comes after nothing concerned its party for longer than tombstones live carries a cursor that /delta takes.
func TestDigestAfterAQuietMonth(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", nil)
		w.grant(p, anna, "title")
		s := w.digests(p)
		for i := range 10 {
			w.person(fmt.Sprint("other", i), nil)
			w.silent(s, "others")
		}
		w.trim()
		w.person("bert", nil)
		w.patch(anna, replace("title", "Clerk"))
		_, cursor := w.digest(s, p)
		w.tells(p, cursor, events.Updated, anna)
	})
}

// A signal goes out in the quiet time of a digest, and takes nothing with it: what changed meanwhile is in the next digest.
func TestSignalInTheQuietTime(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", map[string]any{"title": "Clerk"})
		w.grant(p, anna, "title")
		s := w.digests(p, events.SessionRevoked)
		w.patch(anna, replace("title", "Chief"))
		first, _ := w.digest(s, p)
		w.settle(s, subscriptions.Done, 0, first)
		w.patch(anna, replace("title", "Boss"))
		w.raise(anna, events.SessionRevoked)
		if told := w.drain(s, p); !slices.Equal(told, []events.Type{events.SessionRevoked}) {
			t.Fatalf("in the quiet time: %v", told)
		}
		w.clock = w.clock.Add(time.Minute)
		_, cursor := w.digest(s, p)
		w.tells(p, cursor, events.Updated, anna)
	})
}
