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
func (s Stream) digests(p Party, policy consent.Policy) bool {
	return s.Settings.Digests() && slices.Contains(p.offer(policy).Delivered(s.Settings), events.Digest)
}

// quiet: the interval since the last digest is not over. A later end was said by a clock that was wrong.
func (s Stream) quiet(now int64) bool {
	return now < s.Quiet && s.Quiet <= now+s.Settings.DigestEvery().Microseconds()
}

// digest decides what is told of the feed.
func (in Issuing) digest(out Issued, seal func(cursor) string) Issued {
	s, page := in.Stream, in.Page
	if in.Digest || s.quiet(in.Now) {
		out.Drained = true
		return out
	}
	if !in.tells() {
		return out.past(page)
	}
	place := cursor{Party: s.Party, Generation: s.Generation, Base: s.Base, At: s.At, Tag: s.Tag}
	out.Deliveries = append(out.Deliveries, ownDelivery(&s, subscriptions.Digest(s.ID.String(), seal(place)), in.Now))
	out.Base, out.At, out.Tag = page.Head.Position, page.Head.Position, page.Head.Tag
	out.Quiet, out.Drained = in.Now+s.Settings.DigestEvery().Microseconds(), true
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
