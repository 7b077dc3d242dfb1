package storetest

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tidings/consent"
	"tidings/hub"
)

// random runs sources, people, readers, streams and a trimmer against a store whose calls fail, and asks at the end
// whether everybody holds exactly what the store says it may (I3, I5). Alone ones are drawn by rapid and compared with a
// plain model after each; crowds run on two handles at once.
func random(t *testing.T, factory Factory) {
	// A driver's package is no place for rapid's files, and the number of runs goes with the soak.
	for name, value := range map[string]string{"rapid.nofailfile": "true", "rapid.checks": fmt.Sprint(max(10, 10*int(soak()/time.Second)))} {
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

func (a *actor) read() {
	if a.pick(2) == 0 {
		a.readers[a.pick(len(a.readers))].step(a, 1+a.pick(3))
		return
	}
	p := a.pumps[a.pick(len(a.pumps))]
	if p.mu.TryLock() {
		defer p.mu.Unlock()
		p.step(a)
	}
}

// held is what a party holds of one entry: values by name.
type held map[string]string

// valueOf is what a party that may fetch a name gets.
func (a *actor) valueOf(e *hub.Entry, name string) (string, error) {
	switch name {
	case "active":
		return fmt.Sprint(e.Active), nil
	case "groups":
		_, to, err := a.f.store.References(a.f.ctx, e.ID)
		if err != nil {
			return "", err
		}
		var groups []string
		for _, ref := range to {
			if ref.Name != "members" {
				continue
			}
			g, err := a.f.store.Entry(a.f.ctx, ref.From)
			if err != nil {
				return "", err
			}
			groups = append(groups, fmt.Sprint(g.Attributes["displayName"]))
		}
		return fmt.Sprint(sorted(groups)), nil
	}
	return jsonOf(e.Attributes[name]), nil
}

func terms(row hub.FeedRow, p hub.Party) consent.Terms {
	if row.Grant == nil {
		return both(p.Bounds.Attributes...)
	}
	return row.Grant.Terms
}

// take gives a holder what it was told.
func take(holds map[hub.ID]held, id hub.ID, kind consent.Kind, values map[string]string, gone []string) {
	if kind == consent.Removed {
		delete(holds, id)
		return
	}
	if kind == consent.Added || holds[id] == nil {
		holds[id] = held{}
	}
	for n, v := range values {
		holds[id][n] = v
	}
	for _, n := range gone {
		delete(holds[id], n)
	}
}

// reader follows a party's feed by cursor.
type reader struct {
	mu         sync.Mutex
	p          *hub.Party
	base, at   int64
	began      int64   // the head when a snapshot began, 0 once it was read
	tag        hub.Tag // of the line at began or at
	generation int64
	holds      map[hub.ID]held
}

// step reads one page and says whether there is more.
func (r *reader) step(a *actor, limit int) (more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	anchor := r.at
	if r.began != 0 {
		anchor = r.began
	}
	page, err := a.store.Feed(a.f.ctx, hub.FeedQuery{Party: r.p.ID, After: r.at, Limit: limit, Values: true, At: anchor})
	if !a.fine(err) {
		return true
	}
	switch {
	case anchor == 0:
		r.began, r.tag, r.generation = page.Head.Position, page.Head.Tag, page.Party.Generation
	case anchor < page.Head.Oldest || r.generation != page.Party.Generation: // 410
		r.base, r.at, r.began, r.holds = 0, 0, 0, map[hub.ID]held{}
		return true
	case page.LineTag != r.tag:
		a.f.Errorf("I8: the line at %d has another tag", anchor)
	}
	for _, row := range page.Rows {
		told := tell(row, page.Party, r.base, a.f.clock())
		if !page.Party.Bounds.AllowsType(string(row.Entry.Type)) || told.Kind == "" {
			continue
		}
		values, gone, err := a.values(&row.Entry, terms(row, page.Party), told.Kind, told.Names)
		if !a.fine(err) {
			return true
		}
		take(r.holds, row.Entry.ID, told.Kind, values, gone)
	}
	switch {
	case !page.More:
		r.base, r.at, r.began, r.tag = page.Head.Position, page.Head.Position, 0, page.Head.Tag
	case r.began != 0:
		r.at = page.Last
	default:
		r.at, r.tag = page.Last, page.LastTag
	}
	return page.More
}

func (a *actor) values(e *hub.Entry, t consent.Terms, kind consent.Kind, names []string) (values map[string]string, gone []string, err error) {
	values = map[string]string{}
	if kind == consent.Removed {
		return values, nil, nil
	}
	if kind == consent.Added {
		names = append(slices.Clone(t.Attributes), "active")
	}
	for _, n := range names {
		if n != "active" && !consent.Covered(t.Attributes, n) {
			gone = append(gone, n)
		} else if values[n], err = a.valueOf(e, n); err != nil {
			return nil, nil, err
		}
	}
	return values, gone, nil
}

// finish lets everybody come to an end and compares what they hold with what they may.
func (w *world) finish(a *actor) {
	w.f.finishEchoes()
	w.f.pass(1000)
	a.sweep()
	for i, r := range w.readers {
		for rounds := 0; r.step(a, 2); rounds++ {
			if rounds > 5000 {
				w.f.Fatal("a reader never comes to the end")
			}
		}
		w.holdsWhatItMay(a, fmt.Sprint("reader ", i), r.p, r.holds)
	}
	for i, p := range w.pumps {
		p.drain(a)
		w.holdsWhatItMay(a, fmt.Sprint("receiver ", i), p.p, p.holds)
		w.f.must(w.f.store.DeleteStream(w.f.ctx, p.p.ID, p.s.ID))
	}
	w.f.check()
}

// may is everything that a party may hold now.
func (w *world) may(a *actor, p *hub.Party) (all map[hub.ID]held, versions map[hub.ID]int64) {
	all, versions = map[hub.ID]held{}, map[hub.ID]int64{}
	page := w.f.feed(hub.FeedQuery{Party: p.ID, Limit: 100_000, Values: true})
	for _, row := range page.Rows {
		versions[row.Entry.ID] = row.Entry.Position
		if row.Grant != nil {
			versions[row.Entry.ID] = row.Grant.Version
		}
		if hub.Live(&row, page.Party, w.f.clock()) {
			values, _, err := a.values(&row.Entry, terms(row, page.Party), consent.Added, nil)
			w.f.must(err)
			all[row.Entry.ID] = values
		}
	}
	return all, versions
}

func (w *world) holdsWhatItMay(a *actor, who string, p *hub.Party, holds map[hub.ID]held) {
	may, _ := w.may(a, p)
	for id, values := range may {
		if jsonOf(holds[id]) != jsonOf(values) {
			w.f.Errorf("I3: %s holds of %v %v, not %v", who, id, holds[id], values)
		}
	}
	for id := range holds {
		if may[id] == nil {
			w.f.Errorf("I5: %s holds %v", who, id)
		}
	}
}

// compare holds the store against the plain model, and ends the run's parties and people.
func (w *world) compare() {
	f := w.f
	keys := map[hub.ID]string{}
	for i := range 6 {
		key := fmt.Sprint(w.run, "u", i)
		got, err := f.store.Entries(f.ctx, source, []string{key})
		f.must(err)
		var attributes map[string]any
		if got[0] != nil {
			attributes, keys[got[0].ID] = got[0].Attributes, key
		}
		f.equal(key, attributes, w.plain.users[key])
	}
	for i := range 2 {
		key := fmt.Sprint(w.run, "g", i)
		got, err := f.store.Entries(f.ctx, source, []string{key})
		f.must(err)
		var members []string
		if got[0] != nil {
			from, _, err := f.store.References(f.ctx, got[0].ID)
			f.must(err)
			for _, ref := range from {
				members = append(members, ref.Key)
				if keys[ref.Target] != ref.Key && (!ref.Target.IsZero() || w.plain.users[ref.Key] != nil) {
					f.Errorf("%s points to %v", ref.Key, ref.Target)
				}
			}
			f.commit(f.deletion(got[0]))
		}
		f.equal(key, sorted(members), sorted(w.plain.groups[key]))
	}
	for _, p := range w.parties[:2] {
		grants, err := f.store.Grants(f.ctx, p.ID, hub.ID{}, 1000)
		f.must(err)
		live := map[string][]string{}
		for _, g := range grants {
			if g.Ended == 0 {
				live[p.ID.String()+keys[g.Entry]] = g.Terms.Attributes
			}
		}
		for key, names := range w.plain.grants {
			if strings.HasPrefix(key, p.ID.String()) {
				f.equal(key, live[key], names)
				delete(live, key)
			}
		}
		if len(live) != 0 {
			f.Errorf("grants run that were not given: %v", live)
		}
	}
	for id := range keys {
		f.commit(f.deletion(f.entry(id)))
	}
	for _, p := range w.parties {
		now, err := f.store.Party(f.ctx, p.ID)
		f.must(err)
		f.commit(f.changeParty(now, hub.PartyRemoved))
	}
	upTo := f.head().Position
	f.user("last")
	f.trim(upTo)
	f.check()
}
