package hub

import (
	"cmp"
	"slices"

	"tidings/consent"
	"tidings/subscriptions"
)

// The rules of the bounded window: what happens to the unsettled deliveries of one stream and entry when something is
// issued, sent, answered, revoked or narrowed. Drivers load those few deliveries under the stream's lock, call these
// functions and write what they return. TestWindowModel interleaves them at random; each of its tempting variants loses
// a change or tells too much.

// Window bounds the unsettled deliveries of a stream.
const Window = 512

// MaxOwn bounds a stream's own deliveries that wait: a receiver can ask for verifications while it takes none.
const MaxOwn = 16

// Kept is what a rule leaves of some deliveries: Put to be written (new or changed), Drop to be deleted with their
// tokens.
type Kept struct {
	Put  []Delivery
	Drop []ID
}

func (k *Kept) add(other Kept) {
	k.Put = append(k.Put, other.Put...)
	k.Drop = append(k.Drop, other.Drop...)
}

// busy: an attempt is under way.
func (d Delivery) busy(now int64) bool { return d.Busy > now }

// waiting: it belongs to the feed and nothing of it has left; it absorbs what comes next.
func (d Delivery) waiting() bool { return !d.Sent && !d.Void && d.Signal == 0 && !d.Entry.IsZero() }

// Absorb issues next where the entry has unsettled deliveries: a waiting one takes the new names, otherwise next waits
// beside the one that was sent. Signals and the stream's own never coalesce.
//
// Skipping a change because one is on its way would lose it (the cursor has passed); queueing one by one would flood.
func Absorb(unsettled []Delivery, next Delivery) Kept {
	if next.Signal != 0 || next.Entry.IsZero() {
		return Kept{Put: []Delivery{next}}
	}
	for _, d := range unsettled {
		if d.waiting() && d.Busy == 0 {
			return Kept{Put: []Delivery{merge(d, next)}}
		}
	}
	return Kept{Put: []Delivery{next}}
}

// merge folds a later telling into an earlier one that has not left.
func merge(d, next Delivery) Delivery {
	names := union(d.Names, next.Names)
	version := max(d.Version, next.Version)
	switch {
	case next.Kind == consent.Added || next.Kind == consent.Removed || d.Kind == consent.Removed:
		// A later "added" or "removed" says all there is to say.
		d.Kind, d.Gone, names = next.Kind, next.Gone, next.Names
	case d.Kind == consent.Added:
		// still "added": the party takes all of it; new names join.
	case next.Kind == consent.Disabled || next.Kind == consent.Enabled:
		d.Kind = next.Kind // the present value tells (MP-30: disable then enable leaves nobody disabled)
	}
	d.Names, d.Version = names, version
	d.Given, d.Generation = next.Given, next.Generation
	d.Position, d.Time, d.Txn = next.Position, next.Time, next.Txn
	return d
}

func union(a, b []string) []string {
	all := append(slices.Clone(a), b...)
	slices.Sort(all)
	return slices.Compact(all)
}

// End withdraws the deliveries of an entry whose grant ended or which was deleted. An attempt under way is let end: its
// delivery becomes void and is dropped then; the removal waits for it (Turns). A removal stays: when an entry is deleted
// whose grant had ended before, its row does not move again and no other removal would follow.
func End(unsettled []Delivery, now int64) (k Kept) {
	for _, d := range unsettled {
		switch {
		case d.Kind == consent.Removed && d.Signal == 0:
		case d.busy(now):
			d.Void = true
			k.Put = append(k.Put, d)
		default:
			k.Drop = append(k.Drop, d.ID)
		}
	}
	return k
}

// Narrow un-makes what was made under wider terms: same names, new tokens. (Withdrawing instead would lose the names:
// the cursor has passed them.)
func Narrow(unsettled []Delivery, now int64) (k Kept) {
	for _, d := range unsettled {
		if d.Sent && !d.Void {
			k.add(Recalled(d, unsettled, now))
		}
	}
	return k
}

// Regenerate is what a stream's window becomes when its party's generation moves on. What tells how entries are was decided
// under other bounds, and the snapshot that the receiver is to read takes its place, that of a removal too. A signal stands
// in no snapshot: it stays owed, in tokens made anew, and whether it may still be told is asked when it begins. Of the
// stream's own a feed-changed goes, since the one that comes says as much.
func Regenerate(unsettled []Delivery, generation, now int64) (k Kept) {
	for _, d := range unsettled {
		switch {
		case d.changesFeed():
			k.Drop = append(k.Drop, d.ID)
		case d.Entry.IsZero():
		case d.Signal != 0:
			d.Generation = generation
			if !d.Sent {
				k.Put = append(k.Put, d)
				continue
			}
			k.add(Recalled(d, unsettled, now))
		case d.busy(now):
			d.Void = true
			k.Put = append(k.Put, d)
		default:
			k.Drop = append(k.Drop, d.ID)
		}
	}
	return k
}

// Recalled takes back tokens that may not leave any more as they are: for their terms, or for the key that signed them.
// Those of an attempt under way are un-made when it ends; the stream's own, where Remake says something else, when they are
// recalled again.
func Recalled(d Delivery, unsettled []Delivery, now int64) Kept {
	switch {
	case d.busy(now) && d.Entry.IsZero():
		return Kept{}
	case d.busy(now):
		d.Remake = !d.Void
		return Kept{Put: []Delivery{d}}
	case d.Void: // its attempt was lost with its node
		return Kept{Drop: []ID{d.ID}}
	}
	return unmake(d, unsettled)
}

// Refuse answers a receiver that does not accept the key: once, the delivery is made anew with the present key and due at
// due, under another jti, since the receiver may hold the old one for a repeat and pass over it. again is false when that
// was done before; then a repeat cannot help.
func Refuse(d Delivery, unsettled []Delivery, due int64) (k Kept, again bool) {
	switch {
	case d.Void:
		return Kept{Drop: []ID{d.ID}}, true
	case d.Refused:
		return Kept{}, false
	}
	d.Refused = true
	k = unmake(d, unsettled)
	k.Put[0].Due = due
	return k, true
}

// unmake turns a sent delivery back into a waiting one. If the entry already has a waiting one the two become one, so
// that there are never more than two.
func unmake(d Delivery, unsettled []Delivery) Kept {
	d.Remake = d.Remake && d.Entry.IsZero() // a probe stays one
	d.Sent, d.Busy, d.Owner, d.Tokens, d.Cut, d.Attempts, d.Due = false, 0, "", nil, 0, 0, 0
	if d.Signal != 0 {
		return Kept{Put: []Delivery{d}}
	}
	for _, w := range unsettled {
		if w.ID != d.ID && w.waiting() {
			return Kept{Put: []Delivery{merge(d, w)}, Drop: []ID{w.ID}}
		}
	}
	return Kept{Put: []Delivery{d}}
}

// Released ends an attempt without an answer that settles it: a lost lease, a failure, a poll answer that was written.
// The delivery is due again at due.
func Released(d Delivery, unsettled []Delivery, due int64) Kept {
	switch {
	case d.Void:
		return Kept{Drop: []ID{d.ID}}
	case d.Remake && d.Entry.IsZero(): // a probe, each time a new one
		d.Sent, d.Busy, d.Owner, d.Tokens, d.Due = false, 0, "", nil, due
		return Kept{Put: []Delivery{d}}
	case d.Remake:
		return unmake(d, unsettled)
	}
	d.Busy, d.Owner, d.Due = 0, "", due
	return Kept{Put: []Delivery{d}}
}

// Outlived: the outcome is of an attempt whose time was over, or whose node lost its lease, and the delivery was begun
// anew since. It must not end the newer attempt, which is still under way.
func (d Delivery) Outlived(o Outcome) bool {
	return o.Next != subscriptions.Done && o.Attempt != 0 && o.Attempt != d.Attempts
}

// left counts the tokens that are not settled.
func (d Delivery) left() (n int) {
	for _, t := range d.Tokens {
		if unsettledToken(t) {
			n++
		}
	}
	return n
}

func unsettledToken(t SignedToken) bool { return !t.Settled }

// Settled applies the receiver's word on one token of a delivery. The tokens of a delivery go in order and settle
// together: it is dropped with the last of them. Where a poll took fewer than there are, the attempt ends with the last
// that it took and the rest is due at once.
func Settled(d Delivery, unsettled []Delivery, jti string) Kept {
	d.Tokens = slices.Clone(d.Tokens)
	for i := range d.Tokens {
		if d.Tokens[i].JTI == jti {
			d.Tokens[i].Settled, d.Tokens[i].Compact = true, nil
		}
	}
	if d.left() == 0 {
		// Also of a narrowed one: every token of the old terms arrived, what they named was told.
		return Kept{Drop: []ID{d.ID}}
	}
	if taken := d.Tokens[:min(d.Cut, len(d.Tokens))]; len(taken) > 0 && !slices.ContainsFunc(taken, unsettledToken) {
		d.Cut = 0
		return Released(d, unsettled, 0)
	}
	// Also of a void one: its other tokens may still be under way, and the removal waits for them.
	return Kept{Put: []Delivery{d}}
}

// Turns lists the deliveries of a stream that may be attempted now, first in line first: the stream's own, then
// signals, then the feed, each in order. Of one entry only one at a time, and a removal not before every attempt about
// the entry has ended.
func Turns(unsettled []Delivery, now int64, limit int) (turns []Delivery) {
	inLine := slices.Clone(unsettled)
	slices.SortFunc(inLine, func(a, b Delivery) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Order, b.Order))
	})
	for _, d := range inLine {
		if d.announces() && d.Attempts == 0 && d.Due <= now && limit > 0 {
			return []Delivery{d} // nothing begins beside the last word before a pause, or the first after it (SE-03, SE-04)
		}
	}
	taken := map[ID]bool{}
	for _, d := range inLine {
		if d.busy(now) && !d.Entry.IsZero() {
			taken[d.Entry] = true
		}
	}
	for _, d := range inLine {
		if len(turns) == limit {
			break
		}
		if d.busy(now) || !d.Void && taken[d.Entry] && !d.Entry.IsZero() {
			continue
		}
		if d.Void { // its attempt was lost with its node: Begin drops it
			turns = append(turns, d)
			continue
		}
		taken[d.Entry] = true
		if d.Due <= now {
			turns = append(turns, d)
		}
	}
	return turns
}

func rank(d Delivery) int {
	switch {
	case d.Entry.IsZero():
		return 0
	case d.Signal != 0:
		return 1
	}
	return 2
}

// Verdict is what Begin finds when it looks at the row once more, as committed at that moment.
type Verdict uint8

const (
	// Go: it may be sent now.
	Go Verdict = iota
	// Wait: what the node holds is not to be sent. Leave the delivery as it is, it is read again; only one that is to be
	// remade is let go (Released): other bytes may have begun to leave, and those stay.
	Wait
	// Withdraw: it may not be told any more.
	WithdrawIt
)

// Remakes: the attempt is of tokens that are to be made anew (Attempt.Remake), and those still stand.
func (a Attempt) Remakes(d Delivery) bool {
	return a.Remake && len(d.Tokens) > 0 && d.Tokens[0].JTI == a.First
}

// Judge checks an attempt against the row of its entry as it stands in the transaction that begins it. Every send about
// a subject passes here: first send, retry, poll and socket.
func Judge(d Delivery, a Attempt, row *FeedRow, p Party, now int64) Verdict {
	switch {
	case d.Void:
		return WithdrawIt
	case a.Withdraw || a.Dead != "":
		if d.Position != a.Position {
			return Wait // it absorbed a change since it was found to say nothing
		}
		return WithdrawIt
	case p.Removed != 0:
		return WithdrawIt
	case d.Sent == (len(a.Tokens) > 0):
		// Made by another node meanwhile (its bytes stay), or un-made since this node read them.
		return Wait
	case d.left() != a.Left, len(d.Tokens) > 0 && d.Tokens[0].JTI != a.First:
		return Wait // one of them was acknowledged meanwhile and may not leave again, or others were made
	case d.Entry.IsZero():
		return Go
	case d.Remake:
		return Wait // its attempt was lost with its node: its tokens may not leave again
	case d.Position != a.Position:
		return Wait // it absorbed a change after the tokens were made; sent so, that change would be lost
	}
	live := Live(row, p, now)
	switch {
	case d.Generation != p.Generation && d.Signal != 0:
		return Wait // the stream is about to make its tokens anew (Regenerate)
	case d.Generation != p.Generation:
		return WithdrawIt // issued under other bounds; the stream is about to tell "feed-changed" and start anew
	case d.Kind == consent.Removed && d.Signal == 0:
		if live || row != nil && row.Grant != nil && row.Grant.Given != d.Given {
			// Granted again meanwhile: "added" follows and replaces; or that ended too, and its own removal follows
			// when the attempts of that grant have ended.
			return WithdrawIt
		}
		return Go
	case !live:
		return WithdrawIt
	case p.Agreement:
		return Go
	case row.Grant.Given != d.Given:
		return WithdrawIt
	case row.Grant.Regraded != a.Regraded:
		return Wait
	}
	return Go
}

// Live reports whether the party may be told of the row's entry at now.
func Live(row *FeedRow, p Party, now int64) bool {
	if row == nil || p.Removed != 0 || row.Entry.Deleted != 0 {
		return false
	}
	if p.Agreement {
		return p.Bounds.AllowsType(string(row.Entry.Type))
	}
	return row.Grant != nil && row.Grant.Ended == 0 && !row.Grant.Terms.Expired(now) && p.Bounds.AllowsType(string(row.Entry.Type))
}
