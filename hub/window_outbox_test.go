package hub_test

import (
	"slices"

	"tidings/consent"
	. "tidings/hub"
)

func (w *windowWorld) of(entry ID) (some []Delivery) {
	for _, d := range w.inOrder() {
		if d.Entry == entry {
			some = append(some, d)
		}
	}
	return some
}

func (w *windowWorld) inOrder() (all []Delivery) {
	for _, d := range w.unsettled {
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b Delivery) int { return int(a.Order - b.Order) })
	return all
}

func (w *windowWorld) keep(k Kept) {
	for _, id := range k.Drop {
		delete(w.unsettled, id)
	}
	for _, d := range k.Put {
		w.unsettled[d.ID] = d
	}
	waits, sent := map[ID]int{}, map[ID]int{}
	for _, d := range w.unsettled {
		if d.Signal == 0 && !d.Void {
			if d.Sent {
				sent[d.Entry]++
			} else {
				waits[d.Entry]++
			}
		}
		if waits[d.Entry] > 1 || sent[d.Entry] > 1 {
			w.fail("more than two deliveries of one entry")
		}
	}
}

func (w *windowWorld) issueRead() {
	room := windowSize - len(w.unsettled)
	if w.reading != nil || room <= 0 {
		return
	}
	r := &windowReading{at: w.at, signal: w.signal, toAt: w.at, toBase: w.base, toSign: w.signal}
	more := false
	for _, s := range w.signals {
		if s.Position <= w.signal {
			continue
		}
		if room == 0 {
			more = true
			break
		}
		r.toSign = s.Position
		row := w.row(s.Entry)
		if !s.Concerns(*row, w.party, w.now) || w.given(row) > s.Position {
			continue // another grant than the one under which it was raised
		}
		r.told = append(r.told, Delivery{Entry: s.Entry, Given: w.given(row), Generation: w.party.Generation, Position: s.Position, Signal: s.Position})
		room--
	}
	if !more {
		r.toSign = w.head
	}
	rows := w.feed(w.at)
	full := len(rows) > room
	if full {
		rows = rows[:room]
	}
	for _, row := range rows {
		position, version := place(row)
		r.toAt = position
		if told := w.tell(row); told.Kind != "" {
			r.told = append(r.told, Delivery{Entry: row.Entry.ID, Kind: told.Kind, Names: told.Names, Given: w.given(row),
				Generation: w.party.Generation, Version: version, Position: position})
		}
	}
	if !full {
		r.toAt, r.toBase = w.head, w.head
	}
	w.reading = r
}

func (w *windowWorld) issueWrite() {
	r := w.reading
	w.reading = nil
	if r == nil || r.at != w.at || r.signal != w.signal {
		return
	}
	for _, d := range r.told {
		w.order++
		d.ID, d.Order, d.Party = w.id(), w.order, w.party.ID
		w.keep(w.absorb(w.of(d.Entry), d))
	}
	w.at, w.base, w.signal = r.toAt, r.toBase, r.toSign
	if len(w.unsettled) > windowSize {
		w.fail("window grew to %d", len(w.unsettled))
	}
}

// sendable reads what may go and makes its tokens, as an engine does between the two transactions.
func (w *windowWorld) sendable() {
	for _, d := range w.turns(w.inOrder(), w.now, 1+w.pick(2)) {
		for _, t := range d.Tokens {
			if w.settledJ[t.JTI] && !t.Settled {
				w.fail("I7: a settled token returns")
			}
		}
		row := w.row(d.Entry)
		p := windowPrepared{d: d, tokens: map[string]windowToken{}, attempt: Attempt{Delivery: d.ID, Position: d.Position,
			Given: w.given(row), Generation: w.party.Generation, Keyring: w.keyring}}
		if len(d.Tokens) > 0 {
			p.attempt.First = d.Tokens[0].JTI
		}
		for _, t := range d.Tokens {
			if !t.Settled {
				p.attempt.Left++
			}
		}
		if row.Grant != nil {
			p.attempt.Regraded = row.Grant.Regraded
		}
		if d.Remake {
			p.attempt.Regraded = -1 // these tokens may not leave again, even if others are made before the attempt begins
		}
		if d.Signal != 0 && !w.signalAt(d.Signal).Concerns(*row, w.party, w.now) {
			p.attempt.Withdraw = true
		} else if !d.Sent {
			p.make(w, row)
		}
		w.prepared = append(w.prepared, p)
	}
}

func (w *windowWorld) signalAt(position int64) Signal {
	i := slices.IndexFunc(w.signals, func(s Signal) bool { return s.Position == position })
	return w.signals[i]
}

// make makes one or two tokens with values, the boldest that a stream may carry.
func (p *windowPrepared) make(w *windowWorld, row *FeedRow) {
	terms := w.terms(row)
	dropped := Marks(nil)
	if row.Grant != nil {
		dropped = row.Grant.Marks
	}
	// What is added is taken as active unless the name is there.
	token := windowToken{entry: p.d.Entry, kind: p.d.Kind, version: p.d.Version, signal: p.d.Signal, values: map[string]int64{}}
	if p.d.Kind == consent.Added {
		token.values["active"] = p.d.Position
	}
	for _, n := range consent.Current(p.d.Names, terms, dropped) {
		if n == "active" || consent.Covered(terms.Attributes, n) {
			token.values[n] = w.head
		} else {
			token.gone = append(token.gone, n)
		}
	}
	if p.d.Signal == 0 && p.d.Kind == consent.Updated && len(token.values)+len(token.gone) == 0 {
		p.attempt.Withdraw = true // it says nothing
		return
	}
	for range 1 + w.pick(2) {
		jti := w.id().String()
		p.attempt.Tokens = append(p.attempt.Tokens, SignedToken{JTI: jti, Compact: []byte(jti)})
		p.tokens[jti] = token
	}
}

func (w *windowWorld) begin() {
	if len(w.prepared) == 0 {
		return
	}
	i := w.pick(len(w.prepared))
	p := w.prepared[i]
	w.prepared = slices.Delete(w.prepared, i, i+1)
	d, ok := w.unsettled[p.d.ID]
	if !ok || d.Busy > w.now || p.attempt.Keyring != w.keyring {
		return
	}
	row := w.row(d.Entry)
	switch w.judge(d, p.attempt, row, w.party, w.now) {
	case WithdrawIt:
		w.keep(Kept{Drop: []ID{d.ID}})
	case Wait:
		w.keep(w.released(d, w.of(d.Entry), d.Due))
	case Go:
		w.send(d, p, row)
	}
}

func (w *windowWorld) send(d Delivery, p windowPrepared, row *FeedRow) {
	w.watchSend(d, p, row)
	if len(p.attempt.Tokens) > 0 {
		d.Tokens = p.attempt.Tokens
		before, again := w.made[d.ID]
		if again && before.head >= w.narrowed[d.Entry] {
			w.fail("I7: made anew although not narrowed")
		}
		made := windowMade{head: w.head}
		for _, t := range d.Tokens {
			made.jtis = append(made.jtis, t.JTI)
			w.content[t.JTI] = p.tokens[t.JTI]
		}
		w.made[d.ID] = made
	}
	d.Sent, d.Busy, d.Attempts = true, w.now+int64(1+w.pick(10)), d.Attempts+1
	w.keep(Kept{Put: []Delivery{d}})
	a := &windowAttempt{delivery: d.ID, until: d.Busy}
	// What leaves is what the node holds: made now, or read with the Sending.
	tokens := p.d.Tokens
	if len(p.attempt.Tokens) > 0 {
		tokens = p.attempt.Tokens
	}
	for _, t := range tokens {
		if w.recall[t.JTI] {
			w.fail("sent under a key that is published no longer")
		}
		if !t.Settled {
			a.jtis = append(a.jtis, t.JTI)
		}
	}
	if len(a.jtis) == 0 {
		w.fail("an attempt with nothing to send")
		return
	}
	w.wire = append(w.wire, a)
}

// watchSend holds a send against the store as committed now, without asking the rules.
func (w *windowWorld) watchSend(d Delivery, p windowPrepared, row *FeedRow) {
	alive := w.all[d.Entry].Deleted == 0
	if row.Grant != nil {
		alive = alive && row.Grant.Ended == 0 && (row.Grant.Terms.Until == 0 || row.Grant.Terms.Until > w.now)
	}
	removal := d.Kind == consent.Removed
	if d.Signal != 0 && !w.signalAt(d.Signal).Concerns(*row, w.party, w.now) {
		w.fail("I4: signal sent outside the grant")
	}
	switch {
	case !removal && !alive:
		w.fail("I4: sent without a live grant")
	case !removal && d.Given != w.given(row):
		w.fail("I5: sent under an earlier grant")
	case removal && alive:
		w.fail("removal sent of what was given again")
	}
	tokens := p.d.Tokens
	if len(p.attempt.Tokens) > 0 {
		tokens = p.attempt.Tokens
	}
	for _, t := range tokens {
		said, ok := w.content[t.JTI]
		if !ok {
			said = p.tokens[t.JTI]
		}
		for n := range said.values {
			if n != "active" && !consent.Covered(w.terms(row).Attributes, n) {
				w.fail("I4: value outside the grant sent")
			}
		}
	}
	for _, a := range w.wire {
		if other, ok := w.content[a.jtis[0]]; removal && ok && other.entry == d.Entry && !a.gone && a.until > w.now && !w.settledJ[a.jtis[0]] {
			w.fail("I5: removal before the attempt under way ended")
		}
	}
}

// settle ends an attempt: the tokens the receiver took, then the one that failed.
func (w *windowWorld) settle(done []string, failed string) {
	for _, jti := range done {
		if d, ok := w.byToken(jti); ok {
			w.settledJ[jti] = true
			w.keep(w.settled(d, w.of(d.Entry), jti))
		}
	}
	d, ok := w.byToken(failed)
	if !ok {
		return
	}
	due := w.now + int64(w.pick(3))
	if w.pick(8) == 0 {
		if kept, again := w.refuse(d, w.of(d.Entry), due); again {
			delete(w.made, d.ID) // I7 is about another key's tokens from here on
			w.keep(kept)
			return
		}
	}
	w.keep(w.released(d, w.of(d.Entry), due))
}

// recallKey takes the key out of use that signed all that is kept.
func (w *windowWorld) recallKey() {
	w.keyring++
	for _, d := range w.inOrder() {
		if d, ok := w.unsettled[d.ID]; ok && d.Sent {
			for _, t := range d.Tokens {
				w.recall[t.JTI] = true
			}
			delete(w.made, d.ID)
			w.keep(w.recalled(d, w.of(d.Entry), w.now))
		}
	}
}

func (w *windowWorld) byToken(jti string) (Delivery, bool) {
	for _, d := range w.inOrder() {
		for _, t := range d.Tokens {
			if t.JTI == jti {
				return d, true
			}
		}
	}
	return Delivery{}, false
}
