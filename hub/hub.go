package hub

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"
)

// Config is what the program decides for the engine.
type Config struct {
	// Issuer is the public URL of the hub: iss of every token, and the base of every URL that is told.
	Issuer string
	// AllowInsecureReceivers permits http and loopback receivers; for a hub on loopback only.
	AllowInsecureReceivers bool
	// AllowReceivers are addresses besides the public internet that may be pushed to.
	AllowReceivers []netip.Prefix
	// KeySetAge is how long receivers may keep the key set before they ask again; 0 for DefaultKeySetAge. All processes on
	// one store are to have the same.
	KeySetAge time.Duration
	Log       *slog.Logger
	// Now is the clock; nil for the real one.
	Now func() time.Time
}

// Hub is the engine.
type Hub struct {
	store Store
	keys  *Keys
	conf  Config
	log   *slog.Logger

	// door admits one leader at a time, which decides what has queued up for everyone; turn lets one batch at a time be
	// committed. The leader alone knows the flight, the batch whose turn it was last (Ingest).
	door, turn chan struct{}
	flight     *flight
	queue      queue

	hints   hints
	closing chan struct{} // closed when Run ends
	waits   waits
	used    uses
	givenUp givenUp
}

// Open joins a store and its key file. ErrWrongKey, ErrKeyFile.
func Open(ctx context.Context, s Store, keyFile []byte, c Config) (*Hub, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	keys, err := OpenKeys(ctx, s, keyFile, c.Now().UnixMicro())
	if err != nil {
		return nil, err
	}
	if c.KeySetAge == 0 {
		c.KeySetAge = DefaultKeySetAge
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	h := &Hub{store: s, keys: keys, conf: c, log: c.Log, door: make(chan struct{}, 1), turn: make(chan struct{}, 1), closing: make(chan struct{})}
	h.hints.next = make(chan struct{})
	return h, nil
}

// Issuer is the public URL of the hub.
func (h *Hub) Issuer() string { return h.conf.Issuer }

// Check verifies the whole store (fsck).
func (h *Hub) Check(ctx context.Context) ([]string, error) {
	problems, err := h.store.Check(ctx)
	if err != nil {
		return nil, err
	}
	unpublished, err := h.checkKeys(ctx)
	return append(problems, unpublished...), err
}

// Head is where the log stands.
func (h *Hub) Head(ctx context.Context) (Head, error) { return h.store.Head(ctx) }

// Changes reads lines of the log with position > after, oldest first.
func (h *Hub) Changes(ctx context.Context, after int64, limit int) ([]Change, error) {
	return h.store.Changes(ctx, after, limit)
}

func (h *Hub) now() int64 { return h.conf.Now().UnixMicro() }

// hints fans one hint out to everybody who waits. A hint says "look again", nothing more: with every hint lost, those
// who wait look again at their deadlines and the hub is right, only slower.
type hints struct {
	mu   sync.Mutex
	next chan struct{}
}

// Wake returns a channel that is closed at the next hint that something was committed. Take it before reading state,
// read, then wait on it: what is committed in between closes it.
func (h *Hub) Wake() <-chan struct{} {
	h.hints.mu.Lock()
	defer h.hints.mu.Unlock()
	return h.hints.next
}

// Closing is closed when Run ends: there will be no more hints, and whoever waits for something to come is to answer that
// nothing did. What is under way otherwise goes on to its end.
func (h *Hub) Closing() <-chan struct{} { return h.closing }

func (h *Hub) hint() {
	h.hints.mu.Lock()
	defer h.hints.mu.Unlock()
	close(h.hints.next)
	h.hints.next = make(chan struct{})
}
