package storetest

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"tidings/consent"
	"tidings/events"
	"tidings/hub"
	"tidings/subscriptions"
)

// pump carries a stream's tokens to its receiver, as several nodes would: what one read, another may have begun.
type pump struct {
	mu sync.Mutex
	s  *hub.Stream
	p  *hub.Party

	prepared []prepared
	begun    [][]hub.SignedToken
	settled  map[string]bool

	// The receiver: what it holds, how new that is, and which tokens it has seen.
	holds map[hub.ID]held
	newer map[hub.ID]int64
	seen  map[string]bool
}

// prepared is an attempt that has not begun, with what would leave.
type prepared struct {
	attempt hub.Attempt
	tokens  []hub.SignedToken
}

// said is the content of a token.
type said struct {
	Entry   hub.ID
	Kind    consent.Kind
	Version int64
	Signal  int64
	Values  map[string]string
	Gone    []string
}

func newPump(p *hub.Party, s *hub.Stream) *pump {
	return &pump{s: s, p: p, settled: map[string]bool{}, holds: map[hub.ID]held{}, newer: map[hub.ID]int64{}, seen: map[string]bool{}}
}

func (p *pump) step(a *actor) {
	switch a.pick(12) {
	case 0, 1, 2:
		p.issue(a)
	case 3, 4, 5:
		p.prepare(a)
	case 6, 7:
		p.begin(a)
	case 8, 9, 10:
		p.answer(a, a.pick(5))
	default:
		_, _, err := a.store.Lease(a.f.ctx, fmt.Sprint("node", a.pick(2)), a.f.tick(), a.f.clock()+20, events.MethodPush)
		a.fine(err)
	}
}

func (p *pump) issue(a *actor) {
	_, err := a.store.Issue(a.f.ctx, p.s.ID, a.f.tick(), 6, decide)
	a.fine(err)
}

func (p *pump) prepare(a *actor) {
	sendings, err := a.store.Sendable(a.f.ctx, p.s.ID, a.f.tick(), 1+a.pick(3))
	if !a.fine(err) {
		return
	}
	for _, s := range sendings {
		d := s.Delivery
		at := hub.Attempt{Delivery: d.ID, Owner: "node0", Busy: a.f.clock() + 30, Generation: s.Party.Generation, Position: d.Position, Left: left(d)}
		if len(d.Tokens) > 0 {
			at.First = d.Tokens[0].JTI
		}
		if s.Row != nil && s.Row.Grant != nil {
			at.Given, at.Regraded = s.Row.Grant.Given, s.Row.Grant.Regraded
		}
		if d.Remake {
			at.Regraded = -1 // its tokens may not leave again, even if others are made before the attempt begins
		}
		for _, t := range d.Tokens {
			if p.settled[t.JTI] && !t.Settled {
				a.f.Error("I7: a settled token returns")
			}
		}
		tokens := d.Tokens
		if len(tokens) == 0 {
			text, err := p.make(a, s)
			if !a.fine(err) {
				continue
			}
			tokens = []hub.SignedToken{{JTI: a.f.word(), Compact: text}}
			at.Tokens = tokens
		}
		p.prepared = append(p.prepared, prepared{at, tokens})
	}
}

// make makes a token with every value that may be told.
func (p *pump) make(a *actor, s hub.Sending) ([]byte, error) {
	d := s.Delivery
	token := said{Entry: d.Entry, Kind: d.Kind, Version: d.Version, Signal: d.Signal}
	if d.Signal == 0 && s.Row != nil {
		t := terms(*s.Row, s.Party)
		var marks hub.Marks
		if s.Row.Grant != nil {
			marks = s.Row.Grant.Marks
		}
		var err error
		if token.Values, token.Gone, err = a.values(&s.Row.Entry, t, d.Kind, consent.Current(d.Names, t, marks)); err != nil {
			return nil, err
		}
	}
	return json.Marshal(token)
}

func (p *pump) begin(a *actor) {
	if len(p.prepared) == 0 {
		return
	}
	i := a.pick(len(p.prepared))
	next := p.prepared[i]
	p.prepared = slices.Delete(p.prepared, i, i+1)
	may, err := a.store.Begin(a.f.ctx, a.f.tick(), []hub.Attempt{next.attempt})
	if a.fine(err) && may[0] {
		p.begun = append(p.begun, next.tokens)
	}
}

// answer ends an attempt: taken and answered, taken and the answer lost, never taken, or its node died before or after.
func (p *pump) answer(a *actor, how int) {
	if len(p.begun) == 0 {
		return
	}
	i := a.pick(len(p.begun))
	tokens := p.begun[i]
	p.begun = slices.Delete(p.begun, i, i+1)
	for _, t := range tokens {
		if t.Settled {
			continue
		}
		if how != 2 && how != 3 {
			p.receive(a, t)
		}
		if how >= 3 {
			continue
		}
		o := hub.Outcome{JTI: t.JTI, Next: subscriptions.Done}
		if how != 0 {
			o = hub.Outcome{JTI: t.JTI, Next: subscriptions.Retry, Due: a.f.clock() + int64(a.pick(10)), Reason: "timeout"}
		}
		_, err := a.store.Settle(a.f.ctx, p.s.ID, a.f.tick(), []hub.Outcome{o})
		if a.fine(err) && how == 0 {
			p.settled[t.JTI] = true
		}
	}
}

func (p *pump) receive(a *actor, t hub.SignedToken) {
	if p.seen[t.JTI] {
		return
	}
	p.seen[t.JTI] = true
	var what said
	if err := json.Unmarshal(t.Compact, &what); err != nil {
		a.f.Errorf("the bytes of a token changed: %v", err)
		return
	}
	switch {
	case what.Signal != 0:
	case what.Entry.IsZero(): // the feed as a whole changed: a fresh snapshot
		p.holds, p.newer = a.may(a, p.p)
	case what.Version >= p.newer[what.Entry]:
		p.newer[what.Entry] = what.Version
		take(p.holds, what.Entry, what.Kind, what.Values, what.Gone)
	}
}

// drain carries until nothing is left.
func (p *pump) drain(a *actor) {
	for range 3000 {
		a.f.pass(50)
		p.issue(a)
		p.prepare(a)
		for len(p.prepared) > 0 {
			p.begin(a)
		}
		for len(p.begun) > 0 {
			p.answer(a, 0)
		}
		left, err := a.f.store.Backlogs(a.f.ctx, p.s.ID)
		a.f.must(err)
		if left[0].Behind == 0 && left[0].Waiting == 0 {
			return
		}
	}
	a.f.Errorf("a stream is stuck: %+v", a.f.streamNow(p.s))
}
