package hub

import (
	"crypto/rand"
	"encoding/base64"

	"tidings/hub/schema"
)

// Report is what a source saw: "this object now looks like this", "this was patched so", "this is gone". Sources state
// facts; the hub finds the changes, so that re-imports and replays are harmless.
type Report struct {
	// Source made the entry and knows it by Key. With Entry set the source addresses the entry by the hub's own id.
	Source string
	Key    string
	Entry  ID
	// Aliases are further names by which references of the source may point to the entry (its DN).
	Aliases []string
	Type    schema.Type
	// Resource is the whole object as far as Names reach: canonical names that the source's mapping knows, nil for all.
	Resource *schema.Resource
	Names    []string
	// Patch is a SCIM PatchOp body in place of Resource.
	Patch []byte
	// Gone: the object was deleted.
	Gone bool
	// Create: the object must be new.
	Create bool
	// IfVersion is the version the source believes to be current; 0 for any (RFC 7644 section 3.14).
	IfVersion int64
	// Actor is the id of a credential or an entry, or the name of a command. Txn names the cause; one is made if empty.
	Actor, Txn string

	keys []string // folded, once
}

// Result is what became of a report.
type Result struct {
	// Entry is the entry as it stands after the commit, nil once deleted or if Err is set.
	Entry *Entry
	// Kind is Created, Updated, DisabledEntry, EnabledEntry or Deleted; empty if nothing differed.
	Kind ChangeKind
	// Names differed; Position is of the first line, 0 if nothing differed.
	Names    []string
	Position int64
	// Err is a *schema.Error, ErrTaken, ErrNotFound or ErrVersion: this report was refused, others were not.
	Err error
}

func newTxn() string {
	b := make([]byte, 12)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}
