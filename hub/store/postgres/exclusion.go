package postgres

import (
	"bytes"
	"context"

	"github.com/jackc/pgx/v5"

	"tidings/hub"
	"tidings/hub/schema"
)

// Choose changes which subjects a stream is told of. The stream's lock keeps Issue and Begin out: what they did before is
// seen here and withdrawn, and what they do later sees this. The entries' keeps them from being trimmed meanwhile.
func (s *Store) Choose(ctx context.Context, party, stream hub.ID, named hub.Naming, now int64, choose func(hub.Choosing) (hub.Chosen, error)) error {
	err := s.write(ctx, func(tx pgx.Tx) error {
		held, err := lockStream(ctx, tx, stream, alone)
		if err != nil {
			return err
		}
		if held == nil || !party.IsZero() && held.Party != party {
			return hub.ErrNotFound
		}
		in, w, err := choosing(ctx, tx, held.Stream, named)
		if err != nil {
			return err
		}
		in.Now = now
		out, err := choose(*in)
		if err != nil {
			return err
		}
		w.apply(out.Kept)
		b := &pgx.Batch{}
		w.queue(b)
		for _, x := range out.Put {
			b.Queue(`INSERT INTO exclusion (stream, entry, back) VALUES ($1, $2, $3)
				ON CONFLICT (stream, entry) DO UPDATE SET back = excluded.back`, stream[:], x.Entry[:], x.Back)
		}
		queueEndExclusions(b, stream, out.Drop)
		b.Queue(`SELECT pg_notify('tidings', '')`)
		return tx.SendBatch(ctx, b).Close()
	})
	if err == nil {
		s.hints.wake()
	}
	return fail("choose subjects", err)
}

func choosing(ctx context.Context, tx pgx.Tx, stream hub.Stream, by hub.Naming) (*hub.Choosing, *window, error) {
	named, err := found(ctx, tx, stream.Party, by)
	if err != nil {
		return nil, nil, err
	}
	ids := blobs(named)
	in := &hub.Choosing{Stream: stream}
	b := &pgx.Batch{}
	b.Queue(`SELECT id FROM party WHERE id = $1 FOR KEY SHARE`, stream.Party[:])
	b.Queue(`SELECT id FROM entry WHERE id = ANY($1::bytea[]) ORDER BY id FOR KEY SHARE`, ids)
	queueTold(b, stream.Party, named, true, &in.Page)
	b.Queue(`SELECT count(*) FROM exclusion WHERE stream = $1`, stream.ID[:]).
		Query(into(func(r *row) { in.Count = int(r.int()) }))
	b.Queue(`SELECT entry, back FROM exclusion WHERE stream = $1 AND entry = ANY($2::bytea[])`, stream.ID[:], ids).
		Query(into(func(r *row) { in.Excluded = append(in.Excluded, hub.Exclusion{Entry: r.id(), Back: r.bool()}) }))
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return nil, nil, err
	}
	w, err := readWindow(ctx, tx, `WHERE stream = $1 AND entry = ANY($2::bytea[]) ORDER BY id FOR UPDATE`, stream.ID[:], ids)
	if err != nil {
		return nil, nil, err
	}
	in.Unsettled = append(in.Unsettled, w.list...)
	return in, w, nil
}

// found lists the entries that a subject may name.
func found(ctx context.Context, tx pgx.Tx, party hub.ID, by hub.Naming) ([]hub.ID, error) {
	ids, names := map[hub.ID]bool{}, make([][]byte, len(by.UserNames))
	for _, id := range by.Entries {
		ids[id] = true
	}
	for i, name := range by.UserNames {
		names[i] = []byte(name)
	}
	add := into(func(r *row) { ids[r.id()] = true })
	b := &pgx.Batch{}
	b.Queue(`SELECT id FROM entry WHERE type = $1 AND user_name = ANY($2::bytea[])`, string(schema.User), names).Query(add)
	for _, key := range by.Keys {
		b.Queue(`SELECT i.entry FROM identifier i WHERE i.key = $1 AND ((SELECT agreement FROM party WHERE id = $2)
			OR EXISTS (SELECT FROM grants g WHERE g.party = $2 AND g.entry = i.entry AND g.ended = 0)) LIMIT $3`, key[:], party[:], hub.MaxNamed).Query(add)
	}
	err := tx.SendBatch(ctx, b).Close()
	return keysOf(ids), err
}

// writeIdentifiers replaces the identifiers of the entries that have other ones now.
func (c *commit) writeIdentifiers(b *pgx.Batch) {
	var stood, entries, keys [][]byte
	for id, known := range c.known {
		if e := c.entries[id]; e.state != created {
			stood = append(stood, e.ID[:])
		}
		for _, key := range known {
			entries, keys = append(entries, bytes.Clone(id[:])), append(keys, bytes.Clone(key[:]))
		}
	}
	if len(stood) > 0 {
		b.Queue(`DELETE FROM identifier WHERE entry = ANY($1::bytea[])`, stood)
	}
	if len(keys) > 0 {
		b.Queue(`INSERT INTO identifier (key, entry) SELECT * FROM unnest($1::bytea[], $2::bytea[])`, keys, entries)
	}
}

// reidentify makes the identifiers of all persons anew, for a store that was written before there were any.
func reidentify(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `SELECT id, doc FROM entry WHERE type = $1 AND doc IS NOT NULL`, string(schema.User))
	if err != nil {
		return err
	}
	var entries, keys [][]byte
	if err := each(rows, func(r *row) {
		id := r.id()
		for _, key := range hub.Identifiers(schema.User, r.attributes()) {
			entries, keys = append(entries, bytes.Clone(id[:])), append(keys, bytes.Clone(key[:]))
		}
	}); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO identifier (key, entry) SELECT * FROM unnest($1::bytea[], $2::bytea[])`, keys, entries)
	return err
}

// queueBack reads who is on the way back to a stream, and whether anybody is off it.
func queueBack(b *pgx.Batch, stream hub.ID, limit int, in *hub.Issuing, some *bool) {
	b.Queue(`SELECT entry FROM exclusion WHERE stream = $1 AND back ORDER BY entry LIMIT $2`, stream[:], limit).
		Query(into(func(r *row) { in.Back = append(in.Back, r.id()) }))
	b.Queue(`SELECT EXISTS (SELECT FROM exclusion WHERE stream = $1)`, stream[:]).
		Query(into(func(r *row) { *some = r.bool() }))
}

// excluded says who of the page's rows and of the signals is off the stream.
func excluded(ctx context.Context, tx pgx.Tx, in *hub.Issuing) (map[hub.ID]bool, error) {
	ids := map[hub.ID]bool{}
	for i := range in.Page.Rows {
		ids[in.Page.Rows[i].Entry.ID] = true
	}
	for i := range in.Signals {
		ids[in.Signals[i].Entry] = true
	}
	rows, err := tx.Query(ctx, `SELECT entry, back FROM exclusion WHERE stream = $1 AND entry = ANY($2::bytea[])`,
		in.Stream.ID[:], blobs(keysOf(ids)))
	if err != nil {
		return nil, err
	}
	off := map[hub.ID]bool{}
	return off, each(rows, func(r *row) { off[r.id()] = r.bool() })
}

func queueEndExclusions(b *pgx.Batch, stream hub.ID, entries []hub.ID) {
	if len(entries) > 0 {
		b.Queue(`DELETE FROM exclusion WHERE stream = $1 AND entry = ANY($2::bytea[])`, stream[:], blobs(entries))
	}
}
