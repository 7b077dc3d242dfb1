package postgres

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"slices"

	"github.com/jackc/pgx/v5"

	"tidings/hub"
)

// write sends everything the transaction decided with one round trip (two where something on its way ends): a statement
// per table, its rows as arrays.
func (c *commit) write(ctx context.Context) error {
	if len(c.lines) == 0 && len(c.echoes.drop) == 0 && len(c.cookies) == 0 && len(c.tokens) == 0 && len(c.refs.put) == 0 &&
		len(c.refs.drop) == 0 && !c.touched() {
		return nil // every item was refused
	}
	b := &pgx.Batch{}
	if err := c.endDeliveries(ctx, b); err != nil {
		return err
	}
	if err := c.writeEntries(b); err != nil {
		return err
	}
	c.writeKeys(b)
	c.writeIdentifiers(b)
	c.writeReferences(b)
	c.writeGrants(b)
	if err := c.writeParties(b); err != nil {
		return err
	}
	c.writeLines(b)
	c.writeSignals(b)
	if err := c.writeEchoes(b); err != nil {
		return err
	}
	for _, k := range c.cookies {
		b.Queue(`INSERT INTO cookie VALUES ($1, $2) ON CONFLICT (source) DO UPDATE SET value = excluded.value`,
			plain(k.Source), append([]byte{}, k.Value...))
	}
	var policy *string
	if c.policy {
		doc, err := json.Marshal(c.head.Policy)
		if err != nil {
			return err
		}
		text := string(doc)
		policy = &text
	}
	b.Queue(`UPDATE head SET position = $1, tag = $2, policy = coalesce($3, policy)`, c.head.Position, c.head.Tag[:], policy)
	b.Queue(`SELECT pg_notify('tidings', '')`)
	return c.tx.SendBatch(ctx, b).Close()
}

// touched reports whether an item without a line wrote something.
func (c *commit) touched() bool {
	for _, e := range c.entries {
		if e.state != read {
			return true
		}
	}
	return slices.ContainsFunc(c.changedParties(), func(p *party) bool { return p.dirty })
}

func (c *commit) writeEntries(b *pgx.Batch) error {
	var fresh, whole, moved []*entry
	var leaving [][]byte
	for _, e := range c.entries {
		switch e.state {
		case created:
			fresh = append(fresh, e)
		case written:
			whole = append(whole, e)
		case stamped:
			moved = append(moved, e)
		}
		if e.Deleted != 0 && e.state >= written {
			e.userName = ""
		}
		// A name that changes hands within the batch: the index is asked row by row, so it is given up first.
		if e.state == written && e.stood != "" && e.stood != e.userName {
			if owner := c.names[userName{string(e.Type), e.stood}]; !owner.IsZero() {
				leaving = append(leaving, e.ID[:])
			}
		}
	}
	if len(leaving) > 0 {
		b.Queue(`UPDATE entry SET user_name = NULL WHERE id = ANY($1::bytea[])`, leaving)
	}
	if err := queueEntriesWhole(b, whole, `UPDATE entry e SET type = w.type, source = w.source, user_name = w.user_name,
		doc = w.doc, active = w.active, version = w.version, created = w.created, position = w.position, tag = w.tag,
		deleted = w.deleted, marks = w.marks, created_at = w.created_at, changed = w.changed
		FROM unnest(`+entryArrays+`) AS w(`+entryNames+`) WHERE e.id = w.id`); err != nil {
		return err
	}
	if err := queueEntriesWhole(b, fresh, `INSERT INTO entry (`+entryNames+`) SELECT * FROM unnest(`+entryArrays+`)`); err != nil {
		return err
	}
	if len(moved) > 0 {
		slices.SortFunc(moved, func(a, b *entry) int { return cmp.Compare(a.Position, b.Position) })
		var (
			ids, tags, marks   = make([][]byte, len(moved)), make([][]byte, len(moved)), make([][]byte, len(moved))
			positions, changed = make([]int64, len(moved)), make([]int64, len(moved))
		)
		for i, e := range moved {
			ids[i], tags[i], marks[i], positions[i], changed[i] = e.ID[:], e.tag[:], marked(e.Marks), e.Position, e.Changed
		}
		b.Queue(`UPDATE entry e SET position = w.position, tag = w.tag, marks = w.marks, changed = w.changed
			FROM unnest($1::bytea[], $2::bigint[], $3::bytea[], $4::bytea[], $5::bigint[]) AS w(id, position, tag, marks, changed)
			WHERE e.id = w.id`, ids, positions, tags, marks, changed)
	}
	return nil
}

const (
	entryNames = `id, type, source, user_name, doc, active, version, created, position, tag, deleted, marks, created_at, changed`

	entryArrays = `$1::bytea[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::boolean[], $7::bigint[], $8::bigint[],
		$9::bigint[], $10::bytea[], $11::bigint[], $12::bytea[], $13::bigint[], $14::bigint[]`
)

func queueEntriesWhole(b *pgx.Batch, list []*entry, statement string) error {
	if len(list) == 0 {
		return nil
	}
	// In the order of positions, as the index that grows by them likes it.
	slices.SortFunc(list, func(a, b *entry) int { return cmp.Compare(a.Position, b.Position) })
	n := len(list)
	var (
		ids, names, tags, marks  = make([][]byte, n), make([][]byte, n), make([][]byte, n), make([][]byte, n)
		kinds, sources           = make([]string, n), make([]string, n)
		docs                     = make([]*string, n)
		active                   = make([]bool, n)
		versions, createds, at   = make([]int64, n), make([]int64, n), make([]int64, n)
		deleted, births, changed = make([]int64, n), make([]int64, n), make([]int64, n)
	)
	for i, e := range list {
		ids[i], kinds[i], sources[i], tags[i], marks[i] = e.ID[:], string(e.Type), e.Source, e.tag[:], marked(e.Marks)
		if e.userName != "" {
			names[i] = []byte(e.userName)
		}
		if e.Deleted == 0 {
			doc := "{}"
			if e.Attributes != nil {
				text, err := e.write.Document()
				if err != nil {
					return err
				}
				doc = string(text)
			}
			docs[i] = &doc
		}
		active[i], versions[i], createds[i], at[i] = e.Active, e.Version, e.Created, e.Position
		deleted[i], births[i], changed[i] = e.Deleted, e.CreatedAt, e.Changed
	}
	b.Queue(statement, ids, kinds, sources, names, docs, active, versions, createds, at, tags, deleted, marks, births, changed)
	return nil
}

// writeKeys brings the key table from what stood there to what the written entries have now.
func (c *commit) writeKeys(b *pgx.Batch) {
	var put []sourceKey
	var owners [][]byte
	gone := map[sourceKey]bool{}
	for k, id := range c.refs.keysStood {
		if c.keys[k] != id {
			gone[k] = true
		}
	}
	for id, keys := range c.owned {
		e := c.entries[id]
		if e == nil || e.state < written {
			continue
		}
		for _, k := range keys {
			if c.keys[k] == id && c.refs.keysStood[k] != id {
				put, owners = append(put, k), append(owners, id[:])
			}
		}
	}
	if len(gone) > 0 {
		sources, keys := unzip(keysOf(gone))
		b.Queue(`DELETE FROM entry_key k USING unnest($1::text[], $2::bytea[]) AS w(source, key)
			WHERE k.source = w.source AND k.key = w.key`, sources, keys)
	}
	if len(put) > 0 {
		sources, keys := unzip(put)
		b.Queue(`INSERT INTO entry_key (source, key, entry) SELECT * FROM unnest($1::text[], $2::bytea[], $3::bytea[])`,
			sources, keys, owners)
	}
}

func (c *commit) writeGrants(b *pgx.Batch) {
	var fresh, whole, moved []*grant
	for _, f := range c.feeds {
		for _, g := range f.grants {
			switch {
			case g.fresh:
				fresh = append(fresh, g)
			case g.dirty:
				whole = append(whole, g)
			case g.moved:
				moved = append(moved, g)
			}
		}
	}
	queueGrantsWhole(b, fresh, `INSERT INTO grants (`+grantNames+`) SELECT * FROM unnest(`+grantArrays+`)`)
	queueGrantsWhole(b, whole, `UPDATE grants g SET attributes = w.attributes, purposes = w.purposes, until = w.until,
		roots = w.roots, given = w.given, ended = w.ended, regraded = w.regraded, position = w.position, tag = w.tag,
		gone = w.gone, version = w.version, marks = w.marks, created_at = w.created_at, changed = w.changed, opt = w.opt
		FROM unnest(`+grantArrays+`) AS w(`+grantNames+`) WHERE g.id = w.id`)
	n := len(moved)
	if n == 0 {
		return
	}
	byPosition(moved)
	var (
		ids, tags                         = make([][]byte, n), make([][]byte, n)
		positions, versions, ended, times = make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
		gone                              = make([]bool, n)
	)
	for i, g := range moved {
		ids[i], tags[i], positions[i], versions[i], ended[i], times[i], gone[i] =
			g.ID[:], g.tag[:], g.Position, g.Version, g.Ended, g.Changed, g.Gone
	}
	b.Queue(`UPDATE grants g SET position = w.position, tag = w.tag, version = w.version, ended = w.ended, gone = w.gone,
		changed = w.changed
		FROM unnest($1::bytea[], $2::bigint[], $3::bytea[], $4::bigint[], $5::bigint[], $6::boolean[], $7::bigint[])
			AS w(id, position, tag, version, ended, gone, changed)
		WHERE g.id = w.id`, ids, positions, tags, versions, ended, gone, times)
}

func byPosition(list []*grant) {
	slices.SortFunc(list, func(a, b *grant) int {
		return cmp.Or(cmp.Compare(a.Position, b.Position), bytes.Compare(a.Party[:], b.Party[:]))
	})
}

const (
	grantNames = `id, party, entry, attributes, purposes, until, roots, given, ended, regraded, position, tag, gone, version,
		marks, created_at, changed, opt`

	grantArrays = `$1::bytea[], $2::bytea[], $3::bytea[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
		$9::bigint[], $10::bigint[], $11::bigint[], $12::bytea[], $13::boolean[], $14::bigint[], $15::bytea[], $16::bigint[],
		$17::bigint[], $18::text[]`
)

func queueGrantsWhole(b *pgx.Batch, list []*grant, statement string) {
	n := len(list)
	if n == 0 {
		return
	}
	byPosition(list)
	var (
		ids, parties, entries  = make([][]byte, n), make([][]byte, n), make([][]byte, n)
		tags, marks            = make([][]byte, n), make([][]byte, n)
		names, opts            = make([]string, n), make([]string, n)
		purposes, until, roots = make([]int64, n), make([]int64, n), make([]int64, n)
		given, ended, regraded = make([]int64, n), make([]int64, n), make([]int64, n)
		positions, versions    = make([]int64, n), make([]int64, n)
		births, changed        = make([]int64, n), make([]int64, n)
		gone                   = make([]bool, n)
	)
	for i, g := range list {
		ids[i], parties[i], entries[i], tags[i], marks[i] = g.ID[:], g.Party[:], g.Entry[:], g.tag[:], marked(g.Marks)
		names[i], purposes[i], until[i], opts[i] = joined(g.Terms.Attributes), int64(g.Terms.Purposes), g.Terms.Until, string(g.Opt)
		roots[i], given[i], ended[i], regraded[i] = int64(g.Mask()), g.Given, g.Ended, g.Regraded
		positions[i], versions[i], births[i], changed[i], gone[i] = g.Position, g.Version, g.CreatedAt, g.Changed, g.Gone
	}
	b.Queue(statement, ids, parties, entries, names, purposes, until, roots, given, ended, regraded, positions, tags, gone,
		versions, marks, births, changed, opts)
}

func (c *commit) changedParties() (list []*party) {
	for _, p := range c.parties {
		if p.dirty {
			list = append(list, p)
		}
	}
	return list
}

func (c *commit) writeParties(b *pgx.Batch) error {
	for _, p := range c.changedParties() {
		doc, err := json.Marshal(p.Party)
		if err != nil {
			return err
		}
		b.Queue(`INSERT INTO party (id, doc, agreement, generation, removed, created_at) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (id) DO UPDATE SET doc = excluded.doc, agreement = excluded.agreement,
				generation = excluded.generation, removed = excluded.removed`,
			p.ID[:], string(doc), p.Agreement, p.Generation, p.Removed, p.CreatedAt)
	}
	for i := range c.tokens {
		queueToken(b, &c.tokens[i])
	}
	if len(c.removed) > 0 {
		ids := blobs(c.removed)
		b.Queue(`UPDATE token SET revoked = $2 WHERE party = ANY($1::bytea[]) AND revoked = 0`, ids, c.now)
		b.Queue(`DELETE FROM set_token WHERE delivery IN (SELECT d.id FROM stream s JOIN delivery d ON d.stream = s.id
			WHERE s.party = ANY($1::bytea[]))`, ids)
		b.Queue(`DELETE FROM delivery WHERE stream IN (SELECT id FROM stream WHERE party = ANY($1::bytea[]))`, ids)
		b.Queue(`DELETE FROM exclusion WHERE stream IN (SELECT id FROM stream WHERE party = ANY($1::bytea[]))`, ids)
		b.Queue(`DELETE FROM dead_letter WHERE party = ANY($1::bytea[])`, ids)
		b.Queue(`DELETE FROM stream WHERE party = ANY($1::bytea[])`, ids)
		b.Queue(`DELETE FROM signal_party WHERE party = ANY($1::bytea[])`, ids)
	}
	return nil
}

func (c *commit) writeLines(b *pgx.Batch) {
	n := len(c.lines)
	if n == 0 {
		return
	}
	var (
		positions, times                         = make([]int64, n), make([]int64, n)
		tags, entries, parties                   = make([][]byte, n), make([][]byte, n), make([][]byte, n)
		kinds, attributes, actors, sources, txns = make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	)
	for i := range c.lines {
		l := &c.lines[i]
		positions[i], times[i], tags[i], entries[i], parties[i] = l.Position, l.Time, l.Tag[:], null(l.Entry), null(l.Party)
		kinds[i], attributes[i] = string(l.Kind), joined(l.Attributes)
		actors[i], sources[i], txns[i] = plain(l.Actor), plain(l.Source), plain(l.Txn)
	}
	b.Queue(`INSERT INTO change (position, tag, time, entry, party, kind, attributes, actor, source, txn)
		SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bigint[], $4::bytea[], $5::bytea[], $6::text[], $7::text[],
			$8::text[], $9::text[], $10::text[])`,
		positions, tags, times, entries, parties, kinds, attributes, actors, sources, txns)
}

func (c *commit) writeSignals(b *pgx.Batch) {
	for i := range c.signals {
		s := &c.signals[i]
		payload := append([]byte{}, s.Payload...) // NULL is an erased one
		b.Queue(`INSERT INTO signal (position, entry, type, covers, payload, expires, txn, time)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			s.Position, s.Entry[:], string(s.Type), s.Covers, payload, s.Expires, plain(s.Txn), s.Time)
	}
	if n := len(c.told); n > 0 {
		parties, positions := make([][]byte, n), make([]int64, n)
		for i := range c.told {
			parties[i], positions[i] = c.told[i].party[:], c.told[i].position
		}
		b.Queue(`INSERT INTO signal_party (party, position) SELECT * FROM unnest($1::bytea[], $2::bigint[])`, parties, positions)
	}
	var deleted [][]byte
	for _, e := range c.entries {
		if e.Deleted != 0 && e.state >= written {
			deleted = append(deleted, e.ID[:])
		}
	}
	if len(deleted) > 0 {
		b.Queue(`UPDATE signal SET payload = NULL WHERE entry = ANY($1::bytea[])`, deleted)
		b.Queue(`UPDATE dead_letter SET description = NULL WHERE entry = ANY($1::bytea[]) AND description IS NOT NULL`, deleted)
	}
}

func (c *commit) writeEchoes(b *pgx.Batch) error {
	if len(c.echoes.drop) > 0 {
		b.Queue(`DELETE FROM echo WHERE id = ANY($1::bytea[])`, blobs(c.echoes.drop))
	}
	for i := range c.echoes.put {
		e := &c.echoes.put[i]
		doc, err := json.Marshal(e)
		if err != nil {
			return err
		}
		b.Queue(`INSERT INTO echo (id, doc) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET doc = excluded.doc`, e.ID[:], string(doc))
	}
	return nil
}

// endDeliveries takes from the window what may not be told any more, and un-makes what was made under wider terms.
func (c *commit) endDeliveries(ctx context.Context, b *pgx.Batch) error {
	if len(c.ends) == 0 {
		return nil
	}
	w, err := c.unsettled(ctx)
	if err != nil || len(w.list) == 0 {
		return err
	}
	for _, end := range c.ends {
		streams := map[hub.ID][]hub.Delivery{}
		for _, d := range w.list {
			if d.Entry == end.entry && (end.party.IsZero() || d.Party == end.party) {
				streams[d.Stream] = append(streams[d.Stream], d)
			}
		}
		for _, unsettled := range streams {
			if end.narrow {
				w.apply(hub.Narrow(unsettled, c.now))
			} else {
				w.apply(hub.End(unsettled, c.now))
			}
		}
	}
	w.queue(b)
	return nil
}

// unsettled reads and locks the deliveries that the endings may touch.
func (c *commit) unsettled(ctx context.Context) (*window, error) {
	ids := map[hub.ID]bool{}
	for _, e := range c.ends {
		ids[e.entry] = true
	}
	return readWindow(ctx, c.tx, `WHERE entry = ANY($1::bytea[]) ORDER BY id FOR UPDATE`, blobs(keysOf(ids)))
}
