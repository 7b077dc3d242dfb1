package postgres

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"tidings/hub"
)

// references is what a batch does to pointers between entries. They are resolved after all its entries and keys are in,
// so that a group and its members may come in any order.
type references struct {
	stood     map[hub.ID][]hub.Reference // of the entries that are written
	keysStood map[sourceKey]hub.ID       // keys in the database of the entries that are written
	pointing  []foreign                  // to entries that the batch may delete
	waiting   []foreign                  // unresolved, by a key that the batch may bring
	owns      []hub.Change               // own lines of grants that began or ended
	writes    []*pointer
	byEntry   map[hub.ID]*pointer

	put  []foreign
	drop []hub.Reference
}

// foreign is a reference with the source whose keys it means.
type foreign struct {
	hub.Reference
	source string
}

// pointer is an entry that was written: what it points to now, and the line that those it names are told by.
type pointer struct {
	entry   hub.ID
	refs    []hub.Reference
	renamed bool
	line    hub.Change
}

func newReferences() *references {
	return &references{stood: map[hub.ID][]hub.Reference{}, keysStood: map[sourceKey]hub.ID{}, byEntry: map[hub.ID]*pointer{}}
}

func (r *references) queue(b *pgx.Batch, n *needs) {
	const columns = `SELECT r.from_entry, r.name, r.key, r.target, r.source FROM `
	if len(n.updated) > 0 {
		b.Queue(columns+`reference r WHERE from_entry = ANY($1::bytea[])`, blobs(n.updated)).Query(into(func(w *row) {
			f := readForeign(w)
			r.stood[f.From] = append(r.stood[f.From], f.Reference)
		}))
	}
	if len(n.deleted) > 0 {
		b.Queue(columns+`reference r WHERE target = ANY($1::bytea[])`, blobs(n.deleted)).Query(into(func(w *row) {
			r.pointing = append(r.pointing, readForeign(w))
		}))
	}
	if len(n.newKeys) > 0 {
		sources, keys := unzip(keysOf(n.newKeys))
		b.Queue(columns+`unnest($1::text[], $2::bytea[]) AS w(source, key) JOIN reference r USING (source, key)
			WHERE r.target IS NULL`, sources, keys).Query(into(func(w *row) {
			r.waiting = append(r.waiting, readForeign(w))
		}))
	}
}

func readForeign(r *row) foreign {
	return foreign{hub.Reference{From: r.id(), Name: r.text(), Key: r.text(), Target: r.id()}, r.text()}
}

// written notes an item's entry: the last item of a batch about an entry says what it points to.
func (r *references) written(it *hub.Item) {
	id := it.Entry.Entry.ID
	p := r.byEntry[id]
	if p == nil {
		p = &pointer{entry: id}
		r.byEntry[id] = p
		r.writes = append(r.writes, p)
	}
	p.refs, p.renamed = it.Entry.References, p.renamed || it.Entry.Renamed
	if it.Entry.Delete {
		p.refs = nil
	}
	if len(it.Lines) > 0 {
		p.line = hub.Change{Kind: hub.Updated, Actor: it.Lines[0].Actor, Source: it.Lines[0].Source, Txn: it.Lines[0].Txn}
	}
}

// point resolves what the written entries point to and what points to them, and tells those for whom that is a change:
// lines about many entries, within what the transaction may still move, the rest as echoes.
func (c *commit) point(ctx context.Context) error {
	var t telling
	for _, p := range c.refs.writes {
		c.repoint(p, &t)
	}
	if err := c.unpoint(ctx, &t); err != nil {
		return err
	}
	if err := c.givenUp(ctx, &t); err != nil {
		return err
	}
	for _, f := range c.refs.waiting {
		// A line of its own only where the key came in this batch: a refused item brought nothing.
		if owner := c.keys[sourceKey{f.source, f.Key}]; !owner.IsZero() && c.refs.byEntry[f.From] == nil {
			c.resolved(f, owner, c.refs.byEntry[owner], &t)
		}
	}
	if err := c.retell(ctx, &t); err != nil {
		return err
	}
	for _, e := range t.echoes {
		rest, err := c.wide(ctx, *e)
		if err != nil {
			return err
		}
		if rest != nil {
			c.echo(*rest)
		}
	}
	return nil
}

// retell moves a party's grants of entries that point to one which the party may know from now on, or no more.
func (c *commit) retell(ctx context.Context, t *telling) error {
	owns := c.refs.owns
	if len(owns) == 0 {
		return nil
	}
	targets, parties := make([][]byte, len(owns)), make([][]byte, len(owns))
	for i := range owns {
		targets[i], parties[i] = owns[i].Entry[:], owns[i].Party[:]
	}
	rows, err := c.tx.Query(ctx, `SELECT w.n, r.name, r.from_entry
		FROM unnest($1::bytea[], $2::bytea[]) WITH ORDINALITY AS w(target, party, n)
		CROSS JOIN LATERAL (SELECT DISTINCT name, from_entry FROM reference WHERE target = w.target) AS r
		CROSS JOIN LATERAL (SELECT id FROM grants WHERE entry = r.from_entry AND party = w.party AND ended = 0 LIMIT 1) AS g
		ORDER BY w.n, r.name, r.from_entry`, targets, parties)
	if err != nil {
		return err
	}
	var last *hub.Echo
	of := int64(-1)
	return each(rows, func(r *row) {
		n, name, from := r.int(), r.text(), r.id()
		if n != of || last.Line.Attributes[0] != name {
			last = &hub.Echo{ID: hub.NewID(), Line: hub.Retold(owns[n-1], name)}
			t.echoes, t.seen, of = append(t.echoes, last), append(t.seen, map[hub.ID]bool{}), n
		}
		last.Entries = append(last.Entries, from)
	})
}

// repoint replaces the references of one written entry.
func (c *commit) repoint(p *pointer, t *telling) {
	before := c.refs.stood[p.entry]
	if len(before) == 0 && len(p.refs) == 0 {
		return
	}
	type nameKey struct{ name, key string }
	old := map[nameKey]hub.Reference{}
	for _, r := range before {
		old[nameKey{r.Name, r.Key}] = r
	}
	source := c.entries[p.entry].Source
	after := make([]hub.Reference, 0, len(p.refs))
	kept := map[nameKey]bool{}
	for _, r := range p.refs {
		k := nameKey{r.Name, r.Key}
		if kept[k] {
			continue
		}
		kept[k] = true
		r.From, r.Target = p.entry, c.resolve(source, r.Key)
		after = append(after, r)
		if o, ok := old[k]; !ok || o.Target != r.Target {
			c.refs.put = append(c.refs.put, foreign{r, source})
		}
	}
	for k, r := range old {
		if !kept[k] {
			c.refs.drop = append(c.refs.drop, r)
		}
	}
	for _, id := range hub.Repoint(before, after, p.renamed) {
		t.add(id, groups, p.line)
	}
	for _, name := range hub.Retargeted(before, after) {
		t.add(p.entry, name, p.line)
	}
}

// groups is the attribute by which entries are told about the groups that name them as members.
const (
	groups  = "groups"
	members = "members"
)

// resolve finds the living entry that a key means: by the source's own key, else by the id's text.
func (c *commit) resolve(source, key string) hub.ID {
	if id := c.keys[sourceKey{source, key}]; !id.IsZero() {
		return id
	}
	if id, err := hub.ParseID(key); err == nil && c.lives(id, nil) {
		return id
	}
	return hub.ID{}
}

// givenUp reads the references by keys that living entries gave up: they do not stay with whoever was called so.
func (c *commit) givenUp(ctx context.Context, t *telling) error {
	var given []sourceKey
	var owners [][]byte
	for k, id := range c.refs.keysStood {
		if c.keys[k] != id && c.lives(id, nil) {
			given, owners = append(given, k), append(owners, id[:])
		}
	}
	if len(given) == 0 {
		return nil
	}
	sources, keys := unzip(given)
	rows, err := c.tx.Query(ctx, `SELECT r.from_entry, r.name, r.key, r.target, r.source
		FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS w(source, key, target)
		JOIN reference r ON r.target = w.target AND r.source = w.source AND r.key = w.key`, sources, keys, owners)
	if err != nil {
		return err
	}
	return each(rows, func(r *row) {
		f := readForeign(r)
		if c.refs.byEntry[f.From] != nil {
			return
		}
		by := c.refs.byEntry[f.Target]
		if f.Name == members && by != nil {
			t.add(f.Target, groups, by.line)
		}
		c.resolved(f, c.keys[sourceKey{f.source, f.Key}], by, t)
	})
}

// unpoint takes deleted entries out of the references of others. The key may belong to another entry by now.
func (c *commit) unpoint(ctx context.Context, t *telling) error {
	ask := map[sourceKey]bool{}
	for _, f := range c.refs.pointing {
		ask[sourceKey{f.source, f.Key}] = true
	}
	if len(ask) == 0 {
		return nil
	}
	sources, keys := unzip(keysOf(ask))
	rows, err := c.tx.Query(ctx, `SELECT source, key, entry FROM unnest($1::text[], $2::bytea[]) AS w(source, key)
		JOIN entry_key USING (source, key)`, sources, keys)
	if err != nil {
		return err
	}
	if err := each(rows, func(r *row) {
		k, id := sourceKey{r.text(), r.text()}, r.id()
		if _, written := c.refs.keysStood[k]; !written && c.keys[k].IsZero() {
			c.keys[k] = id
		}
	}); err != nil {
		return err
	}
	for _, f := range c.refs.pointing {
		if !c.lives(f.Target, nil) && c.refs.byEntry[f.From] == nil {
			c.resolved(f, c.keys[sourceKey{f.source, f.Key}], c.refs.byEntry[f.Target], t)
		}
	}
	return nil
}

// resolved gives a reference of an entry that the batch did not write another target: a change for both ends.
func (c *commit) resolved(f foreign, target hub.ID, by *pointer, t *telling) {
	f.Target = target
	c.refs.put = append(c.refs.put, f)
	line := hub.Change{Kind: hub.Updated}
	if by != nil {
		line = by.line
	}
	t.add(f.From, f.Name, line)
	if f.Name == members && !target.IsZero() {
		t.add(target, groups, line)
	}
}

// telling collects who is to be told which name, joined to as few wide lines as tell it.
type telling struct {
	echoes []*hub.Echo
	seen   []map[hub.ID]bool // per echo
}

func (t *telling) add(id hub.ID, name string, line hub.Change) {
	line.Kind, line.Attributes = hub.Updated, []string{name}
	i := slices.IndexFunc(t.echoes, func(e *hub.Echo) bool {
		return e.Line.Attributes[0] == name && e.Line.Actor == line.Actor && e.Line.Source == line.Source && e.Line.Txn == line.Txn
	})
	if i < 0 {
		i = len(t.echoes)
		t.echoes = append(t.echoes, &hub.Echo{ID: hub.NewID(), Line: line})
		t.seen = append(t.seen, map[hub.ID]bool{})
	}
	if !t.seen[i][id] {
		t.seen[i][id] = true
		t.echoes[i].Entries = append(t.echoes[i].Entries, id)
	}
}

// writeReferences queues the difference.
func (c *commit) writeReferences(b *pgx.Batch) {
	if drop := c.refs.drop; len(drop) > 0 {
		from, names, keys := make([][]byte, len(drop)), make([]string, len(drop)), make([][]byte, len(drop))
		for i := range drop {
			from[i], names[i], keys[i] = drop[i].From[:], drop[i].Name, []byte(drop[i].Key)
		}
		b.Queue(`DELETE FROM reference r USING unnest($1::bytea[], $2::text[], $3::bytea[]) AS w(from_entry, name, key)
			WHERE r.from_entry = w.from_entry AND r.name = w.name AND r.key = w.key`, from, names, keys)
	}
	put := c.refs.put
	if len(put) == 0 {
		return
	}
	from, names, keys := make([][]byte, len(put)), make([]string, len(put)), make([][]byte, len(put))
	sources, targets := make([]string, len(put)), make([][]byte, len(put))
	for i := range put {
		f := &put[i]
		from[i], names[i], keys[i], sources[i], targets[i] = f.From[:], f.Name, []byte(f.Key), f.source, null(f.Target)
	}
	b.Queue(`INSERT INTO reference (from_entry, name, key, source, target)
		SELECT * FROM unnest($1::bytea[], $2::text[], $3::bytea[], $4::text[], $5::bytea[])
		ON CONFLICT (from_entry, name, key) DO UPDATE SET source = excluded.source, target = excluded.target`,
		from, names, keys, sources, targets)
}

// References reads the pointers of and to an entry.
func (s *Store) References(ctx context.Context, entry hub.ID) (from, to []hub.Reference, err error) {
	err = s.snapshot(ctx, func(b *pgx.Batch) {
		const columns = `SELECT from_entry, name, key, target, source FROM reference `
		b.Queue(columns+`WHERE from_entry = $1 ORDER BY name, key`, entry[:]).Query(into(func(r *row) {
			from = append(from, readForeign(r).Reference)
		}))
		b.Queue(columns+`WHERE target = $1 ORDER BY from_entry, name, key`, entry[:]).Query(into(func(r *row) {
			to = append(to, readForeign(r).Reference)
		}))
	})
	return from, to, fail("read references", err)
}

// Unresolved reads references of a source whose target is not known.
func (s *Store) Unresolved(ctx context.Context, source string, limit int) (refs []hub.Reference, err error) {
	err = s.query(ctx, func(r *row) { refs = append(refs, readForeign(r).Reference) },
		`SELECT from_entry, name, key, target, source FROM reference
		WHERE source = $1 AND target IS NULL ORDER BY key, from_entry, name LIMIT $2`, plain(source), limit)
	return refs, fail("read unresolved references", err)
}
