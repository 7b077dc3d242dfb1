package hub_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tidings/consent"
	. "tidings/hub"
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
	agreement bool // the party's bounds take the place of grants
}

var windowCases = map[string]windowCase{
	"grants":                 {},
	"grants, late arrivals":  {late: true},
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
	refuse   func(Delivery, []Delivery, int64) (Kept, bool)
	recalled func(Delivery, []Delivery, int64) Kept
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
	if r.refuse == nil {
		r.refuse = Refuse
	}
	if r.recalled == nil {
		r.recalled = Recalled
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
	"a lost answer settles":             {released: func(d Delivery, _ []Delivery, _ int64) Kept { return Kept{Drop: []ID{d.ID}} }},
	"a refused key lets the names go":   {refuse: func(d Delivery, _ []Delivery, _ int64) (Kept, bool) { return Kept{Drop: []ID{d.ID}}, true }},
	"a refused key makes two that wait": {refuse: func(d Delivery, _ []Delivery, due int64) (Kept, bool) { return Refuse(d, nil, due) }},
	"a recalled key's attempt is not waited for": {recalled: func(d Delivery, unsettled []Delivery, now int64) Kept {
		d.Busy = 0
		return Recalled(d, unsettled, now)
	}},
	"a recalled key's bytes go once more": {recalled: func(d Delivery, unsettled []Delivery, now int64) Kept {
		if d.Busy > now {
			return Kept{}
		}
		return Recalled(d, unsettled, now)
	}},
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
	keyring   int64
	recall    map[string]bool // tokens of a key that is published no longer
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
		content: map[string]windowToken{}, recall: map[string]bool{}, settledJ: map[string]bool{}, seen: map[string]bool{}, newer: map[ID]int64{},
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
	case k < 42:
		w.sweep()
	case k < 43:
		w.recallKey()
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
