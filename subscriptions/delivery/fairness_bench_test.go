package delivery

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings/events"
	"tidings/hub"
	"tidings/subscriptions"
)

// badReceivers are the seven that no other receiver may notice.
var badReceivers = map[string]http.HandlerFunc{
	"never answers": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	"answers after 29 s": func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(29 * time.Second):
			w.WriteHeader(http.StatusAccepted)
		case <-r.Context().Done():
		}
	},
	"fails":      status(http.StatusInternalServerError),
	"breaks off": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	"endless": func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		for line := []byte(strings.Repeat("x", 4096)); ; {
			if _, err := w.Write(line); err != nil {
				return
			}
		}
	},
	"redirects inside": func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusTemporaryRedirect)
	},
	"refuses the key": func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"err":"invalid_key","description":"no"}`)
	},
}

// BenchmarkPushFairness tells 50 receivers of a change every 100 ms and prints the good ones' delays from the report to the
// arrival: with seven bad ones among them, and with good ones in their place. The ratio of the two p99 is to be about 1.
func BenchmarkPushFairness(b *testing.B) {
	const good = 43
	onBoth(b, func(b *testing.B, store hub.Store, _ outbox) {
		h := newPushHouse(b, store)
		calm := newCrowd(b, h, good, nil)
		rough := newCrowd(b, h, good, badReceivers)
		h.runPusher(func(p *Pusher) { p.answerTime = 30 * time.Second })
		var without, with []time.Duration
		round := 0
		for b.Loop() {
			// By turns, so that whatever else the machine does meets both.
			for range 4 {
				without = append(without, calm.changes(b, 25, round)...)
				with = append(with, rough.changes(b, 25, round)...)
				round++
			}
		}
		a, z := p99(without), p99(with)
		b.ReportMetric(a.Seconds()*1000, "p99-without-ms")
		b.ReportMetric(z.Seconds()*1000, "p99-with-ms")
		b.ReportMetric(z.Seconds()/a.Seconds(), "ratio")
		for name, s := range rough.bad {
			now := must(h.store.Stream(h.ctx, hub.ID{}, s.ID))(b)
			b.Logf("%s: %s, %q, %d failures", name, now.Status, subscriptions.Trouble(now.Problem), now.Failures)
		}
	})
}

func p99(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)*99/100]
}

// crowd is 50 receivers that may all know the same people.
type crowd struct {
	h      *house
	first  int // of the people
	bad    map[string]*hub.Stream
	mu     sync.Mutex
	began  time.Time
	missed int // good ones that were not told of the latest change yet
	took   []time.Duration
	all    chan struct{}
}

const crowdPeople = 25

// newCrowd makes them; where there are no bad ones, good ones stand in their place.
func newCrowd(b *testing.B, h *house, good int, bad map[string]http.HandlerFunc) *crowd {
	c := &crowd{h: h, bad: map[string]*hub.Stream{}, all: make(chan struct{}, 1)}
	if bad != nil {
		c.first = crowdPeople
	}
	people := make([]int, crowdPeople)
	for i := range people {
		people[i] = c.first + i
	}
	entries := h.changed(people, 0)
	join := func(answer http.HandlerFunc) *hub.Stream {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err == nil { // only then does the server notice that the client has gone
				answer(w, r)
			}
		}))
		b.Cleanup(server.Close)
		p := h.party()
		h.grantAll(h.store, p, entries)
		return h.stream(p, subscriptions.Delivery{Method: events.MethodPush, EndpointURL: server.URL})
	}
	for range good {
		join(c.arrived)
	}
	for range len(badReceivers) - len(bad) {
		join(status(http.StatusAccepted))
	}
	for name, answer := range bad {
		c.bad[name] = join(answer)
	}
	return c
}

// arrived is a good receiver.
func (c *crowd) arrived(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusAccepted)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.took = append(c.took, time.Since(c.began))
	if c.missed--; c.missed == 0 {
		c.all <- struct{}{}
	}
}

// changes reports some, one every 100 ms, each of somebody else, and gives the delays of all good receivers.
func (c *crowd) changes(b *testing.B, n, round int) []time.Duration {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for i := range n {
		<-tick.C
		c.mu.Lock()
		c.began, c.missed = time.Now(), 43
		c.mu.Unlock()
		c.h.changed([]int{c.first + i%crowdPeople}, 1+round)
		select {
		case <-c.all:
		case <-time.After(time.Minute):
			b.Fatalf("a good receiver was never told of change %d", i)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	took := c.took
	c.took = nil
	return took
}
