package hub_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"tidings/events"
	"tidings/hub"
)

// watched is a store that tells of each reading of a feed.
type watched struct {
	hub.Store
	limits chan int // of the readings, as far as there is room
	reads  atomic.Int64
}

func (s *watched) Feed(ctx context.Context, q hub.FeedQuery) (*hub.FeedPage, error) {
	page, err := s.Store.Feed(ctx, q)
	s.reads.Add(1)
	select {
	case s.limits <- q.Limit:
	default:
	}
	return page, err
}

// seen waits for a reading with this limit.
func (s *watched) seen(limit int) {
	for limit != <-s.limits {
	}
}

// watch goes on with a store that tells of its readings, and a clock that may be moved while somebody waits.
func (w *world) watch() (*watched, func(time.Duration)) {
	w.t.Helper()
	s := &watched{Store: w.store, limits: make(chan int, 1000)}
	var clock atomic.Int64
	clock.Store(w.clock.UnixMicro())
	conf := w.config()
	conf.Now = func() time.Time { return time.UnixMicro(clock.Load()) }
	w.h = must(hub.Open(w.ctx(), s, w.key, conf))(w.t)
	ctx, stop := context.WithCancel(w.ctx())
	ended := make(chan error, 1)
	go func() { ended <- w.h.Run(ctx) }()
	w.t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
	})
	return s, func(d time.Duration) { clock.Add(d.Microseconds()) }
}

// waiting is a call of Delta that waits, and what came of it.
type waiting struct {
	page events.Page
	err  error
}

func (w *world) wait(p testParty, cursor string, limit int, wait time.Duration) <-chan waiting {
	out := make(chan waiting, 1)
	go func() {
		page, err := w.h.Delta(w.ctx(), p.caller, cursor, limit, wait)
		out <- waiting{page, err}
	}()
	return out
}

// Invariant 11: a party's calls that wait are bounded, and no other party feels it.
func TestWaitingDeltasAreBounded(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		w.watch()
		p, other := w.party(hub.PartyRequest{}), w.party(hub.PartyRequest{Name: "other"})
		anna := w.person("anna", map[string]any{"title": "Clerk"})
		w.grant(p, anna, "title")
		cursor := w.now(p)
		all := make(chan waiting, hub.MaxWaiting+1)
		for range hub.MaxWaiting + 1 {
			go func() { all <- <-w.wait(p, cursor, 10, hub.MaxWait) }()
		}
		select {
		case got := <-all:
			if !errors.Is(got.err, hub.ErrTooMany) {
				t.Fatalf("one more than may wait got %+v", got)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%d calls of one party wait, and one more", hub.MaxWaiting)
		}
		one := func(p testParty, cursor string) error { return (<-w.wait(p, cursor, 10, time.Microsecond)).err }
		if err := one(other, w.now(other)); err != nil {
			t.Errorf("another party may not wait: %v", err)
		}
		w.delta(p, cursor, 10) // who does not wait is not refused
		w.patch(anna, replace("title", "Cook"))
		for range hub.MaxWaiting {
			if got := <-all; got.err != nil || len(got.page.Changes) != 1 {
				t.Errorf("who waited got %+v", got)
			}
		}
		if err := one(p, w.now(p)); err != nil {
			t.Errorf("all have their answers, and one more may not wait: %v", err)
		}
	})
}

// Hints come with every commit of anybody: a call that waits rests between two looks.
func TestWaitingDeltaRests(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		store, _ := w.watch()
		p := w.party(hub.PartyRequest{})
		anna, bert := w.person("anna", map[string]any{"title": "Clerk"}), w.person("bert", nil)
		w.grant(p, anna, "title")
		call := w.wait(p, w.now(p), 10, hub.MaxWait)
		begin, before := time.Now(), store.reads.Load()
		for i := range 200 {
			w.patch(bert, replace("title", fmt.Sprint("Title ", i)))
		}
		most := 3 + int64(time.Since(begin)/hub.LeastRest)
		if n := store.reads.Load() - before; n > most {
			t.Errorf("%d readings for commits that concern nobody, want at most %d", n, most)
		}
		w.patch(anna, replace("title", "Cook"))
		if got := <-call; got.err != nil || len(got.page.Changes) != 1 {
			t.Errorf("got %+v", got)
		}
	})
}

// Invariant 4: whose credential ended while it waited is told nothing, neither what changed nor its place.
func TestCredentialEndsWhileDeltaWaits(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		store, pass := w.watch()
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", map[string]any{"title": "Clerk"})
		w.grant(p, anna, "title")
		for name, end := range map[string]func(id hub.ID){
			"revoked": func(id hub.ID) {
				if err := w.h.RevokeToken(w.ctx(), id); err != nil {
					t.Fatal(err)
				}
			},
			"expired":              func(hub.ID) { pass(time.Hour) },
			"access token expired": func(hub.ID) { pass(hub.AccessLife) },
		} {
			request := hub.TokenRequest{Role: hub.RoleParty, Party: p.ID}
			if name == "expired" {
				request.Until = w.clock.Add(time.Hour)
			}
			token, secret, err := w.h.AddToken(w.ctx(), request)
			if err != nil {
				t.Fatal(err)
			}
			bearer := secret
			if name == "access token expired" {
				bearer = must(w.h.Access(w.ctx(), hub.Proof{Client: p.ID.String(), Secret: secret}, nil))(t).Token
			}
			holder := testParty{p.Party, must(w.h.Authenticate(w.ctx(), bearer))(t)}
			cursor := w.now(p)
			calls := []<-chan waiting{w.wait(holder, cursor, 11, hub.MaxWait), w.wait(holder, cursor, 12, time.Second)}
			store.seen(11)
			store.seen(12)
			end(token.ID)
			if got := <-calls[1]; !errors.Is(got.err, hub.ErrUnauthenticated) || got.page.Cursor != "" {
				t.Errorf("%s, nothing changed: %+v", name, got)
			}
			w.patch(anna, replace("title", name))
			if got := <-calls[0]; !errors.Is(got.err, hub.ErrUnauthenticated) || len(got.page.Changes) > 0 || got.page.Cursor != "" {
				t.Errorf("%s: %+v", name, got)
			}
			if err := w.h.RevokeToken(w.ctx(), token.ID); err != nil {
				t.Fatal(err)
			}
		}
	})
}
