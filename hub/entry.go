package hub

import (
	"tidings/consent"
	"tidings/events"
	"tidings/hub/schema"
	"tidings/subscriptions"
)

// Times are Unix microseconds throughout the engine and its stores: one integer that both databases order alike.

// Entry is one directory object as now known.
type Entry struct {
	ID         ID
	Type       schema.Type
	Source     string
	Attributes schema.Attributes // nil once deleted
	Active     bool
	// Version counts the directory's own changes of the entry: what a source's If-Match is compared with. It never
	// leaves towards a party, whose version is the grant's.
	Version int64
	// Created, Position and Deleted are positions: of the first line, of the last line about the entry, of its end (0
	// while it lives). Position is the entry's place in the feed of a party under an agreement for everybody.
	Created, Position, Deleted int64
	// Marks holds per attribute name the position of its last change.
	Marks              Marks
	CreatedAt, Changed int64
}

// ChangeKind says what a line of the log is about.
type ChangeKind string

const (
	Created       ChangeKind = "created"
	Updated       ChangeKind = "updated"
	DisabledEntry ChangeKind = "disabled"
	EnabledEntry  ChangeKind = "enabled"
	Deleted       ChangeKind = "deleted"
	Granted       ChangeKind = "granted"
	Regraded      ChangeKind = "regraded" // the grant runs on under other terms
	Revoked       ChangeKind = "revoked"
	Expired       ChangeKind = "expired"
	Signalled     ChangeKind = "signalled"
	// Moves of a grant's opt state are kinds too, by the names of consent.OptMove.
	PartyAdded    ChangeKind = "party-added"
	PartyChanged  ChangeKind = "party-changed" // bounds or agreement: the party's generation moved on
	PartyRemoved  ChangeKind = "party-removed"
	PolicyChanged ChangeKind = "policy-changed"
)

// Actors that are no credential and no entry.
const (
	ActorOperator = "operator" // an operator at the shell
	actorSweeper  = "sweeper"  // what time ended
)

// Change is one line of the log: names and ids, never a value of a person's attribute.
type Change struct {
	Position   int64
	Tag        Tag
	Time       int64
	Entry      ID // zero for lines about a party or the policy
	Party      ID // set for grants and parties
	Kind       ChangeKind
	Attributes []string // canonical names
	Actor      string   // id of a credential or an entry, or the name of a command; never a person's name
	Source     string
	Txn        string
}

// Grant is one user's yes to one party, and that party's feed row for the entry: it stands in the feed once, at the
// position of the last change that concerns it.
type Grant struct {
	ID, Party, Entry ID
	Terms            consent.Terms
	// Opt is the person's word on account and session events. A grant that begins anew begins with OptedIn.
	Opt consent.Opt
	// Given is the position since which it runs, Ended the position of its end (0 while it runs), Regraded the
	// position of the last change of its terms, Position its place in the party's feed.
	Given, Ended, Regraded, Position int64
	// Gone: it ended because the entry was deleted.
	Gone bool
	// Version counts the moves of the row. It is the version and ETag that the party sees.
	Version int64
	// Marks holds the position at which a name joined or left the grant.
	Marks              Marks
	CreatedAt, Changed int64
}

// Mask is the index under which stores find the grants that a change may concern: too many is harmless, too few a bug.
// A grant for transfer only is found too: its version has to move with its values.
func (g Grant) Mask() uint64 {
	return schema.Mask(append([]string{"active"}, g.Terms.Attributes...)...)
}

// Reference is a pointer from an entry to another object of the same source: what the source wrote, and the entry it
// was found to be. An unknown target is kept unresolved and told to nobody.
type Reference struct {
	From   ID
	Name   string // canonical attribute: "members", "urn:…:manager"
	Key    string // folded text by which the source names the target
	Target ID     // zero while unresolved
}

// Party is a relying party.
type Party struct {
	ID       ID
	Name     string
	Audience string
	Profile  string
	// Sector is the id under whose key the party's subject ids are made; the party's own by default.
	Sector        ID
	SubjectFormat string
	// Events are the operator's bound on what the party's streams may ask for; none for no bound. Claims are those of the
	// tokens that the party's logins get, each with the attribute it is made of.
	Events  []events.Type
	Claims  map[string]string
	Bounds  consent.Bounds
	Origins []string
	// Agreement says that the party's bounds take the place of users' grants.
	Agreement bool
	// Generation moves on when something changes for the party as a whole; cursors of an older one answer 410.
	Generation int64
	Removed    int64 // position of the removal, 0 while it lives
	CreatedAt  int64
}

// offer is what the party's streams may ask for.
func (p Party) offer(policy consent.Policy) subscriptions.Offer {
	return subscriptions.Offer{Profile: subscriptions.Profile(p.Profile), Types: p.Events, Values: policy.Values}
}

// Role says what a credential is for.
type Role string

const (
	RoleParty     Role = "party"
	RoleDirectory Role = "directory"
	RoleOperator  Role = "operator"
)
