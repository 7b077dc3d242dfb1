package sqlite

import (
	"encoding/json"
	"fmt"

	"tidings/hub"
)

// What a line does besides being written: it stamps its entry or grant, moves feed rows, ends deliveries; and signals
// and echoes, which are lines too.

// every is the mask that meets all grants.
const every = 1<<63 - 1

// append takes the next position for a line.
func (t *commit) append(l *hub.Change) {
	t.head.Position++
	l.Position, l.Tag = t.head.Position, hub.NewTag()
	if l.Time == 0 {
		l.Time = t.now
	}
	t.head.Tag = l.Tag
	t.lines = append(t.lines, *l)
}

// line makes one of an item's lines happen, with the grant or party that the item writes.
func (t *commit) line(l *hub.Change, w *hub.GrantWrite, g *grant, p *party) error {
	t.append(l)
	switch {
	case l.Kind.IsAboutGrant():
		if g == nil {
			return fmt.Errorf("a line %q without its grant", l.Kind)
		}
		return t.ownLine(*l, w, g)
	case l.Kind == hub.PartyAdded:
		if p != nil && p.CreatedAt == 0 {
			p.CreatedAt = l.Time
		}
	case l.Kind == hub.PartyRemoved:
		if p == nil {
			return fmt.Errorf("a line %q without its party", l.Kind)
		}
		p.Removed = l.Position
		return t.removeParty(p.ID)
	}
	if !l.Kind.IsAboutEntry() {
		return nil
	}
	after, finished, err := t.about(*l, hub.ID{})
	if err != nil || finished {
		return err
	}
	return t.echo(hub.Echo{ID: hub.NewID(), Line: *l, Entries: []hub.ID{l.Entry}, After: after})
}

// ownLine is a grant's own line. Deliveries made under terms that ended or became narrower end in this transaction:
// nothing of them is sent once it is committed.
func (t *commit) ownLine(l hub.Change, w *hub.GrantWrite, g *grant) error {
	g.Stamp(l, w.Names)
	t.moved++
	end := l.Kind == hub.Revoked || l.Kind == hub.Expired
	if end || w.Narrowed {
		unsettled, err := t.c.deliveries("d.entry = ? AND d.party = ?", g.Entry[:], g.Party[:])
		if err != nil {
			return err
		}
		if err := t.withdraw(unsettled, end); err != nil {
			return err
		}
	}
	if l.Kind == hub.Regraded || l.Kind.IsOpt() {
		return nil
	}
	return t.retell(l)
}

// retell moves the party's grants of entries that point to one which the party may know from now on, or no more.
func (t *commit) retell(own hub.Change) error {
	pointing := map[string][]hub.ID{}
	if err := t.c.each(func(r row) error {
		var name string
		var from hub.ID
		err := r.Scan(&name, id(&from))
		pointing[name] = append(pointing[name], from)
		return err
	}, "SELECT DISTINCT r.name, r.from_entry FROM reference r CROSS JOIN grants g ON g.entry = r.from_entry AND g.party = ? "+
		"WHERE r.target = ? AND g.ended = 0", own.Party[:], own.Entry[:]); err != nil {
		return err
	}
	for _, name := range sortedKeys(pointing) {
		rest, err := t.spread(hub.Echo{ID: hub.NewID(), Line: hub.Retold(own, name), Entries: pointing[name]})
		if err == nil && rest != nil {
			err = t.echo(*rest)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// spreadGrants is spread of a line about one party's grants.
func (t *commit) spreadGrants(e hub.Echo) (rest *hub.Echo, err error) {
	var pairs []pair
	for _, id := range e.Entries {
		pairs = append(pairs, pair{e.Line.Party, id})
	}
	if err := t.loadPairs(pairs); err != nil {
		return nil, err
	}
	for i, id := range e.Entries {
		if t.moved >= hub.MaxMoves {
			return &hub.Echo{ID: e.ID, Line: e.Line, Entries: e.Entries[i:]}, nil
		}
		g := t.pairs[pair{e.Line.Party, id}]
		if g == nil || !g.Concerned(e.Line) {
			continue
		}
		l := e.Line
		l.Position, l.Tag, l.Entry, l.Time = 0, hub.Tag{}, id, t.now
		t.append(&l)
		g.Stamp(l, l.Attributes)
		g.dirty, g.regraded = true, true
		t.moved++
	}
	return nil, nil
}

// withdraw ends the deliveries, or un-makes them, stream by stream.
func (t *commit) withdraw(unsettled []hub.Delivery, end bool) error {
	byStream := map[hub.ID][]hub.Delivery{}
	for _, d := range unsettled {
		byStream[d.Stream] = append(byStream[d.Stream], d)
	}
	for _, ds := range byStream {
		kept := hub.Narrow(ds, t.now)
		if end {
			kept = hub.End(ds, t.now)
		}
		if err := t.c.keep(kept); err != nil {
			return err
		}
	}
	return nil
}

// about stamps the entry of a line and moves the rows that it concerns, those of parties after the given one. It stops
// when the budget is used up and returns the last party it came to.
func (t *commit) about(l hub.Change, after hub.ID) (last hub.ID, finished bool, err error) {
	concerned, err := t.concerned(l.Entry, l.Mask())
	if err != nil {
		return after, false, err
	}
	e := t.entries[l.Entry]
	first := l.Kind == hub.Deleted && e.Deleted == 0
	e.Stamp(l)
	e.stamped = true
	if first {
		if err := t.erase(e); err != nil {
			return after, false, err
		}
	}
	for _, g := range concerned {
		if !later(g.Party, after) {
			continue
		}
		if t.moved >= hub.MaxMoves {
			return after, false, nil
		}
		g.Follow(l)
		g.dirty = true
		t.moved++
		after = g.Party
	}
	return after, true, nil
}

func later(a, b hub.ID) bool { return string(a[:]) > string(b[:]) }

// erase removes what is told and to be told of a person who is gone. Attributes, names and references go with the entry
// when it is written.
func (t *commit) erase(e *entry) error {
	e.erased = true
	unsettled, err := t.c.deliveries("d.entry = ?", e.ID[:])
	if err != nil {
		return err
	}
	if err := t.withdraw(unsettled, true); err != nil {
		return err
	}
	if err := t.c.exec("UPDATE dead_letter SET description = NULL WHERE entry = ? AND description IS NOT NULL", e.ID[:]); err != nil {
		return err
	}
	if err := t.c.exec("DELETE FROM signal_party WHERE position IN (SELECT position FROM signal WHERE entry = ?)", e.ID[:]); err != nil {
		return err
	}
	return t.c.exec("DELETE FROM signal WHERE entry = ?", e.ID[:])
}

// removeParty takes from a removed party its credentials and streams. Its grants stay, dead, until they are trimmed.
func (t *commit) removeParty(id hub.ID) error {
	if err := t.c.exec("UPDATE token SET revoked = ? WHERE party = ? AND revoked = 0", t.now, id[:]); err != nil {
		return err
	}
	var streams []hub.ID
	if err := t.c.each(func(r row) error {
		var s hub.ID
		err := r.Scan((*idColumn)(&s))
		streams = append(streams, s)
		return err
	}, "SELECT id FROM stream WHERE party = ?", id[:]); err != nil {
		return err
	}
	for _, s := range streams {
		if err := t.c.deleteStream(s); err != nil {
			return err
		}
	}
	return t.c.exec("DELETE FROM signal_party WHERE party = ?", id[:])
}

// raise makes a signal a line, and keeps it for the parties that it concerns at this moment.
func (t *commit) raise(s *hub.Signal) error {
	e := t.entries[s.Entry]
	if e.Deleted != 0 {
		return nil // the removal says all
	}
	l := s.Line()
	t.append(&l)
	s.Position, s.Time = l.Position, l.Time
	parties, err := t.hearers(*s, e)
	if err != nil || len(parties) == 0 {
		return err
	}
	for _, p := range parties {
		if err := t.c.exec("INSERT INTO signal_party (party, position) VALUES (?, ?)", p[:], s.Position); err != nil {
			return err
		}
	}
	return t.c.exec("INSERT INTO signal (position, entry, type, covers, payload, expires, txn, time) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		s.Position, s.Entry[:], string(s.Type), s.Covers, orNull(s.Payload), s.Expires, s.Txn, s.Time)
}

// hearers lists the parties that a signal concerns.
func (t *commit) hearers(s hub.Signal, e *entry) (parties []hub.ID, err error) {
	concerned, err := t.concerned(s.Entry, s.Mask())
	if err != nil {
		return nil, err
	}
	var missing []hub.ID
	for _, g := range concerned {
		missing = append(missing, g.Party)
	}
	if err := t.loadParties(missing); err != nil {
		return nil, err
	}
	for _, g := range concerned {
		p := t.parties[g.Party]
		if p != nil && !p.Agreement && s.Concerns(hub.FeedRow{Grant: &g.Grant, Entry: e.Entry}, p.Party, t.now) {
			parties = append(parties, p.ID)
		}
	}
	if err := t.loadAgreements(); err != nil {
		return nil, err
	}
	for _, p := range t.agreements {
		if s.Concerns(hub.FeedRow{Entry: e.Entry}, p, t.now) {
			parties = append(parties, p.ID)
		}
	}
	return parties, nil
}

// spread makes the same line about each of the entries, those that live (for a deletion: that are there), first of them
// from the party after the given one. It returns what the budget did not reach.
func (t *commit) spread(e hub.Echo) (rest *hub.Echo, err error) {
	if !e.Line.Party.IsZero() {
		return t.spreadGrants(e)
	}
	if err := t.loadEntries(e.Entries); err != nil {
		return nil, err
	}
	if err := t.loadLive(e.Entries, e.Line.Mask()); err != nil {
		return nil, err
	}
	for i, id := range e.Entries {
		if known := t.entries[id]; known == nil || known.Deleted != 0 && e.Line.Kind != hub.Deleted {
			e.After = hub.ID{}
			continue
		}
		if t.moved >= hub.MaxMoves {
			return &hub.Echo{ID: e.ID, Line: e.Line, Entries: e.Entries[i:], After: e.After}, nil
		}
		l := e.Line
		l.Position, l.Tag, l.Entry, l.Time = 0, hub.Tag{}, id, t.now
		t.append(&l)
		before := t.moved
		after, finished, err := t.about(l, e.After)
		if err != nil {
			return nil, err
		}
		if !finished {
			return &hub.Echo{ID: e.ID, Line: e.Line, Entries: e.Entries[i:], After: after}, nil
		}
		// The entry's own place is a row of the agreements' feed: a group of a hundred thousand is not one transaction.
		t.moved = max(t.moved, before+1)
		e.After = hub.ID{}
	}
	return nil, nil
}

// echo keeps what is left of a wide line.
func (t *commit) echo(e hub.Echo) error {
	t.echoing = true
	line := e.Line
	line.Position, line.Tag, line.Entry = 0, hub.Tag{}, hub.ID{}
	text, err := jsonText(line)
	if err != nil {
		return err
	}
	entries := make([]byte, 0, len(e.Entries)*len(hub.ID{}))
	for _, id := range e.Entries {
		entries = append(entries, id[:]...)
	}
	return t.c.exec("INSERT INTO echo (id, line, entries, after) VALUES (?, ?, ?, ?) "+
		"ON CONFLICT (id) DO UPDATE SET entries = excluded.entries, after = excluded.after", e.ID[:], text, entries, blob(e.After))
}

// goOn takes up an echo where it stopped.
func (t *commit) goOn(echo hub.ID) error {
	e := hub.Echo{ID: echo}
	var text string
	var entries []byte
	if err := t.c.value("SELECT line, entries, after FROM echo WHERE id = ?", []any{echo[:]}, &text, bytesOf(&entries), id(&e.After)); err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(text), &e.Line); err != nil {
		return fmt.Errorf("decode an echo: %w", err)
	}
	e.Entries = splitIDs(entries)
	rest, err := t.spread(e)
	if err != nil {
		return err
	}
	if rest != nil {
		return t.echo(*rest)
	}
	return t.c.exec("DELETE FROM echo WHERE id = ?", echo[:])
}

func splitIDs(b []byte) []hub.ID {
	ids := make([]hub.ID, len(b)/len(hub.ID{}))
	for i := range ids {
		copy(ids[i][:], b[i*len(hub.ID{}):])
	}
	return ids
}
