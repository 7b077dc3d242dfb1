package postgres

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/jackc/pgx/v5"

	"tidings/hub"
)

// needs is what the items of a batch touch, to be read with one round trip.
type needs struct {
	entries  map[hub.ID]bool
	locked   map[hub.ID]bool // entries whose telling may end: attempts wait for us, or we for them
	asks     map[hub.ID]*ask
	kinds    []string // with names: the user names that are taken
	names    [][]byte
	keys     map[sourceKey]bool // that are taken or pointed at
	updated  []hub.ID
	deleted  []hub.ID
	pairs    []hub.Grant
	echoes   []hub.ID
	hashes   [][]byte
	writes   []hub.ID // parties
	parties  bool
	policy   bool
	newKeys  map[sourceKey]bool
	idTarget map[hub.ID]bool
	fresh    map[hub.ID]bool // entries that the batch creates
	exist    map[hub.ID]bool // of those, the ones that stand already
}

// ask asks for the live grants of an entry that a line may concern.
type ask struct {
	entry hub.ID
	mask  uint64
	after hub.ID // parties up to this one were moved already
	all   bool   // however many
}

func survey(items []hub.Item, exist map[hub.ID]bool) *needs {
	n := &needs{entries: map[hub.ID]bool{}, locked: map[hub.ID]bool{}, asks: map[hub.ID]*ask{}, keys: map[sourceKey]bool{},
		newKeys: map[sourceKey]bool{}, idTarget: map[hub.ID]bool{}, fresh: map[hub.ID]bool{}, exist: exist}
	for i := range items {
		it := &items[i]
		if it.Entry != nil {
			n.entry(it.Entry)
		}
		if it.Grant != nil {
			g := it.Grant.Grant
			n.entries[g.Entry], n.locked[g.Entry], n.parties = true, true, true
			n.pairs = append(n.pairs, g)
		}
		if it.Party != nil {
			n.parties = true
			n.writes = append(n.writes, it.Party.Party.ID)
			if it.Party.Token != nil {
				n.hashes = append(n.hashes, it.Party.Token.Hash[:])
			}
		}
		if !it.Echo.IsZero() {
			n.echoes = append(n.echoes, it.Echo)
		}
		n.policy = n.policy || it.Policy != nil
		n.parties = n.parties || it.Policy != nil || len(it.Signals) > 0
		n.lines(it)
	}
	return n
}

func (n *needs) entry(w *hub.EntryWrite) {
	id := w.Entry.ID
	n.entries[id] = true
	switch {
	case w.Delete:
		n.updated, n.deleted = append(n.updated, id), append(n.deleted, id)
		n.locked[id] = true
		return
	case w.Entry.Version == 0 && !n.exist[id]:
		n.fresh[id] = true
	case !n.fresh[id]:
		n.updated = append(n.updated, id)
	}
	if w.UserName != "" {
		n.kinds, n.names = append(n.kinds, string(w.Entry.Type)), append(n.names, []byte(w.UserName))
	}
	for _, k := range w.Keys {
		n.keys[sourceKey{w.Entry.Source, k}] = true
		n.newKeys[sourceKey{w.Entry.Source, k}] = true
	}
	for _, r := range w.References {
		n.keys[sourceKey{w.Entry.Source, r.Key}] = true
		if id, err := hub.ParseID(r.Key); err == nil {
			n.idTarget[id] = true
		}
	}
}

func (n *needs) lines(it *hub.Item) {
	for _, l := range it.Lines {
		if !l.Kind.IsAboutEntry() {
			continue
		}
		id := l.Entry
		if id.IsZero() && it.Entry != nil {
			id = it.Entry.Entry.ID
		}
		n.ask(id, l.Mask(), false)
	}
	for _, s := range it.Signals {
		n.ask(s.Entry, s.Mask(), true)
	}
}

// ask notes whose grants are to be found. An entry that the batch creates has none yet.
func (n *needs) ask(id hub.ID, mask uint64, all bool) {
	n.entries[id] = true
	if n.fresh[id] {
		return
	}
	a := n.asks[id]
	if a == nil {
		a = &ask{entry: id}
		n.asks[id] = a
	}
	a.mask |= mask
	a.all = a.all || all
}

// standing lists the entries that were taken for new and are not.
func (n *needs) standing(entries map[hub.ID]*entry) map[hub.ID]bool {
	exist := map[hub.ID]bool{}
	for id := range n.fresh {
		if entries[id] != nil {
			exist[id] = true
		}
	}
	return exist
}

// load locks the head and reads what the items touch. Nothing that was read before the lock is believed; all that has a
// position is written under it, so that plain reads suffice after it. Rows are locked only where an attempt to tell
// (Begin, Issue) has to wait for us or we for it, in the order of the package comment.
func (c *commit) load(ctx context.Context, items []hub.Item) error {
	return c.loadKnowing(ctx, items, nil)
}

func (c *commit) loadKnowing(ctx context.Context, items []hub.Item, exist map[hub.ID]bool) error {
	n := survey(items, exist)
	b := &pgx.Batch{}
	b.Queue(`SELECT position, tag, oldest, policy FROM head FOR UPDATE`).Query(into(func(r *row) { c.head = readHead(r) }))
	if len(n.writes) > 0 {
		b.Queue(`SELECT id FROM stream WHERE party = ANY($1::bytea[]) ORDER BY id FOR UPDATE`, blobs(n.writes))
		b.Queue(`SELECT id FROM party WHERE id = ANY($1::bytea[]) ORDER BY id FOR UPDATE`, blobs(n.writes))
	}
	if n.policy {
		b.Queue(`SELECT id FROM party ORDER BY id FOR UPDATE`)
	}
	if len(n.locked) > 0 {
		b.Queue(`SELECT id FROM entry WHERE id = ANY($1::bytea[]) ORDER BY id FOR UPDATE`, blobs(keysOf(n.locked)))
	}
	for id := range n.idTarget {
		n.entries[id] = true
	}
	c.queueEntries(b, keysOf(n.entries))
	c.queueUnique(b, n)
	c.refs.queue(b, n)
	if n.parties {
		b.Queue(`SELECT ` + partyColumns + ` FROM party`).Query(into(func(r *row) {
			p := readParty(r)
			c.parties[p.ID] = &party{Party: p}
		}))
	}
	if len(n.hashes) > 0 {
		b.Queue(`SELECT hash FROM token WHERE hash = ANY($1::bytea[])`, n.hashes).Query(into(func(r *row) {
			c.hashes[[32]byte(r.next())] = true
		}))
	}
	if len(n.echoes) > 0 {
		b.Queue(`SELECT doc FROM echo WHERE id = ANY($1::bytea[])`, blobs(n.echoes)).Query(into(func(r *row) {
			e := &hub.Echo{}
			r.json(e)
			c.echoing[e.ID] = e
		}))
	}
	asks := make([]ask, 0, len(n.asks))
	for _, a := range n.asks {
		asks = append(asks, *a)
	}
	c.queuePairs(b, n.pairs)
	c.queueGrants(b, asks)
	if err := c.tx.SendBatch(ctx, b).Close(); err != nil {
		return err
	}
	if exist := n.standing(c.entries); len(exist) > 0 {
		// A batch that creates what stands there is rare: what was spared for new entries is read once more.
		again := newCommit(c.now)
		again.tx = c.tx
		*c = *again
		return c.loadKnowing(ctx, items, exist)
	}
	return nil
}

// loadMore reads entries and grants that came up on the way.
func (c *commit) loadMore(ctx context.Context, asks []ask) error {
	var missing []hub.ID
	wanted := asks[:0:0]
	for _, a := range asks {
		if _, ok := c.entries[a.entry]; !ok {
			missing = append(missing, a.entry)
		}
		f := c.feeds[a.entry]
		if e := c.entries[a.entry]; e != nil && e.state == created || f != nil && f.mask&a.mask == a.mask {
			continue
		}
		if f != nil {
			a.mask |= f.mask
		}
		wanted = append(wanted, a)
	}
	if len(wanted) == 0 && len(missing) == 0 {
		return nil
	}
	b := &pgx.Batch{}
	c.queueEntries(b, missing)
	c.queueGrants(b, wanted)
	if err := c.tx.SendBatch(ctx, b).Close(); err != nil {
		return err
	}
	return nil
}

func (c *commit) queueEntries(b *pgx.Batch, ids []hub.ID) {
	if len(ids) == 0 {
		return
	}
	b.Queue(`SELECT `+entryColumns+`, tag, user_name FROM entry WHERE id = ANY($1::bytea[])`, blobs(ids)).
		Query(into(func(r *row) {
			e := &entry{Entry: readEntry(r)}
			e.tag, e.userName = r.tag(), r.text()
			e.stood = e.userName
			c.entries[e.ID] = e
		}))
}

// queueUnique reads who bears the user names and keys of the batch, and the keys that the written entries have.
func (c *commit) queueUnique(b *pgx.Batch, n *needs) {
	if len(n.names) > 0 {
		b.Queue(`SELECT e.type, e.user_name, e.id FROM unnest($1::text[], $2::bytea[]) AS w(type, user_name)
			CROSS JOIN LATERAL (SELECT * FROM entry WHERE type = w.type AND user_name = w.user_name LIMIT 1) AS e`, n.kinds, n.names).
			Query(into(func(r *row) {
				c.names[userName{r.text(), r.text()}] = r.id()
			}))
	}
	if len(n.keys) > 0 {
		sources, keys := unzip(keysOf(n.keys))
		b.Queue(`SELECT k.source, k.key, k.entry FROM unnest($1::text[], $2::bytea[]) AS w(source, key)
			CROSS JOIN LATERAL (SELECT * FROM entry_key WHERE source = w.source AND key = w.key LIMIT 1) AS k`, sources, keys).
			Query(into(func(r *row) { c.keys[sourceKey{r.text(), r.text()}] = r.id() }))
	}
	if len(n.updated) > 0 {
		b.Queue(`SELECT source, key, entry FROM entry_key WHERE entry = ANY($1::bytea[])`, blobs(n.updated)).
			Query(into(func(r *row) {
				k, id := sourceKey{r.text(), r.text()}, r.id()
				c.keys[k] = id
				c.owned[id] = append(c.owned[id], k)
				c.refs.keysStood[k] = id
			}))
	}
}

func (c *commit) queuePairs(b *pgx.Batch, pairs []hub.Grant) {
	if len(pairs) == 0 {
		return
	}
	entries, parties := make([][]byte, len(pairs)), make([][]byte, len(pairs))
	for i := range pairs {
		entries[i], parties[i] = pairs[i].Entry[:], pairs[i].Party[:]
	}
	b.Queue(`SELECT `+grantColumns+`, g.tag FROM unnest($1::bytea[], $2::bytea[]) AS w(entry, party)
		CROSS JOIN LATERAL (SELECT * FROM grants WHERE entry = w.entry AND party = w.party LIMIT 1) AS g`, entries, parties).Query(into(func(r *row) { c.keep(readGrantState(r)) }))
}

// queueGrants reads per entry the live grants that its lines may concern: one more than may be moved shows that there
// are more. Signals do not move rows; they ask for all.
func (c *commit) queueGrants(b *pgx.Batch, asks []ask) {
	if len(asks) == 0 {
		return
	}
	var (
		entries, after = make([][]byte, len(asks)), make([][]byte, len(asks))
		masks, limits  = make([]int64, len(asks)), make([]int64, len(asks))
	)
	for i := range asks {
		a := &asks[i]
		entries[i], after[i], masks[i], limits[i] = a.entry[:], a.after[:], int64(a.mask), hub.MaxMoves+1
		if a.all {
			limits[i] = math.MaxInt64
		}
	}
	b.Queue(`SELECT `+grantColumns+`, g.tag
		FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::bigint[]) AS w(entry, after, mask, most)
		CROSS JOIN LATERAL (SELECT * FROM grants
			WHERE entry = w.entry AND party > w.after AND ended = 0 AND roots & w.mask <> 0
			ORDER BY party LIMIT w.most) AS g`, entries, after, masks, limits).Query(into(c.counted(asks)))
}

// counted keeps grants and notes where an entry's were cut.
func (c *commit) counted(asks []ask) func(*row) {
	type count struct {
		n    int
		last hub.ID
	}
	counts := map[hub.ID]*count{}
	for _, a := range asks {
		f := c.feeds[a.entry]
		if f == nil {
			f = &feed{}
			c.feeds[a.entry] = f
		}
		if a.after.IsZero() {
			f.mask |= a.mask
		}
		if !a.all {
			counts[a.entry] = &count{}
		}
	}
	return func(r *row) {
		g := readGrantState(r)
		if n := counts[g.Entry]; n != nil {
			if n.n++; n.n > hub.MaxMoves {
				c.feeds[g.Entry].cut = n.last
				return
			}
			n.last = g.Party
		}
		c.keep(g)
	}
}

func readGrantState(r *row) *grant {
	g := &grant{Grant: readGrant(r)}
	g.tag = r.tag()
	return g
}

// keysOf lists a set; ids and keys in order, so that equal batches take equal steps.
func keysOf[K hub.ID | sourceKey](set map[K]bool) []K {
	out := make([]K, 0, len(set))
	for k := range set {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b K) int {
		switch a := any(a).(type) {
		case hub.ID:
			b := any(b).(hub.ID)
			return slices.Compare(a[:], b[:])
		case sourceKey:
			b := any(b).(sourceKey)
			return cmp.Or(cmp.Compare(a.source, b.source), cmp.Compare(a.key, b.key))
		}
		return 0
	})
	return out
}

// unzip makes two columns of keys.
func unzip(pairs []sourceKey) (sources []string, keys [][]byte) {
	sources, keys = make([]string, len(pairs)), make([][]byte, len(pairs))
	for i, k := range pairs {
		sources[i], keys[i] = k.source, []byte(k.key)
	}
	return sources, keys
}
