package postgres

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"tidings/consent"
	"tidings/events"
	"tidings/hub"
	"tidings/subscriptions"
)

const letterColumns = `id, stream, party, entry, kind, gone, names, type, given, signal, attempts, jti, reason, description, time, expires`

func readLetter(r *row) hub.DeadLetter {
	return hub.DeadLetter{ID: r.id(), Stream: r.id(), Party: r.id(), Entry: r.id(), Kind: consent.Kind(r.text()), Gone: r.bool(), Names: r.names(),
		Type: events.Type(r.text()), Given: r.int(), Signal: r.int(), Attempts: int(r.int()), JTI: r.text(), Reason: r.text(),
		Description: r.bytes(), Time: r.int(), Expires: r.int()}
}

// matching is the condition of a letter query, of parameters $1 to $4.
const matching = `($1::bytea IS NULL OR id = $1) AND ($2::bytea IS NULL OR party = $2) AND ($3::bytea IS NULL OR stream = $3)
	AND ($4::bigint = 0 OR expires <= $4)`

// DeadLetters reads what was given up, the newest first.
func (s *Store) DeadLetters(ctx context.Context, q hub.LetterQuery) (list []hub.DeadLetter, err error) {
	err = s.query(ctx, func(r *row) { list = append(list, readLetter(r)) }, `SELECT `+letterColumns+` FROM dead_letter
		WHERE `+matching+` ORDER BY time DESC, id DESC LIMIT $5`, null(q.ID), null(q.Party), null(q.Stream), q.Expired, q.Limit)
	return list, fail("read dead letters", err)
}

// DropLetters forgets letters.
func (s *Store) DropLetters(ctx context.Context, q hub.LetterQuery) (n int, err error) {
	err = s.write(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `DELETE FROM dead_letter WHERE id IN (SELECT id FROM dead_letter WHERE `+matching+` LIMIT $5)`,
			null(q.ID), null(q.Party), null(q.Stream), q.Expired, q.Limit)
		n = int(tag.RowsAffected())
		return err
	})
	return n, fail("drop dead letters", err)
}

// queueLetter gives a delivery up. Of a person who is gone nothing is kept that a receiver wrote;
// a deletion that comes later waits for the delivery's lock, and erases it.
func queueLetter(b *pgx.Batch, l hub.DeadLetter) {
	b.Queue(`INSERT INTO dead_letter (`+letterColumns+`) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,
			CASE WHEN $4::bytea IS NULL OR EXISTS (SELECT FROM entry WHERE id = $4 AND deleted = 0) THEN $14::bytea END, $15, $16`,
		l.ID[:], l.Stream[:], l.Party[:], null(l.Entry), string(l.Kind), l.Gone, joined(l.Names), string(l.Type), l.Given, l.Signal,
		int64(l.Attempts), l.JTI, plain(l.Reason), l.Description, l.Time, l.Expires)
}

// queueTidy makes room for the letters that were buried in a transaction.
func queueTidy(b *pgx.Batch, buried []hub.DeadLetter) {
	streams := map[hub.ID]bool{}
	for _, l := range buried {
		streams[l.Stream] = true
	}
	for stream := range streams {
		b.Queue(`DELETE FROM dead_letter WHERE id IN (SELECT id FROM dead_letter WHERE stream = $1 ORDER BY time DESC, id DESC OFFSET $2)`,
			stream[:], hub.MaxLetters)
	}
}

// Revive puts dead letters back in line. The letters are read without locks, since a commit that deletes a person locks
// entries before letters; those that went meanwhile are no more when they are deleted, and then not told.
func (s *Store) Revive(ctx context.Context, stream, letter hub.ID, now int64, window, limit int) (revived hub.Revived, err error) {
	err = s.write(ctx, func(tx pgx.Tx) error {
		held, err := lockStream(ctx, tx, stream, besides)
		switch {
		case err != nil:
			return err
		case held == nil:
			return hub.ErrNotFound
		case held.Status == subscriptions.Disabled:
			return hub.ErrDisabled
		}
		in := hub.Reviving{Window: window, Now: now}
		rows, err := tx.Query(ctx, `SELECT `+letterColumns+` FROM dead_letter WHERE stream = $1 AND ($2::bytea IS NULL OR id = $2)
			AND expires > $3 ORDER BY time, id LIMIT $4`, stream[:], null(letter), now, limit)
		if err != nil {
			return err
		}
		if err := each(rows, func(r *row) { in.Letters = append(in.Letters, readLetter(r)) }); err != nil {
			return err
		}
		if len(in.Letters) == 0 && !letter.IsZero() {
			return hub.ErrNotFound
		}
		w, err := reviving(ctx, tx, held.Stream, &in)
		if err != nil {
			return err
		}
		again, settled := in.Decide()
		if settled, err = takeLetters(ctx, tx, settled); err != nil {
			return err
		}
		revived.Replayed, revived.Withdrawn = 0, len(settled)
		b := &pgx.Batch{}
		for _, d := range again {
			if !slices.Contains(settled, d.ID) {
				continue // another was faster
			}
			revived.Replayed, revived.Withdrawn = revived.Replayed+1, revived.Withdrawn-1
			w.add(held, d)
		}
		w.queue(b)
		b.Queue(`UPDATE stream SET next_order = $2 WHERE id = $1`, stream[:], held.order)
		b.Queue(`SELECT count(*) FROM dead_letter WHERE stream = $1 AND expires > $2`, stream[:], now).
			Query(into(func(r *row) { revived.Left = int(r.int()) }))
		b.Queue(`SELECT pg_notify('tidings', '')`)
		return tx.SendBatch(ctx, b).Close()
	})
	if err == nil && revived.Replayed > 0 {
		s.hints.wake()
	}
	return revived, fail("replay dead letters", err)
}

// reviving reads what stands behind the letters, held until the transaction ends as holdEntries says, and the window.
func reviving(ctx context.Context, tx pgx.Tx, stream hub.Stream, in *hub.Reviving) (*window, error) {
	entries, positions := map[hub.ID]bool{}, []int64{}
	for _, l := range in.Letters {
		if !l.Entry.IsZero() {
			entries[l.Entry] = true
		}
		if l.Signal != 0 {
			positions = append(positions, l.Signal)
		}
	}
	in.Rows, in.Signals = map[hub.ID]*hub.FeedRow{}, map[int64]*hub.Signal{}
	var page hub.FeedPage
	b := &pgx.Batch{}
	b.Queue(`SELECT id FROM party WHERE id = $1 FOR KEY SHARE`, stream.Party[:])
	b.Queue(`SELECT id FROM entry WHERE id = ANY($1::bytea[]) ORDER BY id FOR KEY SHARE`, blobs(keysOf(entries)))
	queueTold(b, stream.Party, keysOf(entries), false, &page)
	b.Queue(`SELECT entry, back FROM exclusion WHERE stream = $1 AND entry = ANY($2::bytea[])`, stream.ID[:], blobs(keysOf(entries))).
		Query(into(func(r *row) { in.Excluded = append(in.Excluded, hub.Exclusion{Entry: r.id(), Back: r.bool()}) }))
	b.Queue(`SELECT `+signalColumns+` FROM signal s WHERE s.position = ANY($1::bigint[]) AND s.payload IS NOT NULL`, positions).
		Query(into(func(r *row) {
			found := readSignal(r)
			in.Signals[found.Position] = &found
		}))
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return nil, err
	}
	in.Party = page.Party
	for i := range page.Rows {
		in.Rows[page.Rows[i].Entry.ID] = &page.Rows[i]
	}
	w, err := readWindow(ctx, tx, `WHERE stream = $1 ORDER BY id FOR UPDATE`, stream.ID[:])
	if err == nil {
		in.Unsettled = w.list
	}
	return w, err
}

// takeLetters deletes letters and says which were still there.
func takeLetters(ctx context.Context, tx pgx.Tx, ids []hub.ID) (taken []hub.ID, err error) {
	rows, err := tx.Query(ctx, `DELETE FROM dead_letter WHERE id = ANY($1::bytea[]) RETURNING id`, blobs(ids))
	if err != nil {
		return nil, err
	}
	return taken, each(rows, func(r *row) { taken = append(taken, r.id()) })
}
