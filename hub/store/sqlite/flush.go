package sqlite

import (
	"maps"
	"slices"
	"strings"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// flush writes what changed and moves the head.
func (t *commit) flush() error {
	for _, step := range []func() error{t.flushEntries, t.flushGrants, t.flushParties, t.flushLines, t.flushHead} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// flushEntries frees names before it takes any: what one entry of the batch gave up another may have taken.
func (t *commit) flushEntries() error {
	for _, e := range t.order {
		if err := t.freeNames(e); err != nil {
			return err
		}
	}
	for _, e := range t.order {
		if err := t.flushEntry(e); err != nil {
			return err
		}
	}
	for _, e := range t.entries {
		if e == nil || e.written || !e.stamped {
			continue
		}
		if err := t.c.exec("UPDATE entry SET created = ?, position = ?, created_at = ?, changed = ?, marks = ? WHERE id = ?",
			e.Created, e.Position, e.CreatedAt, e.Changed, orNull(e.Marks), e.ID[:]); err != nil {
			return err
		}
	}
	return nil
}

func (t *commit) freeNames(e *entry) error {
	if e.fresh {
		return nil
	}
	if e.userNameWas != "" && e.userNameWas != e.userName {
		if err := t.c.exec("UPDATE entry SET user_name = NULL WHERE id = ?", e.ID[:]); err != nil {
			return err
		}
	}
	for _, k := range e.keysWas {
		if e.Source == e.sourceWas && slices.Contains(e.keys, k) {
			continue
		}
		if err := t.c.exec("DELETE FROM entry_key WHERE source = ? AND key = ?", e.sourceWas, k); err != nil {
			return err
		}
	}
	return nil
}

func (t *commit) flushEntry(e *entry) error {
	fresh := e.fresh
	if err := t.c.putEntry(e); err != nil {
		return err
	}
	if e.identifiers != nil {
		if !fresh {
			if err := t.c.exec("DELETE FROM identifier WHERE entry = ?", e.ID[:]); err != nil {
				return err
			}
		}
		if err := t.c.identify(e.ID, e.identifiers); err != nil {
			return err
		}
	}
	seen := map[string]bool{}
	for _, k := range e.keys {
		if seen[k] || e.Source == e.sourceWas && slices.Contains(e.keysWas, k) {
			continue
		}
		seen[k] = true
		if err := t.c.exec("INSERT INTO entry_key (source, key, entry) VALUES (?, ?, ?)", e.Source, k, e.ID[:]); err != nil {
			return err
		}
	}
	return nil
}

func (c *conn) putEntry(e *entry) error {
	var userName any
	if e.userName != "" {
		userName = e.userName
	}
	switch {
	case e.fresh:
		return c.exec("INSERT INTO entry (type, source, active, version, created, position, deleted, created_at, changed, marks, user_name, doc, id) "+
			"VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", string(e.Type), e.Source, e.Active, e.Version, e.Created, e.Position, e.Deleted, e.CreatedAt,
			e.Changed, orNull(e.Marks), userName, e.doc, e.ID[:])
	case e.erased || e.userName != e.userNameWas:
		if err := c.exec("UPDATE entry SET deleted = ?, user_name = ? WHERE id = ?", e.Deleted, userName, e.ID[:]); err != nil {
			return err
		}
	}
	// An index is written when one of its columns is named, changed or not: the usual update names one of position only.
	return c.exec("UPDATE entry SET source = ?, active = ?, version = ?, created = ?, position = ?, created_at = ?, changed = ?, marks = ?, doc = ? "+
		"WHERE id = ?", e.Source, e.Active, e.Version, e.Created, e.Position, e.CreatedAt, e.Changed, orNull(e.Marks), e.doc, e.ID[:])
}

func (t *commit) flushGrants() error {
	for _, g := range t.grants {
		if !g.dirty {
			continue
		}
		var err error
		switch {
		case g.fresh:
			err = t.c.exec("INSERT INTO grants (position, given, ended, regraded, gone, version, changed, created_at, marks, roots, attributes, "+
				"purposes, until, opt, id, party, entry) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
				append(terms(g), g.ID[:], g.Party[:], g.Entry[:])...)
		case g.regraded:
			err = t.c.exec("UPDATE grants SET position = ?, given = ?, ended = ?, regraded = ?, gone = ?, version = ?, changed = ?, created_at = ?, "+
				"marks = ?, roots = ?, attributes = ?, purposes = ?, until = ?, opt = ? WHERE id = ?", append(terms(g), g.ID[:])...)
		default:
			err = t.c.exec("UPDATE grants SET position = ?, ended = ?, gone = ?, version = ?, changed = ? WHERE id = ?",
				g.Position, g.Ended, g.Gone, g.Version, g.Changed, g.ID[:])
		}
		if err != nil {
			return err
		}
		g.fresh, g.dirty, g.regraded = false, false, false
	}
	return nil
}

func terms(g *grant) []any {
	return []any{g.Position, g.Given, g.Ended, g.Regraded, g.Gone, g.Version, g.Changed, g.CreatedAt, orNull(g.Marks), int64(g.roots),
		joined(g.Terms.Attributes), int64(g.Terms.Purposes), g.Terms.Until, string(g.Opt)}
}

func (t *commit) flushParties() error {
	for _, p := range t.parties {
		if p == nil || !p.dirty {
			continue
		}
		bounds, err := jsonText(p.Bounds)
		if err != nil {
			return err
		}
		origins, err := jsonText(p.Origins)
		if err != nil {
			return err
		}
		events, err := jsonText(p.Events)
		if err != nil {
			return err
		}
		claims, err := jsonText(p.Claims)
		if err != nil {
			return err
		}
		if err := t.c.exec("REPLACE INTO party (id, name, audience, profile, sector, subject_format, events, claims, bounds, origins, agreement, "+
			"generation, removed, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", p.ID[:], p.Name, p.Audience, p.Profile, blob(p.Sector),
			p.SubjectFormat, events, claims, bounds, origins, p.Agreement, p.Generation, p.Removed, p.CreatedAt); err != nil {
			return err
		}
		p.dirty = false
	}
	return nil
}

// lineRows is how many lines one statement writes: the log is written by every item, and a statement costs more than a
// row.
const lineRows = 32

var (
	insertLine  = "INSERT INTO change (position, tag, time, entry, party, kind, names, actor, source, txn) VALUES " + lineValues
	insertLines = insertLine + strings.Repeat(", "+lineValues, lineRows-1)
)

const lineValues = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

func (t *commit) flushLines() error {
	lines := t.lines
	for len(lines) > 0 {
		n, query := 1, insertLine
		if len(lines) >= lineRows {
			n, query = lineRows, insertLines
		}
		args := make([]any, 0, n*10)
		for i := range lines[:n] {
			l := &lines[i]
			args = append(args, l.Position, l.Tag[:], l.Time, blob(l.Entry), blob(l.Party), string(l.Kind), joined(l.Attributes), l.Actor, l.Source, l.Txn)
		}
		if err := t.c.exec(query, args...); err != nil {
			return err
		}
		lines = lines[n:]
	}
	return nil
}

func (t *commit) flushHead() error {
	for _, k := range t.cookies {
		if err := t.c.exec("REPLACE INTO cookie (source, value) VALUES (?, ?)", k.Source, nonNil(k.Value)); err != nil {
			return err
		}
	}
	if t.policy != nil {
		if err := t.c.exec("UPDATE head SET policy = ?", *t.policy); err != nil {
			return err
		}
	}
	if len(t.lines) == 0 {
		return nil
	}
	return t.c.exec("UPDATE head SET position = ?, tag = ?", t.head.Position, t.head.Tag[:])
}
