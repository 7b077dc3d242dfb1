package sqlite

import (
	"slices"

	"tidings/hub"
)

// What follows from references, once all entries and keys of the batch are known: pointers find their targets, and
// those who have to be told that one of theirs came, went or was renamed get lines.

// wide is one line about several entries.
type wide struct {
	line    hub.Change
	entries []hub.ID
}

// told makes the wide line that follows from the line of an entry.
func told(from hub.Change, attribute string, entries []hub.ID) wide {
	return wide{hub.Change{Kind: hub.Updated, Attributes: []string{attribute}, Actor: from.Actor, Source: from.Source, Txn: from.Txn}, entries}
}

func (t *commit) followReferences() error {
	if len(t.order) == 0 {
		return nil
	}
	wides, err := t.repoint()
	if err != nil {
		return err
	}
	gone, err := t.unpoint()
	if err != nil {
		return err
	}
	found, err := t.resolve()
	if err != nil {
		return err
	}
	for _, w := range join(slices.Concat(wides, gone, found)) {
		rest, err := t.spread(hub.Echo{ID: hub.NewID(), Line: w.line, Entries: w.entries})
		if err != nil {
			return err
		}
		if rest != nil {
			if err := t.echo(*rest); err != nil {
				return err
			}
		}
	}
	return nil
}

// join makes one line of those that say the same: a batch of groups tells a person once.
func join(wides []wide) (joined []wide) {
	for _, w := range wides {
		i := slices.IndexFunc(joined, func(j wide) bool {
			return j.line.Attributes[0] == w.line.Attributes[0] && j.line.Actor == w.line.Actor && j.line.Source == w.line.Source && j.line.Txn == w.line.Txn
		})
		switch {
		case len(w.entries) == 0:
		case i < 0:
			joined = append(joined, w)
		default:
			joined[i].entries = append(joined[i].entries, w.entries...)
		}
	}
	for i := range joined {
		joined[i].entries = distinct(joined[i].entries)
	}
	return joined
}

// repoint replaces the references of written entries and tells the members that came or went.
func (t *commit) repoint() (wides []wide, err error) {
	before, err := t.storedReferences()
	if err != nil {
		return nil, err
	}
	if err := t.loadTargets(); err != nil {
		return nil, err
	}
	for _, e := range t.order {
		was, now := before[e.ID], t.target(e)
		if len(was) == 0 && len(now) == 0 {
			continue
		}
		if err := t.c.replaceReferences(e, was, now); err != nil {
			return nil, err
		}
		wides = append(wides, told(e.line, "groups", hub.Repoint(plain(was), now, e.renamed)))
		for _, name := range hub.Retargeted(plain(was), now) {
			wides = append(wides, told(e.line, name, []hub.ID{e.ID}))
		}
	}
	return wides, nil
}

// storedReferences reads what the written entries pointed to.
func (t *commit) storedReferences() (map[hub.ID][]reference, error) {
	var ids []hub.ID
	for _, e := range t.order {
		if !e.fresh {
			ids = append(ids, e.ID)
		}
	}
	before := map[hub.ID][]reference{}
	err := t.c.among(func(r row) error {
		p, err := scanReference(r)
		before[p.From] = append(before[p.From], p)
		return err
	}, blobs(ids), "SELECT "+referenceColumns+" FROM reference WHERE from_entry IN (…)")
	return before, err
}

func plain(refs []reference) (all []hub.Reference) {
	for _, r := range refs {
		all = append(all, r.Reference)
	}
	return all
}

// loadTargets reads whom the new references may mean: the owners of their keys and the entries of their ids.
func (t *commit) loadTargets() error {
	var called []name
	var ids []hub.ID
	for _, e := range t.order {
		for _, r := range e.references {
			called = append(called, keyName(e.Source, r.Key))
			if id, err := hub.ParseID(r.Key); err == nil {
				ids = append(ids, id)
			}
		}
	}
	if err := t.loadOwners(called); err != nil {
		return err
	}
	return t.loadEntries(ids)
}

// target finds whom an entry's references mean now: by the source's own key, else by the text of an id.
func (t *commit) target(e *entry) (now []hub.Reference) {
	type at struct{ name, key string }
	seen := map[at]bool{}
	for _, r := range e.references {
		if seen[at{r.Name, r.Key}] {
			continue
		}
		seen[at{r.Name, r.Key}] = true
		r.From, r.Target = e.ID, t.owners[keyName(e.Source, r.Key)]
		if id, err := hub.ParseID(r.Key); r.Target.IsZero() && err == nil && t.lives(id) {
			r.Target = id
		}
		now = append(now, r)
	}
	return now
}

// replaceReferences writes the difference.
func (c *conn) replaceReferences(e *entry, was []reference, now []hub.Reference) error {
	kept := map[reference]bool{}
	for _, r := range now {
		kept[reference{r, e.Source}] = true
	}
	for _, r := range was {
		if kept[r] {
			delete(kept, r)
			continue
		}
		if err := c.exec("DELETE FROM reference WHERE from_entry = ? AND name = ? AND key = ?", r.From[:], r.Name, r.Key); err != nil {
			return err
		}
	}
	for _, r := range now {
		if !kept[reference{r, e.Source}] {
			continue
		}
		if err := c.exec("INSERT INTO reference ("+referenceColumns+") VALUES (?, ?, ?, ?, ?)",
			r.From[:], r.Name, r.Key, e.Source, blob(r.Target)); err != nil {
			return err
		}
	}
	return nil
}

// gaveUp: the entry is not called by the key any more.
func (e *entry) gaveUp(source, key string) bool {
	return e.erased || source == e.sourceWas && slices.Contains(e.keysWas, key) && (e.Source != source || !slices.Contains(e.keys, key))
}

// unpoint takes entries that are gone, or called otherwise, out of the references of others; a vanished target is a change
// of the attribute that named it. The key may belong to another entry by now.
func (t *commit) unpoint() (wides []wide, err error) {
	for _, e := range t.order {
		if !e.erased && !slices.ContainsFunc(e.keysWas, func(k string) bool { return e.gaveUp(e.sourceWas, k) }) {
			continue
		}
		var to []reference
		var called []name
		if err := t.c.each(func(r row) error {
			p, err := scanReference(r)
			if e.gaveUp(p.source, p.Key) {
				to, called = append(to, p), append(called, keyName(p.source, p.Key))
			}
			return err
		}, "SELECT "+referenceColumns+" FROM reference WHERE target = ?", e.ID[:]); err != nil {
			return nil, err
		}
		if err := t.loadOwners(called); err != nil {
			return nil, err
		}
		for i, p := range to {
			if err := t.c.point(p.Reference, t.owners[called[i]]); err != nil {
				return nil, err
			}
			if p.Name != "members" {
				continue
			}
			wides = append(wides, told(e.line, "groups", []hub.ID{e.ID}))
			if heir := t.owners[called[i]]; !heir.IsZero() {
				wides = append(wides, told(e.line, "groups", []hub.ID{heir}))
			}
		}
		wides = append(wides, pointed(e.line, plain(to))...)
	}
	return wides, nil
}

// point gives a reference another target.
func (c *conn) point(r hub.Reference, target hub.ID) error {
	return c.exec("UPDATE reference SET target = ? WHERE from_entry = ? AND name = ? AND key = ?", blob(target), r.From[:], r.Name, r.Key)
}

// pointed tells the owners of references that their target came or went.
func pointed(from hub.Change, to []hub.Reference) (wides []wide) {
	owners := hub.Pointed(to)
	for _, attribute := range sortedKeys(owners) {
		wides = append(wides, told(from, attribute, distinct(owners[attribute])))
	}
	return wides
}

// resolve finds the references that waited for the keys that came with this batch.
func (t *commit) resolve() (wides []wide, err error) {
	bySource := map[string][]any{}
	for _, e := range t.order {
		for _, k := range e.keys {
			if e.Source != e.sourceWas || !slices.Contains(e.keysWas, k) {
				bySource[e.Source] = append(bySource[e.Source], k)
			}
		}
	}
	found := map[hub.ID][]hub.Reference{}
	for source, keys := range bySource {
		if err := t.c.among(func(r row) error {
			p, err := scanReference(r)
			p.Target = t.owners[keyName(p.source, p.Key)]
			found[p.Target] = append(found[p.Target], p.Reference)
			return err
		}, keys, "SELECT "+referenceColumns+" FROM reference WHERE target IS NULL AND source = ? AND key IN (…)", source); err != nil {
			return nil, err
		}
	}
	for _, e := range t.order {
		to := found[e.ID]
		if len(to) == 0 {
			continue
		}
		for _, r := range to {
			if err := t.c.point(r, e.ID); err != nil {
				return nil, err
			}
		}
		wides = append(wides, pointed(e.line, to)...)
		if slices.ContainsFunc(to, func(r hub.Reference) bool { return r.Name == "members" }) {
			wides = append(wides, told(e.line, "groups", []hub.ID{e.ID}))
		}
	}
	return wides, nil
}
