package delivery

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"tidings/hub"
	"tidings/subscriptions"
)

// lane is one push stream's way out. Its window is how many deliveries may be under way at once: it grows by one with
// each success and halves with trouble, down to one. Trouble also makes it rest, longer each time in a row, so that a
// receiver that is down is asked by one request now and then and not by each delivery that waits.
type lane struct {
	stream hub.ID
	nudge  chan struct{} // something landed or came; holds one

	mu       sync.Mutex
	running  bool
	window   int
	flying   int
	full     bool // somebody waits for half a window
	failures int  // in a row
	rest     time.Time
	version  int64 // of the stream when something was last begun; its flying alone uses it
	used     time.Time
	landed   []hub.Outcome // to be settled
	settling bool
}

func (l *lane) prod() {
	select {
	case l.nudge <- struct{}{}:
	default:
	}
}

// room is how many deliveries may be begun now; if none, until when to rest (zero: until something lands or comes). A
// round costs two transactions, so half a window is waited for; no more is begun at once, so that one half is made while
// the other is under way.
func (l *lane) room(now time.Time) (n int, rest time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Before(l.rest) {
		return 0, l.rest
	}
	half := (l.window + 1) / 2
	if l.window-l.flying < half {
		l.full = true
		return 0, time.Time{}
	}
	return half, time.Time{}
}

// fly sends what may be sent until nothing is left and nothing is under way.
func (p *Pusher) fly(ctx context.Context, l *lane) {
	for more := true; ctx.Err() == nil; {
		n, rest := l.room(time.Now())
		if more && n > 0 {
			var err error
			if more, err = p.launch(ctx, l, n); errors.Is(err, errLoaded) {
				p.wait(ctx, l, time.Time{})
			} else if err != nil && ctx.Err() == nil {
				p.log.Error("push cannot go on; it is tried again", "stream", l.stream, "error", err)
				l.restFor(time.Second)
				more = true
			}
			continue
		}
		if !more && p.retire(l) {
			return
		}
		p.wait(ctx, l, rest)
		more = true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	l.running, l.used = false, time.Now() // the leases may come back, and what was learned of the receiver still holds
}

// retire ends a lane's flying if nothing is under way and nobody prodded it meanwhile.
func (p *Pusher) retire(l *lane) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.flying > 0 || len(l.nudge) > 0 {
		return false
	}
	l.running, l.used = false, time.Now()
	return true
}

// forget drops lanes that had nothing to do for long, so that streams that came and went leave nothing behind.
func (p *Pusher) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, l := range p.lanes {
		if !l.running && time.Since(l.used) > laneMemory {
			delete(p.lanes, id)
		}
	}
}

// lookAtRest is how often a lane that rests looks whether its stream was written meanwhile.
const lookAtRest = time.Second

// wait returns when the rest is over or, without one, when something landed or came. A rest is over too when the stream was
// written: its receiver mended what was wrong, or has gone over to polling.
func (p *Pusher) wait(ctx context.Context, l *lane, rest time.Time) {
	if rest.IsZero() {
		select {
		case <-l.nudge:
		case <-ctx.Done():
		}
		return
	}
	for ctx.Err() == nil && time.Now().Before(rest) {
		if p.moved(ctx, l.stream, l.version) {
			l.restFor(0)
			return
		}
		timer := time.NewTimer(min(time.Until(rest), lookAtRest))
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// moved: the stream is not any more as it was at a version.
func (p *Pusher) moved(ctx context.Context, stream hub.ID, version int64) bool {
	to, err := p.engine.Endpoint(ctx, stream)
	return errors.Is(err, hub.ErrNotFound) || err == nil && to.Version != version
}

// errLoaded: as much is under way to the receiver as may be.
var errLoaded = errors.New("receiver is loaded")

// launch begins up to n deliveries and sends each at once. The places are taken and the address is read before the
// engine is asked: between its check and the request nothing waits.
func (p *Pusher) launch(ctx context.Context, l *lane, n int) (more bool, err error) {
	if n, err = p.slots.take(ctx, n); err != nil {
		return false, err
	}
	places := n
	defer func() { p.slots.give(places) }()
	to, err := p.engine.Endpoint(ctx, l.stream)
	if err != nil {
		return false, unlessGone(err)
	}
	l.version = to.Version
	receiver := receiverOf(to)
	if n = p.receivers.take(l, receiver, n); n == 0 {
		return true, errLoaded
	}
	room := n
	defer func() { p.receivers.give(receiver, room) }()
	deadline := time.Now().Add(p.busy() - p.margin())
	tokens, more, err := p.engine.Next(ctx, l.stream, p.node, p.busy(), n)
	if err != nil {
		return false, unlessGone(err)
	}
	for len(tokens) > 0 {
		size := 1
		for size < len(tokens) && tokens[size].Delivery == tokens[0].Delivery {
			size++
		}
		l.mu.Lock()
		l.flying++
		l.mu.Unlock()
		places--
		room--
		delivery := tokens[:size:size]
		p.sent.Go(func() {
			defer p.receivers.give(receiver, 1)
			p.attempt(ctx, l, to, delivery, deadline)
		})
		tokens = tokens[size:]
	}
	return more, nil
}

// unlessGone passes over a stream that was deleted meanwhile: there is nothing left to do.
func unlessGone(err error) error {
	if errors.Is(err, hub.ErrNotFound) {
		return nil
	}
	return err
}

// attempt sends the tokens of one delivery, each after the one before was taken, and settles them together.
func (p *Pusher) attempt(ctx context.Context, l *lane, to hub.Endpoint, tokens []hub.Outgoing, deadline time.Time) {
	place := p.place()
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	kept := context.WithoutCancel(ctx) // for what has to be written down though this process stops
	outcomes := make([]hub.Outcome, 0, len(tokens))
	for i, t := range tokens {
		began := time.Now()
		answer := p.postInTime(ctx, to, t.Compact)
		if answer.Status == 0 && errors.Is(ctx.Err(), context.Canceled) {
			// This process stops or lost its lease: no word of the receiver, so nothing held against it.
			outcomes = appendSame(outcomes, tokens[i:], hub.Outcome{Next: subscriptions.Retry, Due: began.UnixMicro()})
			break
		}
		if !to.Failing.IsZero() {
			answer.Failing = time.Since(to.Failing)
		}
		next, after, reason := subscriptions.NextStep(answer, t.Attempts, rand.Float64())
		if next == subscriptions.Done || !t.Probe { // a probe that fails has a rest of its own
			p.judge(l, answer, next, reason, time.Since(began))
		}
		p.meter.count(answer, next, time.Since(began))
		if next == subscriptions.Done {
			outcomes = append(outcomes, p.took(kept, l, t, answer, reason, time.Since(began)))
			continue
		}
		o := hub.Outcome{Next: next, Reason: reason, Description: answer.Description, Due: time.Now().Add(after).UnixMicro(),
			Version: to.Version, Attempt: t.Attempts}
		switch {
		case t.Probe:
			o.Next, o.Version = subscriptions.Retry, 0
			o.Due = time.Now().Add(p.probe(t.Attempts, answer.RetryAfter, rand.Float64())).UnixMicro()
		case next == subscriptions.Hold:
			p.suspend(kept, l, to, answer, reason)
			o.Next = subscriptions.Retry // owed when the stream goes on
		}
		outcomes = appendSame(outcomes, tokens[i:], o)
		break
	}
	place.leave()
	p.land(kept, l, outcomes)
}

// took is the outcome of a token that the receiver has. If it was a probe, the stream goes on.
func (p *Pusher) took(ctx context.Context, l *lane, t hub.Outgoing, a subscriptions.Answer, reason string, after time.Duration) hub.Outcome {
	switch { // what is odd about a success shows on the stream, as a warning (PA-02)
	case a.Status != http.StatusAccepted || a.Long:
	case after > p.slow:
		reason = subscriptions.SlowAnswer
	default:
		reason = "" // as RFC 8935 section 2.2 has it
	}
	if t.Probe {
		if err := p.engine.Resume(ctx, l.stream); err != nil {
			p.log.Error("stream cannot be enabled again; it is probed again", "stream", l.stream, "error", err)
			return hub.Outcome{JTI: t.JTI, Next: subscriptions.Retry, Due: time.Now().Add(time.Minute).UnixMicro(), Attempt: t.Attempts}
		}
	}
	return hub.Outcome{JTI: t.JTI, Next: subscriptions.Done, Reason: reason, Attempt: t.Attempts}
}

// suspend pauses the stream. The lane does not rest: all that may leave now is the word that it is paused.
func (p *Pusher) suspend(ctx context.Context, l *lane, to hub.Endpoint, a subscriptions.Answer, reason string) {
	probe := time.Now().Add(p.probe(0, a.RetryAfter, rand.Float64()))
	if err := p.engine.Suspend(ctx, l.stream, to.Version, subscriptions.Trouble(reason), probe); err != nil {
		p.log.Error("stream cannot be paused; it is tried again with the next refusal", "stream", l.stream, "error", err)
		return
	}
	l.restFor(0)
}

func (p *Pusher) postInTime(ctx context.Context, to hub.Endpoint, compact []byte) subscriptions.Answer {
	ctx, cancel := context.WithTimeout(ctx, p.answerTime)
	defer cancel()
	return p.post(ctx, to, compact)
}

// appendSame answers for tokens that share one outcome: the one that failed and those that were therefore not sent.
func appendSame(outcomes []hub.Outcome, tokens []hub.Outgoing, o hub.Outcome) []hub.Outcome {
	for _, t := range tokens {
		o.JTI, o.Attempt = t.JTI, t.Attempts
		outcomes = append(outcomes, o)
	}
	return outcomes
}

// judge moves the lane's window and rest by what the receiver did. A refusal of one token (400, 413, 422) says nothing
// about the receiver; an answer that took long shrinks the window though it is a success.
func (p *Pusher) judge(l *lane, a subscriptions.Answer, next subscriptions.Next, reason string, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	aboutToken := a.Status == 400 || a.Status == 413 || a.Status == 422
	switch {
	case next == subscriptions.Hold, next == subscriptions.Retry && !aboutToken:
		l.failures++
		l.window = max(1, l.window/2)
		_, pause, _ := subscriptions.NextStep(subscriptions.Answer{}, min(l.failures, 100), rand.Float64())
		pause = max(min(pause, longestRest), min(a.RetryAfter, longestAsked))
		if until := time.Now().Add(pause); until.After(l.rest) {
			l.rest = until
		}
		if l.failures == 1 {
			p.log.Warn("push receiver is in trouble", "stream", l.stream, "reason", reason)
		}
	case took > p.slow:
		l.window, l.failures = max(1, l.window/2), 0
	default:
		if l.failures > 0 {
			p.log.Info("push receiver answers again", "stream", l.stream, "failures", l.failures)
		}
		l.window, l.failures = min(p.perStream, l.window+1), 0
	}
}

func (l *lane) restFor(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = time.Now().Add(d)
}

// gather is how long what landed waits for company while other attempts are under way: nothing is begun before half a
// window is free, and each settling is a transaction.
const gather = 5 * time.Millisecond

// land settles what attempts of a lane brought back, together with what lands while the engine is busy settling.
func (p *Pusher) land(ctx context.Context, l *lane, outcomes []hub.Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.landed = append(l.landed, outcomes...)
	l.flying--
	if l.full && l.window-l.flying >= (l.window+1)/2 {
		l.full = false
		l.prod() // the next half is made while this one is settled
	}
	if l.settling {
		return
	}
	l.settling = true
	for len(l.landed) > 0 {
		if l.flying > 0 && len(l.landed) < l.window/4 {
			l.mu.Unlock()
			time.Sleep(gather)
			l.mu.Lock()
		}
		batch := l.landed
		l.landed = nil
		l.mu.Unlock()
		if err := p.settle(ctx, l.stream, batch); err != nil {
			p.log.Error("outcomes of pushes are lost; the tokens go again", "stream", l.stream, "tokens", len(batch), "error", err)
		}
		l.mu.Lock()
	}
	l.settling = false
	l.prod()
}

// settle tries for a while. What stays unsettled goes again when the time of its attempt is over: twice, not never.
func (p *Pusher) settle(ctx context.Context, stream hub.ID, batch []hub.Outcome) (err error) {
	for pause := 20 * time.Millisecond; pause < time.Second; pause *= 3 {
		if err = p.engine.Settle(ctx, stream, batch); err == nil || errors.Is(err, hub.ErrNotFound) {
			return nil
		}
		time.Sleep(pause)
	}
	return err
}

// place is one of the shared slots, held by an attempt. A request that hangs does no work: after a while it gives its
// slot to others and counts only in its own lane, so that receivers that never answer cannot fill the pool. Only so many
// may do that; beyond, slots stay taken and push as a whole slows down.
type place struct {
	p     *Pusher
	timer *time.Timer
	state atomic.Int32
}

const (
	placeHeld int32 = iota
	placeHanging
	placeLeft
)

func (p *Pusher) place() *place {
	h := &place{p: p}
	h.timer = time.AfterFunc(p.hanging, func() {
		if p.hung.Add(1) > maxHanging || !h.state.CompareAndSwap(placeHeld, placeHanging) {
			p.hung.Add(-1)
			return
		}
		p.slots.give(1)
	})
	return h
}

func (h *place) leave() {
	h.timer.Stop()
	if h.state.Swap(placeLeft) == placeHanging {
		h.p.hung.Add(-1)
		return
	}
	h.p.slots.give(1)
}
