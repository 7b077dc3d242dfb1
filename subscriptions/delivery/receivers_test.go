package delivery

import (
	"testing"

	"tidings/hub"
)

func newLoads(most int) *receivers { return &receivers{most: most, loaded: map[string]*load{}} }

func nudged(l *lane) bool {
	select {
	case <-l.nudge:
		return true
	default:
		return false
	}
}

// TestReceiversAreBounded: RE-08. What goes to one party, and what goes to one host, is bounded over all streams; others do
// not notice.
func TestReceiversAreBounded(t *testing.T) {
	shop, bank := hub.NewID(), hub.NewID()
	to := func(party hub.ID, url string) []string { return receiverOf(hub.Endpoint{Party: party, URL: url}) }
	r := newLoads(8)
	lanes := make([]*lane, 5)
	for i := range lanes {
		lanes[i] = &lane{nudge: make(chan struct{}, 1)}
	}
	for i, c := range []struct {
		names []string
		want  int
		got   int
	}{
		{to(shop, "https://a.example/1"), 6, 6},
		{to(shop, "https://b.example/1"), 6, 2}, // the party's bound
		{to(shop, "https://c.example/1"), 6, 0},
		{to(bank, "https://A.example/2"), 6, 2}, // the host's bound
		{to(bank, "https://d.example/2"), 4, 4},
	} {
		if got := r.take(lanes[i], c.names, c.want); got != c.got {
			t.Errorf("stream %d got %d, not %d", i, got, c.got)
		}
	}
	r.give(to(bank, "https://a.example/2"), 2)
	if nudged(lanes[2]) {
		t.Error("prodded without room")
	}
	r.give(to(shop, "https://b.example/1"), 2)
	if !nudged(lanes[2]) {
		t.Fatal("room came, and nobody was told")
	}
	if got := r.take(lanes[2], to(shop, "https://c.example/1"), 6); got != 2 {
		t.Errorf("the one that waited got %d", got)
	}
	r.give(to(shop, "https://a.example/1"), 6)
	r.give(to(shop, "https://c.example/1"), 2)
	r.give(to(bank, "https://d.example/2"), 4)
	if len(r.loaded) != 0 {
		t.Errorf("remembers %v", r.loaded)
	}
}

// Whoever waits gets something when there is room: a busy stream leaves it.
func TestReceiversAreShared(t *testing.T) {
	r := newLoads(4)
	names := []string{"party x"}
	busy, waiting := &lane{nudge: make(chan struct{}, 1)}, &lane{nudge: make(chan struct{}, 1)}
	if got := r.take(busy, names, 100); got != 4 {
		t.Fatalf("got %d", got)
	}
	if got := r.take(waiting, names, 100); got != 0 {
		t.Fatalf("got %d", got)
	}
	r.mu.Lock()
	r.loaded["party x"].flying = 0 // as if all had landed before anybody was prodded
	r.mu.Unlock()
	if got := r.take(busy, names, 100); got != 2 {
		t.Errorf("the busy one takes %d of 4 while another waits", got)
	}
}
