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

const signalColumns = `s.position, s.entry, s.type, s.covers, s.payload, s.expires, s.txn, s.time`

func readSignal(r *row) hub.Signal {
	return hub.Signal{Position: r.int(), Entry: r.id(), Type: events.Type(r.text()), Covers: r.text(), Payload: r.bytes(),
		Expires: r.int(), Txn: r.text(), Time: r.int()}
}

// Issue records what is next to be told on a stream and moves its cursor.
//
// The stream's lock keeps other nodes from issuing it at the same time. The head is read before the rows and rows past
// it are left, so that no snapshot is needed for the reads to agree. Most looks find nothing: a lock would cost each of them
// a commit that is flushed.
func (s *Store) Issue(ctx context.Context, stream hub.ID, now int64, window int, decide func(hub.Issuing) hub.Issued) (more bool, err error) {
	p, err := s.prospect(ctx, stream)
	if err != nil || p.Idle(now, window) {
		return false, fail("look what to issue", err)
	}
	issued := false
	err = s.write(ctx, func(tx pgx.Tx) error {
		held, err := lockStream(ctx, tx, stream, besides)
		switch {
		case err != nil:
			return err
		case held == nil:
			return hub.ErrNotFound
		case held.Status != subscriptions.Enabled:
			return nil
		}
		in, err := issuing(ctx, tx, held.Stream, now, window)
		if err != nil || in.Room == 0 && in.Page.Party.Generation == held.Generation {
			return err
		}
		out := decide(*in)
		more, issued = in.Remains(out), len(out.Deliveries) > 0
		return issue(ctx, tx, held, out, now)
	})
	if err != nil {
		return false, fail("issue", err)
	}
	if issued {
		s.hints.wake()
	}
	return more, nil
}

// prospect reads what hub.Prospect says, in one statement; hub.ErrNotFound.
func (s *Store) prospect(ctx context.Context, stream hub.ID) (p hub.Prospect, err error) {
	err = s.query(ctx, func(r *row) {
		p.Stream, p.Party = readStream(r), readParty(r)
		p.Policy = readHead(r).Policy
		p.Unsettled, p.Digest, p.Signals, p.Back, p.Rows = int(r.int()), r.bool(), r.bool(), r.bool(), r.bool()
	}, `SELECT `+streamColumns+`, `+columnsOf("p", partyColumns)+`, `+columnsOf("h", headColumns)+`,
			(SELECT count(*) FROM delivery d WHERE d.stream = s.id AND d.entry IS NOT NULL),
			EXISTS (SELECT FROM delivery d WHERE d.stream = s.id AND d.entry IS NULL AND d.type = $2),
			EXISTS (SELECT FROM signal_party sp WHERE sp.party = s.party AND sp.position > s.signal),
			EXISTS (SELECT FROM exclusion x WHERE x.stream = s.id AND x.back),
			CASE WHEN p.agreement THEN EXISTS (SELECT FROM entry e WHERE e.position > s.at)
				ELSE EXISTS (SELECT FROM grants g WHERE g.party = s.party AND g.position > s.at) END
		FROM stream s JOIN party p ON p.id = s.party CROSS JOIN head h WHERE s.id = $1`, stream[:], string(events.Digest))
	if err == nil && p.Stream.ID.IsZero() {
		err = hub.ErrNotFound
	}
	return p, err
}

// issuing reads what a decision is made from: signals first, the feed for as much room as they leave.
func issuing(ctx context.Context, tx pgx.Tx, stream hub.Stream, now int64, window int) (*hub.Issuing, error) {
	in := &hub.Issuing{Stream: stream, Now: now, Room: window, SignalRows: map[hub.ID]hub.FeedRow{}}
	b := &pgx.Batch{}
	q := hub.FeedQuery{Party: stream.Party, After: stream.At}
	b.Queue(`SELECT count(*) FILTER (WHERE entry IS NOT NULL), count(*) FILTER (WHERE entry IS NULL AND type = $2) > 0
		FROM delivery WHERE stream = $1`, stream.ID[:], string(events.Digest)).
		Query(into(func(r *row) {
			in.Room -= int(r.int())
			in.Digest = r.bool()
		}))
	queuePlace(b, q, &in.Page)
	b.Queue(`SELECT `+signalColumns+` FROM signal_party sp JOIN signal s ON s.position = sp.position
		WHERE sp.party = $1 AND sp.position > $2 ORDER BY sp.position LIMIT $3`, stream.Party[:], stream.Signal, window+1).
		Query(into(func(r *row) { in.Signals = append(in.Signals, readSignal(r)) }))
	some := false
	queueBack(b, stream.ID, window+1, in, &some)
	err := tx.SendBatch(ctx, b).Close()
	in.Room = max(in.Room, 0)
	if err != nil || in.Room == 0 && in.Page.Party.Generation == stream.Generation {
		return in, err
	}
	if len(in.Signals) > in.Room {
		in.Signals, in.MoreSignals = in.Signals[:in.Room], true
	}
	if room := in.Room - len(in.Signals); len(in.Back) > room {
		in.Back, in.MoreBack = in.Back[:room], true
	}
	q.Limit = in.Room - len(in.Signals) - len(in.Back)
	b = &pgx.Batch{}
	queueRows(b, q, &in.Page)
	var rows hub.FeedPage
	if len(in.Signals)+len(in.Back) > 0 {
		ids := map[hub.ID]bool{}
		for _, id := range in.Back {
			ids[id] = true
		}
		for _, s := range in.Signals {
			ids[s.Entry] = true
		}
		queueTold(b, stream.Party, keysOf(ids), false, &rows)
	}
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return nil, err
	}
	for _, r := range rows.Rows {
		in.SignalRows[r.Entry.ID] = r
	}
	if some {
		in.Excluded, err = excluded(ctx, tx, in)
	}
	return in, err
}

// issue writes a decision.
func issue(ctx context.Context, tx pgx.Tx, s *held, out hub.Issued, now int64) error {
	if !out.Records(s.Stream) {
		return nil
	}
	ended, err := holdEntries(ctx, tx, s.Party, out.Deliveries)
	if err != nil {
		return err
	}
	w := newWindow()
	if out.Anew || len(out.Deliveries) > 0 {
		if w, err = readWindow(ctx, tx, `WHERE stream = $1 ORDER BY id FOR UPDATE`, s.ID[:]); err != nil {
			return err
		}
	}
	if out.Anew {
		w.apply(hub.Regenerate(slices.Clone(w.list), out.Generation, now))
	}
	for _, d := range out.Deliveries {
		if ended[d.Entry] && (d.Kind != consent.Removed || d.Signal != 0) {
			continue // revoked since the rows were read; its removal stands at a later position
		}
		w.add(s, d)
	}
	b := &pgx.Batch{}
	w.queue(b)
	queueEndExclusions(b, s.ID, out.Back)
	b.Queue(`UPDATE stream SET base = $2, at = $3, signal = $4, tag = $5, generation = $6, next_order = $7, quiet = $8 WHERE id = $1`,
		s.ID[:], out.Base, out.At, out.Signal, out.Tag[:], out.Generation, s.order, out.Quiet)
	if len(out.Deliveries) > 0 {
		b.Queue(`SELECT pg_notify('tidings', '')`)
	}
	return tx.SendBatch(ctx, b).Close()
}

// add issues a delivery, absorbed by what waits of its entry.
func (w *window) add(s *held, d hub.Delivery) {
	d.Stream, d.Party, d.Order = s.ID, s.Party, s.order
	kept := hub.Absorb(w.of(s.ID, d.Entry), d)
	w.apply(kept)
	if len(kept.Put) == 1 && kept.Put[0].ID == d.ID {
		s.order++
	}
}

// holdEntries keeps the tellings of entries from ending until this transaction has, and says which ended since they were
// read: what a commit withdraws it has to see, and what it does not see must not be written after it.
func holdEntries(ctx context.Context, tx pgx.Tx, party hub.ID, deliveries []hub.Delivery) (map[hub.ID]bool, error) {
	ids, ended := map[hub.ID]bool{}, map[hub.ID]bool{}
	for _, d := range deliveries {
		if !d.Entry.IsZero() {
			ids[d.Entry] = true
		}
	}
	if len(ids) == 0 {
		return ended, nil
	}
	list := blobs(keysOf(ids))
	b := &pgx.Batch{}
	b.Queue(`SELECT id FROM entry WHERE id = ANY($1::bytea[]) ORDER BY id FOR KEY SHARE`, list)
	b.Queue(`SELECT id FROM entry WHERE id = ANY($1::bytea[]) AND deleted <> 0
		UNION SELECT entry FROM grants WHERE party = $2 AND entry = ANY($1::bytea[]) AND ended <> 0
			AND NOT (SELECT agreement FROM party WHERE id = $2)`, list, party[:]).
		Query(into(func(r *row) { ended[r.id()] = true }))
	return ended, tx.SendBatch(ctx, b).Close()
}
