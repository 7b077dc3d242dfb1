package consent

import (
	"slices"

	"tidings/hub/schema"
)

// Kind is what a party is told about one entry.
type Kind string

const (
	Added    Kind = "added"    // forget what you hold of this entry and take this
	Updated  Kind = "updated"  // these names changed
	Disabled Kind = "disabled" // the entry is not active any more
	Enabled  Kind = "enabled"  // the entry is active again
	Removed  Kind = "removed"  // the party may not know this entry any more, or it is gone
)

// Row is the state of one entry in one party's feed: positions, never log rows, so that one change or ten thousand
// cost a reader the same and trimming the log harms no cursor.
type Row struct {
	Terms Terms
	// Given is the position since which the party may know the entry; Ended the position at which that ended, 0 while
	// it runs; Gone says that the entry itself was deleted.
	Given, Ended int64
	Gone         bool
	Active       bool
	// Entry and Grant say which names changed after a position: of the entry's attributes ("active" among them), and
	// of the grant's own coverage.
	Entry, Grant Marks
}

// Marks remembers for names the position of their last change.
type Marks interface {
	// Since lists the names whose position is greater than base, sorted.
	Since(base int64) []string
}

// Telling is what a reader is to be told of one row. The zero Telling means: pass over.
type Telling struct {
	Kind  Kind
	Names []string // canonical, sorted; none for Removed
}

// Tell decides what a reader whose base is base learns of a row at the moment now (Unix microseconds).
//
// A row that ended before began (the start of a snapshot, 0 otherwise) is passed over: the reader never held it.
// Telling a name twice is allowed, missing one never, so a base that lags costs words and loses nothing.
func Tell(r Row, base, began, now int64) Telling {
	switch {
	case r.Ended != 0 || r.Gone:
		if r.Ended != 0 && r.Ended <= began {
			return Telling{}
		}
		return Telling{Kind: Removed}
	case r.Terms.Expired(now):
		return Telling{} // dead for every check; its tombstone comes from the sweeper as a line of its own
	case r.Given > base:
		names := slices.Clone(r.Terms.Attributes)
		if !r.Active && r.Terms.Purposes.Has(Notify) {
			names = append(names, "active")
		}
		slices.Sort(names)
		return Telling{Kind: Added, Names: slices.Compact(names)}
	case !r.Terms.Purposes.Has(Notify):
		return Telling{}
	}
	names, activeChanged := r.changed(base)
	switch {
	case activeChanged && r.Active:
		return Telling{Kind: Enabled, Names: names}
	case activeChanged:
		return Telling{Kind: Disabled, Names: names}
	case len(names) == 0:
		return Telling{}
	}
	return Telling{Kind: Updated, Names: names}
}

// changed lists what may be named of the changes after base: names inside the terms, and names by which the terms
// themselves changed (one that left the grant is named once, so that the party drops it).
func (r Row) changed(base int64) (names []string, active bool) {
	for _, n := range r.Entry.Since(base) {
		if n == "active" {
			active = true
		} else if !Covered(r.Terms.Attributes, n) {
			continue
		}
		names = append(names, n)
	}
	for _, n := range r.Grant.Since(base) {
		active = active || n == "active"
		names = append(names, n)
	}
	slices.Sort(names)
	return slices.Compact(names), active
}

// Covered reports whether any of the granted names covers name.
func Covered(granted []string, name string) bool {
	return slices.ContainsFunc(granted, func(g string) bool { return schema.Covers(g, name) })
}

// Current narrows names that were recorded earlier to what the terms still allow to be named; names of dropped
// attributes stay, as they are what tells the party to forget. It is asked again when a token is made, since a grant
// may have been narrowed while the names waited.
func Current(names []string, terms Terms, dropped Marks) []string {
	left := dropped.Since(0)
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool {
		return n != "active" && !Covered(terms.Attributes, n) && !slices.Contains(left, n)
	})
}
