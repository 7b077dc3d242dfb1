package sqlite

import (
	"context"
	"testing"
	"time"

	"tidings/consent"
	"tidings/events"
	"tidings/hub"
)

// What signals no longer need is looked for without the lock, and erased so much at a time: it is asked for twice a minute,
// and everybody writes behind it.
func TestEraseSignalsLocksForWhatGoes(t *testing.T) {
	s := open(t)
	rows := func() (n int) {
		if err := s.read(t.Context(), "test", func(c *conn) error { return c.value("SELECT count(*) FROM signal_party", nil, &n) }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	entry, it := user(1)
	var items []hub.Item
	for range 5 {
		p := addParty(t, s, false)
		terms := consent.Terms{Attributes: []string{"title"}, Purposes: consent.Notify}
		items = append(items, hub.Item{Grant: &hub.GrantWrite{Grant: hub.Grant{ID: hub.NewID(), Party: p, Entry: entry, Terms: terms}},
			Lines: []hub.Change{{Kind: hub.Granted}}})
	}
	signal := hub.Item{Signals: []hub.Signal{{Entry: entry, Type: events.SessionRevoked, Payload: []byte("x"), Expires: now + 100, Time: now}}}
	commitAll(t, s, append(append([]hub.Item{it}, items...), signal)...)
	for want := 4; want >= 0; want-- {
		if _, err := s.EraseSignals(t.Context(), now, 1); err != nil {
			t.Fatal(err)
		}
		if n := rows(); n != want {
			t.Errorf("%d rows are left, not %d", n, want)
		}
	}
	if err := s.write(t.Context(), "test", func(*conn) error {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // it would wait for itself
		defer cancel()
		_, err := s.EraseSignals(ctx, now, 100)
		return err
	}); err != nil {
		t.Errorf("nothing to erase: %v", err)
	}
}
