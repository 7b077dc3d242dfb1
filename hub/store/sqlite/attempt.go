package sqlite

import (
	"slices"

	"tidings/hub"
	"tidings/subscriptions"
)

// attempts is what attempts are judged by, or outcomes applied to, in a transaction: a portion is read at once, since a
// statement costs more than a row. Deliveries that were begun, settled or dropped in it stand here as they are by now.
type attempts struct {
	c          *conn
	deliveries map[hub.ID]hub.Delivery
	streams    map[hub.ID]hub.Stream
	parties    map[hub.ID]hub.Party
	rows       map[pair]*hub.FeedRow
	busy       map[pair]bool // stream and entry of which an attempt is under way
	keyring    int64
	dropped    []hub.ID // still to be deleted
	buried     []hub.DeadLetter
}

// attempts reads deliveries and their tokens.
func (c *conn) attempts(ids []hub.ID) (*attempts, error) {
	ds, err := c.deliveriesByID(distinct(ids))
	if err != nil {
		return nil, err
	}
	if err := c.withTokens(ds); err != nil {
		return nil, err
	}
	t := &attempts{c: c, deliveries: make(map[hub.ID]hub.Delivery, len(ds)), streams: map[hub.ID]hub.Stream{},
		parties: map[hub.ID]hub.Party{}, rows: map[pair]*hub.FeedRow{}, busy: map[pair]bool{}}
	for _, d := range ds {
		t.deliveries[d.ID] = d
	}
	return t, nil
}

// stand reads the keyring's version, the streams and parties of the deliveries, the rows of their entries, and which of
// these have an attempt under way, as they are now.
func (t *attempts) stand(now int64) (err error) {
	if t.keyring, err = t.c.keyring(); err != nil {
		return err
	}
	entries, inStream := map[hub.ID][]hub.ID{}, map[hub.ID][]hub.ID{}
	for _, d := range t.deliveries {
		if _, known := t.streams[d.Stream]; !known {
			st, err := t.c.stream(hub.ID{}, d.Stream)
			if err != nil {
				return err
			}
			t.streams[d.Stream] = st
		}
		if _, known := t.parties[d.Party]; !known {
			p, err := t.c.party(d.Party)
			if err != nil {
				return err
			}
			t.parties[d.Party] = p
		}
		if !d.Entry.IsZero() {
			entries[d.Party] = append(entries[d.Party], d.Entry)
			inStream[d.Stream] = append(inStream[d.Stream], d.Entry)
		}
	}
	for stream, ids := range inStream {
		if err := t.c.among(func(r row) error {
			var entry hub.ID
			err := r.Scan(id(&entry))
			t.busy[pair{stream, entry}] = true
			return err
		}, blobs(distinct(ids)), "SELECT entry FROM delivery WHERE stream = ? AND busy > ? AND entry IN (…)", stream[:], now); err != nil {
			return err
		}
	}
	for party, ids := range entries {
		rows, err := t.c.told(t.parties[party], distinct(ids), false)
		if err != nil {
			return err
		}
		for i := range rows {
			t.rows[pair{party, rows[i].Entry.ID}] = &rows[i]
		}
	}
	return nil
}

// begin judges one attempt and, if it stands, puts it on record.
func (t *attempts) begin(now int64, a hub.Attempt) (bool, error) {
	d, there := t.deliveries[a.Delivery]
	if !there || d.Busy > now || a.Keyring != t.keyring || !hub.MayLeave(t.streams[d.Stream].Status, d) {
		return false, nil
	}
	if !d.Void && !d.Entry.IsZero() && t.busy[pair{d.Stream, d.Entry}] {
		return false, nil // another node was faster with the entry's other delivery
	}
	d.Remake = d.Remake || a.Remakes(d)
	switch hub.Judge(d, a, t.rows[pair{d.Party, d.Entry}], t.parties[d.Party], now) {
	case hub.Go:
		d.Sent, d.Busy, d.Owner, d.Cut = true, a.Busy, a.Owner, a.Cut
		d.Attempts++
		t.deliveries[d.ID], t.busy[pair{d.Stream, d.Entry}] = d, true
		return true, t.c.start(d, a.Tokens)
	case hub.WithdrawIt:
		delete(t.deliveries, d.ID)
		if a.Dead != "" && !d.Void {
			return false, t.bury(d, now, hub.Outcome{Reason: a.Dead})
		}
		t.dropped = append(t.dropped, d.ID)
		return false, nil
	}
	if !d.Remake {
		return false, nil
	}
	// Tokens of wider terms whose attempt was lost with its node are un-made. Nothing else that waits changes: bytes that
	// have begun to leave stay as they are.
	return false, t.release(d, now)
}

// start puts an attempt on record, with the tokens it sends: if we crash from here on, the same bytes are sent again.
func (c *conn) start(d hub.Delivery, tokens []hub.SignedToken) error {
	if err := c.exec("UPDATE delivery SET sent = 1, busy = ?, owner = ?, attempts = ?, cut = ? WHERE id = ?", d.Busy, d.Owner, d.Attempts, d.Cut, d.ID[:]); err != nil {
		return err
	}
	for i, token := range tokens {
		if err := c.exec("INSERT INTO security_event_token (delivery, ord, jti, kid, compact, settled) VALUES (?, ?, ?, ?, ?, ?)",
			d.ID[:], i, token.JTI, token.KeyID, token.Compact, token.Settled); err != nil {
			return err
		}
	}
	return nil
}

// settle applies one outcome to the delivery that its token belongs to. Of a delivery that lost its tokens in this
// transaction no other is known.
func (t *attempts) settle(st *hub.Stream, delivery hub.ID, now int64, o hub.Outcome) error {
	d, there := t.deliveries[delivery]
	if !there || d.Outlived(o) {
		return nil
	}
	if i := slices.IndexFunc(d.Tokens, func(t hub.SignedToken) bool { return t.JTI == o.JTI }); i < 0 || d.Tokens[i].Settled {
		return nil // its other tokens are not affected by a second word on this one
	}
	due := st.Heard(o, now)
	switch o.Next {
	case subscriptions.Dead:
		if !d.Void {
			return t.bury(d, now, o)
		}
	case subscriptions.Remake:
		return t.refuse(d, now, due, o)
	case subscriptions.Done:
		var unsettled []hub.Delivery
		if d.Cut > 0 { // what was taken of it may end the attempt
			var err error
			if unsettled, err = t.besides(d); err != nil {
				return err
			}
		}
		return t.keep(hub.Settled(d, unsettled, o.JTI))
	}
	return t.release(d, due)
}

// refuse ends an attempt whose key the receiver does not accept.
func (t *attempts) refuse(d hub.Delivery, now, due int64, o hub.Outcome) error {
	unsettled, err := t.besides(d)
	if err != nil {
		return err
	}
	kept, again := hub.Refuse(d, unsettled, due)
	if !again {
		return t.bury(d, now, o)
	}
	return t.keep(kept)
}

// bury gives a delivery up.
func (t *attempts) bury(d hub.Delivery, now int64, o hub.Outcome) error {
	delete(t.deliveries, d.ID)
	letter, err := t.c.bury(d, o, now)
	t.buried = append(t.buried, letter)
	return err
}

// release ends an attempt without a word that settles it.
func (t *attempts) release(d hub.Delivery, due int64) error {
	unsettled, err := t.besides(d)
	if err != nil {
		return err
	}
	return t.keep(hub.Released(d, unsettled, due))
}

// besides reads what is unsettled of a delivery's entry.
func (t *attempts) besides(d hub.Delivery) ([]hub.Delivery, error) {
	if err := t.drop(); err != nil {
		return nil, err
	}
	return t.c.unsettled(d.Stream, d.Entry)
}

// keep writes what a rule left; what it dropped is deleted by drop.
func (t *attempts) keep(k hub.Kept) error {
	for _, id := range k.Drop {
		delete(t.deliveries, id)
	}
	for _, d := range k.Put {
		if t.deliveries[d.ID] = d; !d.Sent {
			delete(t.deliveries, d.ID)
		}
	}
	t.dropped = append(t.dropped, k.Drop...)
	return t.c.keep(hub.Kept{Put: k.Put})
}

// finish writes what is left to be written.
func (t *attempts) finish() error {
	if err := t.drop(); err != nil {
		return err
	}
	return t.c.tidy(t.buried)
}

// drop deletes what was dropped.
func (t *attempts) drop() error {
	ids := blobs(t.dropped)
	t.dropped = nil
	if err := t.c.affectAmong(ids, "DELETE FROM security_event_token WHERE delivery IN (…)"); err != nil {
		return err
	}
	return t.c.affectAmong(ids, "DELETE FROM delivery WHERE id IN (…)")
}
