package delivery

import (
	"context"
	"errors"
	"math/rand/v2"
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
			if more, err = p.launch(ctx, l, n); err != nil && ctx.Err() == nil {
				p.log.Error("push cannot go on; it is tried again", "stream", l.stream, "error", err)
				l.restFor(time.Second)
				more = true
			}
			continue
		}
		if !more && p.retire(l) {
			return
		}
		l.wait(ctx, rest)
		more = true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	l.running = false
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

// wait returns when the rest is over or, without one, when something landed or came.
func (l *lane) wait(ctx context.Context, rest time.Time) {
	if rest.IsZero() {
		select {
		case <-l.nudge:
		case <-ctx.Done():
		}
		return
	}
	timer := time.NewTimer(time.Until(rest))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// launch begins up to n deliveries and sends each at once. The places are taken and the address is read before the
// engine is asked: between its check and the request nothing waits.
func (p *Pusher) launch(ctx context.Context, l *lane, n int) (more bool, err error) {
	if n, err = p.slots.take(ctx, n); err != nil {
		return false, err
	}
	taken := n
	defer func() { p.slots.give(taken) }()
	var to endpoint
	to.url, to.authorization, err = p.engine.Endpoint(ctx, l.stream)
	if err != nil {
		return false, unlessGone(err)
	}
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
		taken--
		delivery := tokens[:size:size]
		p.out.Go(func() { p.attempt(ctx, l, to, delivery, deadline) })
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
func (p *Pusher) attempt(ctx context.Context, l *lane, to endpoint, tokens []hub.Outgoing, deadline time.Time) {
	place := p.place()
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	outcomes := make([]hub.Outcome, 0, len(tokens))
	for i, t := range tokens {
		began := time.Now()
		answer := p.postInTime(ctx, to, t.Compact)
		if answer.Status == 0 && errors.Is(ctx.Err(), context.Canceled) {
			// This process stops or lost its lease: no word of the receiver, so nothing held against it.
			outcomes = appendSame(outcomes, tokens[i:], hub.Outcome{Next: subscriptions.Retry, Due: began.UnixMicro(), Reason: "interrupted"})
			break
		}
		next, after, reason := subscriptions.NextStep(answer, t.Attempts, rand.Float64())
		p.judge(l, answer, next, reason, time.Since(began))
		if next == subscriptions.Hold {
			next, after = subscriptions.Retry, holdPause+time.Duration(rand.Int64N(int64(holdPause)))
		}
		o := hub.Outcome{JTI: t.JTI, Next: next, Reason: reason, Attempt: t.Attempts}
		if next != subscriptions.Done {
			o.Due = time.Now().Add(after).UnixMicro()
			outcomes = appendSame(outcomes, tokens[i:], o)
			break
		}
		outcomes = append(outcomes, o)
	}
	place.leave()
	p.land(context.WithoutCancel(ctx), l, outcomes)
}

func (p *Pusher) postInTime(ctx context.Context, to endpoint, compact []byte) subscriptions.Answer {
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
