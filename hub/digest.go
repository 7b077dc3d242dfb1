package hub

import (
	"slices"

	"tidings/consent"
	"tidings/events"
	"tidings/subscriptions"
)

// A stream of digests is told of its feed by one notice now and then: there are changes, and this is the cursor by which
// /delta tells them (RFC 7642 section 3.5). The cursor is the stream's own place before it moves to the head, so that
// each digest's page begins where the one before was made, and whoever reads from each of them misses nothing
// (TestFollowingDigests). Signals are told one by one as on any stream.
//
// A subject that was taken off the stream counts as any other: a digest is about nobody, and what would be passed over in
// silence would be missing when the subject is back.
//
// At most one digest is unsettled, and none is made before the stream's interval is over: until then the cursor stands
// still, and what comes meanwhile belongs to the next one. So a receiver that is away for a week gets one.

// digests reports whether the stream tells its feed by digests.
func (in Issuing) digests() bool {
	offer := in.Page.Party.offer(in.Page.Head.Policy)
	return in.Stream.Settings.Digests() && slices.Contains(offer.Delivered(in.Stream.Settings), events.Digest)
}

// digest decides what is told of the feed.
func (in Issuing) digest(out Issued, seal func(cursor) string) Issued {
	s, page := in.Stream, in.Page
	every := s.Settings.DigestEvery().Microseconds()
	if in.Digest || in.Now < s.Quiet && s.Quiet <= in.Now+every { // a later one was said by a clock that was wrong
		out.Drained = true
		return out
	}
	if !in.tells() {
		return out.past(page)
	}
	place := cursor{Party: s.Party, Generation: s.Generation, Base: s.Base, At: s.At, Tag: s.Tag}
	out.Deliveries = append(out.Deliveries, ownDelivery(&s, subscriptions.Digest(s.ID.String(), seal(place)), in.Now))
	out.Base, out.At, out.Tag = page.Head.Position, page.Head.Position, page.Head.Tag
	out.Quiet, out.Drained = in.Now+every, true
	return out
}

// tells reports whether anything of the page is to be told.
func (in Issuing) tells() bool {
	return slices.ContainsFunc(in.Page.Rows, func(row FeedRow) bool {
		rule, ok := ruled(row, in.Page.Party, in.Page.Head.Policy)
		return ok && consent.Tell(rule, in.Stream.Base, 0, in.Now).Kind != ""
	})
}

// redigest is what follows when a receiver turns its stream into one of digests, or back: what waits was issued for the
// other way of following, so the receiver is told to read a snapshot. The next digest is due at once.
func (h *Hub) redigest(s *Stream, next subscriptions.Settings) []Delivery {
	if next.Digests() == s.Settings.Digests() {
		if next.DigestEvery() != s.Settings.DigestEvery() {
			s.Quiet = 0
		}
		return nil
	}
	s.Quiet = 0
	if s.Status == subscriptions.Disabled {
		return nil
	}
	return []Delivery{ownDelivery(s, subscriptions.FeedChanged(s.ID.String()), h.now())}
}
