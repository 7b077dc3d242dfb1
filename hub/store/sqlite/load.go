package sqlite

import (
	"database/sql"
	"slices"

	"tidings/hub"
)

// load reads what the items touch, set by set, before any of them is decided. What an effect needs beyond that is read
// when it is needed.
func (t *commit) load(items []hub.Item) error {
	var entries, written, parties []hub.ID
	var pairs []pair
	moving := map[hub.ID]bool{}
	var mask uint64
	for i := range items {
		it := &items[i]
		if w := it.Entry; w != nil {
			entries = append(entries, w.Entry.ID)
			if w.Entry.Version != 0 {
				written = append(written, w.Entry.ID)
			}
		}
		if w := it.Grant; w != nil {
			entries, parties = append(entries, w.Grant.Entry), append(parties, w.Grant.Party)
			pairs = append(pairs, pair{w.Grant.Party, w.Grant.Entry})
		}
		if w := it.Party; w != nil {
			parties = append(parties, w.Party.ID)
		}
		entries = append(entries, others(it)...)
		for _, l := range it.Lines {
			if l.Kind.IsAboutEntry() {
				moving[l.Entry] = true
				mask |= l.Mask()
			}
		}
	}
	if err := t.loadEntries(entries); err != nil {
		return err
	}
	if err := t.loadKeys(written); err != nil {
		return err
	}
	if err := t.loadOwners(t.newNames(items)); err != nil {
		return err
	}
	if err := t.loadParties(parties); err != nil {
		return err
	}
	if err := t.loadPairs(pairs); err != nil {
		return err
	}
	var moved []hub.ID
	for id := range moving {
		if t.entries[id] != nil {
			moved = append(moved, id)
		}
	}
	return t.loadLive(moved, mask)
}

// newNames lists what the items' entries will be called and are not yet. Names that they bear are theirs.
func (t *commit) newNames(items []hub.Item) (called []name) {
	for i := range items {
		w := items[i].Entry
		if w == nil {
			continue
		}
		e := t.entries[w.Entry.ID]
		for _, n := range namesOf(w) {
			if e != nil && e.bears(n) {
				t.owners[n] = e.ID
				continue
			}
			called = append(called, n)
		}
	}
	return called
}

func (e *entry) bears(n name) bool {
	return e.userNameWas != "" && n == userName(string(e.Type), e.userNameWas) ||
		slices.ContainsFunc(e.keysWas, func(k string) bool { return n == keyName(e.Source, k) })
}

// loadEntries reads entries that are not known yet, without their documents.
func (t *commit) loadEntries(ids []hub.ID) error {
	var missing []any
	for _, id := range ids {
		if _, known := t.entries[id]; !known {
			t.entries[id] = nil
			missing = append(missing, id[:])
		}
	}
	return t.c.among(func(r row) error {
		e := &entry{}
		var userName sql.NullString
		if err := r.Scan(append(entryTargets(&e.Entry), &userName)...); err != nil {
			return err
		}
		e.userName, e.userNameWas, e.sourceWas = userName.String, userName.String, e.Source
		t.entries[e.ID] = e
		return nil
	}, missing, "SELECT "+entryColumns+", e.user_name FROM entry e WHERE e.id IN (…)")
}

// loadKeys reads the keys of entries that the batch writes.
func (t *commit) loadKeys(ids []hub.ID) error {
	return t.c.among(func(r row) error {
		var owner hub.ID
		var key string
		if err := r.Scan(id(&owner), &key); err != nil {
			return err
		}
		if e := t.entries[owner]; e != nil {
			e.keys, e.keysWas = append(e.keys, key), append(e.keysWas, key)
		}
		return nil
	}, blobs(distinct(ids)), "SELECT entry, key FROM entry_key WHERE entry IN (…)")
}

func distinct(ids []hub.ID) (once []hub.ID) {
	seen := make(map[hub.ID]bool, len(ids))
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			once = append(once, id)
		}
	}
	return once
}

// loadOwners reads who is called by the names, of those that are not known yet.
func (t *commit) loadOwners(called []name) error {
	spaces := map[string][]any{}
	for _, n := range called {
		if _, known := t.owners[n]; !known {
			t.owners[n] = hub.ID{}
			spaces[n.space] = append(spaces[n.space], n.text)
		}
	}
	for space, texts := range spaces {
		query := "SELECT user_name, id FROM entry WHERE type = ? AND user_name IN (…)"
		if space[0] == 'k' {
			query = "SELECT key, entry FROM entry_key WHERE source = ? AND key IN (…)"
		}
		if err := t.c.among(func(r row) error {
			var text string
			var owner hub.ID
			err := r.Scan(&text, id(&owner))
			t.owners[name{space, text}] = owner
			return err
		}, texts, query, space[2:]); err != nil {
			return err
		}
	}
	return nil
}

// loadParties reads parties that are not known yet.
func (t *commit) loadParties(ids []hub.ID) error {
	var missing []any
	for _, id := range ids {
		if _, known := t.parties[id]; !known {
			t.parties[id] = nil
			missing = append(missing, id[:])
		}
	}
	return t.c.among(func(r row) error {
		p := &party{}
		err := r.Scan(partyTargets(&p.Party)...)
		t.parties[p.ID] = p
		return err
	}, missing, "SELECT "+partyColumns+" FROM party p WHERE p.id IN (…)")
}

// loadAgreements reads the living parties under an agreement.
func (t *commit) loadAgreements() (err error) {
	if t.agreements != nil {
		return nil
	}
	if err := t.flushParties(); err != nil {
		return err
	}
	t.agreements, err = t.c.parties("p.agreement <> 0 AND p.removed = 0 ORDER BY p.id")
	if t.agreements == nil {
		t.agreements = []hub.Party{}
	}
	return err
}

// loadPairs reads the grants that the items write.
func (t *commit) loadPairs(pairs []pair) error {
	byParty := map[hub.ID][]any{}
	for _, p := range pairs {
		if _, known := t.pairs[p]; !known {
			t.pairs[p] = nil
			byParty[p.party] = append(byParty[p.party], p.entry[:])
		}
	}
	for p, entries := range byParty {
		if err := t.c.among(func(r row) error {
			g, err := t.scanGrant(r)
			if err == nil {
				t.pairs[pair{g.Party, g.Entry}] = g
			}
			return err
		}, entries, "SELECT "+grantColumns+", g.roots FROM grants g WHERE g.party = ? AND g.entry IN (…)", p[:]); err != nil {
			return err
		}
	}
	return nil
}

// scanGrant reads a grant, or finds the one that this transaction has already: that one may have moved.
func (t *commit) scanGrant(r row) (*grant, error) {
	g := &grant{}
	var roots int64
	if err := r.Scan(append(grantTargets(&g.Grant), &roots)...); err != nil {
		return nil, err
	}
	g.roots = uint64(roots)
	if known := t.grants[g.ID]; known != nil {
		return known, nil
	}
	t.grants[g.ID] = g
	return g, nil
}

// loadLive reads the running grants of entries whose roots meet the mask. A line that is about many entries with many
// grants is cut off by the budget anyhow: what is not complete after twice that is left to be read when its turn comes.
func (t *commit) loadLive(entries []hub.ID, mask uint64) error {
	var missing []any
	for _, id := range entries {
		if l := t.live[id]; l == nil || mask&^l.mask != 0 {
			missing = append(missing, id[:])
		}
	}
	if len(missing) == 0 || mask == 0 {
		return nil
	}
	if err := t.flushGrants(); err != nil {
		return err
	}
	for len(missing) > 0 {
		n := min(len(missing), chunk)
		if err := t.loadSomeLive(missing[:n], mask); err != nil {
			return err
		}
		missing = missing[n:]
	}
	return nil
}

func (t *commit) loadSomeLive(missing []any, mask uint64) error {
	limit := 2 * hub.MaxMoves
	if len(missing) == 1 {
		limit = -1
	}
	found := map[hub.ID]*live{}
	n := 0
	var last hub.ID
	query, args := spread("SELECT "+grantColumns+", g.roots FROM grants g WHERE g.ended = 0 AND g.roots & ? <> 0 AND g.entry IN (…) "+
		"ORDER BY g.entry, g.party LIMIT ?", missing, []any{int64(mask)})
	if err := t.c.each(func(r row) error {
		g, err := t.scanGrant(r)
		if err != nil {
			return err
		}
		if found[g.Entry] == nil {
			found[g.Entry] = &live{mask: mask}
		}
		found[g.Entry].grants = append(found[g.Entry].grants, g)
		n, last = n+1, g.Entry
		return nil
	}, query, append(args, limit)...); err != nil {
		return err
	}
	for _, m := range missing {
		id := hub.ID(m.([]byte))
		switch {
		case n == limit && !later(last, id):
			delete(t.live, id) // not reached, or not to its end
		case found[id] != nil:
			t.live[id] = found[id]
		default:
			t.live[id] = &live{mask: mask}
		}
	}
	return nil
}

// concerned lists the running grants of an entry that a line with the mask may concern, by party.
func (t *commit) concerned(entry hub.ID, mask uint64) (grants []*grant, err error) {
	if mask == 0 {
		return nil, nil
	}
	if l := t.live[entry]; l == nil || mask&^l.mask != 0 {
		if err := t.loadLive([]hub.ID{entry}, mask); err != nil {
			return nil, err
		}
	}
	for _, g := range t.live[entry].grants {
		if g.Ended == 0 && g.roots&mask != 0 {
			grants = append(grants, g)
		}
	}
	return grants, nil
}
