package postgres

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"tidings/consent"
	"tidings/events"
	"tidings/hub"
)

// window is some unsettled deliveries, locked, and what the rules of the engine made of them. Tokens are not among what
// is read unless said.
type window struct {
	list []hub.Delivery
	put  map[hub.ID]bool
	drop map[hub.ID]bool
}

func newWindow() *window { return &window{put: map[hub.ID]bool{}, drop: map[hub.ID]bool{}} }

// readWindow reads deliveries. The condition ends with the order of locks: by id.
func readWindow(ctx context.Context, tx pgx.Tx, condition string, arguments ...any) (*window, error) {
	w := newWindow()
	rows, err := tx.Query(ctx, `SELECT `+deliveryColumns+` FROM delivery `+condition, arguments...)
	if err != nil {
		return nil, err
	}
	return w, each(rows, func(r *row) { w.list = append(w.list, readDelivery(r)) })
}

// of lists the deliveries of one stream and entry as they stand by now.
func (w *window) of(stream, entry hub.ID) (list []hub.Delivery) {
	for _, d := range w.list {
		if d.Stream == stream && d.Entry == entry {
			list = append(list, d)
		}
	}
	return list
}

func (w *window) find(id hub.ID) *hub.Delivery {
	if i := slices.IndexFunc(w.list, func(d hub.Delivery) bool { return d.ID == id }); i >= 0 {
		return &w.list[i]
	}
	return nil
}

func (w *window) apply(k hub.Kept) {
	for _, d := range k.Put {
		if at := w.find(d.ID); at != nil {
			*at = d
		} else {
			w.list = append(w.list, d)
		}
		w.put[d.ID] = true
		delete(w.drop, d.ID)
	}
	for _, id := range k.Drop {
		w.list = slices.DeleteFunc(w.list, func(d hub.Delivery) bool { return d.ID == id })
		delete(w.put, id)
		w.drop[id] = true
	}
}

// queue writes what changed. Tokens follow their delivery: one that is gone or was un-made has none, and of one that is
// void no bytes are kept, only the ids by which the end of its attempt is recognised.
func (w *window) queue(b *pgx.Batch) {
	if len(w.drop) > 0 {
		ids := blobs(keysOf(w.drop))
		b.Queue(`DELETE FROM set_token WHERE delivery = ANY($1::bytea[])`, ids)
		b.Queue(`DELETE FROM delivery WHERE id = ANY($1::bytea[])`, ids)
	}
	var put []hub.Delivery
	var unmade, void [][]byte
	for _, d := range w.list {
		if !w.put[d.ID] {
			continue
		}
		put = append(put, d)
		if !d.Sent {
			unmade = append(unmade, d.ID[:])
		}
		if d.Void {
			void = append(void, d.ID[:])
		}
	}
	if len(unmade) > 0 {
		b.Queue(`DELETE FROM set_token WHERE delivery = ANY($1::bytea[])`, unmade)
	}
	if len(void) > 0 {
		b.Queue(`UPDATE set_token SET compact = NULL WHERE delivery = ANY($1::bytea[])`, void)
	}
	queueDeliveries(b, put)
}

const deliveryColumns = `id, stream, party, entry, ord, kind, gone, names, given, generation, version, position, time, txn,
	signal, type, payload, sent, busy, owner, due, attempts, void, remake, cut, refused`

func readDelivery(r *row) hub.Delivery {
	return hub.Delivery{
		ID: r.id(), Stream: r.id(), Party: r.id(), Entry: r.id(), Order: r.int(), Kind: consent.Kind(r.text()), Gone: r.bool(),
		Names: r.names(), Given: r.int(), Generation: r.int(), Version: r.int(), Position: r.int(), Time: r.int(), Txn: r.text(),
		Signal: r.int(), Type: events.Type(r.text()), Payload: r.bytes(), Sent: r.bool(), Busy: r.int(), Owner: r.text(),
		Due: r.int(), Attempts: int(r.int()), Void: r.bool(), Remake: r.bool(), Cut: int(r.int()), Refused: r.bool(),
	}
}

func queueDeliveries(b *pgx.Batch, list []hub.Delivery) {
	n := len(list)
	if n == 0 {
		return
	}
	var (
		ids, streams, parties, entries, payloads = make([][]byte, n), make([][]byte, n), make([][]byte, n), make([][]byte, n), make([][]byte, n)
		kinds, names, txns, types, owners        = make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
		orders, given, generations, versions     = make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
		positions, times, signals, busy          = make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
		due, attempts, cuts                      = make([]int64, n), make([]int64, n), make([]int64, n)
		gone, sent, void, remake, refused        = make([]bool, n), make([]bool, n), make([]bool, n), make([]bool, n), make([]bool, n)
	)
	for i := range list {
		d := &list[i]
		ids[i], streams[i], parties[i], entries[i], payloads[i] = d.ID[:], d.Stream[:], d.Party[:], null(d.Entry), d.Payload
		kinds[i], names[i], txns[i], types[i], owners[i] = string(d.Kind), joined(d.Names), plain(d.Txn), string(d.Type), plain(d.Owner)
		orders[i], given[i], generations[i], versions[i] = d.Order, d.Given, d.Generation, d.Version
		positions[i], times[i], signals[i], busy[i] = d.Position, d.Time, d.Signal, d.Busy
		due[i], attempts[i], cuts[i] = d.Due, int64(d.Attempts), int64(d.Cut)
		gone[i], sent[i], void[i], remake[i], refused[i] = d.Gone, d.Sent, d.Void, d.Remake, d.Refused
	}
	b.Queue(`INSERT INTO delivery (`+deliveryColumns+`)
		SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bigint[], $6::text[], $7::boolean[],
			$8::text[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::text[], $15::bigint[],
			$16::text[], $17::bytea[], $18::boolean[], $19::bigint[], $20::text[], $21::bigint[], $22::bigint[],
			$23::boolean[], $24::boolean[], $25::bigint[], $26::boolean[])
		ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, gone = excluded.gone, names = excluded.names,
			given = excluded.given, generation = excluded.generation, version = excluded.version,
			position = excluded.position, time = excluded.time, txn = excluded.txn, sent = excluded.sent,
			busy = excluded.busy, owner = excluded.owner, due = excluded.due, attempts = excluded.attempts,
			void = excluded.void, remake = excluded.remake, cut = excluded.cut, refused = excluded.refused`,
		ids, streams, parties, entries, orders, kinds, gone, names, given, generations, versions, positions, times, txns,
		signals, types, payloads, sent, busy, owners, due, attempts, void, remake, cuts, refused)
}
