package sqlite

import (
	"context"

	"tidings/hub"
)

// commit is the state of one transaction: what the batch touches, as it stood and as it will stand. Items are checked
// and applied here, in memory; flush writes what changed.
type commit struct {
	s    *Store
	c    *conn
	now  int64
	head hub.Head
	// moved counts the feed rows that this transaction moved.
	moved   int
	echoing bool

	entries map[hub.ID]*entry // nil: looked for, and there is none
	order   []*entry          // those that this batch writes, in the order of their items
	owners  map[name]hub.ID   // who has a name; zero: nobody
	grants  map[hub.ID]*grant // by id
	pairs   map[pair]*grant   // by party and entry, for the items' grants; nil: looked for, and there is none
	live    map[hub.ID]*live  // by entry
	parties map[hub.ID]*party // nil: looked for, and there is none
	// agreements are the living parties under an agreement; nil until somebody asks.
	agreements []hub.Party

	lines   []hub.Change
	cookies []hub.Cookie
	policy  *string // to be written
}

// name is something only one living entry may be called: a userName within a type, or a key within a source.
type name struct{ space, text string }

func userName(t, folded string) name { return name{"u " + t, folded} }
func keyName(source, key string) name {
	return name{"k " + source, key}
}

type pair struct{ party, entry hub.ID }

// entry is an entry in a transaction.
type entry struct {
	hub.Entry
	userName, userNameWas string
	keys, keysWas         []string
	identifiers           []hub.ID // to be written; nil: as they stand
	sourceWas             string
	doc                   any // text, or nil once erased; only of written ones
	fresh                 bool
	written, stamped      bool // all of it is to be written; or only places and marks
	// line is the first line of the item that wrote it: its actor, source and txn go on with what follows from it.
	line       hub.Change
	references []hub.Reference
	renamed    bool
	erased     bool // by this transaction
}

// grant is a grant in a transaction.
type grant struct {
	hub.Grant
	roots        uint64
	fresh, dirty bool
	regraded     bool // its terms are to be written too
}

// live are the grants that run on an entry, by party. Those whose roots meet mask are complete.
type live struct {
	mask   uint64
	grants []*grant
}

type party struct {
	hub.Party
	dirty bool
}

// Commit implements hub.Log.
func (s *Store) Commit(ctx context.Context, b hub.Batch) (receipt hub.Receipt, err error) {
	var t *commit
	err = s.write(ctx, "commit", func(c *conn) error {
		receipt = hub.Receipt{}
		t = &commit{s: s, c: c, now: b.Now,
			entries: map[hub.ID]*entry{}, owners: map[name]hub.ID{}, grants: map[hub.ID]*grant{}, pairs: map[pair]*grant{},
			live: map[hub.ID]*live{}, parties: map[hub.ID]*party{}}
		return t.run(b, &receipt)
	})
	if err != nil {
		return hub.Receipt{}, err
	}
	if len(t.lines) > 0 {
		s.watchers.wake()
	}
	return receipt, nil
}

func (t *commit) run(b hub.Batch, r *hub.Receipt) (err error) {
	for i := range b.Items {
		address(&b.Items[i])
	}
	if t.head, err = t.s.head(t.c); err != nil {
		return err
	}
	if err := t.load(b.Items); err != nil {
		return err
	}
	for i := range b.Items {
		took, err := t.take(&b.Items[i], r)
		if err != nil {
			return err
		}
		if !took {
			break
		}
		r.Done++
	}
	if err := t.followReferences(); err != nil {
		return err
	}
	if err := t.flush(); err != nil {
		return err
	}
	r.Head, r.Echoing = t.head, t.echoing
	return nil
}

// address fills in what an item's lines are about where they do not say.
func address(it *hub.Item) {
	for i := range it.Lines {
		l := &it.Lines[i]
		switch {
		case it.Grant != nil && !l.Kind.IsAboutEntry():
			l.Entry, l.Party = it.Grant.Grant.Entry, it.Grant.Grant.Party
		case it.Party != nil && l.Party.IsZero():
			l.Party = it.Party.Party.ID
		case it.Entry != nil && l.Entry.IsZero():
			l.Entry = it.Entry.Entry.ID
		}
	}
}

// take checks one item and applies it if it stands. It reports false when the budget is used up: the item was not begun.
func (t *commit) take(it *hub.Item, r *hub.Receipt) (took bool, err error) {
	refusal, err := t.refuse(it)
	if err != nil {
		return false, err
	}
	if refusal == nil {
		moves, err := t.moves(it)
		if err != nil {
			return false, err
		}
		if t.moved > 0 && t.moved+moves > hub.MaxMoves {
			return false, nil
		}
		if err := t.apply(it); err != nil {
			return false, err
		}
	}
	r.Errors = append(r.Errors, refusal)
	r.Entries, r.Grants, r.Parties = append(r.Entries, nil), append(r.Grants, nil), append(r.Parties, nil)
	if refusal != nil {
		return true, nil
	}
	last := len(r.Errors) - 1
	if it.Entry != nil {
		e := t.entries[it.Entry.Entry.ID].Entry
		r.Entries[last] = &e
	}
	if it.Grant != nil {
		g := t.pairs[pair{it.Grant.Grant.Party, it.Grant.Grant.Entry}].Grant
		r.Grants[last] = &g
	}
	if it.Party != nil {
		p := t.parties[it.Party.Party.ID].Party
		r.Parties[last] = &p
	}
	return true, nil
}

// refuse says why an item does not stand: hub.ErrConflict, hub.ErrTaken or hub.ErrNotFound. It changes nothing.
func (t *commit) refuse(it *hub.Item) (refusal, err error) {
	if it.Entry != nil {
		if refusal := t.refuseEntry(it.Entry); refusal != nil {
			return refusal, nil
		}
	}
	if it.Grant != nil {
		if refusal := t.refuseGrant(it); refusal != nil {
			return refusal, nil
		}
	}
	if w := it.Party; w != nil {
		refusal, err := t.refuseParty(w)
		if err != nil || refusal != nil {
			return refusal, err
		}
	}
	for _, about := range others(it) {
		if !t.lives(about) {
			return hub.ErrNotFound, nil
		}
	}
	if !it.Echo.IsZero() {
		var one int
		if err := t.c.value("SELECT count(*) FROM echo WHERE id = ?", []any{it.Echo[:]}, &one); err != nil {
			return nil, err
		}
		if one == 0 {
			return hub.ErrNotFound, nil
		}
	}
	return nil, nil
}

func (t *commit) refuseEntry(w *hub.EntryWrite) error {
	e := t.entries[w.Entry.ID]
	if (e == nil) != (w.Entry.Version == 0) || e != nil && (e.Version != w.Entry.Version || e.Deleted != 0) {
		return hub.ErrConflict
	}
	if w.Delete {
		return nil
	}
	for _, n := range namesOf(w) {
		if owner := t.owners[n]; !owner.IsZero() && owner != w.Entry.ID {
			return hub.ErrTaken
		}
	}
	return nil
}

func (t *commit) refuseGrant(it *hub.Item) error {
	w := it.Grant.Grant
	g := t.pairs[pair{w.Party, w.Entry}]
	if (g == nil) != (w.Version == 0) || g != nil && (g.Version != w.Version || g.ID != w.ID) {
		return hub.ErrConflict
	}
	for _, l := range it.Lines {
		if l.Kind != hub.Granted && l.Kind != hub.Regraded && !l.Kind.IsOpt() {
			continue
		}
		if p := t.parties[w.Party]; p == nil || p.Removed != 0 || p.Agreement || !t.lives(w.Entry) {
			return hub.ErrNotFound
		}
	}
	return nil
}

func (t *commit) refuseParty(w *hub.PartyWrite) (refusal, err error) {
	p := t.parties[w.Party.ID]
	switch {
	case (p == nil) != (w.Party.Generation == 0), p != nil && p.Generation != w.Party.Generation:
		return hub.ErrConflict, nil
	case p != nil && p.Removed != 0:
		return hub.ErrNotFound, nil
	case w.Token == nil:
		return nil, nil
	}
	var taken int
	err = t.c.value("SELECT count(*) FROM token WHERE hash = ? OR id = ?", []any{w.Token.Hash[:], w.Token.ID[:]}, &taken)
	if err == nil && taken > 0 {
		refusal = hub.ErrTaken
	}
	return refusal, err
}

func (t *commit) lives(id hub.ID) bool {
	e := t.entries[id]
	return e != nil && e.Deleted == 0
}

// others are the entries that an item is about without writing them: they must live.
func others(it *hub.Item) (ids []hub.ID) {
	add := func(id hub.ID) {
		if it.Entry == nil || it.Entry.Entry.ID != id {
			ids = append(ids, id)
		}
	}
	for _, l := range it.Lines {
		if l.Kind.IsAboutEntry() {
			add(l.Entry)
		}
	}
	for _, s := range it.Signals {
		add(s.Entry)
	}
	return ids
}

// namesOf lists what the entry will be called.
func namesOf(w *hub.EntryWrite) (all []name) {
	if w.UserName != "" {
		all = append(all, userName(string(w.Entry.Type), w.UserName))
	}
	for _, k := range w.Keys {
		all = append(all, keyName(w.Entry.Source, k))
	}
	return all
}

// moves counts the feed rows that an item's lines would move.
func (t *commit) moves(it *hub.Item) (n int, err error) {
	for i := range it.Lines {
		l := &it.Lines[i]
		if !l.Kind.IsAboutEntry() {
			if it.Grant != nil {
				n++
			}
			continue
		}
		if t.entries[l.Entry] == nil {
			continue // made by this item: nobody was granted it
		}
		concerned, err := t.concerned(l.Entry, l.Mask())
		if err != nil {
			return 0, err
		}
		n += len(concerned)
	}
	return n, nil
}

// apply makes an item that stands happen.
func (t *commit) apply(it *hub.Item) error {
	if it.Entry != nil {
		if err := t.applyEntry(it); err != nil {
			return err
		}
	}
	var p *party
	if it.Party != nil {
		p = t.applyParty(it.Party)
	}
	if it.Policy != nil {
		if err := t.applyPolicy(it); err != nil {
			return err
		}
	}
	var g *grant
	if it.Grant != nil {
		g = t.applyGrant(it.Grant)
	}
	for i := range it.Lines {
		if err := t.line(&it.Lines[i], it.Grant, g, p); err != nil {
			return err
		}
	}
	if it.Party != nil && it.Party.Token != nil {
		if err := t.c.addToken(*it.Party.Token); err != nil {
			return err
		}
	}
	for i := range it.Signals {
		if err := t.raise(&it.Signals[i]); err != nil {
			return err
		}
	}
	if it.Cookie != nil {
		t.cookies = append(t.cookies, *it.Cookie)
	}
	if !it.Echo.IsZero() {
		return t.goOn(it.Echo)
	}
	return nil
}

func (t *commit) applyEntry(it *hub.Item) error {
	w := it.Entry
	e := t.entries[w.Entry.ID]
	if e == nil {
		e = &entry{fresh: true}
		e.ID, e.Type = w.Entry.ID, w.Entry.Type // for good
		t.entries[e.ID] = e
		t.live[e.ID] = &live{mask: every}
	}
	if !e.written {
		t.order = append(t.order, e)
	}
	// What it was called until now is free, for the items that come.
	if e.userName != "" {
		t.owners[userName(string(e.Type), e.userName)] = hub.ID{}
	}
	keys := w.Keys
	if keys == nil {
		keys = e.keys // written by somebody who knows the entry by its id: its names stay
	}
	for _, k := range e.keys {
		t.owners[keyName(e.Source, k)] = hub.ID{}
	}
	e.Source, e.Active, e.Attributes = w.Entry.Source, w.Entry.Active, w.Entry.Attributes
	e.Version, e.written = e.Version+1, true
	e.userName, e.keys, e.references = w.UserName, keys, w.References
	e.renamed = e.renamed || w.Renamed
	e.line = hub.Change{}
	if len(it.Lines) > 0 {
		e.line = it.Lines[0]
	}
	if w.Identifiers != nil {
		e.identifiers = w.Identifiers
	}
	if w.Delete {
		e.userName, e.keys, e.references, e.doc, e.identifiers = "", nil, nil, nil, []hub.ID{}
		return nil
	}
	for _, n := range namesOf(w) {
		t.owners[n] = e.ID
	}
	for _, k := range keys {
		t.owners[keyName(e.Source, k)] = e.ID
	}
	doc, err := w.Document()
	e.doc = string(doc)
	return err
}

func (t *commit) applyGrant(w *hub.GrantWrite) *grant {
	at := pair{w.Grant.Party, w.Grant.Entry}
	g := t.pairs[at]
	if g == nil {
		g = &grant{fresh: true}
		g.ID, g.Party, g.Entry = w.Grant.ID, w.Grant.Party, w.Grant.Entry
		t.pairs[at], t.grants[g.ID] = g, g
	}
	g.Terms, g.Opt, g.dirty, g.regraded = w.Grant.Terms, w.Grant.Opt, true, true
	g.roots = g.Mask()
	delete(t.live, g.Entry) // read again by whoever asks, after this was written
	return g
}

func (t *commit) applyParty(w *hub.PartyWrite) *party {
	p := t.parties[w.Party.ID]
	if p == nil {
		p = &party{}
		t.parties[w.Party.ID] = p
	}
	was := p.Party
	p.Party = w.Party
	p.Generation, p.Removed, p.dirty = was.Generation+1, was.Removed, true
	if was.Generation != 0 {
		p.CreatedAt = was.CreatedAt
	}
	t.agreements = nil
	return p
}

// applyPolicy replaces the policy; every party's cursors become those of an older generation.
func (t *commit) applyPolicy(it *hub.Item) error {
	text, err := jsonText(it.Policy)
	if err != nil {
		return err
	}
	t.policy, t.head.Policy = &text, *it.Policy
	if err := t.flushParties(); err != nil {
		return err
	}
	if err := t.c.exec("UPDATE party SET generation = generation + 1 WHERE removed = 0"); err != nil {
		return err
	}
	for _, p := range t.parties {
		if p != nil && p.Removed == 0 {
			p.Generation++
		}
	}
	t.agreements = nil
	return nil
}
