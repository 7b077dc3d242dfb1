package hub_test

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings/events"
	"tidings/hub"
	"tidings/subscriptions"
)

// kid is the id in a compact token's header.
func kid(t testing.TB, compact []byte) string { return headerOf(t, compact).Kid }

func headerOf(t testing.TB, compact []byte) (header struct{ Kid, Alg string }) {
	t.Helper()
	first, _, _ := strings.Cut(string(compact), ".")
	if err := json.Unmarshal(must(base64.RawURLEncoding.DecodeString(first))(t), &header); err != nil {
		t.Fatal(err)
	}
	return header
}

// keyOf finds one by algorithm and state; nil if there is none.
func (w *world) keyOf(alg events.Algorithm, state hub.KeyState) *hub.SigningKey {
	w.t.Helper()
	for _, k := range must(w.h.SigningKeys(w.ctx()))(w.t) {
		if k.Algorithm == alg && k.State == state {
			return &k
		}
	}
	return nil
}

func (w *world) pass(d time.Duration) {
	w.t.Helper()
	w.clock = w.clock.Add(d)
	if err := errors.Join(w.h.AdvanceKeys(w.ctx()), w.h.ForgetKeys(w.ctx())); err != nil {
		w.t.Fatal(err)
	}
}

// A new key is published before it signs, an old one for as long as a token of it is owed and for 30 days at least (MD-03,
// MD-24). Another process on the store signs with the new key without being told.
func TestRotation(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna, bert := w.person("anna", nil), w.person("bert", nil)
		w.grant(p, anna, "title")
		w.grant(p, bert, "title")
		s := w.stream(p)
		other := must(hub.Open(t.Context(), w.store, w.key, w.config()))(t)
		w.drain(s, p)

		old := w.keyOf(events.ES256, hub.ActiveKey)
		if err := w.h.RotateKeys(w.ctx(), 9*time.Minute, events.ES256); !errors.Is(err, hub.ErrBadRequest) {
			t.Errorf("a key that signs before receivers know it: %v", err)
		}
		delay := w.h.DefaultKeyDelay()
		if err := w.h.RotateKeys(w.ctx(), delay, events.ES256); err != nil {
			t.Fatal(err)
		}
		if err := w.h.RotateKeys(w.ctx(), delay, events.ES256, events.EdDSA); !errors.Is(err, hub.ErrBadRequest) {
			t.Errorf("a second next key: %v", err)
		}
		next := w.keyOf(events.ES256, hub.NextKey)
		set := must(w.h.KeySet(w.ctx()))(t)
		if _, ok := set.Find(next.ID); !ok || set.Len() != 4 {
			t.Fatalf("the next key is not published among %d", set.Len())
		}
		w.pass(delay - time.Second)
		w.patch(anna, replace("title", "Clerk"))
		early := w.next(s, p)
		if len(early) != 1 || kid(t, early[0].Compact) != old.ID {
			t.Fatalf("%d tokens, the first of another key than the active one", len(early))
		}
		w.settle(s, subscriptions.Retry, 100*24*time.Hour, early...)

		w.pass(time.Second)
		if w.keyOf(events.ES256, hub.ActiveKey).ID != next.ID || w.keyOf(events.ES256, hub.RetiredKey).ID != old.ID {
			t.Fatal("the next key did not take over")
		}
		w.patch(bert, replace("title", "Clerk"))
		out, _, err := other.Next(w.ctx(), s.ID, "other", busy, 10)
		if err != nil || len(out) != 1 || kid(t, out[0].Compact) != next.ID {
			t.Fatalf("another process: %d tokens, %v; the first of another key than the active one", len(out), err)
		}
		w.settle(s, subscriptions.Done, 0, sent{Outgoing: out[0]})

		if err := w.h.RetireKey(w.ctx(), next.ID); !errors.Is(err, hub.ErrBadRequest) {
			t.Errorf("the active key was retired: %v", err)
		}
		if err := w.h.RetireKey(w.ctx(), "no such key"); !errors.Is(err, hub.ErrNotFound) {
			t.Errorf("a key that is not there: %v", err)
		}
		if err := w.h.RetireKey(w.ctx(), old.ID); !errors.Is(err, hub.ErrInUse) || w.keyOf(events.ES256, hub.RetiredKey).Tokens != 1 {
			t.Errorf("a key of which a token is owed: %v", err)
		}
		w.pass(hub.RetiredLife + time.Hour)
		if w.keyOf(events.ES256, hub.RetiredKey) == nil {
			t.Fatal("a key was forgotten of which a token is owed")
		}
		w.clock = w.clock.Add(100 * 24 * time.Hour)
		if late := w.next(s, p); len(late) != 1 || string(late[0].Compact) != string(early[0].Compact) {
			t.Fatal("the retry has other bytes")
		} else {
			w.settle(s, subscriptions.Done, 0, late...)
		}
		w.pass(0)
		if w.keyOf(events.ES256, hub.RetiredKey) != nil {
			t.Error("a key stays that nobody needs")
		}
	})
}

// A key that nobody is to trust any more: another takes over at once, what it signed is made anew, and it is gone.
func TestRecallKey(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", nil)
		w.grant(p, anna, "title")
		s := w.stream(p)
		w.patch(anna, replace("title", "Clerk"))
		first := w.next(s, p)
		w.settle(s, subscriptions.Retry, 0, first...)
		old := w.keyOf(events.ES256, hub.ActiveKey)
		if err := w.h.RecallKey(w.ctx(), old.ID); !errors.Is(err, hub.ErrBadRequest) {
			t.Errorf("the active key was recalled: %v", err)
		}
		if again := w.next(s, p); string(again[0].Compact) != string(first[0].Compact) {
			t.Error("refused, and made anew all the same")
		} else {
			w.settle(s, subscriptions.Retry, 0, again...)
		}
		if err := w.h.ReplaceKeys(w.ctx(), events.ES256); err != nil {
			t.Fatal(err)
		}
		fresh := w.keyOf(events.ES256, hub.ActiveKey)
		if fresh.ID == old.ID || w.keyOf(events.ES256, hub.NextKey) != nil {
			t.Fatal("no other key is active")
		}
		if err := w.h.RecallKey(w.ctx(), old.ID); err != nil {
			t.Fatal(err)
		}
		set := must(w.h.KeySet(w.ctx()))(t)
		if _, ok := set.Find(old.ID); ok {
			t.Error("still published")
		}
		again := w.next(s, p)
		if len(again) != 1 || kid(t, again[0].Compact) != fresh.ID || again[0].Outgoing.JTI == first[0].Outgoing.JTI || again[0].Txn != first[0].Txn {
			t.Fatalf("made anew: %+v, was %+v", again, first)
		}
		w.settle(s, subscriptions.Done, 0, again...)
		// A next key that is not wanted has signed nothing.
		if err := w.h.RotateKeys(w.ctx(), time.Hour, events.RS256); err != nil {
			t.Fatal(err)
		}
		if err := w.h.RetireKey(w.ctx(), w.keyOf(events.RS256, hub.NextKey).ID); err != nil || w.keyOf(events.RS256, hub.NextKey) != nil {
			t.Errorf("a next key stays: %v", err)
		}
		// One that is published already takes over at once.
		if err := w.h.RotateKeys(w.ctx(), time.Hour, events.ES256); err != nil {
			t.Fatal(err)
		}
		next := w.keyOf(events.ES256, hub.NextKey)
		if err := w.h.ReplaceKeys(w.ctx(), events.ES256); err != nil || w.keyOf(events.ES256, hub.ActiveKey).ID != next.ID {
			t.Errorf("the next key did not take over: %v", err)
		}
	})
}

// PA-03, PB-11: a receiver that does not accept the key gets the event once more, signed with the present key under another
// jti, when it is bound to have read the key set; refused again, it is a dead letter and the stream goes on.
func TestRefusedKey(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", nil)
		w.grant(p, anna, "title")
		s := w.stream(p)
		w.patch(anna, replace("title", "Clerk"))
		first := w.next(s, p)
		w.pass(time.Second)
		if err := w.h.ReplaceKeys(w.ctx(), events.ES256); err != nil {
			t.Fatal(err)
		}
		w.settle(s, subscriptions.Remake, 0, first...)
		w.pass(w.h.KeySetAge() - time.Second)
		if early := w.next(s, p); len(early) != 0 {
			t.Fatal("sent to a receiver that may not know the key yet")
		}
		w.pass(2 * time.Second)
		w.reopen() // what is owed outlives the process
		again := w.next(s, p)
		if len(again) != 1 || again[0].Outgoing.JTI == first[0].Outgoing.JTI || kid(t, again[0].Compact) != w.keyOf(events.ES256, hub.ActiveKey).ID ||
			again[0].Txn != first[0].Txn || again[0].Payload["version"] != first[0].Payload["version"] {
			t.Fatalf("made anew: %+v, was %+v", again, first)
		}
		w.settle(s, subscriptions.Retry, 0, again...)
		w.settle(s, subscriptions.Remake, 0, w.next(s, p)...)
		letters := must(w.store.DeadLetters(w.ctx(), hub.LetterQuery{Party: p.ID, Limit: 10}))(t)
		if len(letters) != 1 || letters[0].Entry != anna.ID {
			t.Fatalf("dead letters: %+v", letters)
		}
		w.patch(anna, replace("title", "Head Clerk"))
		if told := w.drain(s, p); len(told) != 1 {
			t.Errorf("the stream went on with %v", told)
		}
		// Nobody keeps a set without the key now: there is nothing to wait for.
		w.patch(anna, replace("title", "Manager"))
		w.settle(s, subscriptions.Remake, 0, w.next(s, p)...)
		if told := w.drain(s, p); len(told) != 1 {
			t.Errorf("made anew: %v", told)
		}
	})
}

// Keys are rotated and taken away while tokens are made, begun and settled by two processes: every token can be checked
// with a key set that its receiver keeps for as long as it may, and reads anew only then; and everybody is told.
func TestRotationUnderLoad(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		const age = 40 * time.Millisecond
		conf := hub.Config{Issuer: "https://hub.example.com", KeySetAge: age}
		nodes := []*hub.Hub{must(hub.Open(t.Context(), w.store, w.key, conf))(t), must(hub.Open(t.Context(), w.store, w.key, conf))(t)}
		p := w.party(hub.PartyRequest{})
		people := make([]*hub.Entry, 8)
		streams := make([]*hub.Stream, 4)
		for i := range people {
			people[i] = w.person(fmt.Sprintf("person%d", i), nil)
			w.grant(p, people[i], "title")
		}
		for i := range streams {
			streams[i] = w.stream(p)
		}
		stop := make(chan struct{})
		stopped := func() bool {
			select {
			case <-stop:
				return true
			default:
				return false
			}
		}
		var others, receivers sync.WaitGroup
		others.Go(func() {
			for i := 0; !stopped(); i++ {
				body, err := json.Marshal(map[string]any{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"},
					"Operations": []any{replace("title", fmt.Sprint(i))}})
				if err == nil {
					_, err = nodes[0].Ingest(w.ctx(), hub.Report{Entry: people[i%len(people)].ID, Patch: body})
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
		var mu sync.Mutex
		kids := map[string]int{}
		for i, s := range streams {
			receivers.Go(func() {
				var set events.KeySet
				var read time.Time
				for idle := 0; idle < 3; {
					out, _, err := nodes[i%2].Next(w.ctx(), s.ID, fmt.Sprint("node", i%2), time.Minute, 5)
					if err != nil {
						t.Error(err)
						return
					}
					if idle++; len(out) > 0 || !stopped() {
						idle = 0
					}
					var outcomes []hub.Outcome
					for n, o := range out {
						if time.Since(read) >= age {
							read = time.Now()
							set = must(nodes[(i+1)%2].KeySet(w.ctx()))(t)
						}
						if _, err := events.Verify(o.Compact, set, events.Expect{Issuer: conf.Issuer, Audience: p.Audience, Now: time.Now().Add(time.Hour)}); err != nil {
							t.Errorf("key %s: %v", kid(t, o.Compact), err)
						}
						mu.Lock()
						kids[kid(t, o.Compact)]++
						mu.Unlock()
						next := subscriptions.Done
						if n%5 == 4 {
							next = subscriptions.Retry
						}
						outcomes = append(outcomes, hub.Outcome{JTI: o.JTI, Next: next, Attempt: o.Attempts})
					}
					if err := nodes[i%2].Settle(w.ctx(), s.ID, outcomes); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		rotations := 0
		for end := time.Now().Add(3 * time.Second); time.Now().Before(end) || rotations < 5; rotations++ {
			node := nodes[rotations%2]
			if err := node.RotateKeys(w.ctx(), 2*age, events.ES256); err != nil {
				t.Fatal(err)
			}
			for took := false; !took; {
				if err := node.AdvanceKeys(w.ctx()); err != nil {
					t.Fatal(err)
				}
				took = w.keyOf(events.ES256, hub.NextKey) == nil
			}
			for _, k := range must(node.SigningKeys(w.ctx()))(t) {
				if k.State != hub.RetiredKey {
					continue
				}
				retire := node.RetireKey
				if rotations%3 == 2 {
					retire = node.RecallKey
				}
				if err := retire(w.ctx(), k.ID); err != nil && !errors.Is(err, hub.ErrInUse) {
					t.Error(err)
				}
			}
		}
		close(stop)
		others.Wait()
		receivers.Wait()
		t.Logf("%d rotations, tokens of %d keys", rotations, len(kids))
		if len(kids) < 4 {
			t.Errorf("only %d keys signed: this test is blind", len(kids))
		}
		if problems, err := w.h.Check(w.ctx()); err != nil || len(problems) > 0 {
			t.Errorf("fsck: %v %q", err, problems)
		}
		w.clock = time.Now().Add(time.Hour)
		for _, s := range streams {
			w.drain(s, p)
			if left := must(w.store.Backlogs(w.ctx(), s.ID))(t)[0]; left.Behind != 0 {
				t.Errorf("a stream stands at %d", left.At)
			}
		}
	})
}

// Two processes that rotate at once: one of them does.
func TestRotateAtOnce(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		var wg sync.WaitGroup
		errs := make([]error, 6)
		for i := range errs {
			h := must(hub.Open(t.Context(), w.store, w.key, w.config()))(t)
			wg.Go(func() { errs[i] = h.RotateKeys(w.ctx(), time.Hour, events.ES256, events.EdDSA) })
		}
		wg.Wait()
		rotated := 0
		for _, err := range errs {
			if err == nil {
				rotated++
			} else if !errors.Is(err, hub.ErrBadRequest) {
				t.Error(err)
			}
		}
		if rotated != 1 || must(w.h.KeySet(w.ctx()))(t).Len() != 5 {
			t.Errorf("%d rotated", rotated)
		}
	})
}

// The number of keys is bounded, since readers of key sets have bounds (RFC 7517 leaves them open).
func TestKeysAreBounded(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		for range 15 {
			if err := w.h.ReplaceKeys(w.ctx(), events.ES256); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.h.ReplaceKeys(w.ctx(), events.ES256); !errors.Is(err, hub.ErrBadRequest) {
			t.Errorf("a 17th key: %v", err)
		}
	})
}

// A store from before keyrings had one key for each of two algorithms: they go on, and the third is published before it
// signs.
func TestKeysOfAnOlderStore(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		store := w.fresh()
		t.Cleanup(func() { store.Close() })
		encoded := strings.TrimSpace(strings.TrimPrefix(string(w.key), "tidings-key-1 "))
		aead := must(cipher.NewGCMWithRandomNonce(must(aes.NewCipher(must(base64.RawURLEncoding.DecodeString(encoded))(t)))(t)))(t)
		var ids []string
		for _, alg := range []events.Algorithm{events.ES256, events.RS256} {
			key := must(events.GenerateKey(alg))(t)
			name := "sign:" + string(alg)
			wrapped := aead.Seal(nil, nil, must(events.MarshalPrivate(key))(t), []byte(name))
			must(store.InitSecret(w.ctx(), hub.Secret{Name: name, Wrapped: wrapped, CreatedAt: 12345}))(t)
			ids = append(ids, must(events.KeyID(key.Public()))(t))
		}
		h := must(hub.Open(w.ctx(), store, w.key, w.config()))(t)
		keys := must(h.SigningKeys(w.ctx()))(t)
		if len(keys) != 3 || keys[0].ID != ids[0] || keys[1].ID != ids[1] || keys[0].State != hub.ActiveKey || keys[1].State != hub.ActiveKey ||
			keys[0].Published != 12345 || keys[2].State != hub.NextKey || keys[2].Due == 0 {
			t.Errorf("%+v", keys)
		}
		again := must(hub.Open(w.ctx(), store, w.key, w.config()))(t)
		if set := must(again.KeySet(w.ctx()))(t); set.Len() != 3 {
			t.Errorf("opened again: %d keys", set.Len())
		}
		if _, err := hub.Open(w.ctx(), store, hub.NewKeyFile(), w.config()); !errors.Is(err, hub.ErrWrongKey) {
			t.Errorf("another key file: %v", err)
		}
	})
}

// SP-15, CI-13: a stream's tokens are signed with what it chose, else with what the profile says; what was made before stays
// as it is.
func TestAlgorithmOfAStream(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		tidings, caep := w.party(hub.PartyRequest{}), w.party(hub.PartyRequest{Name: "caep", Profile: "caep"})
		for _, c := range []struct {
			party testParty
			chose events.Algorithm
			want  string
		}{
			{tidings, "", "ES256"}, {tidings, events.EdDSA, "EdDSA"}, {tidings, events.RS256, "RS256"},
			{caep, "", "RS256"}, {caep, events.ES256, "ES256"},
		} {
			s := must(w.h.CreateStream(w.ctx(), c.party.caller, subscriptions.Settings{Algorithm: c.chose}))(t)
			if err := w.h.Verify(w.ctx(), c.party.caller, s.ID.String(), nil); err != nil {
				t.Fatal(err)
			}
			out := w.next(s, c.party) // verified with the published keys
			if len(out) != 1 || headerOf(t, out[0].Compact).Alg != c.want {
				t.Errorf("%s stream that chose %q: %d tokens, %+v", c.party.Profile, c.chose, len(out), headerOf(t, out[0].Compact))
			}
			w.settle(s, subscriptions.Retry, 0, out...)
			must(w.h.UpdateStream(w.ctx(), c.party.caller, s.ID.String(), func(_ hub.Stream, set *subscriptions.Settings) error {
				set.Algorithm = events.EdDSA
				return nil
			}))(t)
			if again := w.next(s, c.party); string(again[0].Compact) != string(out[0].Compact) {
				t.Error("the retry has other bytes")
			} else {
				w.settle(s, subscriptions.Done, 0, again...)
			}
		}
		_, err := w.h.CreateStream(w.ctx(), tidings.caller, subscriptions.Settings{Algorithm: "none"})
		var invalid *subscriptions.Invalid
		if !errors.As(err, &invalid) || invalid.Member != "set_signing_alg" {
			t.Errorf("a stream without signatures: %v", err)
		}
	})
}

// SP-09: what waited for so long that its line is forgotten keeps a txn of its own cause.
func TestTxnOutlivesItsLine(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		people := []*hub.Entry{w.person("anna", nil), w.person("bert", nil), w.person("carl", nil)}
		for _, e := range people {
			w.grant(p, e, "title")
		}
		s := w.stream(p)
		for _, e := range people {
			w.patch(e, replace("title", "Clerk"))
		}
		first, _, err := w.h.Next(w.ctx(), s.ID, "test", busy, 1) // the others are issued, and not made
		if err != nil || len(first) != 1 {
			t.Fatal(len(first), err)
		}
		w.settle(s, subscriptions.Retry, 0, sent{Outgoing: first[0]})
		w.person("dora", nil) // the last line stays
		for more := true; more; {
			if more, err = w.store.Trim(w.ctx(), must(w.store.Head(w.ctx()))(t).Position, 1000); err != nil {
				t.Fatal(err)
			}
		}
		txns := map[string]bool{}
		for _, told := range w.next(s, p) {
			txns[told.Txn] = true
		}
		if len(txns) != 3 || txns[""] {
			t.Errorf("three causes, txns %v", txns)
		}
	})
}
