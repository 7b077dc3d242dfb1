package web

import (
	"context"
	"math"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"tidings/hub"
)

// Limit is how often something may be done: Burst at once, after that Rate times a second. The zero Limit is none.
type Limit struct {
	Rate  float64
	Burst int
}

// Limits are those of the whole frame.
type Limits struct {
	// Party and Staff bound the requests of one credential: of a party, and of a directory or an operator.
	Party, Staff Limit
	// Failures bounds the failed authentications from one client address, Strangers the requests of nobody from there.
	Failures, Strangers Limit
}

// DefaultLimits are far above what a well-made client needs. A directory is trusted with more: it may be loading people.
func DefaultLimits() Limits {
	return Limits{Party: Limit{200, 1000}, Staff: Limit{2000, 10000}, Failures: Limit{20, 300}, Strangers: Limit{50, 500}}
}

// Limiter holds everybody who comes under a key to a limit, each for itself. It counts in this process only: several
// nodes allow several times as much. Its memory is bounded; who was forgotten begins with a full burst.
type Limiter struct {
	limit Limit
	keys  recent[*rate.Limiter]
}

// NewLimiter makes one.
func NewLimiter(l Limit) *Limiter { return &Limiter{limit: l} }

// Take counts one more for a key; *TooOften when it may do no more yet.
func (l *Limiter) Take(key string) error {
	if l.limit == (Limit{}) {
		return nil
	}
	now := time.Now()
	r := l.of(key).ReserveN(now, 1)
	if wait := r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
		return &TooOften{wait}
	}
	return nil
}

// spent reports, without counting, that a key may do no more yet. Nothing is remembered of who is only asked about.
func (l *Limiter) spent(key string) error {
	if l.limit == (Limit{}) || !l.keys.has(key) {
		return nil
	}
	if left := l.of(key).TokensAt(time.Now()); left < 1 {
		return &TooOften{time.Duration((1 - left) / l.limit.Rate * float64(time.Second))}
	}
	return nil
}

func (l *Limiter) of(key string) *rate.Limiter {
	return l.keys.get(key, func() *rate.Limiter { return rate.NewLimiter(rate.Limit(l.limit.Rate), l.limit.Burst) })
}

// PerParty holds the callers of a handler to the limit, all credentials of a party together (PR-10). Whoever is nobody is
// left to the handler.
func (l *Limiter) PerParty(h http.Handler) http.Handler {
	return Handler(func(w http.ResponseWriter, r *http.Request) error {
		if caller, ok := hub.CallerFrom(r.Context()); ok {
			key := caller.Party
			if key.IsZero() {
				key = caller.Token
			}
			if err := l.Take(string(key[:])); err != nil {
				return err
			}
		}
		h.ServeHTTP(w, r)
		return nil
	})
}

// PerAddress holds those who call a handler from one client address to the limit, whoever they are.
func (l *Limiter) PerAddress(h http.Handler) http.Handler {
	return Handler(func(w http.ResponseWriter, r *http.Request) error {
		if err := l.Take(ClientAddress(r)); err != nil {
			return err
		}
		h.ServeHTTP(w, r)
		return nil
	})
}

// TooOften is the hub.ErrTooSoon that knows when to come again.
type TooOften struct{ After time.Duration }

func (e *TooOften) Error() string { return hub.ErrTooSoon.Error() }

// Is makes it an hub.ErrTooSoon.
func (e *TooOften) Is(err error) bool { return err == hub.ErrTooSoon }

// Seconds is After for a Retry-After header: whole seconds, at least one.
func (e *TooOften) Seconds() int { return max(1, int(math.Ceil(e.After.Seconds()))) }

// recent is a table of what was used of late, of bounded size: two generations of at most half as many entries. What is
// used moves to the younger one; when that is full, the older one is dropped.
type recent[V any] struct {
	mu         sync.Mutex
	young, old map[string]V
}

const generation = 10000

func (t *recent[V]) get(key string, fresh func() V) V {
	t.mu.Lock()
	defer t.mu.Unlock()
	if v, ok := t.young[key]; ok {
		return v
	}
	v, ok := t.old[key]
	if !ok {
		v = fresh()
	}
	if t.young == nil || len(t.young) >= generation {
		t.young, t.old = map[string]V{}, t.young
	}
	t.young[key] = v
	return v
}

func (t *recent[V]) has(key string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, young := t.young[key]
	_, old := t.old[key]
	return young || old
}

func (t *recent[V]) drop(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.young, key)
	delete(t.old, key)
}

type proxiesKey struct{}

// behind tells ClientAddress of the proxies.
func behind(proxies []netip.Prefix) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		if len(proxies) == 0 {
			return next
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), proxiesKey{}, proxies)))
		})
	}
}

// ClientAddress names where a request came from, for counting: the peer or, where that is a proxy that the program was
// told of, the last address that such a proxy saw. What a client wrote into the header before is not believed. An IPv6
// network of 64 bits is one client: it has as many addresses as it likes.
func ClientAddress(r *http.Request) string {
	proxies, _ := r.Context().Value(proxiesKey{}).([]netip.Prefix)
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	address := peer.Addr().Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && within(proxies, address); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		address = hop.Unmap()
	}
	if address.Is6() {
		if net, err := address.WithZone("").Prefix(64); err == nil {
			return net.String()
		}
	}
	return address.String()
}

func within(networks []netip.Prefix, a netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}
