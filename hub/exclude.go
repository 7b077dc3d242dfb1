package hub

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"tidings/consent"
	"tidings/events"
	"tidings/hub/schema"
	"tidings/subscriptions"
)

// A stream begins with every subject that its party was granted (default_subjects ALL). Its receiver may take subjects
// off and add them again (SSF 1.0 section 8.1.3): that narrows this one stream within the grants and never widens it, and
// touches neither the party's other streams nor /delta.

// MaxExclusions bounds the subjects that a receiver takes off one stream.
const MaxExclusions = 10_000

// Exclusion is an entry that a stream's receiver took off it. It stays through whatever becomes of the stream's settings
// and status, and of the entry's grant: who was taken off stays silent until added again.
type Exclusion struct {
	Entry ID
	// Back: it was added again, and the stream has yet to tell how it stands. Its cursor has passed what happened
	// meanwhile.
	Back bool
}

// Choosing is the snapshot in which a receiver's choice is made: the stream, the entries that the subject may name as far
// as the party was ever told of them, which of those are off the stream, and what is unsettled of them.
type Choosing struct {
	Stream   Stream
	Page     FeedPage // rows with values
	Excluded []Exclusion
	// Count is how many exclusions the stream has in all.
	Count     int
	Unsettled []Delivery
	Now       int64
}

// Chosen is what becomes of it.
type Chosen struct {
	Put  []Exclusion
	Drop []ID // exclusions that end
	Kept Kept
}

// AddSubject puts a subject back on a stream. Whoever was taken off is told afresh, as everything that happened meanwhile
// was passed over. Unknown and ungranted subjects, and those that were never off, take the same path to the same answer
// (PR-01): an addition is a statement of interest, and every send is checked against the grant all the same (PR-03).
// ErrNotFound (the stream), ErrForbidden, *subscriptions.Invalid.
func (h *Hub) AddSubject(ctx context.Context, c Caller, stream string, s events.Subject) error {
	return h.choose(ctx, c, stream, s, include)
}

// RemoveSubject takes a subject off a stream: with the commit what waits about it is withdrawn, and nothing more of it is
// told there, not even that its grant ended; an attempt under way is let end. Errors and silence as AddSubject, and
// ErrSubjects.
func (h *Hub) RemoveSubject(ctx context.Context, c Caller, stream string, s events.Subject) error {
	return h.choose(ctx, c, stream, s, exclude)
}

func (h *Hub) choose(ctx context.Context, c Caller, stream string, subject events.Subject, rule func(naming, Choosing) (Chosen, error)) error {
	if !subject.Addable() {
		return &subscriptions.Invalid{Member: "subject", Reason: "names nobody"}
	}
	s, err := h.Stream(ctx, c, stream)
	if err != nil {
		return err
	}
	p, err := h.store.Party(ctx, s.Party)
	if err != nil {
		return fmt.Errorf("choose subject: %w", err)
	}
	sector, err := h.keys.sector(ctx, p.Sector)
	if err != nil {
		return fmt.Errorf("choose subject: %w", err)
	}
	n := naming{}
	n.read(sector, h.conf.Issuer, subject)
	silent := true
	err = h.store.Choose(ctx, s.Party, s.ID, n.Naming, h.now(), func(in Choosing) (Chosen, error) {
		out, err := rule(n, in)
		silent = len(out.Put) == 0 && len(out.Drop) == 0
		return out, err
	})
	if err != nil {
		return fmt.Errorf("choose subject: %w", err)
	}
	if silent {
		// A receiver that wonders why nothing happened asks its operator (PR-02). Whom it named is nobody's business.
		h.log.Info("a subject was added or removed without effect", "stream", s.ID)
	}
	return nil
}

// Naming is how entries may be found that a subject names. More than are meant are harmless: whom it means is decided by a
// rule, under the grant.
type Naming struct {
	Entries   []ID
	Keys      []ID     // Identifiers
	UserNames []string // folded, of persons
}

// MaxNamed bounds the entries that a store finds by one identifier for a party, among those that it may be told of: a
// directory may give everybody the same.
const MaxNamed = 100

// Identifiers are the keys to find a person by the address or number that names them in events. They are hashes, as an
// index takes short ones, and go with the entry.
func Identifiers(t schema.Type, a schema.Attributes) []ID {
	keys := []ID{}
	if t != schema.User {
		return keys
	}
	for _, name := range []string{"emails", "phoneNumbers"} {
		if value := identifier(a, name); value != "" {
			keys = append(keys, identifierKey(name, schema.Fold(value)))
		}
	}
	return keys
}

func identifierKey(name, folded string) ID {
	sum := sha256.Sum256([]byte(name + " " + folded))
	return ID(sum[:16])
}

// naming is whom a receiver's subject may mean.
type naming struct {
	Naming
	known map[string][]string // folded values by the attribute that holds them
	// part: it is about a session, a device or an application of theirs.
	part bool
}

// read takes a subject apart: any of aliases (MA-08), the user of a complex one (MA-06). The stream's own subject names
// an entry that nobody has, and so cannot be taken off (SU-09).
func (n *naming) read(s *sector, issuer string, subject events.Subject) {
	for name := range subject.Parts() {
		// Where somebody belongs does not narrow whom it is about.
		n.part = n.part || !slices.Contains([]string{"user", "tenant", "org_unit", "group"}, name)
	}
	if user, ok := subject.Part("user"); ok {
		subject = user
	}
	n.known = map[string][]string{}
	for _, one := range subject.Identifiers() {
		switch one.Format() {
		case events.FormatEmail:
			n.by("emails", one.Member("email"))
		case events.FormatPhone:
			n.by("phoneNumbers", one.Member("phone_number"))
		case events.FormatAccount: // acct:anna@example.com is who has that userName
			n.by("userName", strings.TrimPrefix(one.Member("uri"), "acct:"))
		default:
			if id, err := s.named(issuer, one); err == nil && !slices.Contains(n.Entries, id) {
				n.Entries = append(n.Entries, id)
			}
		}
	}
}

func (n *naming) by(attribute, value string) {
	value = schema.Fold(value)
	n.known[attribute] = append(n.known[attribute], value)
	if attribute == "userName" {
		n.UserNames = append(n.UserNames, value)
	} else {
		n.Keys = append(n.Keys, identifierKey(attribute, value))
	}
}

// names reports whether the subject means the row's entry, and the party may know that. By an attribute it may where it
// may fetch its value, or is told of people by it: who was granted notices only could otherwise try values until one is
// right (PR-05).
func (n naming) names(row FeedRow, in Choosing) bool {
	if slices.Contains(n.Entries, row.Entry.ID) {
		return true
	}
	rule, ok := ruled(row, in.Page.Party, in.Page.Head.Policy)
	if !ok || !Live(&row, in.Page.Party, in.Now) {
		return false
	}
	tells := map[string]subscriptions.SubjectFormat{"emails": subscriptions.FormatEmail, "phoneNumbers": subscriptions.FormatPhone}
	for attribute, values := range n.known {
		told := rule.Terms.Purposes.Has(consent.Transfer) || tells[attribute] == subscriptions.SubjectFormat(in.Page.Party.SubjectFormat)
		if told && consent.Covered(rule.Terms.Attributes, attribute) &&
			slices.Contains(values, schema.Fold(identifier(row.Entry.Attributes, attribute))) {
			return true
		}
	}
	return false
}

// exclude takes off the stream whom the subject names and the party may be told of at this moment. What ended before
// cannot be taken off: that it ended is still told. Neither can a part of somebody: to take off all of them for it would
// silence alarms that nobody gave up.
func exclude(n naming, in Choosing) (out Chosen, err error) {
	if n.part {
		return out, &subscriptions.Invalid{Member: "subject", Reason: "is a part of an account; only whole accounts are taken off a stream"}
	}
	for _, row := range in.Page.Rows {
		if !n.names(row, in) || !Live(&row, in.Page.Party, in.Now) {
			continue
		}
		i := slices.IndexFunc(in.Excluded, func(x Exclusion) bool { return x.Entry == row.Entry.ID })
		if i >= 0 && !in.Excluded[i].Back {
			continue
		}
		if i < 0 {
			in.Count++
		}
		if in.Count > MaxExclusions {
			return Chosen{}, ErrSubjects
		}
		out.Put = append(out.Put, Exclusion{Entry: row.Entry.ID})
		out.Kept.add(Silence(of(in.Unsettled, row.Entry.ID), in.Now))
	}
	return out, nil
}

// include puts back whom the subject names, among those that are off the stream: the party knows them, granted or not. A
// disabled stream holds nothing, so there is nothing to be told when it goes on.
func include(n naming, in Choosing) (out Chosen, err error) {
	for _, x := range in.Excluded {
		known := slices.Contains(n.Entries, x.Entry) ||
			slices.ContainsFunc(in.Page.Rows, func(r FeedRow) bool { return r.Entry.ID == x.Entry && n.names(r, in) })
		switch {
		case !known || x.Back:
		case in.Stream.Status == subscriptions.Disabled:
			out.Drop = append(out.Drop, x.Entry)
		default:
			out.Put = append(out.Put, Exclusion{Entry: x.Entry, Back: true})
		}
	}
	return out, nil
}

func of(unsettled []Delivery, entry ID) (found []Delivery) {
	for _, d := range unsettled {
		if d.Entry == entry {
			found = append(found, d)
		}
	}
	return found
}

// Silence withdraws the deliveries of an entry that was taken off the stream, its removal among them. An attempt under
// way is let end, as with End.
func Silence(unsettled []Delivery, now int64) (k Kept) {
	for _, d := range unsettled {
		if d.busy(now) {
			d.Void = true
			k.Put = append(k.Put, d)
		} else {
			k.Drop = append(k.Drop, d.ID)
		}
	}
	return k
}

// back tells how the entries stand that were added again: as "added", since the receiver may have missed anything, or that
// they ended meanwhile.
func (in Issuing) back() (told []Delivery) {
	for _, id := range in.Back {
		row, ok := in.SignalRows[id]
		if !ok {
			continue // forgotten since
		}
		rule, ok := ruled(row, in.Page.Party, in.Page.Head.Policy)
		if !ok {
			continue
		}
		if t := consent.Tell(rule, 0, 0, in.Now); t.Kind != "" {
			d := delivery(in.Stream, row, in.Page)
			d.Kind, d.Names, d.Gone = t.Kind, t.Names, t.Kind == consent.Removed && row.gone()
			told = append(told, d)
		}
	}
	return told
}
