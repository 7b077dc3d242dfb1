package hub_test

import (
	"slices"

	"tidings/consent"
	. "tidings/hub"
	"tidings/hub/schema"
)

func (w *windowWorld) create() *Entry {
	e := &Entry{ID: w.id(), Type: schema.User, Active: true}
	w.all[e.ID] = e
	w.line(e, Created, append([]string{"active"}, windowNames...)...)
	return e
}

func (w *windowWorld) next(e *Entry, k ChangeKind, names ...string) Change {
	w.head++
	return Change{Position: w.head, Time: w.now, Entry: e.ID, Kind: k, Attributes: names}
}

// line commits one line about an entry, moving the row that it concerns.
func (w *windowWorld) line(e *Entry, k ChangeKind, names ...string) {
	c := w.next(e, k, names...)
	e.Stamp(c)
	if g := w.grants[e.ID]; g != nil && g.Ended == 0 && g.Mask()&c.Mask() != 0 {
		g.Follow(c)
	}
}

func (w *windowWorld) toggle(e *Entry) {
	e.Active = !e.Active
	kind := DisabledEntry
	if e.Active {
		kind = EnabledEntry
	}
	w.line(e, kind, "active")
}

func (w *windowWorld) give(e *Entry) {
	g := w.grants[e.ID]
	if w.c.agreement || g != nil && g.Ended == 0 && !g.Terms.Expired(w.now) {
		return
	}
	if g == nil {
		g = &Grant{ID: w.id(), Party: w.party.ID, Entry: e.ID}
		w.grants[e.ID] = g
	}
	g.Terms = consent.Terms{Attributes: w.someNames(), Purposes: consent.Transfer | consent.Notify}
	if w.pick(4) == 0 {
		g.Terms.Until = w.now + 1 + int64(w.pick(30))
	}
	g.Stamp(w.next(e, Granted), nil)
}

func (w *windowWorld) someNames() []string {
	n := w.pick(1<<len(windowNames)-1) + 1
	var names []string
	for i, name := range windowNames {
		if n&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

func (w *windowWorld) revoke(e *Entry, k ChangeKind) {
	if g := w.grants[e.ID]; g != nil && g.Ended == 0 {
		g.Stamp(w.next(e, k), nil)
		w.keep(w.end(w.of(e.ID), w.now))
	}
}

func (w *windowWorld) regrade(e *Entry) {
	g := w.grants[e.ID]
	if g == nil || g.Ended != 0 || g.Terms.Expired(w.now) {
		return
	}
	old := g.Terms.Attributes
	g.Terms.Attributes = w.someNames()
	var changed []string
	narrower := false
	for _, n := range windowNames {
		if was := slices.Contains(old, n); was != slices.Contains(g.Terms.Attributes, n) {
			changed, narrower = append(changed, n), narrower || was
		}
	}
	g.Stamp(w.next(e, Regraded), changed)
	if narrower {
		w.narrowed[e.ID] = w.head
		for _, signal := range w.signals { // what left the grant is owed no longer
			if signal.Entry == e.ID && signal.Covers != "" && !consent.Covered(g.Terms.Attributes, signal.Covers) {
				delete(w.owed, signal.Position)
			}
		}
		w.keep(w.narrow(w.of(e.ID), w.now))
	}
}

func (w *windowWorld) delete(i int) {
	e := w.entries[i]
	w.line(e, Deleted)
	w.keep(w.end(w.of(e.ID), w.now))
	w.entries[i] = w.create()
}

func (w *windowWorld) raise(e *Entry) {
	w.head++
	s := Signal{Position: w.head, Entry: e.ID, Time: w.now, Expires: 1 << 40}
	if w.pick(2) == 0 {
		s.Covers = windowNames[w.pick(len(windowNames))]
	}
	if row := w.row(e.ID); row != nil && s.Concerns(*row, w.party, w.now) {
		w.signals = append(w.signals, s)
		w.owed[s.Position] = w.given(row)
	}
}

func (w *windowWorld) sweep() {
	for _, e := range w.entries {
		if g := w.grants[e.ID]; g != nil && g.Ended == 0 && g.Terms.Expired(w.now) {
			w.revoke(e, Expired)
		}
	}
}

// --- the feed

func (w *windowWorld) row(id ID) *FeedRow {
	e := w.all[id]
	if w.c.agreement {
		return &FeedRow{Entry: *e}
	}
	if g := w.grants[id]; g != nil {
		copied := *g
		return &FeedRow{Grant: &copied, Entry: *e}
	}
	return nil
}

func (w *windowWorld) given(row *FeedRow) int64 {
	if row.Grant == nil {
		return 0
	}
	return row.Grant.Given
}

// place and version of a row in the party's feed.
func place(row *FeedRow) (position, version int64) {
	if row.Grant == nil {
		return row.Entry.Position, row.Entry.Position
	}
	return row.Grant.Position, row.Grant.Version
}

func (w *windowWorld) terms(row *FeedRow) consent.Terms {
	if row.Grant == nil {
		return consent.Terms{Attributes: w.party.Bounds.Attributes, Purposes: consent.Transfer | consent.Notify}
	}
	return row.Grant.Terms
}

func (w *windowWorld) tell(row *FeedRow) consent.Telling {
	r := consent.Row{Terms: w.terms(row), Gone: row.Entry.Deleted != 0, Given: row.Entry.Created, Ended: row.Entry.Deleted,
		Active: row.Entry.Active, Entry: row.Entry.Marks, Grant: Marks(nil)}
	if g := row.Grant; g != nil {
		r.Given, r.Ended, r.Gone, r.Grant = g.Given, g.Ended, g.Gone, g.Marks
	}
	return consent.Tell(r, w.base, 0, w.now)
}

func (w *windowWorld) feed(after int64) (rows []*FeedRow) {
	for id := range w.all {
		if row := w.row(id); row != nil {
			if p, _ := place(row); p > after {
				rows = append(rows, row)
			}
		}
	}
	slices.SortFunc(rows, func(a, b *FeedRow) int {
		pa, _ := place(a)
		pb, _ := place(b)
		return int(pa - pb)
	})
	return rows
}

// --- the wire and the receiver

func (w *windowWorld) network() {
	if len(w.wire) == 0 {
		return
	}
	i := w.pick(len(w.wire))
	a := w.wire[i]
	if a.until <= w.now && !a.gone {
		w.giveUp(a) // a node gives up before its time is over, or it is dead
		return
	}
	switch k := w.pick(10); {
	case !a.arrived && (k < 6 || a.gone):
		w.arrive(a.jtis[0])
		a.arrived = true
		if a.gone {
			w.forget(a)
		}
		if w.pick(4) == 0 {
			w.settle(a.jtis[:1], "") // polled and acknowledged by another request
		}
	case a.arrived && k < 8: // answered; the next token goes while the attempt lasts
		a.done, a.jtis, a.arrived = append(a.done, a.jtis[0]), a.jtis[1:], false
		if len(a.jtis) == 0 {
			w.forget(a)
			w.settle(a.done, "")
		}
	case a.arrived || k < 9: // the answer was lost, or nobody was there
		w.forget(a)
		w.settle(a.done, a.jtis[0])
	default: // timed out on its way
		w.settle(a.done, a.jtis[0])
		w.giveUp(a)
	}
}

// giveUp forgets an attempt whose request may still arrive.
func (w *windowWorld) giveUp(a *windowAttempt) {
	a.gone = true
	if !w.c.late || a.arrived {
		w.forget(a)
	}
}

func (w *windowWorld) forget(a *windowAttempt) {
	w.wire = slices.DeleteFunc(w.wire, func(b *windowAttempt) bool { return a == b })
}

// crash ends every node. Either another takes the streams over, or the attempts run out of time.
func (w *windowWorld) crash() {
	w.reading, w.prepared = nil, nil
	for _, a := range slices.Clone(w.wire) {
		w.giveUp(a)
	}
	if w.pick(2) == 0 {
		for _, d := range w.inOrder() {
			if d, ok := w.unsettled[d.ID]; ok && d.Busy != 0 {
				w.keep(w.released(d, w.of(d.Entry), w.now))
			}
		}
	} else {
		w.now += 20
	}
}

func (w *windowWorld) arrive(jti string) {
	said := w.content[jti]
	if w.seen[jti] {
		return
	}
	w.seen[jti] = true
	if said.signal != 0 {
		w.got[said.signal] = true
		return
	}
	if said.version < w.newer[said.entry] {
		if !w.c.late {
			w.fail("order: version %d after %d", said.version, w.newer[said.entry])
		}
		return
	}
	w.newer[said.entry] = said.version
	if said.kind == consent.Removed {
		delete(w.holds, said.entry)
		return
	}
	if said.kind == consent.Added || w.holds[said.entry] == nil {
		w.holds[said.entry] = map[string]int64{}
	}
	for n, at := range said.values {
		w.holds[said.entry][n] = at
	}
	for _, n := range said.gone {
		delete(w.holds[said.entry], n)
	}
}

// --- the end

func (w *windowWorld) drain() {
	for range 6000 {
		w.now++
		w.sweep()
		w.issueRead()
		w.issueWrite()
		w.sendable()
		w.begin()
		w.network()
		if len(w.unsettled) == 0 && len(w.wire) == 0 && len(w.feed(w.at)) == 0 && w.signal >= w.head || w.problem != "" {
			return
		}
	}
	w.fail("stuck: %d unsettled, %d on the wire, at %d signal %d of %d: %+v", len(w.unsettled), len(w.wire), w.at, w.signal, w.head, w.inOrder())
}

func (w *windowWorld) judgeEnd() {
	for id, e := range w.all {
		row, holds := w.row(id), w.holds[id]
		if !Live(row, w.party, w.now) {
			if holds != nil {
				w.fail("I5: holds an entry without a grant")
			}
			continue
		}
		terms := w.terms(row)
		if holds == nil {
			w.fail("I3: was never told of an entry")
		}
		for _, n := range terms.Attributes {
			if at, ok := holds[n]; !ok || at < e.Marks.Of(n) {
				w.fail("I3: %s changed at %d, told at %d", n, e.Marks.Of(n), at)
			}
		}
		if at := e.Marks.Of("active"); at > max(w.given(row), e.Created) && holds["active"] < at {
			w.fail("I3: active changed at %d, told at %d", at, holds["active"])
		}
		for n := range holds {
			if n != "active" && !consent.Covered(terms.Attributes, n) {
				w.fail("I5: holds %s outside the grant", n)
			}
		}
	}
	for _, s := range w.signals {
		row := w.row(s.Entry)
		given, owed := w.owed[s.Position]
		if Live(row, w.party, w.now) && owed && given == w.given(row) && s.Concerns(*row, w.party, w.now) && !w.got[s.Position] {
			w.fail("I3: signal %d was not told", s.Position)
		}
	}
}
