package sqlite

import (
	"testing"

	"tidings/events"
	"tidings/hub"
	"tidings/subscriptions"
)

// A stream that waits writes nothing for commits that do not concern it: there is one writer, and each commit of it is
// flushed to the disk.
func TestIdleStreamWritesNothing(t *testing.T) {
	s := open(t)
	party := addParty(t, s, false)
	stream, err := s.CreateStream(t.Context(), hub.Stream{ID: hub.NewID(), Party: party, Status: subscriptions.Enabled,
		Settings: subscriptions.Settings{Delivery: subscriptions.Delivery{Method: events.MethodPoll}}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	c, err := connect(t.Context(), s.reading)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	version := func() (v int64) {
		if err := c.value("PRAGMA data_version", nil, &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	for i := range 3 {
		_, item := user(i)
		commitAll(t, s, item)
		before := version()
		if more, err := s.Issue(t.Context(), stream.ID, now, hub.Window, nil); err != nil || more {
			t.Fatal(more, err)
		}
		if now := version(); now != before {
			t.Errorf("something was written: %d after %d", now, before)
		}
	}
}
