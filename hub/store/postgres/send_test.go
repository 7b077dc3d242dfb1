package postgres

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tidings/consent"
	"tidings/events"
	"tidings/hub"
	"tidings/subscriptions"
)

const now = 2000

func newStream(t testing.TB, s *Store, party hub.ID) *hub.Stream {
	t.Helper()
	stream, err := s.CreateStream(t.Context(), hub.Stream{ID: hub.NewID(), Party: party, Status: subscriptions.Enabled,
		Settings: subscriptions.Settings{Delivery: subscriptions.Delivery{Method: events.MethodPush}}}, 3)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// tellAll issues every row of the page as an update.
func tellAll(in hub.Issuing) hub.Issued {
	head := in.Page.Head
	out := hub.Issued{Base: head.Position, At: head.Position, Tag: head.Tag, Signal: head.Position, Generation: in.Page.Party.Generation}
	for _, row := range in.Page.Rows {
		g := row.Grant
		d := hub.Delivery{ID: hub.NewID(), Entry: g.Entry, Kind: consent.Updated, Names: []string{"title"}, Given: g.Given,
			Generation: in.Page.Party.Generation, Version: g.Version, Position: g.Position}
		if g.Ended != 0 {
			d.Kind, d.Names = consent.Removed, nil
		}
		out.Deliveries = append(out.Deliveries, d)
	}
	for _, sig := range in.Signals {
		d := hub.Delivery{ID: hub.NewID(), Entry: sig.Entry, Signal: sig.Position, Generation: in.Page.Party.Generation,
			Position: sig.Position, Given: in.SignalRows[sig.Entry].Grant.Given}
		out.Deliveries = append(out.Deliveries, d)
	}
	return out
}

func issueAll(t testing.TB, s *Store, stream hub.ID) []hub.Sending {
	t.Helper()
	if more, err := s.Issue(t.Context(), stream, now, hub.Window, tellAll); err != nil || more {
		t.Fatal(more, err)
	}
	return sendable(t, s, stream)
}

func sendable(t testing.TB, s *Store, stream hub.ID) []hub.Sending {
	t.Helper()
	list, err := s.Sendable(t.Context(), stream, now, 100)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func attempt(s hub.Sending, jti string) hub.Attempt {
	a := hub.Attempt{Delivery: s.Delivery.ID, Owner: "node", Busy: now + 1000, Generation: s.Party.Generation,
		Given: s.Row.Grant.Given, Regraded: s.Row.Grant.Regraded, Position: s.Delivery.Position}
	if len(s.Delivery.Tokens) == 0 {
		a.Tokens = []hub.SignedToken{{JTI: jti, Compact: []byte("made " + jti)}}
	}
	return a
}

func wantSound(t testing.TB, s *Store) {
	t.Helper()
	problems, err := s.Check(t.Context())
	if err != nil || len(problems) > 0 {
		t.Fatal(problems, err)
	}
}

func revoke(t testing.TB, s *Store, id hub.ID) hub.Item {
	t.Helper()
	g, err := s.Grant(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return hub.Item{Grant: &hub.GrantWrite{Grant: *g}, Lines: []hub.Change{{Kind: hub.Revoked}}}
}

func TestDeliveryFromChangeToSettled(t *testing.T) {
	s := open(t)
	p := addParty(t, s, false)
	one := create("ann")
	id := one.Entry.Entry.ID
	g := commitAll(t, s, one, give(p, id, "title")).Grants[1]
	stream := newStream(t, s, p)
	if sends := issueAll(t, s, stream.ID); len(sends) != 0 {
		t.Fatal("a new stream tells the past")
	}
	title := hub.Item{Lines: []hub.Change{{Kind: hub.Updated, Entry: id, Attributes: []string{"title"}}},
		Signals: []hub.Signal{{Entry: id, Type: "urn:x", Expires: 1 << 40, Payload: []byte("p")}}}
	commitAll(t, s, title)
	leased, _, err := s.Lease(t.Context(), "node", now, now+100, events.MethodPush)
	if err != nil || len(leased) != 1 {
		t.Fatal(leased, err)
	}
	if other, _, err := s.Lease(t.Context(), "other", now, now+100, events.MethodPush); err != nil || len(other) != 0 {
		t.Fatal("leased twice", other, err)
	}
	sends := issueAll(t, s, stream.ID)
	if len(sends) != 1 || sends[0].Delivery.Signal == 0 || string(sends[0].Signal.Payload) != "p" {
		t.Fatalf("signal first: %+v", sends)
	}
	begun, err := s.Begin(t.Context(), now, []hub.Attempt{attempt(sends[0], "one"), attempt(sends[0], "two")})
	if err != nil || fmt.Sprint(begun) != "[true false]" {
		t.Fatal(begun, err)
	}
	wantSound(t, s)
	if n, err := s.EraseSignals(t.Context(), now, 10); err != nil || n != 0 {
		t.Fatal("erased while unsettled", n, err)
	}
	if _, err := s.Settle(t.Context(), stream.ID, now, []hub.Outcome{{JTI: "unknown"}, {JTI: "one"}}); err != nil {
		t.Fatal(err)
	}
	if n, err := s.EraseSignals(t.Context(), now, 10); err != nil || n != 1 {
		t.Fatal("settled, not erased", n, err)
	}
	sends = sendable(t, s, stream.ID)
	if len(sends) != 1 || sends[0].Delivery.Signal != 0 {
		t.Fatalf("then the feed: %+v", sends)
	}
	a := attempt(sends[0], "three")
	if begun, err := s.Begin(t.Context(), now, []hub.Attempt{a}); err != nil || !begun[0] {
		t.Fatal(begun, err)
	}
	commitAll(t, s, title)
	commitAll(t, s, revoke(t, s, g.ID))
	wantSound(t, s)
	if sends = issueAll(t, s, stream.ID); len(sends) != 0 {
		t.Fatalf("the removal does not wait: %+v", sends)
	}
	if _, err := s.Settle(t.Context(), stream.ID, now, []hub.Outcome{{JTI: "three", Next: subscriptions.Retry, Due: now}}); err != nil {
		t.Fatal(err)
	}
	sends = sendable(t, s, stream.ID)
	if len(sends) != 1 || sends[0].Delivery.Kind != consent.Removed {
		t.Fatalf("removal: %+v", sends)
	}
	if begun, err := s.Begin(t.Context(), now, []hub.Attempt{attempt(sends[0], "four")}); err != nil || !begun[0] {
		t.Fatal(begun, err)
	}
	if _, err := s.Settle(t.Context(), stream.ID, now, []hub.Outcome{{JTI: "four", Next: subscriptions.Dead, Reason: "no"}}); err != nil {
		t.Fatal(err)
	}
	if letters, err := s.DeadLetters(t.Context(), hub.LetterQuery{Party: p, Limit: 10}); err != nil || len(letters) != 1 || letters[0].Reason != "no" {
		t.Fatal(letters, err)
	}
	wantSound(t, s)
}

// Invariants 4 and 5: a revocation and an attempt about the same entry wait for each other; a plain change does not.
func TestRevocationWaitsForTheAttemptThatBegan(t *testing.T) {
	s := open(t)
	p := addParty(t, s, false)
	one := create("ann")
	id := one.Entry.Entry.ID
	g := commitAll(t, s, one, give(p, id, "title")).Grants[1]
	stream := newStream(t, s, p)
	change := hub.Item{Lines: []hub.Change{{Kind: hub.Updated, Entry: id, Attributes: []string{"title"}}}}
	commitAll(t, s, change)
	sends := issueAll(t, s, stream.ID)

	tx, err := s.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	if _, err := hold(t.Context(), tx, []hub.ID{sends[0].Delivery.ID}); err != nil {
		t.Fatal(err)
	}
	commitAll(t, s, change) // does not wait
	ended := make(chan error, 1)
	item := revoke(t, s, g.ID)
	go func() {
		_, err := s.Commit(context.Background(), hub.Batch{Now: now, Items: []hub.Item{item}})
		ended <- err
	}()
	select {
	case err := <-ended:
		t.Fatal("the revocation did not wait", err)
	case <-locked(t, s):
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	begun, err := s.Begin(t.Context(), now, []hub.Attempt{attempt(sends[0], "late")})
	if err != nil || begun[0] {
		t.Fatal("begun after the revocation", err)
	}
	wantSound(t, s)
}

// A revocation waits for an Issue that has read the row and not yet written: what that writes, it has to withdraw.
func TestRevocationWaitsForTheIssueThatReadTheRow(t *testing.T) {
	s := open(t)
	p := addParty(t, s, false)
	one := create("ann")
	id := one.Entry.Entry.ID
	g := commitAll(t, s, one, give(p, id, "title")).Grants[1]
	stream := newStream(t, s, p)
	change := hub.Item{Lines: []hub.Change{{Kind: hub.Updated, Entry: id, Attributes: []string{"title"}}}}
	commitAll(t, s, change)
	item := revoke(t, s, g.ID)
	ended := make(chan error, 1)
	_, err := s.Issue(t.Context(), stream.ID, now, hub.Window, func(in hub.Issuing) hub.Issued {
		// Between reading and writing: the revocation comes first, Issue sees it and writes nothing for the entry.
		_, err := s.Commit(context.Background(), hub.Batch{Now: now, Items: []hub.Item{item}})
		if err != nil {
			t.Error(err)
		}
		return tellAll(in)
	})
	if err != nil {
		t.Fatal(err)
	}
	wantSound(t, s)

	r := commitAll(t, s, again(t, s, g))
	tx, err := s.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	if gone, err := holdEntries(t.Context(), tx, p, []hub.Delivery{{Entry: id}}); err != nil || gone[id] {
		t.Fatal(gone, err)
	}
	commitAll(t, s, change)
	item = revoke(t, s, r.Grants[0].ID)
	go func() {
		_, err := s.Commit(context.Background(), hub.Batch{Now: now, Items: []hub.Item{item}})
		ended <- err
	}()
	select {
	case err := <-ended:
		t.Fatal("the revocation did not wait", err)
	case <-locked(t, s):
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	wantSound(t, s)
}

// A row that a commit moves past the head which Issue has read waits for the next page, and so this page has not reached
// the end: with its base moved to that head the stream would miss what moved the row before (invariant 3).
func TestRowThatMovesPastTheHeadIsStillToCome(t *testing.T) {
	s := open(t)
	p := addParty(t, s, false)
	one := create("ann")
	id := one.Entry.Entry.ID
	commitAll(t, s, one, give(p, id, "title", "nickName"))
	change := func(name string) hub.Item {
		return hub.Item{Lines: []hub.Change{{Kind: hub.Updated, Entry: id, Attributes: []string{name}}}}
	}
	stream := newStream(t, s, p)
	commitAll(t, s, change("title"))
	var page hub.FeedPage
	q := hub.FeedQuery{Party: p, After: stream.At, Limit: 10}
	if err := s.write(t.Context(), func(tx pgx.Tx) error {
		b := &pgx.Batch{}
		queuePlace(b, q, &page)
		if err := tx.SendBatch(t.Context(), b).Close(); err != nil {
			return err
		}
		commitAll(t, s, change("nickName"))
		b = &pgx.Batch{}
		queueRows(b, q, &page)
		return tx.SendBatch(t.Context(), b).Close()
	}); err != nil {
		t.Fatal(err)
	}
	if len(page.Rows) != 0 || !page.More || page.Last != stream.At {
		t.Errorf("%d rows up to %d, more is %v; want none, the place as it was, and more to come", len(page.Rows), page.Last, page.More)
	}
}

// again gives an ended grant anew.
func again(t testing.TB, s *Store, g *hub.Grant) hub.Item {
	t.Helper()
	ended, err := s.Grant(t.Context(), g.ID)
	if err != nil {
		t.Fatal(err)
	}
	return hub.Item{Grant: &hub.GrantWrite{Grant: *ended}, Lines: []hub.Change{{Kind: hub.Granted}}}
}

// locked is closed once a statement of this database waits for a lock.
func locked(t *testing.T, s *Store) <-chan struct{} {
	waits := make(chan struct{})
	go func() {
		for n := 0; n == 0 && t.Context().Err() == nil; {
			if err := s.pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
				WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&n); err != nil {
				return
			}
		}
		close(waits)
	}()
	return waits
}

func TestScratchIsTakenOnce(t *testing.T) {
	s := open(t)
	r := hub.Record{Key: "k", Group: "g", Value: []byte("v"), Expires: time.Now().Add(time.Hour).UnixMicro()}
	if err := s.Keep(t.Context(), r, 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Keep(t.Context(), hub.Record{Key: "l", Group: "g", Expires: r.Expires}, 1); err == nil {
		t.Fatal("over the limit")
	}
	if err := s.Swap(t.Context(), "k", []byte("v"), []byte("w"), r.Expires); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Take(t.Context(), "k", now); err != nil || string(got.Value) != "w" {
		t.Fatal(got, err)
	}
	if _, err := s.Take(t.Context(), "k", now); err == nil {
		t.Fatal("taken twice")
	}
}

func TestTrimForgetsAndStreamsFallOff(t *testing.T) {
	s := open(t)
	p := addParty(t, s, false)
	one, two := create("ann"), create("bob")
	commitAll(t, s, one, two, give(p, one.Entry.Entry.ID, "title"))
	stream := newStream(t, s, p)
	r := commitAll(t, s, hub.Item{Entry: &hub.EntryWrite{Entry: hub.Entry{ID: one.Entry.Entry.ID, Version: 1}, Delete: true},
		Lines: []hub.Change{{Kind: hub.Deleted}}}, create("cid"))
	for more := true; more; {
		var err error
		if more, err = s.Trim(t.Context(), r.Head.Position, 1); err != nil {
			t.Fatal(err)
		}
	}
	wantSound(t, s)
	if h, err := s.Head(t.Context()); err != nil || h.Oldest != r.Head.Position {
		t.Fatal(h, err)
	}
	if _, err := s.Entry(t.Context(), one.Entry.Entry.ID); err == nil {
		t.Fatal("the tombstone is left")
	}
	if lines, err := s.Changes(t.Context(), 0, 10); err != nil || len(lines) != 1 {
		t.Fatal(lines, err)
	}
	if got, err := s.Stream(t.Context(), p, stream.ID); err != nil || got.Generation != 0 {
		t.Fatal("the stream did not fall off", got, err)
	}
}
