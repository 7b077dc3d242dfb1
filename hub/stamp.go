package hub

import (
	"slices"

	"tidings/consent"
	"tidings/hub/schema"
	"tidings/subscriptions"
)

// What a line does to the rows it concerns. Drivers call these under the head lock, in the order of positions.

// Stamp applies one line at its position to the entry it is about.
func (e *Entry) Stamp(c Change) {
	if c.Kind == Created {
		e.Created, e.CreatedAt = c.Position, c.Time
	}
	if c.Kind == Deleted && e.Deleted == 0 {
		e.Deleted = c.Position
		e.Attributes, e.Marks, e.Active = nil, nil, false
	}
	if e.Deleted == 0 {
		e.Marks = e.Marks.Stamp(c.Position, c.Attributes...)
	}
	// Changed is the version that agreements tell: it grows with every line, also when clocks of nodes differ or one is set
	// back, since a receiver drops what is older than what it holds.
	e.Position, e.Changed = c.Position, max(c.Time, e.Changed+1)
}

// Stamp applies the grant's own line (granted, regraded, revoked, expired, a move of its opt state) to it. names joined or left the terms.
func (g *Grant) Stamp(c Change, names []string) {
	switch c.Kind {
	case Granted:
		g.Given, g.Ended, g.Gone, g.Marks, g.CreatedAt = c.Position, 0, false, nil, c.Time
		g.Opt = consent.OptedIn
	case Regraded:
		g.Regraded = c.Position
		g.Marks = g.Marks.Stamp(c.Position, names...)
	case Revoked, Expired:
		g.Ended = c.Position
	default: // a move of the opt state: what is told depends on it as on the terms
		g.Regraded = c.Position
	}
	g.move(c)
}

// Follow moves the grant's row to a line about its entry.
func (g *Grant) Follow(c Change) {
	if c.Kind == Deleted {
		g.Ended, g.Gone = c.Position, true
	}
	g.move(c)
}

func (g *Grant) move(c Change) {
	g.Position, g.Changed = c.Position, c.Time
	g.Version++
}

// IsAboutGrant reports whether lines of this kind are a grant's own.
func (k ChangeKind) IsAboutGrant() bool {
	switch k {
	case Granted, Regraded, Revoked, Expired:
		return true
	}
	return k.IsOpt()
}

// IsOpt reports whether lines of this kind move the opt state of a grant that runs.
func (k ChangeKind) IsOpt() bool { return consent.IsOptMove(string(k)) }

// IsAboutEntry reports whether lines of this kind stamp their entry and move the rows of its grants.
func (k ChangeKind) IsAboutEntry() bool {
	switch k {
	case Created, Updated, DisabledEntry, EnabledEntry, Deleted:
		return true
	}
	return false
}

// Mask is the index by which stores find the grants that the line may concern. All bits for a deletion, which concerns
// every grant.
func (c Change) Mask() uint64 {
	if c.Kind == Deleted {
		return 1<<63 - 1
	}
	return schema.Mask(c.Attributes...)
}

// Line is the signal's line of the log. Reports that share an item each have their own cause, and a signal names its own.
func (s Signal) Line() Change {
	return Change{Kind: Signalled, Entry: s.Entry, Actor: s.Actor, Source: s.Source, Txn: s.Txn, Time: s.Time}
}

// Mask is the index by which stores find the grants that a signal may concern.
func (s Signal) Mask() uint64 {
	if s.Covers == "" {
		return schema.Mask("active")
	}
	return schema.Mask(s.Covers)
}

// Concerns reports whether a party is to get a row for the signal: a live grant for notification that covers the
// attribute, or an agreement that does.
func (s Signal) Concerns(row FeedRow, p Party, now int64) bool {
	if !Live(&row, p, now) || !s.Party.IsZero() && s.Party != p.ID {
		return false
	}
	if p.Agreement {
		return s.within(consent.Terms{Attributes: p.Bounds.Attributes, Purposes: consent.Notify})
	}
	if row.Grant.Opt == consent.OptedOut && !subscriptions.IsOpt(s.Type) {
		return false
	}
	return s.within(row.Grant.Terms)
}

// within: the terms let the signal be told.
func (s Signal) within(t consent.Terms) bool {
	return t.Purposes.Has(consent.Notify) && (s.Covers == "" || consent.Covered(t.Attributes, s.Covers))
}

// Repoint compares the references an entry had with those it has now, both resolved, and says which entries have to be
// told that one of their groups came, went or was renamed.
func Repoint(before, after []Reference, renamed bool) (told []ID) {
	members := func(refs []Reference) map[ID]bool {
		m := map[ID]bool{}
		for _, r := range refs {
			if r.Name == "members" && !r.Target.IsZero() {
				m[r.Target] = true
			}
		}
		return m
	}
	old, now := members(before), members(after)
	for id := range now {
		if renamed || !old[id] {
			told = append(told, id)
		}
	}
	for id := range old {
		if !now[id] {
			told = append(told, id)
		}
	}
	slices.SortFunc(told, func(a, b ID) int { return slices.Compare(a[:], b[:]) })
	return told
}

// Retargeted compares the references an entry had with those it has now, both resolved, and lists the attributes that say
// the same as before and mean another entry, or none: a change that comparing the entry itself does not show.
func Retargeted(before, after []Reference) (names []string) {
	old := map[[2]string]ID{}
	for _, r := range before {
		old[[2]string{r.Name, r.Key}] = r.Target
	}
	for _, r := range after {
		if target, kept := old[[2]string{r.Name, r.Key}]; kept && target != r.Target && !slices.Contains(names, r.Name) {
			names = append(names, r.Name)
		}
	}
	return names
}

// Retold is the line for the party's grants of entries that point to the target of a grant's own line, under the attribute
// name: the party is told its id of a target only while it may know the target, so that what the attribute says to this
// party, and to no other, begins and ends with that grant.
func Retold(own Change, name string) Change {
	return Change{Kind: Regraded, Party: own.Party, Attributes: []string{name}, Actor: own.Actor, Txn: own.Txn}
}

// Concerned reports whether such a line is about anything that the grant covers.
func (g *Grant) Concerned(l Change) bool {
	return g.Ended == 0 && slices.ContainsFunc(l.Attributes, func(n string) bool { return consent.Covered(g.Terms.Attributes, n) })
}

// Echo is a wide line that is not finished: the same line about further entries, or about further grants of the first
// of them. Each step is the line again at a new position with its names stamped anew; rows moved later without a line
// of their own would be missed by a reader whose base has passed the first.
type Echo struct {
	ID      ID
	Line    Change // without position, tag and entry; with a party it is about that party's grants only (Retold)
	Entries []ID
	// After is the last party of the first entry whose row was moved.
	After ID
}

// Pointed are the owners of the references to an entry, grouped by what their owners have to be told:
// a resolved or vanished target is a change of the attribute that names it.
func Pointed(to []Reference) map[string][]ID {
	told := map[string][]ID{}
	for _, r := range to {
		told[r.Name] = append(told[r.Name], r.From)
	}
	return told
}
