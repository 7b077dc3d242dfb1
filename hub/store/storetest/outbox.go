package storetest

import (
	"tidings/consent"
	"tidings/events"
	"tidings/hub"
	"tidings/subscriptions"
)

// Streams and what is on its way.

func (f *fixture) stream(p *hub.Party) *hub.Stream {
	f.Helper()
	s, err := f.store.CreateStream(f.ctx, hub.Stream{ID: hub.NewID(), Party: p.ID, Status: subscriptions.Enabled, CreatedAt: f.tick(),
		Settings: subscriptions.Settings{Requested: []events.Type{"urn:test:event"}, Description: f.word(),
			Delivery: subscriptions.Delivery{Method: events.MethodPush, EndpointURL: "https://r.example/", AuthorizationHeader: "sealed"}}}, 5)
	f.must(err)
	return s
}

func (f *fixture) streamNow(s *hub.Stream) *hub.Stream {
	f.Helper()
	now, err := f.store.Stream(f.ctx, s.Party, s.ID)
	f.must(err)
	return now
}

// decide tells whatever the rules want told: the engine's decision without its policies.
func decide(in hub.Issuing) hub.Issued {
	s, page := in.Stream, in.Page
	out := hub.Issued{Base: s.Base, At: s.At, Tag: s.Tag, Signal: s.Signal, Generation: page.Party.Generation, Back: in.Back}
	if s.Generation != page.Party.Generation {
		out.Anew = true
		out.Base, out.At, out.Tag = page.Head.Position, page.Head.Position, page.Head.Tag
		out.Deliveries = []hub.Delivery{own(&s, "urn:test:feed-changed")}
		return out
	}
	telling := func(row hub.FeedRow) hub.Delivery {
		d := hub.Delivery{ID: hub.NewID(), Stream: s.ID, Party: s.Party, Entry: row.Entry.ID, Generation: page.Party.Generation,
			Version: row.Entry.Position, Position: row.Entry.Position, Time: row.Entry.Changed}
		if g := row.Grant; g != nil {
			d.Given, d.Version, d.Position, d.Time = g.Given, g.Version, g.Position, g.Changed
		}
		return d
	}
	for _, sig := range in.Signals {
		out.Signal = sig.Position
		if back, off := in.Excluded[sig.Entry]; off && !back {
			continue
		}
		if row, ok := in.SignalRows[sig.Entry]; ok && sig.Concerns(row, page.Party, in.Now) && (row.Grant == nil || row.Grant.Given < sig.Position) {
			d := telling(row)
			d.Signal, d.Position, d.Txn = sig.Position, sig.Position, sig.Txn
			out.Deliveries = append(out.Deliveries, d)
		}
	}
	for _, id := range in.Back {
		if row, ok := in.SignalRows[id]; ok {
			told := tell(row, page.Party, 0, in.Now)
			d := telling(row)
			d.Kind, d.Names = told.Kind, told.Names
			out.Deliveries = append(out.Deliveries, d)
		}
	}
	for _, row := range page.Rows {
		if _, off := in.Excluded[row.Entry.ID]; off {
			continue
		}
		if told := tell(row, page.Party, s.Base, in.Now); told.Kind != "" && page.Party.Bounds.AllowsType(string(row.Entry.Type)) {
			d := telling(row)
			d.Kind, d.Names = told.Kind, told.Names
			out.Deliveries = append(out.Deliveries, d)
		}
	}
	if !in.MoreSignals {
		out.Signal = page.Head.Position
	}
	if page.More {
		out.At, out.Tag = page.Last, page.LastTag
	} else {
		out.Base, out.At, out.Tag = page.Head.Position, page.Head.Position, page.Head.Tag
	}
	return out
}

func tell(row hub.FeedRow, p hub.Party, base, now int64) consent.Telling {
	r := consent.Row{Terms: both(p.Bounds.Attributes...), Given: row.Entry.Created, Ended: row.Entry.Deleted, Gone: row.Entry.Deleted != 0,
		Active: row.Entry.Active, Entry: row.Entry.Marks, Grant: hub.Marks(nil)}
	if g := row.Grant; g != nil {
		r.Terms, r.Given, r.Ended, r.Gone, r.Grant = g.Terms, g.Given, g.Ended, g.Gone, g.Marks
	}
	return consent.Tell(r, base, 0, now)
}

func own(s *hub.Stream, t events.Type) hub.Delivery {
	return hub.Delivery{ID: hub.NewID(), Stream: s.ID, Party: s.Party, Type: t, Payload: []byte(`{"state":"x"}`)}
}

func (f *fixture) issue(s *hub.Stream) (more bool) {
	f.Helper()
	more, err := f.store.Issue(f.ctx, s.ID, f.tick(), hub.Window, decide)
	f.must(err)
	return more
}

func (f *fixture) sendable(s *hub.Stream) []hub.Sending {
	f.Helper()
	sendings, err := f.store.Sendable(f.ctx, s.ID, f.tick(), 100)
	f.must(err)
	return sendings
}

// one wants exactly one delivery to be sendable.
func (f *fixture) one(s *hub.Stream) hub.Sending {
	f.Helper()
	all := f.sendable(s)
	if len(all) != 1 {
		f.Fatalf("%d deliveries may be sent, not one: %+v", len(all), all)
	}
	return all[0]
}

func (f *fixture) attempt(s hub.Sending) hub.Attempt {
	a := hub.Attempt{Delivery: s.Delivery.ID, Owner: "node", Busy: f.now + 1000, Generation: s.Party.Generation, Position: s.Delivery.Position}
	if s.Row != nil && s.Row.Grant != nil {
		a.Given, a.Regraded = s.Row.Grant.Given, s.Row.Grant.Regraded
	}
	a.Left = left(s.Delivery)
	if len(s.Delivery.Tokens) > 0 {
		a.First = s.Delivery.Tokens[0].JTI
	}
	if len(s.Delivery.Tokens) == 0 {
		jti := f.word()
		a.Tokens = []hub.SignedToken{{JTI: jti, Compact: []byte("token " + jti)}}
	}
	return a
}

// left counts the tokens that are not settled.
func left(d hub.Delivery) (n int) {
	for _, t := range d.Tokens {
		if !t.Settled {
			n++
		}
	}
	return n
}

func (f *fixture) begin(attempts ...hub.Attempt) []bool {
	f.Helper()
	begun, err := f.store.Begin(f.ctx, f.tick(), attempts)
	f.must(err)
	if len(begun) != len(attempts) {
		f.Fatalf("%d answers to %d attempts", len(begun), len(attempts))
	}
	return begun
}

// send begins the one delivery that may be sent and returns the token's id.
func (f *fixture) send(s *hub.Stream) (jti string) {
	f.Helper()
	sending := f.one(s)
	a := f.attempt(sending)
	if !f.begin(a)[0] {
		f.Fatal("the attempt may not begin")
	}
	if len(a.Tokens) == 0 {
		return sending.Delivery.Tokens[0].JTI
	}
	return a.Tokens[0].JTI
}

func (f *fixture) outcome(s *hub.Stream, o hub.Outcome) {
	f.Helper()
	_, err := f.store.Settle(f.ctx, s.ID, f.tick(), []hub.Outcome{o})
	f.must(err)
}

func (f *fixture) settle(s *hub.Stream, next subscriptions.Next, due int64, jtis ...string) {
	f.Helper()
	var outcomes []hub.Outcome
	for _, j := range jtis {
		outcomes = append(outcomes, hub.Outcome{JTI: j, Next: next, Due: due, Reason: "test"})
	}
	_, err := f.store.Settle(f.ctx, s.ID, f.tick(), outcomes)
	f.must(err)
}
