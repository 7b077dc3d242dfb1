package postgres

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"tidings/events"
	"tidings/hub"
	"tidings/subscriptions"
)

// Sendable reads deliveries whose turn it is, with what is needed to check and make them, in one snapshot.
func (s *Store) Sendable(ctx context.Context, stream hub.ID, now int64, limit int) ([]hub.Sending, error) {
	var list []hub.Sending
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err := pgx.BeginTxFunc(ctx, s.pool, options, func(tx pgx.Tx) error {
		found, err := lockStream(ctx, tx, stream, "")
		if err != nil || found == nil {
			return err
		}
		turns, err := readTurns(ctx, tx, found.Stream, now, limit)
		if err != nil || len(turns) == 0 {
			return err
		}
		list, err = sendings(ctx, tx, found.Stream, turns)
		return err
	})
	return list, fail("read sendable", err)
}

// readTurns finds the deliveries whose turn it is. Of the window it reads only what hub.Turns looks at and sendings goes
// by, since the whole of it is looked through for each portion.
func readTurns(ctx context.Context, tx pgx.Tx, stream hub.Stream, now int64, limit int) ([]hub.Delivery, error) {
	var unsettled []hub.Delivery
	rows, err := tx.Query(ctx, `SELECT id, entry, ord, position, txn, signal, busy, due, void, attempts, type FROM delivery
		WHERE stream = $1`, stream.ID[:])
	if err != nil {
		return nil, err
	}
	err = each(rows, func(r *row) {
		d := hub.Delivery{ID: r.id(), Entry: r.id(), Order: r.int(), Position: r.int(), Txn: r.text(), Signal: r.int(),
			Busy: r.int(), Due: r.int(), Void: r.bool(), Attempts: int(r.int()), Type: events.Type(r.text())}
		if hub.MayLeave(stream.Status, d) {
			unsettled = append(unsettled, d)
		}
	})
	return hub.Turns(unsettled, now, limit), err
}

// sendings reads deliveries whole, with what stands behind them.
func sendings(ctx context.Context, tx pgx.Tx, stream hub.Stream, turns []hub.Delivery) ([]hub.Sending, error) {
	ids, entries, positions := make([]hub.ID, len(turns)), map[hub.ID]bool{}, []int64{}
	causes, lines := map[int64]hub.Change{}, []int64{}
	for i, d := range turns {
		ids[i] = d.ID
		if !d.Entry.IsZero() {
			entries[d.Entry] = true
		}
		if d.Signal != 0 {
			positions = append(positions, d.Signal)
		}
		if d.Position != 0 {
			lines = append(lines, d.Position)
		}
	}
	var page hub.FeedPage
	tokens, signals := map[hub.ID][]hub.SignedToken{}, map[int64]*hub.Signal{}
	whole := map[hub.ID]hub.Delivery{}
	b := &pgx.Batch{}
	b.Queue(`SELECT `+deliveryColumns+` FROM delivery WHERE id = ANY($1::bytea[])`, blobs(ids)).Query(into(func(r *row) {
		d := readDelivery(r)
		whole[d.ID] = d
	}))
	var keyring int64
	queueTokens(b, ids, tokens)
	queueKeyring(b, &keyring)
	queueTold(b, stream.Party, keysOf(entries), true, &page)
	if len(positions) > 0 {
		b.Queue(`SELECT `+signalColumns+` FROM signal s WHERE s.position = ANY($1::bigint[]) AND s.payload IS NOT NULL`, positions).
			Query(into(func(r *row) {
				found := readSignal(r)
				signals[found.Position] = &found
			}))
	}
	if len(lines) > 0 {
		b.Queue(`SELECT position, txn, actor, source FROM change WHERE position = ANY($1::bigint[])`, lines).
			Query(into(func(r *row) { causes[r.int()] = hub.Change{Txn: r.text(), Actor: r.text(), Source: r.text()} }))
	}
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return nil, err
	}
	rows := map[hub.ID]*hub.FeedRow{}
	for i := range page.Rows {
		rows[page.Rows[i].Entry.ID] = &page.Rows[i]
	}
	list := make([]hub.Sending, len(turns))
	for i := range turns {
		d := whole[turns[i].ID]
		d.Tokens = tokens[d.ID]
		cause := causes[d.Position]
		d.Txn = cmp.Or(d.Txn, cause.Txn)
		list[i] = hub.Sending{Delivery: d, Row: rows[d.Entry], Party: page.Party, Settings: stream.Settings,
			Signal: signals[d.Signal], Policy: page.Head.Policy, Actor: cause.Actor, Source: cause.Source, Keyring: keyring}
	}
	return list, nil
}

// queueTokens reads the tokens of deliveries, in their order.
func queueTokens(b *pgx.Batch, deliveries []hub.ID, tokens map[hub.ID][]hub.SignedToken) {
	b.Queue(`SELECT delivery, jti, kid, compact, settled FROM set_token WHERE delivery = ANY($1::bytea[]) ORDER BY delivery, n`,
		blobs(deliveries)).Query(into(func(r *row) {
		id := r.id()
		tokens[id] = append(tokens[id], hub.SignedToken{JTI: r.text(), KeyID: r.text(), Compact: r.bytes(), Settled: r.bool()})
	}))
}

// Begin starts attempts. Everything that could forbid one is held until the transaction ends: a revocation that was
// committed before is seen, one that comes later waits and finds the attempt.
func (s *Store) Begin(ctx context.Context, now int64, attempts []hub.Attempt) ([]bool, error) {
	begun := make([]bool, len(attempts))
	err := s.write(ctx, func(tx pgx.Tx) error {
		ids := make([]hub.ID, len(attempts))
		for i := range attempts {
			ids[i] = attempts[i].Delivery
		}
		h, err := hold(ctx, tx, ids)
		if err != nil {
			return err
		}
		b := &pgx.Batch{}
		for i := range attempts {
			begun[i] = h.begin(b, &attempts[i], now)
		}
		h.window.queue(b)
		h.queueTokens(b)
		queueTidy(b, h.buried)
		if b.Len() == 0 {
			return nil
		}
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return nil, fail("begin", err)
	}
	return begun, nil
}

// holding is what attempts are judged by, all of it locked.
type holding struct {
	window  *window
	streams map[hub.ID]subscriptions.Status
	pages   map[hub.ID]*hub.FeedPage // by party
	keyring int64
	tokens  []keptToken
	buried  []hub.DeadLetter
}

type keptToken struct {
	delivery hub.ID
	n        int
	hub.SignedToken
}

// hold locks, in the order of the package comment, the keyring, streams, parties, entries and the deliveries of the same streams and
// entries, and reads the rows behind them.
func hold(ctx context.Context, tx pgx.Tx, ids []hub.ID) (*holding, error) {
	loose, err := readWindow(ctx, tx, `WHERE id = ANY($1::bytea[])`, blobs(ids))
	if err != nil {
		return nil, err
	}
	h := &holding{window: newWindow(), streams: map[hub.ID]subscriptions.Status{}, pages: map[hub.ID]*hub.FeedPage{}}
	if len(loose.list) == 0 {
		return h, nil
	}
	streams, entries, parties := map[hub.ID]bool{}, map[hub.ID]bool{}, map[hub.ID]map[hub.ID]bool{}
	for _, d := range loose.list {
		streams[d.Stream] = true
		if parties[d.Party] == nil {
			parties[d.Party] = map[hub.ID]bool{}
		}
		if !d.Entry.IsZero() {
			entries[d.Entry], parties[d.Party][d.Entry] = true, true
		}
	}
	heldParties := map[hub.ID]bool{}
	for id := range parties {
		heldParties[id] = true
	}
	b := &pgx.Batch{}
	b.Queue(keyringShared, keyringLock)
	queueKeyring(b, &h.keyring)
	b.Queue(`SELECT id, status FROM stream WHERE id = ANY($1::bytea[]) ORDER BY id FOR KEY SHARE`, blobs(keysOf(streams))).
		Query(into(func(r *row) { h.streams[r.id()] = subscriptions.Status(r.text()) }))
	b.Queue(`SELECT id FROM party WHERE id = ANY($1::bytea[]) ORDER BY id FOR KEY SHARE`, blobs(keysOf(heldParties)))
	b.Queue(`SELECT id FROM entry WHERE id = ANY($1::bytea[]) ORDER BY id FOR KEY SHARE`, blobs(keysOf(entries)))
	for _, id := range keysOf(heldParties) {
		h.pages[id] = &hub.FeedPage{}
		queueTold(b, id, keysOf(parties[id]), false, h.pages[id])
	}
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return nil, err
	}
	h.window, err = readWindow(ctx, tx, `WHERE stream = ANY($1::bytea[]) AND entry = ANY($2::bytea[]) OR id = ANY($3::bytea[])
		ORDER BY id FOR UPDATE`, blobs(keysOf(streams)), blobs(keysOf(entries)), blobs(ids))
	if err != nil {
		return nil, err
	}
	return h, h.readSettled(ctx, tx, ids)
}

// readSettled reads which tokens of deliveries that were sent before are settled by now.
func (h *holding) readSettled(ctx context.Context, tx pgx.Tx, ids []hub.ID) error {
	var sent [][]byte
	for _, id := range ids {
		if d := h.window.find(id); d != nil && d.Sent {
			sent = append(sent, d.ID[:])
		}
	}
	if len(sent) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, `SELECT delivery, jti, settled FROM set_token WHERE delivery = ANY($1::bytea[]) ORDER BY delivery, n`, sent)
	if err != nil {
		return err
	}
	return each(rows, func(r *row) {
		d := h.window.find(r.id())
		d.Tokens = append(d.Tokens, hub.SignedToken{JTI: r.text(), Settled: r.bool()})
	})
}

// begin judges one attempt and reports whether it may go out.
func (h *holding) begin(b *pgx.Batch, a *hub.Attempt, now int64) bool {
	found := h.window.find(a.Delivery)
	if found == nil || found.Busy > now || a.Keyring != h.keyring || !hub.MayLeave(h.streams[found.Stream], *found) {
		return false
	}
	d := *found
	beside := h.window.of(d.Stream, d.Entry)
	if !d.Void && !d.Entry.IsZero() && slices.ContainsFunc(beside, func(o hub.Delivery) bool { return o.Busy > now }) {
		return false // another node was faster with the entry's other delivery
	}
	page := h.pages[d.Party]
	var row *hub.FeedRow
	if i := slices.IndexFunc(page.Rows, func(r hub.FeedRow) bool { return r.Entry.ID == d.Entry }); i >= 0 {
		row = &page.Rows[i]
	}
	d.Remake = d.Remake || a.Remakes(d)
	switch hub.Judge(d, *a, row, page.Party, now) {
	case hub.WithdrawIt:
		if a.Dead != "" && !d.Void {
			letter := hub.Bury(d, hub.Outcome{Reason: a.Dead}, now)
			queueLetter(b, letter)
			h.buried = append(h.buried, letter)
		}
		h.window.apply(hub.Kept{Drop: []hub.ID{d.ID}})
		return false
	case hub.Wait:
		if d.Remake {
			h.window.apply(hub.Released(d, beside, now))
		}
		return false
	}
	d.Sent, d.Busy, d.Owner, d.Cut = true, a.Busy, a.Owner, a.Cut
	d.Attempts++
	h.window.apply(hub.Kept{Put: []hub.Delivery{d}})
	for n, t := range a.Tokens {
		h.tokens = append(h.tokens, keptToken{d.ID, n, t})
	}
	return true
}

func (h *holding) queueTokens(b *pgx.Batch) {
	n := len(h.tokens)
	if n == 0 {
		return
	}
	var (
		deliveries, compacts = make([][]byte, n), make([][]byte, n)
		places               = make([]int64, n)
		jtis, kids           = make([]string, n), make([]string, n)
	)
	for i := range h.tokens {
		t := &h.tokens[i]
		deliveries[i], places[i], jtis[i], kids[i], compacts[i] = t.delivery[:], int64(t.n), t.JTI, t.KeyID, t.Compact
	}
	b.Queue(`INSERT INTO set_token (delivery, n, jti, kid, compact, settled)
		SELECT *, false FROM unnest($1::bytea[], $2::bigint[], $3::text[], $4::text[], $5::bytea[])`, deliveries, places, jtis, kids, compacts)
}

// Settle ends attempts, with what the receiver said of each token. A token that is not known, or of another stream, is
// passed over: the receiver cannot tell it from one that was settled long ago (RFC 8936 section 2.2).
func (s *Store) Settle(ctx context.Context, stream hub.ID, now int64, outcomes []hub.Outcome) (buried []hub.DeadLetter, err error) {
	if len(outcomes) == 0 {
		return nil, nil
	}
	found := false
	err = s.write(ctx, func(tx pgx.Tx) error {
		held, err := lockStream(ctx, tx, stream, besides)
		if err != nil || held == nil {
			return err
		}
		e, err := readEnd(ctx, tx, stream, outcomes)
		if err != nil || len(e.delivery) == 0 {
			return err
		}
		found = true
		b := &pgx.Batch{}
		before := held.Stream
		for _, o := range outcomes {
			e.settle(b, &held.Stream, o, now)
		}
		buried = e.buried
		queueTidy(b, buried)
		e.window.queue(b)
		if len(e.settled) > 0 {
			b.Queue(`UPDATE set_token SET settled = true, compact = NULL WHERE jti = ANY($1::text[])`, e.settled)
		}
		if held.Failures != before.Failures || held.Problem != before.Problem {
			b.Queue(`UPDATE stream SET failures = $2, failing = $3, problem = $4 WHERE id = $1`,
				stream[:], held.Failures, held.Failing, plain(held.Problem))
		}
		b.Queue(`SELECT pg_notify('tidings', '')`)
		return tx.SendBatch(ctx, b).Close()
	})
	if err == nil && found { // what a receiver says of tokens that are none disturbs nobody
		s.hints.wake()
	}
	return buried, fail("settle", err)
}

// ends is what outcomes are applied to.
type ends struct {
	window   *window
	delivery map[string]hub.ID // by jti
	tokens   map[hub.ID][]hub.SignedToken
	settled  []string
	buried   []hub.DeadLetter
}

func readEnd(ctx context.Context, tx pgx.Tx, stream hub.ID, outcomes []hub.Outcome) (*ends, error) {
	e := &ends{delivery: map[string]hub.ID{}, tokens: map[hub.ID][]hub.SignedToken{}}
	var jtis []string
	for _, o := range outcomes {
		if o.JTI == plain(o.JTI) {
			jtis = append(jtis, o.JTI)
		}
	}
	w, err := readWindow(ctx, tx, `WHERE stream = $1 AND (id IN (SELECT delivery FROM set_token WHERE jti = ANY($2::text[]))
		OR entry IN (SELECT d.entry FROM set_token t JOIN delivery d ON d.id = t.delivery WHERE t.jti = ANY($2::text[])))
		ORDER BY id FOR UPDATE`, stream[:], jtis)
	if err != nil || len(w.list) == 0 {
		return e, err
	}
	e.window = w
	ids := make([]hub.ID, len(w.list))
	for i, d := range w.list {
		ids[i] = d.ID
	}
	b := &pgx.Batch{}
	queueTokens(b, ids, e.tokens)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return nil, err
	}
	for id, tokens := range e.tokens {
		for _, t := range tokens {
			e.delivery[t.JTI] = id
		}
	}
	return e, nil
}

// bury gives a delivery up.
func (e *ends) bury(b *pgx.Batch, d hub.Delivery, o hub.Outcome, now int64) {
	letter := hub.Bury(d, o, now)
	queueLetter(b, letter)
	e.buried = append(e.buried, letter)
}

func (e *ends) settle(b *pgx.Batch, s *hub.Stream, o hub.Outcome, now int64) {
	found := e.window.find(e.delivery[o.JTI])
	if found == nil || !found.Sent || found.Outlived(o) { // not sent: un-made by an outcome before this one
		return
	}
	d := *found
	d.Tokens = e.tokens[d.ID]
	i := slices.IndexFunc(d.Tokens, func(t hub.SignedToken) bool { return t.JTI == o.JTI })
	if i < 0 || d.Tokens[i].Settled {
		return
	}
	due := s.Heard(o, now)
	beside := e.window.of(d.Stream, d.Entry)
	switch o.Next {
	case subscriptions.Done:
		kept := hub.Settled(d, beside, o.JTI)
		for _, p := range kept.Put {
			if p.ID == d.ID {
				e.tokens[d.ID] = p.Tokens
			}
		}
		e.window.apply(kept)
		e.settled = append(e.settled, o.JTI)
	case subscriptions.Dead:
		if !d.Void {
			e.bury(b, d, o, now)
		}
		e.window.apply(hub.Kept{Drop: []hub.ID{d.ID}})
	case subscriptions.Remake:
		kept, again := hub.Refuse(d, beside, due)
		if !again {
			e.bury(b, d, o, now)
			kept.Drop = []hub.ID{d.ID}
		}
		e.window.apply(kept)
	default:
		e.window.apply(hub.Released(d, beside, due))
	}
}

// Lease takes or keeps for node the enabled streams of a method that have something to do.
func (s *Store) Lease(ctx context.Context, node string, now, until int64, method string) (streams []hub.ID, next int64, err error) {
	err = s.write(ctx, func(tx pgx.Tx) error {
		var taken [][]byte
		b := &pgx.Batch{}
		b.Queue(`SELECT s.id, s.lease_owner <> $1 AND s.lease_owner <> '' FROM stream s JOIN party p ON p.id = s.party
			WHERE s.method = $2 AND (s.lease_owner = $1 OR s.lease_until <= $3) AND (s.status <> 'enabled'
				AND EXISTS (SELECT FROM delivery d WHERE d.stream = s.id AND d.entry IS NULL AND d.type = $5 AND (d.due <= $3 OR d.busy > $3))
			OR s.status = 'enabled' AND (s.generation <> p.generation
				OR EXISTS (SELECT FROM delivery d WHERE d.stream = s.id AND d.busy <= $3 AND (d.due <= $3 OR d.void))
				OR s.lease_owner = $1 AND EXISTS (SELECT FROM delivery d WHERE d.stream = s.id AND d.busy > $3)
				OR (SELECT count(*) FROM delivery d WHERE d.stream = s.id AND d.entry IS NOT NULL) < $4 AND (
					EXISTS (SELECT FROM signal_party sp WHERE sp.party = s.party AND sp.position > s.signal)
					OR EXISTS (SELECT FROM exclusion x WHERE x.stream = s.id AND x.back)
					OR s.quiet <= $3 AND NOT p.agreement AND EXISTS (SELECT FROM grants g WHERE g.party = s.party AND g.position > s.at)
					OR s.quiet <= $3 AND p.agreement AND EXISTS (SELECT FROM entry e WHERE e.position > s.at))
				OR s.lease_owner <> $1 AND s.lease_owner <> ''
					AND EXISTS (SELECT FROM delivery d WHERE d.stream = s.id AND d.busy > $3 AND d.owner = s.lease_owner)))
			ORDER BY s.id FOR NO KEY UPDATE OF s SKIP LOCKED`, plain(node), method, now, hub.Window, string(events.StreamUpdated)).
			Query(into(func(r *row) {
				id := r.id()
				streams = append(streams, id)
				if r.bool() {
					taken = append(taken, id[:])
				}
			}))
		b.Queue(`SELECT min(due) FROM (SELECT d.due FROM stream s JOIN delivery d ON d.stream = s.id
				WHERE s.method = $1 AND (s.status = 'enabled' OR d.entry IS NULL AND d.type = $3) AND d.due > $2
			UNION ALL SELECT quiet FROM stream WHERE method = $1 AND status = 'enabled' AND quiet > $2) x`,
			method, now, string(events.StreamUpdated)).
			Query(into(func(r *row) { next = r.int() }))
		if err := tx.SendBatch(ctx, b).Close(); err != nil || len(streams) == 0 {
			return err
		}
		b = &pgx.Batch{}
		if len(taken) > 0 {
			if err := release(ctx, tx, b, taken, node, now); err != nil {
				return err
			}
		}
		b.Queue(`UPDATE stream SET lease_owner = $1, lease_until = $2 WHERE id = ANY($3::bytea[])`, plain(node), until, blobs(streams))
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return nil, 0, fail("lease", err)
	}
	slices.SortFunc(streams, func(a, b hub.ID) int { return bytes.Compare(a[:], b[:]) })
	return streams, next, nil
}

// release ends the attempts of nodes that lost their lease.
func release(ctx context.Context, tx pgx.Tx, b *pgx.Batch, streams [][]byte, node string, now int64) error {
	w, err := readWindow(ctx, tx, `WHERE stream = ANY($1::bytea[]) ORDER BY id FOR UPDATE`, streams)
	if err != nil {
		return err
	}
	for _, d := range slices.Clone(w.list) {
		if d.Busy > now && d.Owner != plain(node) {
			w.apply(hub.Released(d, w.of(d.Stream, d.Entry), now))
		}
	}
	w.queue(b)
	return nil
}
