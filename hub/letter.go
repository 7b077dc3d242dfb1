package hub

import (
	"slices"
	"time"

	"tidings/consent"
	"tidings/events"
	"tidings/subscriptions"
)

const (
	// LetterLife is how long a dead letter is kept.
	LetterLife = 30 * 24 * time.Hour
	// MaxLetters bounds a stream's letters; the oldest go first. A receiver that refuses everything fills no disk.
	MaxLetters = 1000
	// maxDescription bounds what is kept of a receiver's words, in bytes.
	maxDescription = 1000
)

// DeadLetter is a delivery that was given up; the stream went on. It holds what is needed to understand it and to tell it
// again: names and positions, never values.
type DeadLetter struct {
	ID, Stream, Party ID
	Entry             ID // zero: the stream's own
	// Kind, Gone and Names are of a feed row, Type of a signal and of the stream's own.
	Kind  consent.Kind
	Gone  bool
	Names []string
	Type  events.Type
	// Given and Signal are as in the Delivery.
	Given, Signal int64
	Attempts      int
	// JTI is the token that was refused, by which a receiver finds it in its own records; "" if none was made.
	JTI string
	// Reason is as in the Outcome. Description is sealed by the engine; nil when there is none, and once the person is
	// deleted.
	Reason      string
	Description []byte
	Time        int64
	Expires     int64
}

// Bury makes the letter of a delivery that is given up.
func Bury(d Delivery, o Outcome, now int64) DeadLetter {
	return DeadLetter{
		ID: NewID(), Stream: d.Stream, Party: d.Party, Entry: d.Entry, Kind: d.Kind, Gone: d.Gone, Names: d.Names, Type: d.Type,
		Given: d.Given, Signal: d.Signal, Attempts: d.Attempts, JTI: o.JTI, Reason: o.Reason, Description: o.Sealed,
		Time: now, Expires: now + LetterLife.Microseconds(),
	}
}

// LetterQuery selects dead letters: those of which every member that is set is true.
type LetterQuery struct {
	ID, Party, Stream ID
	// Expired selects those whose life was over at this time.
	Expired int64
	Limit   int
}

// Reviving is what the letters of a stream are put back in line by, read under its lock: the rows of their entries and
// their signals as they stand, and what the stream has not settled.
type Reviving struct {
	Letters   []DeadLetter // oldest first
	Rows      map[ID]*FeedRow
	Excluded  []Exclusion // those of the entries that the receiver took off the stream
	Signals   map[int64]*Signal
	Party     Party
	Unsettled []Delivery
	Window    int
	Now       int64
}

// Revived says what became of letters: those put in line, those of which nothing may be told any more, and how many are
// left, for a later call or until there is room.
type Revived struct{ Replayed, Withdrawn, Left int }

// Decide makes deliveries of the letters, as many as the stream has room for, each under the id of its letter, and lists the
// letters that are settled by that. A delivery is told under the grant as it stands now: one of a grant that ended, or was given anew since (which
// told all there is), or of a signal whose life is over, is withdrawn.
func (r Reviving) Decide() (again []Delivery, settled []ID) {
	room, own := r.Window, MaxOwn
	for _, d := range r.Unsettled {
		if d.Entry.IsZero() {
			own--
		} else {
			room--
		}
	}
	for _, l := range r.Letters {
		d, ok := r.revive(l)
		if ok {
			left := &room
			if d.Entry.IsZero() {
				left = &own
			}
			if *left <= 0 {
				break
			}
			*left--
			d.ID = l.ID
			again = append(again, d)
		}
		settled = append(settled, l.ID)
	}
	return again, settled
}

func (r Reviving) revive(l DeadLetter) (d Delivery, ok bool) {
	if l.Entry.IsZero() {
		// A verification answers a question of long ago, and stream-updated tells of a state that has passed. In place of
		// a digest, whose cursor went with it, the receiver is told to read a snapshot.
		own := Stream{ID: l.Stream, Party: l.Party}
		return ownDelivery(&own, subscriptions.FeedChanged(l.Stream.String()), r.Now), l.Type == events.FeedChanged || l.Type == events.Digest
	}
	row := r.Rows[l.Entry]
	if row == nil || slices.ContainsFunc(r.Excluded, func(x Exclusion) bool { return x.Entry == l.Entry }) {
		return d, false // who was taken off is silent, and who is on the way back is told of afresh
	}
	d = delivery(Stream{ID: l.Stream, Party: l.Party}, *row, FeedPage{Party: r.Party})
	live := Live(row, r.Party, r.Now)
	switch {
	case d.Given != l.Given:
		return d, false
	case l.Signal != 0:
		s := r.Signals[l.Signal]
		if s == nil || s.Expires <= r.Now || !s.Concerns(*row, r.Party, r.Now) {
			return d, false
		}
		d.Signal, d.Type, d.Position, d.Time, d.Txn = s.Position, s.Type, s.Position, s.Time, s.Txn
		return d, true
	case l.Kind == consent.Removed:
		d.Kind, d.Gone = l.Kind, row.gone()
		return d, !live
	}
	d.Kind, d.Names = l.Kind, l.Names
	switch {
	case (l.Kind == consent.Disabled || l.Kind == consent.Enabled) && row.Entry.Active:
		d.Kind = consent.Enabled
	case l.Kind == consent.Disabled || l.Kind == consent.Enabled:
		d.Kind = consent.Disabled
	}
	return d, live
}
