package postgres

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"

	"tidings/hub"
	"tidings/subscriptions"
)

const streamColumns = `s.id, s.party, s.settings, s.status, s.reason, s.base, s.at, s.signal, s.tag, s.generation, s.version,
	s.created_at, s.verified, s.failures, s.problem, s.set_by, s.failing, s.quiet`

func readStream(r *row) (s hub.Stream) {
	s.ID, s.Party = r.id(), r.id()
	r.json(&s.Settings)
	s.Status, s.Reason = subscriptions.Status(r.text()), r.text()
	s.Base, s.At, s.Signal, s.Tag, s.Generation, s.Version = r.int(), r.int(), r.int(), r.tag(), r.int(), r.int()
	s.CreatedAt, s.Verified, s.Failures, s.Problem = r.int(), r.int(), int(r.int()), r.text()
	s.By, s.Failing, s.Quiet = subscriptions.By(r.text()), r.int(), r.int()
	return s
}

// CreateStream keeps a new stream, its place set to the head.
func (s *Store) CreateStream(ctx context.Context, stream hub.Stream, limit int) (*hub.Stream, error) {
	settings, err := json.Marshal(stream.Settings)
	if err != nil {
		return nil, fail("create stream", err)
	}
	err = s.write(ctx, func(tx pgx.Tx) error {
		p, err := lockParty(ctx, tx, stream.Party)
		if err != nil {
			return err
		}
		var head hub.Head
		count := 0
		b := &pgx.Batch{}
		b.Queue(`SELECT ` + headColumns + ` FROM head`).Query(into(func(r *row) { head = readHead(r) }))
		b.Queue(`SELECT count(*) FROM stream WHERE party = $1`, p.ID[:]).Query(into(func(r *row) { count = int(r.int()) }))
		if err := tx.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		if count >= limit {
			return hub.ErrLimit
		}
		toHead(&stream, head, p)
		stream.Version = 1
		_, err = tx.Exec(ctx, `INSERT INTO stream (id, party, settings, method, status, reason, base, at, signal, tag,
				generation, version, created_at, verified, failures, problem, set_by, failing, quiet, next_order, lease_owner, lease_until)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $7, $8, $9, 1, $10, $11, $12, $13, $14, $15, $16, 1, '', 0)`,
			stream.ID[:], stream.Party[:], string(settings), stream.Settings.Delivery.Method, string(stream.Status),
			plain(stream.Reason), stream.At, stream.Tag[:], stream.Generation, stream.CreatedAt, stream.Verified,
			stream.Failures, plain(stream.Problem), string(stream.By), stream.Failing, stream.Quiet)
		return err
	})
	if err != nil {
		return nil, fail("create stream", err)
	}
	return &stream, nil
}

// lockParty reads a living party and keeps others from adding to it or changing it.
func lockParty(ctx context.Context, tx pgx.Tx, id hub.ID) (p hub.Party, err error) {
	rows, err := tx.Query(ctx, `SELECT `+partyColumns+` FROM party WHERE id = $1 FOR NO KEY UPDATE`, id[:])
	if err != nil {
		return p, err
	}
	if err := each(rows, func(r *row) { p = readParty(r) }); err != nil {
		return p, err
	}
	if p.ID.IsZero() || p.Removed != 0 {
		return p, hub.ErrNotFound
	}
	return p, nil
}

// toHead sets a stream's place: the past is not told on it.
func toHead(s *hub.Stream, head hub.Head, p hub.Party) {
	s.Base, s.At, s.Signal, s.Tag, s.Generation = head.Position, head.Position, head.Position, head.Tag, p.Generation
}

// Stream reads one stream; the party's only, or any for the zero party.
func (s *Store) Stream(ctx context.Context, party, id hub.ID) (stream *hub.Stream, err error) {
	err = s.query(ctx, func(r *row) {
		found := readStream(r)
		stream = &found
	}, `SELECT `+streamColumns+` FROM stream s WHERE s.id = $1 AND ($2::bytea IS NULL OR s.party = $2)`, id[:], null(party))
	if err == nil && stream == nil {
		err = hub.ErrNotFound
	}
	return stream, fail("read stream", err)
}

// Streams reads a party's streams in order of id, or all of them for the zero party.
func (s *Store) Streams(ctx context.Context, party hub.ID) (list []hub.Stream, err error) {
	err = s.query(ctx, func(r *row) { list = append(list, readStream(r)) },
		`SELECT `+streamColumns+` FROM stream s WHERE $1::bytea IS NULL OR s.party = $1 ORDER BY s.id`, null(party))
	return list, fail("read streams", err)
}

// Backlogs reads streams with what they have not told.
func (s *Store) Backlogs(ctx context.Context, stream hub.ID) (list []hub.Backlog, err error) {
	err = s.query(ctx, func(r *row) {
		b := hub.Backlog{Stream: readStream(r), Waiting: int(r.int()), Behind: int(r.int())}
		b.Behind = min(b.Behind, hub.MaxBehind)
		list = append(list, b)
	}, `SELECT `+streamColumns+`, (SELECT count(*) FROM delivery d WHERE d.stream = s.id),
			CASE WHEN s.status = 'disabled' THEN 0 ELSE
				(SELECT count(*) FROM (SELECT FROM signal_party x WHERE x.party = s.party AND x.position > s.signal LIMIT $1) x)
				+ CASE WHEN p.agreement
					THEN (SELECT count(*) FROM (SELECT FROM entry e WHERE e.position > s.at LIMIT $1) e)
					ELSE (SELECT count(*) FROM (SELECT FROM grants g WHERE g.party = s.party AND g.position > s.at LIMIT $1) g) END
			END
		FROM stream s JOIN party p ON p.id = s.party WHERE $2::bytea IS NULL OR s.id = $2 ORDER BY s.id`, hub.MaxBehind, null(stream))
	return list, fail("read backlogs", err)
}

// held is a stream as locked by a transaction.
type held struct {
	hub.Stream
	order int64 // of the next delivery
}

// lockStream reads and locks one stream; the lock says against whom. nil when there is none.
func lockStream(ctx context.Context, tx pgx.Tx, id hub.ID, lock string) (found *held, err error) {
	rows, err := tx.Query(ctx, `SELECT `+streamColumns+`, s.next_order FROM stream s WHERE s.id = $1 `+lock, id[:])
	if err != nil {
		return nil, err
	}
	err = each(rows, func(r *row) { found = &held{Stream: readStream(r), order: r.int()} })
	return found, err
}

const (
	// alone keeps attempts (Begin) out too; besides does not.
	alone   = `FOR UPDATE`
	besides = `FOR NO KEY UPDATE`
)

// SetStream writes settings, status, reason, by and Verified if Version still stands, and keeps own with it.
func (s *Store) SetStream(ctx context.Context, stream hub.Stream, own []hub.Delivery) (written *hub.Stream, dropped int, err error) {
	settings, err := json.Marshal(stream.Settings)
	if err != nil {
		return nil, 0, fail("set stream", err)
	}
	stream.Reason = plain(stream.Reason)
	err = s.write(ctx, func(tx pgx.Tx) error {
		set, err := lockStream(ctx, tx, stream.ID, alone)
		switch {
		case err != nil:
			return err
		case set == nil || !stream.Party.IsZero() && set.Party != stream.Party:
			return hub.ErrNotFound
		case set.Version != stream.Version:
			return hub.ErrConflict
		}
		waiting, err := readWindow(ctx, tx, `WHERE stream = $1 AND entry IS NULL ORDER BY id FOR UPDATE`, set.ID[:])
		if err != nil {
			return err
		}
		r, err := hub.Rewrite(set.Stream, stream, waiting.list, own)
		if err != nil {
			return err
		}
		set.Stream, written, dropped = r.Stream, &r.Stream, 0
		if r.ToHead {
			if err := moveToHead(ctx, tx, written); err != nil {
				return err
			}
		}
		b := &pgx.Batch{}
		queueRewritten(b, r, &dropped)
		for i := range own {
			own[i].Stream, own[i].Party, own[i].Order = set.ID, set.Party, set.order
			set.order++
		}
		queueDeliveries(b, own)
		b.Queue(`UPDATE stream SET settings = $2, method = $3, status = $4, reason = $5, verified = $6, version = $7,
				base = $8, at = $9, signal = $10, tag = $11, generation = $12, next_order = $13, set_by = $14,
				failures = $15, failing = $16, problem = $17, quiet = $18 WHERE id = $1`,
			set.ID[:], string(settings), written.Settings.Delivery.Method, string(written.Status), written.Reason, written.Verified,
			written.Version, written.Base, written.At, written.Signal, written.Tag[:], written.Generation, set.order,
			string(written.By), written.Failures, written.Failing, plain(written.Problem), written.Quiet)
		b.Queue(`SELECT pg_notify('tidings', '')`)
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return nil, 0, fail("set stream", err)
	}
	s.hints.wake()
	return written, dropped, nil
}

// queueRewritten does to what waits on a stream what follows from its write.
func queueRewritten(b *pgx.Batch, r hub.Rewritten, dropped *int) {
	if r.Forget {
		b.Queue(`SELECT count(*) FROM delivery WHERE stream = $1`, r.Stream.ID[:]).Query(into(func(r *row) { *dropped = int(r.int()) }))
		queueForget(b, r.Stream.ID)
		return
	}
	if len(r.Drop) > 0 {
		b.Queue(`DELETE FROM set_token WHERE delivery = ANY($1::bytea[])`, blobs(r.Drop))
		b.Queue(`DELETE FROM delivery WHERE id = ANY($1::bytea[])`, blobs(r.Drop))
	}
	if r.Hurry {
		b.Queue(`UPDATE delivery SET due = 0 WHERE stream = $1`, r.Stream.ID[:])
	}
}

func moveToHead(ctx context.Context, tx pgx.Tx, stream *hub.Stream) error {
	b := &pgx.Batch{}
	b.Queue(`SELECT `+columnsOf("h", headColumns)+`, `+columnsOf("p", partyColumns)+`
		FROM head h CROSS JOIN party p WHERE p.id = $1`, stream.Party[:]).
		Query(into(func(r *row) { toHead(stream, readHead(r), readParty(r)) }))
	return tx.SendBatch(ctx, b).Close()
}

// queueForget drops all that is unsettled on a stream, and what is on its way back to it.
func queueForget(b *pgx.Batch, stream hub.ID) {
	b.Queue(`DELETE FROM set_token WHERE delivery IN (SELECT id FROM delivery WHERE stream = $1)`, stream[:])
	b.Queue(`DELETE FROM delivery WHERE stream = $1`, stream[:])
	b.Queue(`DELETE FROM exclusion WHERE stream = $1 AND back`, stream[:])
}

// DeleteStream forgets a stream and everything of it.
func (s *Store) DeleteStream(ctx context.Context, party, id hub.ID) error {
	err := s.write(ctx, func(tx pgx.Tx) error {
		stream, err := lockStream(ctx, tx, id, alone)
		if err != nil {
			return err
		}
		if stream == nil || !party.IsZero() && stream.Party != party {
			return hub.ErrNotFound
		}
		b := &pgx.Batch{}
		queueForget(b, id)
		b.Queue(`DELETE FROM dead_letter WHERE stream = $1`, id[:])
		b.Queue(`DELETE FROM exclusion WHERE stream = $1`, id[:])
		b.Queue(`DELETE FROM stream WHERE id = $1`, id[:])
		return tx.SendBatch(ctx, b).Close()
	})
	return fail("delete stream", err)
}
