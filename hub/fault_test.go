package hub_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidings/events"
	"tidings/hub"
	"tidings/hub/schema"
	"tidings/hub/store/storetest"
	"tidings/subscriptions"
)

// faulty puts the world's hub on a store whose calls fail as planned.
func (w *world) faulty(plan storetest.Plan) *hub.Hub {
	w.t.Helper()
	return must(hub.Open(w.ctx(), storetest.Faulty(w.store, plan), w.key, w.config()))(w.t)
}

// A report is answered with success only after its commit; where the answer of the commit is lost, so is the source's,
// and reporting again is harmless (invariant 1).
func TestAnswerComesAfterCommit(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		for _, fault := range []storetest.Fault{storetest.Before, storetest.After, storetest.Busy} {
			fail := true
			h := w.faulty(func(verb string) storetest.Fault {
				if verb == "Commit" && fail {
					return fault
				}
				return storetest.Pass
			})
			name := fmt.Sprintf("person%d", fault)
			r := must(schema.Normalize(schema.User, map[string]any{"userName": name}))(t)
			report := hub.Report{Source: "test", Key: name, Type: schema.User, Resource: &r}
			if _, err := h.Ingest(w.ctx(), report); err == nil {
				t.Errorf("fault %d: success was answered for a commit that did not succeed", fault)
			}
			_, err := h.EntryByUserName(w.ctx(), name)
			if took := err == nil; took != (fault == storetest.After) {
				t.Errorf("fault %d: the entry is there: %v", fault, took)
			}
			fail = false
			results, err := h.Ingest(w.ctx(), report)
			if err != nil || results[0].Err != nil || (results[0].Kind == "") != (fault == storetest.After) {
				t.Errorf("fault %d: reported again: %+v, %v", fault, results, err)
			}
		}
	})
}

// A crowd of faults, before and after their effect, in every verb: what was acknowledged is told, in order, and nothing
// of it twice with other bytes (invariants 3, 7).
func TestFaultsLoseNothing(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		rnd := rand.New(rand.NewPCG(1, 2))
		on := false
		h := w.faulty(func(string) storetest.Fault {
			if on && rnd.IntN(8) == 0 {
				return storetest.Fault(1 + rnd.IntN(3))
			}
			return storetest.Pass
		})
		p := w.party(hub.PartyRequest{})
		people := make([]*hub.Entry, 5)
		owed, told := map[string]int64{}, map[string]int64{}
		for i := range people {
			people[i] = w.person(fmt.Sprintf("person%d", i), nil)
			w.grant(p, people[i], "title")
		}
		s := w.stream(p)
		on = true
		bytes := map[string]string{}
		hear := func() {
			out, _, err := h.Next(w.ctx(), s.ID, "test", time.Second, 3)
			if err != nil {
				w.clock = w.clock.Add(2 * time.Second) // what had begun comes back when its attempt is over
				return
			}
			keys := must(w.h.KeySet(w.ctx()))(t)
			for _, o := range out {
				token := must(events.Verify(o.Compact, keys, events.Expect{Issuer: h.Issuer(), Audience: p.Audience, Now: w.clock}))(t)
				if before, ok := bytes[token.JTI]; ok && before != string(o.Compact) {
					t.Errorf("%s came back with other bytes", token.JTI)
				}
				bytes[token.JTI] = string(o.Compact)
				id := strings.TrimPrefix(token.SubID.Member("uri"), "/Users/")
				version := etag(t, token.Payload["version"])
				if version < told[id] {
					t.Errorf("version %d was told after %d", version, told[id])
				}
				told[id] = version
				if h.Settle(w.ctx(), s.ID, []hub.Outcome{{JTI: o.JTI, Next: subscriptions.Done}}) != nil {
					w.clock = w.clock.Add(2 * time.Second)
				}
			}
		}
		for i := range 150 {
			e := people[rnd.IntN(len(people))]
			report := hub.Report{Entry: e.ID, Patch: patchBody(t, replace("title", strconv.Itoa(i)))}
			for {
				results, err := h.Ingest(context.Background(), report)
				if err == nil && results[0].Err == nil {
					break
				}
				if err == nil && !errors.Is(results[0].Err, storetest.ErrInjected) {
					t.Fatal(results[0].Err)
				}
			}
			id := w.subjectID(p, e)
			owed[id] = etag(t, must(w.h.Subject(w.ctx(), p.caller, id))(t).ETag)
			if rnd.IntN(3) == 0 {
				hear()
			}
		}
		on = false
		for range 20 {
			w.clock = w.clock.Add(2 * time.Second)
			hear()
		}
		for id, version := range owed {
			if told[id] < version {
				t.Errorf("subject %s was told version %d, not %d", id, told[id], version)
			}
		}
	})
}

// etag reads the number of W/"12".
func etag(t *testing.T, v any) int64 {
	t.Helper()
	return must(strconv.ParseInt(strings.Trim(strings.TrimPrefix(fmt.Sprint(v), "W/"), `"`), 10, 64))(t)
}

// mute is a store that never hints.
type mute struct{ hub.Store }

func (mute) Watch(ctx context.Context) <-chan struct{} { return make(chan struct{}) }

// With every hint removed the hub is still right, only slower: a wide line is finished and an expired grant gets its
// tombstone by looking (invariant 12).
func TestWithoutHints(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", nil)
		must(w.h.Grant(w.ctx(), "test", hub.GrantRequest{Entry: anna.ID, Party: p.ID, Attributes: []string{"title"}, Until: w.clock.Add(time.Millisecond)}))(t)
		cursor := w.now(p)
		w.clock = w.clock.Add(time.Second)
		h := must(hub.Open(w.ctx(), mute{w.store}, w.key, w.config()))(t)
		ctx, cancel := context.WithCancel(w.ctx())
		ended := make(chan error, 1)
		go func() { ended <- h.Run(ctx) }()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		var page events.Page
		for end := time.Now().Add(20 * time.Second); len(page.Changes) == 0 && time.Now().Before(end); <-tick.C {
			page = w.delta(p, cursor, 10)
		}
		if len(page.Changes) != 1 || page.Changes[0].Change != events.Removed {
			t.Errorf("read %+v, want one removal", page.Changes)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// Everything a caller can grow is bounded (invariant 11).
func TestBounds(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		for _, c := range []struct {
			limit int
			wait  time.Duration
		}{{0, 0}, {hub.MaxPage + 1, 0}, {1, -1}, {1, hub.MaxWait + 1}} {
			if _, err := w.h.Delta(w.ctx(), p.caller, "", c.limit, c.wait); !errors.Is(err, hub.ErrBadRequest) {
				t.Errorf("limit %d, wait %v: %v", c.limit, c.wait, err)
			}
		}
		for range hub.MaxStreams {
			w.stream(p)
		}
		settings := subscriptions.Settings{Delivery: subscriptions.Delivery{Method: events.MethodPoll}}
		if _, err := w.h.CreateStream(w.ctx(), p.caller, settings); !errors.Is(err, hub.ErrLimit) {
			t.Errorf("one stream too many: %v", err)
		}
		paused := must(w.h.Streams(w.ctx(), p.caller))(t)[0].ID.String()
		must(w.h.SetStatus(w.ctx(), p.caller, paused, subscriptions.Paused, ""))(t)
		for range 2 * hub.MaxOwn {
			w.clock = w.clock.Add(time.Minute)
			if err := w.h.Verify(w.ctx(), p.caller, paused, nil); err != nil {
				t.Errorf("VE-08: a verification is refused: %v", err)
			}
		}
		must(w.h.SetStatus(w.ctx(), p.caller, paused, subscriptions.Enabled, ""))(t)
		if n := len(must(w.store.Sendable(w.ctx(), must(hub.ParseID(paused))(t), w.clock.UnixMicro(), 1000))(t)); n != hub.MaxOwn {
			t.Errorf("%d verifications piled up on a paused stream", n)
		}
		if _, _, err := w.h.NewTicket(w.ctx(), p.caller, make([]events.Subject, hub.MaxTicketSubjects+1)); !errors.Is(err, hub.ErrBadRequest) {
			t.Errorf("a ticket for too many subjects: %v", err)
		}
	})
}

// panicking is a store that breaks while it is told to.
type panicking struct {
	hub.Store
	now bool
}

func (p *panicking) Commit(ctx context.Context, b hub.Batch) (hub.Receipt, error) {
	if p.now {
		panic("a bug")
	}
	return p.Store.Commit(ctx, b)
}

// One report that breaks the program must not close the door to all that come after it.
func TestPanicLeavesTheDoorOpen(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		s := &panicking{Store: w.store}
		h := must(hub.Open(w.ctx(), s, w.key, w.config()))(t)
		r := must(schema.Normalize(schema.User, map[string]any{"userName": "anna"}))(t)
		report := hub.Report{Source: "test", Key: "anna", Type: schema.User, Resource: &r}
		s.now = true
		func() {
			defer func() { recover() }()
			h.Ingest(w.ctx(), report)
		}()
		s.now = false
		ctx, cancel := context.WithTimeout(w.ctx(), 5*time.Second)
		defer cancel()
		if _, err := h.Ingest(ctx, report); err != nil {
			t.Errorf("after a panic: %v", err)
		}
	})
}
