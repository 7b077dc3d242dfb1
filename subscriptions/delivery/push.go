package delivery

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"tidings/hub"
	"tidings/subscriptions"
)

const (
	leaseTime  = 5 * time.Second
	leaseRenew = 1500 * time.Millisecond
	// leastLook is the rest between two looks for work: hints come with every commit, also those of this sender.
	leastLook = 10 * time.Millisecond
	// laneMemory is how long a lane that has nothing to do remembers its window and failures.
	laneMemory = 15 * time.Minute

	firstWindow  = 4
	longestRest  = time.Minute
	longestAsked = time.Hour // as subscriptions bounds Retry-After
	maxHanging   = 1024
)

// PushEngine is what the Pusher needs of the engine (*hub.Hub).
type PushEngine interface {
	Wake() <-chan struct{}
	PushWork(ctx context.Context, node string, ttl time.Duration) (streams []hub.ID, next time.Time, err error)
	Endpoint(ctx context.Context, stream hub.ID) (hub.Endpoint, error)
	Next(ctx context.Context, stream hub.ID, owner string, busy time.Duration, limit int) (out []hub.Outgoing, more bool, err error)
	Settle(ctx context.Context, stream hub.ID, outcomes []hub.Outcome) error
	Suspend(ctx context.Context, stream hub.ID, version int64, reason string, probe time.Time) error
	Resume(ctx context.Context, stream hub.ID) error
}

// Pusher sends security event tokens to the receivers of push streams (RFC 8935). Any number of processes may run one on
// the same store: streams are leased.
type Pusher struct {
	engine PushEngine
	log    *slog.Logger
	out    Outward
	client *http.Client
	node   string
	meter  *meter

	slots     *slots
	receivers *receivers
	perStream int
	hung      atomic.Int64
	// answerTime is for one request as a whole; an answer that took longer than slow shrinks the window, and a request
	// that takes longer than hanging gives its slot back.
	answerTime, slow, hanging time.Duration
	// probe is subscriptions.NextProbe.
	probe func(attempts int, retryAfter time.Duration, jitter float64) time.Duration

	mu    sync.Mutex
	lanes map[hub.ID]*lane
	sent  sync.WaitGroup
}

// NewPusher makes a Pusher.
func NewPusher(engine PushEngine, out Outward, log *slog.Logger) *Pusher {
	name := make([]byte, 8)
	rand.Read(name)
	return &Pusher{
		engine: engine, log: log, out: out,
		client: client(newTransport(out, nil)),
		node:   "push-" + hex.EncodeToString(name),
		meter:  newMeter(),
		slots:  &slots{free: 256}, perStream: 128,
		receivers:  &receivers{most: 128, loaded: map[string]*load{}},
		answerTime: 30 * time.Second, slow: 5 * time.Second, hanging: time.Second,
		probe: subscriptions.NextProbe,
		lanes: map[hub.ID]*lane{},
	}
}

// busy is how long the engine lets an attempt be under way. A delivery seldom has more than one token, and what does not
// fit goes in the next attempt; margin is for settling it before another node may begin.
func (p *Pusher) busy() time.Duration   { return p.answerTime + p.answerTime/2 }
func (p *Pusher) margin() time.Duration { return p.answerTime / 6 }

// Run sends until ctx ends. Requests that are under way then are broken off and stay owed.
func (p *Pusher) Run(ctx context.Context) error {
	defer p.retreat(context.WithoutCancel(ctx))
	var lease leased
	lease.renew(ctx)
	defer lease.release()
	for ctx.Err() == nil {
		wake, began := p.engine.Wake(), time.Now()
		streams, next, err := p.look(ctx)
		switch {
		case err == nil:
			lease.held = began
			p.start(lease.Context, streams)
		case ctx.Err() != nil:
			return nil
		default:
			p.log.Error("push work cannot be read; it is tried again", "error", err)
			if time.Since(lease.held) > leaseTime-leaseRenew {
				lease.release()
				lease.renew(ctx)
			}
			next = time.Time{}
		}
		p.forget()
		p.rest(ctx, wake, began, next, err != nil)
	}
	return nil
}

// retreat ends with nothing under way, and with leases that another node need not wait for.
func (p *Pusher) retreat(ctx context.Context) {
	p.sent.Wait()
	p.client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, leaseTime)
	defer cancel()
	if _, _, err := p.engine.PushWork(ctx, p.node, 0); err != nil {
		p.log.Warn("leases are kept until they end", "error", err)
	}
}

// leased is the life of requests under the leases that this node holds. When they could not be renewed, another node may
// take over any moment and must not find our requests still under way.
type leased struct {
	context.Context
	release context.CancelFunc
	held    time.Time // when the leases were last renewed
}

func (l *leased) renew(ctx context.Context) {
	l.Context, l.release = context.WithCancel(ctx)
	l.held = time.Now()
}

// look leases streams. It may not take so long that the leases it renews end meanwhile.
func (p *Pusher) look(ctx context.Context) ([]hub.ID, time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, leaseTime/2)
	defer cancel()
	return p.engine.PushWork(ctx, p.node, leaseTime)
}

// rest waits for a hint, the next due time or the renewal of the leases.
func (p *Pusher) rest(ctx context.Context, wake <-chan struct{}, began, next time.Time, failed bool) {
	until := began.Add(leaseRenew)
	if next.After(began) && next.Before(until) {
		until = next
	}
	if failed {
		wake = nil
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-wake:
		pause := time.NewTimer(time.Until(began.Add(leastLook)))
		defer pause.Stop()
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
	case <-timer.C:
	case <-ctx.Done():
	}
}

// start sets lanes going, or tells those that go that there is more.
func (p *Pusher) start(ctx context.Context, streams []hub.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range streams {
		l := p.lanes[id]
		if l == nil {
			l = &lane{stream: id, nudge: make(chan struct{}, 1), window: min(firstWindow, p.perStream)}
			p.lanes[id] = l
		}
		if l.running {
			l.prod()
			continue
		}
		l.running = true
		p.sent.Go(func() { p.fly(ctx, l) })
	}
}
