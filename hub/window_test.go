package hub_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tidings/consent"
	. "tidings/hub"
	"tidings/hub/schema"
)

// TestWindowModel interleaves everything that happens to one stream and asks at the end what its receiver holds (I3,
// I4, I5, I7, order). It keeps rows in maps and decides nothing itself: every rule is the one that the drivers call.
func TestWindowModel(t *testing.T) {
	for name, c := range windowCases {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			for seed := uint64(0); seed < 300 || time.Since(start) < soak(); seed++ {
				if problem := interleave(rand.New(rand.NewPCG(seed, 7)).IntN, c, rules{}); problem != "" {
					t.Fatalf("seed %d: %s", seed, problem)
				}
			}
			rapid.Check(t, func(rt *rapid.T) {
				number := rapid.IntRange(0, 1<<20)
				if problem := interleave(func(n int) int { return number.Draw(rt, "pick") % n }, c, rules{}); problem != "" {
					rt.Fatal(problem)
				}
			})
		})
	}
}

// TestWindowVariants breaks one rule at a time, in the ways that look right, and wants the model to see it.
func TestWindowVariants(t *testing.T) {
	for name, broken := range windowVariants {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(6000) {
				for _, c := range windowCases {
					if interleave(rand.New(rand.NewPCG(seed, 7)).IntN, c, broken) != "" {
						return
					}
				}
			}
			t.Error("the model does not notice")
		})
	}
}

// soak is how long the long tests run beyond their fixed part.
func soak() time.Duration {
	d, _ := time.ParseDuration(os.Getenv("SOAK"))
	return d
}

// windowCase says what the world outside does.
type windowCase struct {
	late      bool // a request that timed out may still arrive
	deaf      bool // the stream takes no event about a change of locale alone
	agreement bool // the party's bounds take the place of grants
}

var windowCases = map[string]windowCase{
	"grants":                 {},
	"grants, late arrivals":  {late: true},
	"grants, deaf":           {deaf: true},
	"agreement":              {agreement: true},
	"agreement, late arrive": {agreement: true, late: true},
}

// rules replaces rules of the window by broken ones; nil is the real one.
type rules struct {
	absorb   func([]Delivery, Delivery) Kept
	end      func([]Delivery, int64) Kept
	narrow   func([]Delivery, int64) Kept
	released func(Delivery, []Delivery, int64) Kept
	settled  func(Delivery, []Delivery, string) Kept
	turns    func([]Delivery, int64, int) []Delivery
	judge    func(Delivery, Attempt, *FeedRow, Party, int64) Verdict
}

func (r rules) orReal() rules {
	if r.absorb == nil {
		r.absorb = Absorb
	}
	if r.end == nil {
		r.end = End
	}
	if r.narrow == nil {
		r.narrow = Narrow
	}
	if r.released == nil {
		r.released = Released
	}
	if r.settled == nil {
		r.settled = Settled
	}
	if r.turns == nil {
		r.turns = Turns
	}
	if r.judge == nil {
		r.judge = Judge
	}
	return r
}

var windowVariants = map[string]rules{
	"a change is passed over while one is on its way": {absorb: func(unsettled []Delivery, next Delivery) Kept {
		if len(unsettled) > 0 && next.Signal == 0 && !next.Entry.IsZero() {
			return Kept{}
		}
		return Absorb(unsettled, next)
	}},
	"changes queue up":                {absorb: func(_ []Delivery, next Delivery) Kept { return Kept{Put: []Delivery{next}} }},
	"narrowing withdraws":             {narrow: func(unsettled []Delivery, now int64) Kept { return End(unsettled, now) }},
	"narrowing lets what was made go": {narrow: func([]Delivery, int64) Kept { return Kept{} }},
	"a revocation deletes what is under way": {end: func(unsettled []Delivery, _ int64) (k Kept) {
		for _, d := range unsettled {
			k.Drop = append(k.Drop, d.ID)
		}
		return k
	}},
	"sending asks nobody": {judge: func(Delivery, Attempt, *FeedRow, Party, int64) Verdict { return Go }},
	"sending asks only whether the grant lives": {judge: func(d Delivery, a Attempt, row *FeedRow, p Party, now int64) Verdict {
		if d.Kind != consent.Removed && !d.Entry.IsZero() && !Live(row, p, now) {
			return WithdrawIt
		}
		return Go
	}},
	"two of one entry at once": {turns: func(unsettled []Delivery, now int64, limit int) (turns []Delivery) {
		for _, d := range unsettled {
			turns = append(turns, Turns([]Delivery{d}, now, 1)...)
		}
		return turns
	}},
	"a failure makes the token anew": {released: func(d Delivery, unsettled []Delivery, due int64) Kept {
		d.Remake = true
		return Released(d, unsettled, due)
	}},
	"a lost answer settles":          {released: func(d Delivery, _ []Delivery, _ int64) Kept { return Kept{Drop: []ID{d.ID}} }},
	"one token settles the delivery": {settled: func(d Delivery, _ []Delivery, _ string) Kept { return Kept{Drop: []ID{d.ID}} }},
}

// windowNames are the attributes of the model; "active" is every grant's.
var windowNames = []string{"title", "nickName", "locale"}

// windowWorld is a store, its nodes, a wire and a receiver.
type windowWorld struct {
	rules
	pick func(n int) int
	c    windowCase

	now, head int64
	party     Party
	entries   []*Entry
	all       map[ID]*Entry
	grants    map[ID]*Grant // by entry
	signals   []Signal
	owed      map[int64]int64 // signals the party has to be told: position → Given of the grant then
	narrowed  map[ID]int64    // by entry: head when its grant was last narrowed

	base, at, signal, order int64
	unsettled               map[ID]Delivery
	ids                     uint32
	reading                 *windowReading
	prepared                []windowPrepared
	wire                    []*windowAttempt

	made     map[ID]windowMade // by delivery
	content  map[string]windowToken
	settledJ map[string]bool

	seen  map[string]bool
	newer map[ID]int64
	holds map[ID]map[string]int64
	got   map[int64]bool

	problem string
}

// windowReading is the first half of Issue: what was read before something else may commit.
type windowReading struct {
	at, signal           int64 // the cursor as read
	toAt, toBase, toSign int64
	told                 []Delivery
}

// windowPrepared is a Sending whose tokens are made and whose attempt has not begun.
type windowPrepared struct {
	d       Delivery
	attempt Attempt
	tokens  map[string]windowToken
}

type windowMade struct {
	jtis []string
	head int64
}

// windowToken is what a token says.
type windowToken struct {
	entry   ID
	kind    consent.Kind
	version int64
	signal  int64
	gone    []string
	values  map[string]int64 // name → head when the value was read
}

// windowAttempt is a request on the wire. A node that gave it up does not listen any more: gone.
type windowAttempt struct {
	delivery ID
	jtis     []string // still to be sent, the first is under way
	arrived  bool
	done     []string
	until    int64
	gone     bool
}

const windowSize = 4

func interleave(pick func(int) int, c windowCase, r rules) (problem string) {
	w := &windowWorld{rules: r.orReal(), pick: pick, c: c, now: 1000, all: map[ID]*Entry{}, grants: map[ID]*Grant{},
		owed: map[int64]int64{}, narrowed: map[ID]int64{}, unsettled: map[ID]Delivery{}, made: map[ID]windowMade{},
		content: map[string]windowToken{}, settledJ: map[string]bool{}, seen: map[string]bool{}, newer: map[ID]int64{},
		holds: map[ID]map[string]int64{}, got: map[int64]bool{}, party: Party{ID: ID{1}, Generation: 1, Agreement: c.agreement}}
	if c.agreement {
		w.party.Bounds.Attributes = windowNames
	}
	for range 4 {
		w.entries = append(w.entries, w.create())
	}
	for range 300 {
		w.step()
		if w.problem != "" {
			return w.problem
		}
	}
	w.drain()
	if w.problem == "" {
		w.judgeEnd()
	}
	return w.problem
}

func (w *windowWorld) fail(format string, args ...any) {
	if w.problem == "" {
		w.problem = fmt.Sprintf(format, args...)
	}
}

func (w *windowWorld) id() (id ID) {
	w.ids++
	return ID{2, byte(w.ids >> 16), byte(w.ids >> 8), byte(w.ids)}
}

func (w *windowWorld) step() {
	e := w.pick(len(w.entries))
	switch k := w.pick(100); {
	case k < 16:
		w.line(w.entries[e], Updated, windowNames[w.pick(len(windowNames))])
	case k < 20:
		w.toggle(w.entries[e])
	case k < 28:
		w.give(w.entries[e])
	case k < 32:
		w.revoke(w.entries[e], Revoked)
	case k < 36:
		w.regrade(w.entries[e])
	case k < 38:
		w.delete(e)
	case k < 41:
		w.raise(w.entries[e])
	case k < 43:
		w.sweep()
	case k < 45:
		w.now += int64(w.pick(8))
	case k < 55:
		w.issueRead()
	case k < 65:
		w.issueWrite()
	case k < 73:
		w.sendable()
	case k < 82:
		w.begin()
	case k < 98:
		w.network()
	default:
		w.crash()
	}
}

// --- the log

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

// --- the outbox

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
			Given: w.given(row), Generation: w.party.Generation}}
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
	if p.d.Signal == 0 && p.d.Kind == consent.Updated && (len(token.values)+len(token.gone) == 0 || w.c.deaf && w.refused(token)) {
		p.attempt.Withdraw = true // it says nothing (on this stream)
		return
	}
	for range 1 + w.pick(2) {
		jti := w.id().String()
		p.attempt.Tokens = append(p.attempt.Tokens, SignedToken{JTI: jti, Compact: []byte(jti)})
		p.tokens[jti] = token
	}
}

// refused: the stream takes no event about a change of locale alone, and so its receiver need not hold it.
func (w *windowWorld) refused(t windowToken) bool {
	_, told := t.values["locale"]
	return told && len(t.values) == 1 && len(t.gone) == 0
}

func (w *windowWorld) begin() {
	if len(w.prepared) == 0 {
		return
	}
	i := w.pick(len(w.prepared))
	p := w.prepared[i]
	w.prepared = slices.Delete(w.prepared, i, i+1)
	d, ok := w.unsettled[p.d.ID]
	if !ok || d.Busy > w.now {
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
	if d, ok := w.byToken(failed); ok {
		w.keep(w.released(d, w.of(d.Entry), w.now+int64(w.pick(3))))
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
			if at, ok := holds[n]; !ok || at < e.Marks.Of(n) && !(w.c.deaf && n == "locale") {
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
