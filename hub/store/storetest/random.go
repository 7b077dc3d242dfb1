package storetest

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tidings/hub"
)

// random runs sources, people, readers, streams and a trimmer against a store whose calls fail, and asks at the end
// whether everybody holds exactly what the store says it may (I3, I5). Alone ones are drawn by rapid and compared with a
// plain model after each; crowds run on two handles at once.
func random(t *testing.T, factory Factory) {
	// A driver's package is no place for rapid's files, and the number of runs goes with the soak.
	for name, value := range map[string]string{"rapid.nofailfile": "true", "rapid.checks": fmt.Sprint(max(5, 2*int(soak()/time.Second)))} {
		old := flag.Lookup(name).Value.String()
		if err := flag.Set(name, value); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { flag.Set(name, old) })
	}
	t.Run("Alone", func(t *testing.T) {
		rapid.Check(t, func(rt *rapid.T) {
			f := newFixture(t, factory)
			defer f.close()
			f.reporter = rt
			number := rapid.IntRange(0, 1<<16)
			f.alone(func(n int) int { return number.Draw(rt, "pick") % n }, rapid.IntRange(10, 100).Draw(rt, "steps"))
		})
	})
	t.Run("Crowd", func(t *testing.T) {
		for seed, start := uint64(1), time.Now(); seed == 1 || time.Since(start) < soak(); seed++ {
			f := newFixture(t, factory)
			f.crowd(seed)
			f.close()
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
	})
}

// world is what the actors of one run share.
type world struct {
	f       *fixture
	run     string // keys of the run begin with it, as runs share a store
	parties []*hub.Party
	readers []*reader
	pumps   []*pump
	plain   *plain // what a single writer knows
}

// plain is what the store has to hold: the attributes of living users, members of groups and terms of running grants.
type plain struct {
	users  map[string]map[string]any
	groups map[string][]string
	grants map[string][]string // party and key → names
}

// actor does random things.
type actor struct {
	*world
	store hub.Store
	pick  func(n int) int
}

func (f *fixture) newWorld(plan Plan) (*world, func(store hub.Store, pick func(int) int) *actor) {
	w := &world{f: f, run: f.word(), plain: &plain{map[string]map[string]any{}, map[string][]string{}, map[string][]string{}}}
	w.parties = append(w.parties, f.party(), f.party(), f.agreement("groups", "nickName", "title"))
	for _, p := range w.parties {
		w.readers = append(w.readers, &reader{p: p, holds: map[hub.ID]held{}}, &reader{p: p, holds: map[hub.ID]held{}})
		w.pumps = append(w.pumps, newPump(p, f.stream(p)))
	}
	return w, func(store hub.Store, pick func(int) int) *actor {
		return &actor{w, Faulty(store, plan), pick}
	}
}

func (f *fixture) alone(pick func(int) int, steps int) {
	var calm bool
	w, actors := f.newWorld(func(string) Fault {
		if calm {
			return Pass
		}
		return []Fault{Pass, Pass, Pass, Pass, Pass, Pass, Pass, Before, After, Busy}[pick(10)]
	})
	a := actors(f.store, pick)
	for range steps {
		a.write()
		for range pick(3) {
			a.read()
		}
	}
	calm = true
	w.finish(a)
	w.compare()
}

func (f *fixture) crowd(seed uint64) {
	var calm atomic.Bool
	var calls atomic.Uint64
	w, actors := f.newWorld(func(string) Fault {
		n := calls.Add(1)
		if calm.Load() {
			return Pass
		}
		return []Fault{Pass, Pass, Pass, Pass, Pass, Pass, Pass, Pass, Before, After}[rand.New(rand.NewPCG(seed, n)).IntN(10)]
	})
	w.plain = nil
	stores := []hub.Store{f.store, f.open()}
	var wg sync.WaitGroup
	for i := range 6 {
		a := actors(stores[i%2], rand.New(rand.NewPCG(seed, uint64(i))).IntN)
		wg.Go(func() {
			for range 60 {
				if i < 3 {
					a.write()
				} else {
					a.read()
				}
			}
		})
	}
	wg.Wait()
	calm.Store(true)
	w.finish(actors(f.store, rand.New(rand.NewPCG(seed, 99)).IntN))
}

// fine says whether a call went well; the faults that were planned are none.
func (a *actor) fine(err error) bool {
	if err != nil && !errors.Is(err, ErrInjected) && !errors.Is(err, hub.ErrBusy) && !errors.Is(err, hub.ErrConflict) && !errors.Is(err, hub.ErrTaken) && !errors.Is(err, hub.ErrNotFound) {
		a.f.Error(err)
	}
	return err == nil
}

// commit commits one item. When it took effect, as far as a single writer can find out, did is called.
func (a *actor) commit(it hub.Item, did func(*plain)) {
	before, err := a.f.store.Head(a.f.ctx)
	a.fine(err)
	r, err := a.store.Commit(a.f.ctx, hub.Batch{Now: a.f.tick(), Items: []hub.Item{it}})
	if errors.Is(err, ErrInjected) && a.plain != nil {
		if after := a.f.head(); after.Position == before.Position {
			return
		}
	} else if !a.fine(err) || !a.fine(r.Errors[0]) {
		return
	}
	if a.plain != nil {
		did(a.plain)
	}
}

var attributes = []string{"title", "nickName", "emails", "groups"}

func (a *actor) some() (names []string) {
	bits := 1 + a.pick(1<<len(attributes)-1)
	for i, n := range attributes {
		if bits&(1<<i) != 0 {
			names = append(names, n)
		}
	}
	return sorted(names)
}

func (a *actor) key() string { return fmt.Sprint(a.run, "u", a.pick(6)) }

// entry reads a living entry by its key; nil if there is none or the read failed.
func (a *actor) entry(key string) *hub.Entry {
	got, err := a.store.Entries(a.f.ctx, source, []string{key})
	if !a.fine(err) {
		return nil
	}
	return got[0]
}

func (a *actor) write() {
	switch k := a.pick(100); {
	case k < 35:
		a.report()
	case k < 42:
		a.regroup()
	case k < 46:
		a.delete()
	case k < 62:
		a.give()
	case k < 70:
		a.revoke()
	case k < 76:
		a.raise()
	case k < 80:
		a.sweep()
	case k < 83:
		a.trim()
	case k < 85:
		a.regenerate()
	default:
		a.read()
	}
}

func (a *actor) report() {
	key := a.key()
	e := a.entry(key)
	var it hub.Item
	switch {
	case e == nil:
		it = a.f.newUser(key)
	case a.pick(4) == 0:
		it = a.f.toggle(e, !e.Active)
	default:
		it = a.f.change(e, []string{"title", "nickName", "emails"}[a.pick(3)])
	}
	a.commit(it, func(p *plain) {
		p.users[key] = it.Entry.Entry.Attributes
	})
}

func (a *actor) regroup() {
	key := fmt.Sprint(a.run, "g", a.pick(2))
	var members []string
	for range a.pick(4) {
		members = append(members, a.key())
	}
	members = slices.Compact(sorted(members))
	e := a.entry(key)
	it := a.f.newGroup(key, members...)
	if e != nil {
		if a.pick(6) == 0 {
			a.commit(a.f.deletion(e), func(p *plain) { delete(p.groups, key) })
			return
		}
		it = a.f.regroup(e, key, a.pick(3) == 0, members...)
	}
	a.commit(it, func(p *plain) { p.groups[key] = members })
}

func (a *actor) delete() {
	key := a.key()
	if e := a.entry(key); e != nil {
		a.commit(a.f.deletion(e), func(p *plain) {
			delete(p.users, key)
			for _, party := range a.parties {
				delete(p.grants, party.ID.String()+key)
			}
		})
	}
}

// grantOf reads a grant of one of the two parties that have them.
func (a *actor) grantOf() (p *hub.Party, key string, e *hub.Entry, g *hub.Grant) {
	p, key = a.parties[a.pick(2)], a.key()
	if e = a.entry(key); e == nil {
		return p, key, nil, nil
	}
	page, err := a.store.Told(a.f.ctx, p.ID, []hub.ID{e.ID})
	if !a.fine(err) {
		return p, key, nil, nil
	}
	if len(page.Rows) > 0 {
		g = page.Rows[0].Grant
	}
	return p, key, e, g
}

func (a *actor) give() {
	p, key, e, g := a.grantOf()
	if e == nil {
		return
	}
	terms := both(a.some()...)
	if a.pick(5) == 0 {
		terms.Until = a.f.clock() + 20 + int64(a.pick(200))
	}
	it := a.f.newGrant(p, e.ID, terms)
	if g != nil {
		it = a.f.grantLine(g, hub.Granted)
		it.Grant.Grant.Terms = terms
		it.Grant.Narrowed = true
		if g.Ended == 0 && !g.Terms.Expired(a.f.clock()+100) { // well before its end: else another one begins
			it.Lines[0].Kind = hub.Regraded
			it.Grant.Names = difference(g.Terms.Attributes, terms.Attributes)
		}
	}
	a.commit(it, func(m *plain) { m.grants[p.ID.String()+key] = terms.Attributes })
}

func difference(before, after []string) (names []string) {
	for _, n := range attributes {
		if slices.Contains(before, n) != slices.Contains(after, n) {
			names = append(names, n)
		}
	}
	return names
}

func (a *actor) revoke() {
	if p, key, e, g := a.grantOf(); e != nil && g != nil && g.Ended == 0 {
		a.commit(a.f.grantLine(g, hub.Revoked), func(m *plain) { delete(m.grants, p.ID.String()+key) })
	}
}

func (a *actor) raise() {
	if e := a.entry(a.key()); e != nil {
		a.commit(a.f.newSignal(e.ID, "", "payload"), func(*plain) {})
	}
	_, err := a.store.EraseSignals(a.f.ctx, a.f.tick(), 10)
	a.fine(err)
}

func (a *actor) sweep() {
	due, err := a.store.Expired(a.f.ctx, a.f.pass(50), 10)
	if !a.fine(err) {
		return
	}
	for _, g := range due {
		a.commit(a.f.grantLine(&g, hub.Expired), func(m *plain) {
			if e, err := a.f.store.Entry(a.f.ctx, g.Entry); err == nil {
				if name, ok := e.Attributes["userName"].(string); ok {
					delete(m.grants, g.Party.String()+name)
				}
			}
		})
	}
}

// trim forgets what every stream has passed.
func (a *actor) trim() {
	upTo := int64(1 << 60)
	streams, err := a.f.store.Streams(a.f.ctx, hub.ID{})
	if !a.fine(err) {
		return
	}
	for _, s := range streams {
		upTo = min(upTo, s.At, s.Signal)
	}
	_, err = a.store.Trim(a.f.ctx, upTo, 1+a.pick(50))
	a.fine(err)
}

func (a *actor) regenerate() {
	p, err := a.f.store.Party(a.f.ctx, a.parties[a.pick(len(a.parties))].ID)
	if a.fine(err) {
		a.commit(a.f.changeParty(p, hub.PartyChanged), func(*plain) {})
	}
}
