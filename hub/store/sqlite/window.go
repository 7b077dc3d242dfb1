package sqlite

import (
	"tidings/hub"
)

const deliveryColumns = "d.id, d.stream, d.party, d.entry, d.ord, d.kind, d.gone, d.names, d.given, d.generation, d.version, d.position, d.time, " +
	"d.txn, d.signal, d.type, d.payload, d.sent, d.busy, d.owner, d.due, d.attempts, d.void, d.remake, d.cut, d.refused"

func deliveryTargets(d *hub.Delivery) []any {
	return []any{id(&d.ID), id(&d.Stream), id(&d.Party), id(&d.Entry), &d.Order, &d.Kind, &d.Gone, names(&d.Names), &d.Given,
		&d.Generation, &d.Version, &d.Position, &d.Time, &d.Txn, &d.Signal, &d.Type, bytesOf(&d.Payload), &d.Sent, &d.Busy, &d.Owner, &d.Due,
		&d.Attempts, &d.Void, &d.Remake, &d.Cut, &d.Refused}
}

// deliveries reads unsettled deliveries in order, without their tokens.
func (c *conn) deliveries(query string, args ...any) (found []hub.Delivery, err error) {
	err = c.each(func(r row) error {
		var d hub.Delivery
		err := r.Scan(deliveryTargets(&d)...)
		found = append(found, d)
		return err
	}, "SELECT "+deliveryColumns+" FROM delivery d WHERE "+query+" ORDER BY d.stream, d.ord", args...)
	return found, err
}

// deliveriesByID reads those that are still there.
func (c *conn) deliveriesByID(ids []hub.ID) (found []hub.Delivery, err error) {
	err = c.among(func(r row) error {
		var d hub.Delivery
		err := r.Scan(deliveryTargets(&d)...)
		found = append(found, d)
		return err
	}, blobs(ids), "SELECT "+deliveryColumns+" FROM delivery d WHERE d.id IN (…)")
	return found, err
}

// unsettled reads what a stream has of an entry: for the stream's own, what it has of none.
func (c *conn) unsettled(stream, entry hub.ID) ([]hub.Delivery, error) {
	if entry.IsZero() {
		return c.deliveries("d.stream = ? AND d.entry IS NULL", stream[:])
	}
	return c.deliveries("d.stream = ? AND d.entry = ?", stream[:], entry[:])
}

// withTokens adds their tokens to deliveries.
func (c *conn) withTokens(ds []hub.Delivery) error {
	byID := map[hub.ID]*hub.Delivery{}
	var ids []hub.ID
	for i := range ds {
		byID[ds[i].ID] = &ds[i]
		ids = append(ids, ds[i].ID)
		ds[i].Tokens = nil
	}
	return c.among(func(r row) error {
		var of hub.ID
		var t hub.SignedToken
		if err := r.Scan(id(&of), &t.JTI, &t.KeyID, bytesOf(&t.Compact), &t.Settled); err != nil {
			return err
		}
		byID[of].Tokens = append(byID[of].Tokens, t)
		return nil
	}, blobs(ids), "SELECT delivery, jti, kid, compact, settled FROM security_event_token WHERE delivery IN (…) ORDER BY delivery, ord")
}

// keep writes what a rule left of some deliveries. Their tokens stay as they are, except that what has not been sent
// has none, and a settled one and those of what is void have no bytes.
func (c *conn) keep(k hub.Kept) error {
	for _, d := range k.Put {
		if err := c.putDelivery(d); err != nil {
			return err
		}
	}
	for _, id := range k.Drop {
		if err := c.dropDelivery(id); err != nil {
			return err
		}
	}
	return nil
}

func (c *conn) putDelivery(d hub.Delivery) error {
	// No index is written anew for one that is there.
	if err := c.exec("INSERT INTO delivery (id, stream, party, entry, ord, kind, gone, names, given, generation, version, position, time, txn, "+
		"signal, type, payload, sent, busy, owner, due, attempts, void, remake, cut, refused) "+
		"VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "+
		"ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, gone = excluded.gone, names = excluded.names, given = excluded.given, "+
		"generation = excluded.generation, version = excluded.version, position = excluded.position, time = excluded.time, txn = excluded.txn, "+
		"sent = excluded.sent, busy = excluded.busy, owner = excluded.owner, due = excluded.due, attempts = excluded.attempts, "+
		"void = excluded.void, remake = excluded.remake, cut = excluded.cut, refused = excluded.refused",
		d.ID[:], d.Stream[:], d.Party[:], blob(d.Entry), d.Order, string(d.Kind), d.Gone, joined(d.Names), d.Given, d.Generation, d.Version,
		d.Position, d.Time, d.Txn, d.Signal, string(d.Type), orNull(d.Payload), d.Sent, d.Busy, d.Owner, d.Due, d.Attempts, d.Void, d.Remake, d.Cut, d.Refused); err != nil {
		return err
	}
	if !d.Sent {
		return c.exec("DELETE FROM security_event_token WHERE delivery = ?", d.ID[:])
	}
	if d.Void { // what may never leave again is not kept until its attempt ends, which a node that died does not tell
		if err := c.exec("UPDATE security_event_token SET compact = NULL WHERE delivery = ?", d.ID[:]); err != nil {
			return err
		}
	}
	for i, t := range d.Tokens {
		if !t.Settled {
			continue
		}
		if err := c.exec("UPDATE security_event_token SET settled = 1, compact = NULL WHERE delivery = ? AND ord = ?", d.ID[:], i); err != nil {
			return err
		}
	}
	return nil
}

func (c *conn) dropDelivery(id hub.ID) error {
	if err := c.exec("DELETE FROM security_event_token WHERE delivery = ?", id[:]); err != nil {
		return err
	}
	return c.exec("DELETE FROM delivery WHERE id = ?", id[:])
}

// dropAll drops every delivery of a stream, and what is on its way back to it.
func (c *conn) dropAll(stream hub.ID) error {
	if err := c.exec("DELETE FROM security_event_token WHERE delivery IN (SELECT id FROM delivery WHERE stream = ?)", stream[:]); err != nil {
		return err
	}
	if err := c.exec("DELETE FROM exclusion WHERE stream = ? AND back <> 0", stream[:]); err != nil {
		return err
	}
	return c.exec("DELETE FROM delivery WHERE stream = ?", stream[:])
}
