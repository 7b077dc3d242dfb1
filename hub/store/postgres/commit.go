package postgres

import (
	"bytes"
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"tidings/hub"
)

// Commit is the door; "life of a commit" in the package comment tells its steps.
func (s *Store) Commit(ctx context.Context, b hub.Batch) (hub.Receipt, error) {
	c := newCommit(b.Now)
	var r hub.Receipt
	err := s.write(ctx, func(tx pgx.Tx) error {
		c.tx = tx
		if err := c.load(ctx, b.Items); err != nil {
			return err
		}
		if err := c.run(ctx, b.Items, &r); err != nil {
			return err
		}
		if err := c.point(ctx); err != nil {
			return err
		}
		return c.write(ctx)
	})
	if err != nil {
		return hub.Receipt{}, fail("commit", err)
	}
	r.Head, r.Echoing = c.head, len(c.echoes.put) > 0
	if len(c.lines) > 0 {
		s.hints.wake()
	}
	return r, nil
}

// commit is one transaction through the door: what it read, what it decided and what it will write. Every decision is
// made here in memory, one item after another; SQL only finds and keeps.
type commit struct {
	tx   pgx.Tx
	now  int64
	head hub.Head

	entries map[hub.ID]*entry
	names   map[userName]hub.ID // who bears a user name, as far as the batch asks
	keys    map[sourceKey]hub.ID
	owned   map[hub.ID][]sourceKey // the keys of the entries that are written
	known   map[hub.ID][]hub.ID    // identifiers to be written, by entry
	feeds   map[hub.ID]*feed       // by entry
	parties map[hub.ID]*party
	hashes  map[[32]byte]bool // of credentials that exist
	echoing map[hub.ID]*hub.Echo
	refs    *references

	lines   []hub.Change
	moved   int // feed rows
	signals []hub.Signal
	told    []toldSignal
	ends    []ending
	echoes  struct {
		put  []hub.Echo
		drop []hub.ID
	}
	cookies []*hub.Cookie
	tokens  []hub.Token
	removed []hub.ID // parties
	policy  bool     // changed
}

type userName struct{ kind, folded string }

type sourceKey struct{ source, key string }

// entry is an entry's state in the transaction.
type entry struct {
	hub.Entry
	tag      hub.Tag // of the line at Position
	userName string
	stood    string // userName in the database
	state    state
	write    *hub.EntryWrite // that made it what it is; nil of those that were read
}

type state uint8

const (
	read    state = iota
	stamped       // a line moved it
	written       // an item replaced it
	created
)

// grant is a grant's state in the transaction.
type grant struct {
	hub.Grant
	tag hub.Tag
	// fresh: it has no row yet; dirty: its terms changed; moved: only its place.
	fresh, dirty, moved bool
}

// feed holds the grants of one entry that the batch may concern, in order of party.
type feed struct {
	grants []*grant
	mask   uint64 // what the live ones were selected by
	// cut, if not zero, is the party after which live grants were left in the database: the entry has too many to move
	// them all at once.
	cut hub.ID
}

func (f *feed) find(party hub.ID) (int, bool) {
	return slices.BinarySearchFunc(f.grants, party, func(g *grant, p hub.ID) int { return bytes.Compare(g.Party[:], p[:]) })
}

type party struct {
	hub.Party
	dirty, fresh bool
}

type toldSignal struct {
	party    hub.ID
	position int64
}

// ending is what a revocation, deletion or narrowing does to what is on its way; a zero party means every party.
type ending struct {
	party, entry hub.ID
	narrow       bool
}

func newCommit(now int64) *commit {
	return &commit{
		now:     now,
		entries: map[hub.ID]*entry{},
		names:   map[userName]hub.ID{},
		keys:    map[sourceKey]hub.ID{},
		owned:   map[hub.ID][]sourceKey{},
		known:   map[hub.ID][]hub.ID{},
		feeds:   map[hub.ID]*feed{},
		parties: map[hub.ID]*party{},
		hashes:  map[[32]byte]bool{},
		echoing: map[hub.ID]*hub.Echo{},
		refs:    newReferences(),
	}
}

// run decides item after item until the transaction has moved enough.
func (c *commit) run(ctx context.Context, items []hub.Item, r *hub.Receipt) error {
	for i := range items {
		it := &items[i]
		refusal := c.check(it)
		if refusal == nil && c.moved > 0 && c.moved+c.cost(it) > hub.MaxMoves {
			break
		}
		r.Done++
		r.Errors = append(r.Errors, refusal)
		r.Entries, r.Grants, r.Parties = append(r.Entries, nil), append(r.Grants, nil), append(r.Parties, nil)
		if refusal != nil {
			continue
		}
		if !it.Echo.IsZero() {
			if err := c.resume(ctx, it.Echo); err != nil {
				return err
			}
		}
		c.apply(it)
		if it.Entry != nil {
			e := c.entries[it.Entry.Entry.ID].Entry
			r.Entries[i] = &e
		}
		if it.Grant != nil {
			g := c.grant(it.Grant.Grant.Party, it.Grant.Grant.Entry).Grant
			r.Grants[i] = &g
		}
		if it.Party != nil {
			p := c.parties[it.Party.Party.ID].Party
			r.Parties[i] = &p
		}
	}
	return nil
}

// check compares what an item expects with what stands there. It changes nothing.
func (c *commit) check(it *hub.Item) error {
	if it.Entry != nil {
		if err := c.checkEntry(it.Entry); err != nil {
			return err
		}
	}
	if it.Grant != nil {
		if err := c.checkGrant(it); err != nil {
			return err
		}
	}
	if it.Party != nil {
		if err := c.checkParty(it.Party); err != nil {
			return err
		}
	}
	if !it.Echo.IsZero() && c.echoing[it.Echo] == nil {
		return hub.ErrNotFound
	}
	for _, l := range it.Lines {
		if l.Kind.IsAboutEntry() && !c.lives(l.Entry, it) && !erases(it, c.about(it, l)) {
			return hub.ErrNotFound
		}
	}
	for _, s := range it.Signals {
		if !c.lives(s.Entry, it) && !erases(it, s.Entry) {
			return hub.ErrNotFound
		}
	}
	return nil
}

// lives reports whether the entry lives once the item's own write is done. A line without an entry is about the item's.
func (c *commit) lives(id hub.ID, it *hub.Item) bool {
	if it != nil && it.Entry != nil && (id.IsZero() || id == it.Entry.Entry.ID) {
		return !it.Entry.Delete
	}
	e := c.entries[id]
	return e != nil && e.Deleted == 0
}

// erases reports whether the item deletes the entry.
func erases(it *hub.Item, id hub.ID) bool {
	return it.Entry != nil && it.Entry.Delete && it.Entry.Entry.ID == id
}

func (c *commit) checkEntry(w *hub.EntryWrite) error {
	id, stands := w.Entry.ID, c.entries[w.Entry.ID]
	switch {
	case w.Entry.Version == 0 && stands != nil,
		w.Entry.Version != 0 && (stands == nil || stands.Deleted != 0 || stands.Version != w.Entry.Version):
		return hub.ErrConflict
	case w.Delete:
		return nil
	}
	if w.UserName != "" {
		if owner := c.names[userName{string(w.Entry.Type), w.UserName}]; !owner.IsZero() && owner != id {
			return hub.ErrTaken
		}
	}
	for _, k := range w.Keys {
		if owner := c.keys[sourceKey{w.Entry.Source, k}]; !owner.IsZero() && owner != id {
			return hub.ErrTaken
		}
	}
	return nil
}

func (c *commit) checkGrant(it *hub.Item) error {
	g := it.Grant.Grant
	stands := c.grant(g.Party, g.Entry)
	if stands == nil && g.Version != 0 || stands != nil && stands.Version != g.Version {
		return hub.ErrConflict
	}
	for _, l := range it.Lines {
		if l.Kind != hub.Granted && l.Kind != hub.Regraded && !l.Kind.IsOpt() {
			continue
		}
		p := c.parties[g.Party]
		if p == nil || p.Removed != 0 || p.Agreement || !c.lives(g.Entry, it) {
			return hub.ErrNotFound
		}
	}
	return nil
}

func (c *commit) checkParty(w *hub.PartyWrite) error {
	stands := c.parties[w.Party.ID]
	switch {
	case stands == nil && w.Party.Generation != 0, stands != nil && stands.Generation != w.Party.Generation:
		return hub.ErrConflict
	case stands != nil && stands.Removed != 0:
		return hub.ErrNotFound
	case w.Token != nil && c.hashes[w.Token.Hash]:
		return hub.ErrTaken
	}
	return nil
}

// cost counts the feed rows that the item's lines will move.
func (c *commit) cost(it *hub.Item) (n int) {
	if it.Grant != nil {
		n++
	}
	for _, l := range it.Lines {
		f := c.feeds[c.about(it, l)]
		if f == nil || !l.Kind.IsAboutEntry() {
			continue
		}
		for _, g := range f.grants {
			if concerned(g, l) {
				n++
			}
		}
		if !f.cut.IsZero() {
			n++
		}
	}
	return n
}

// about is the entry of a line: the item's own where the line does not say.
func (c *commit) about(it *hub.Item, l hub.Change) hub.ID {
	switch {
	case !l.Entry.IsZero():
	case it.Entry != nil:
		return it.Entry.Entry.ID
	case it.Grant != nil:
		return it.Grant.Grant.Entry
	}
	return l.Entry
}

func concerned(g *grant, l hub.Change) bool { return g.Ended == 0 && g.Mask()&l.Mask() != 0 }

// apply does what check allowed.
func (c *commit) apply(it *hub.Item) {
	if it.Entry != nil {
		c.putEntry(it.Entry)
	}
	if it.Grant != nil {
		c.putGrant(&it.Grant.Grant)
	}
	if it.Party != nil {
		c.putParty(it.Party)
	}
	if it.Policy != nil {
		c.head.Policy, c.policy = *it.Policy, true
		for _, p := range c.parties {
			if p.Removed == 0 {
				p.Generation++
				p.dirty = true
			}
		}
	}
	for i := range it.Lines {
		c.line(it, &it.Lines[i])
	}
	if it.Entry != nil {
		c.refs.written(it)
	}
	for i := range it.Signals {
		if !erases(it, it.Signals[i].Entry) {
			c.raise(&it.Signals[i])
		}
	}
	if it.Cookie != nil {
		c.cookies = append(c.cookies, it.Cookie)
	}
}

// putEntry replaces the entry's state; its lines stamp it.
func (c *commit) putEntry(w *hub.EntryWrite) {
	id := w.Entry.ID
	e := &entry{Entry: w.Entry, state: created, write: w}
	if old := c.entries[id]; old != nil {
		e.state, e.tag, e.stood = max(old.state, written), old.tag, old.stood
		e.Marks, e.Created, e.Position, e.Deleted = old.Marks, old.Created, old.Position, old.Deleted
		e.CreatedAt, e.Changed = old.CreatedAt, old.Changed
		if old.userName != "" {
			delete(c.names, userName{string(old.Type), old.userName})
		}
		if w.Keys != nil || w.Delete { // nil: written by somebody who knows the entry by its id; its names stay
			for _, k := range c.owned[id] {
				delete(c.keys, k)
			}
			c.owned[id] = nil
		}
	} else {
		e.Marks, e.Created, e.Position, e.Deleted = nil, 0, 0, 0
	}
	e.Version = w.Entry.Version + 1
	c.entries[id] = e
	if w.Identifiers != nil {
		c.known[id] = w.Identifiers
	}
	if w.Delete {
		c.known[id] = nil
		return // its line erases the rest
	}
	if e.userName = w.UserName; e.userName != "" {
		c.names[userName{string(e.Type), e.userName}] = id
	}
	for _, k := range w.Keys {
		k := sourceKey{e.Source, k}
		if c.keys[k] != id {
			c.keys[k] = id
			c.owned[id] = append(c.owned[id], k)
		}
	}
}

// putGrant sets the terms; the grant's line stamps the rest. Its id and history stay for as long as the pair exists.
func (c *commit) putGrant(w *hub.Grant) {
	g := c.grant(w.Party, w.Entry)
	if g == nil {
		g = &grant{Grant: hub.Grant{ID: w.ID, Party: w.Party, Entry: w.Entry}, fresh: true}
		if g.ID.IsZero() {
			g.ID = hub.NewID()
		}
		c.keep(g)
	}
	g.Terms, g.Opt, g.dirty = w.Terms, w.Opt, true
}

func (c *commit) putParty(w *hub.PartyWrite) {
	p := &party{Party: w.Party, dirty: true}
	if old := c.parties[p.ID]; old != nil {
		p.fresh, p.Removed, p.CreatedAt = old.fresh, old.Removed, old.CreatedAt
	} else {
		p.fresh = true
	}
	p.Generation++
	c.parties[p.ID] = p
	if w.Token != nil {
		c.tokens = append(c.tokens, *w.Token)
		c.hashes[w.Token.Hash] = true
	}
}

// line takes the next position for l and does to entry, grants and party what the line says.
func (c *commit) line(it *hub.Item, l *hub.Change) {
	l.Entry = c.about(it, *l)
	switch {
	case it.Grant != nil && l.Party.IsZero() && !l.Kind.IsAboutEntry():
		l.Party = it.Grant.Grant.Party
	case it.Party != nil && l.Party.IsZero():
		l.Party = it.Party.Party.ID
	}
	c.take(l)
	switch {
	case l.Kind.IsAboutEntry():
		if last, done := c.stamp(*l, hub.ID{}); !done {
			c.echo(hub.Echo{ID: hub.NewID(), Line: template(*l), Entries: []hub.ID{l.Entry}, After: last})
		}
	case it.Grant != nil && l.Kind.IsAboutGrant():
		g := c.grant(l.Party, l.Entry)
		g.Stamp(*l, it.Grant.Names)
		g.tag, g.dirty = l.Tag, true
		c.moved++
		if l.Kind != hub.Regraded && !l.Kind.IsOpt() {
			c.refs.owns = append(c.refs.owns, *l)
		}
		if g.Ended != 0 || it.Grant.Narrowed {
			c.ends = append(c.ends, ending{g.Party, g.Entry, g.Ended == 0})
		}
	case it.Party != nil && l.Kind == hub.PartyRemoved:
		c.parties[l.Party].Removed = l.Position
		c.removed = append(c.removed, l.Party)
	case it.Party != nil && l.Kind == hub.PartyAdded:
		c.parties[l.Party].CreatedAt = l.Time
	}
}

// take gives a line the next position and appends it.
func (c *commit) take(l *hub.Change) {
	c.head.Position++
	c.head.Tag = hub.NewTag()
	l.Position, l.Tag = c.head.Position, c.head.Tag
	if l.Time == 0 {
		l.Time = c.now
	}
	c.lines = append(c.lines, *l)
}

// template is a line as an echo repeats it.
func template(l hub.Change) hub.Change {
	l.Position, l.Tag, l.Entry = 0, hub.Tag{}, hub.ID{}
	return l
}

// stamp applies a line to its entry and to the concerned grants of parties behind after, as far as the transaction may
// still move rows. If it was not done, last is the last party that was.
func (c *commit) stamp(l hub.Change, after hub.ID) (last hub.ID, done bool) {
	e := c.entries[l.Entry]
	e.Entry.Stamp(l)
	e.tag, e.state = l.Tag, max(e.state, stamped)
	if l.Kind == hub.Deleted {
		c.ends = append(c.ends, ending{entry: l.Entry})
	}
	f := c.feeds[l.Entry]
	if f == nil {
		return after, true
	}
	last = after
	for _, g := range f.grants {
		switch {
		case !concerned(g, l) || bytes.Compare(g.Party[:], after[:]) <= 0:
			continue
		case !f.cut.IsZero() && bytes.Compare(g.Party[:], f.cut[:]) > 0:
			return f.cut, false
		case c.moved >= hub.MaxMoves:
			return last, false
		}
		g.Follow(l)
		g.tag, g.moved = l.Tag, true
		c.moved++
		last = g.Party
	}
	if !f.cut.IsZero() {
		return f.cut, false
	}
	return last, true
}

// raise appends a signal's line and finds the parties it concerns. Nobody concerned: nothing is kept of its payload.
func (c *commit) raise(s *hub.Signal) {
	l := s.Line()
	c.take(&l)
	s.Position, s.Time = l.Position, l.Time
	e, before := c.entries[s.Entry].Entry, len(c.told)
	if f := c.feeds[s.Entry]; f != nil {
		for _, g := range f.grants {
			p := c.parties[g.Party]
			if g.Ended != 0 || g.Mask()&s.Mask() == 0 || p == nil || p.Agreement {
				continue
			}
			if s.Concerns(hub.FeedRow{Grant: &g.Grant, Entry: e}, p.Party, c.now) {
				c.told = append(c.told, toldSignal{g.Party, s.Position})
			}
		}
	}
	for _, p := range c.parties {
		if p.Agreement && s.Concerns(hub.FeedRow{Entry: e}, p.Party, c.now) {
			c.told = append(c.told, toldSignal{p.ID, s.Position})
		}
	}
	if len(c.told) > before {
		c.signals = append(c.signals, *s)
	}
}

// resume goes on with an echo that an earlier transaction left.
func (c *commit) resume(ctx context.Context, id hub.ID) error {
	e := *c.echoing[id]
	delete(c.echoing, id)
	rest, err := c.wide(ctx, e)
	if err != nil {
		return err
	}
	if rest == nil {
		c.echoes.drop = append(c.echoes.drop, id)
		return nil
	}
	c.echo(*rest)
	return nil
}

// wide runs a line about several entries as far as this transaction may go, and returns what is left of it. Lines that
// move nothing count too, so that a group of ten thousand is many transactions whoever was granted what.
func (c *commit) wide(ctx context.Context, e hub.Echo) (rest *hub.Echo, err error) {
	if !e.Line.Party.IsZero() {
		return c.wideGrants(ctx, e)
	}
	ids := e.Entries[:min(len(e.Entries), max(0, hub.MaxMoves-max(c.moved, len(c.lines))))]
	asks := make([]ask, len(ids))
	for i, id := range ids {
		asks[i] = ask{entry: id, mask: e.Line.Mask()}
	}
	if len(asks) > 0 {
		asks[0].after = e.After
	}
	if err := c.loadMore(ctx, asks); err != nil {
		return nil, err
	}
	after := e.After
	for i, id := range e.Entries {
		if i == len(ids) || c.moved >= hub.MaxMoves {
			e.Entries, e.After = e.Entries[i:], after
			return &e, nil
		}
		if c.lives(id, nil) || c.entries[id] != nil && e.Line.Kind == hub.Deleted {
			l := e.Line
			l.Entry, l.Time = id, c.now
			c.take(&l)
			if last, done := c.stamp(l, after); !done {
				e.Entries, e.After = e.Entries[i:], last
				return &e, nil
			}
		}
		after = hub.ID{}
	}
	return nil, nil
}

// wideGrants is wide of a line about one party's grants.
func (c *commit) wideGrants(ctx context.Context, e hub.Echo) (rest *hub.Echo, err error) {
	reach := e.Entries[:min(len(e.Entries), max(0, hub.MaxMoves-c.moved))]
	pairs := make([]hub.Grant, len(reach))
	for i, id := range reach {
		pairs[i] = hub.Grant{Party: e.Line.Party, Entry: id}
	}
	b := &pgx.Batch{}
	c.queuePairs(b, pairs)
	if err := c.tx.SendBatch(ctx, b).Close(); err != nil {
		return nil, err
	}
	for _, id := range reach {
		g := c.grant(e.Line.Party, id)
		if g == nil || !g.Concerned(e.Line) {
			continue
		}
		l := e.Line
		l.Entry, l.Time = id, c.now
		c.take(&l)
		g.Stamp(l, l.Attributes)
		g.tag, g.dirty = l.Tag, true
		c.moved++
	}
	if len(reach) < len(e.Entries) {
		e.Entries = e.Entries[len(reach):]
		return &e, nil
	}
	return nil, nil
}

func (c *commit) echo(e hub.Echo) { c.echoes.put = append(c.echoes.put, e) }

// grant is the grant of a pair as far as it was loaded.
func (c *commit) grant(party, entry hub.ID) *grant {
	if f := c.feeds[entry]; f != nil {
		if i, ok := f.find(party); ok {
			return f.grants[i]
		}
	}
	return nil
}

// keep puts a grant among those of its entry, unless it is there: what the transaction did to it stands.
func (c *commit) keep(g *grant) {
	f := c.feeds[g.Entry]
	if f == nil {
		f = &feed{}
		c.feeds[g.Entry] = f
	}
	if i, ok := f.find(g.Party); !ok {
		f.grants = slices.Insert(f.grants, i, g)
	}
}
