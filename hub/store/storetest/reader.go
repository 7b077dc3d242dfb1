package storetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"tidings/consent"
	"tidings/hub"
)

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
