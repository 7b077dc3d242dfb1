package hub

import (
	"context"
	"fmt"

	"tidings/consent"
	"tidings/subscriptions"
)

// issue records what is next to be told on a stream and moves its cursor, in one transaction. The decision is made from
// one snapshot; a grant that ends right after it is caught when the delivery is begun. issued: there may be more to send
// than before.
func (h *Hub) issue(ctx context.Context, stream ID) (issued, more bool, err error) {
	more, err = h.store.Issue(ctx, stream, h.now(), Window, func(in Issuing) Issued {
		out := decideIssue(in, h.keys.sealCursor)
		issued = issued || len(out.Deliveries) > 0
		return out
	})
	if err != nil {
		return false, false, fmt.Errorf("issue: %w", err)
	}
	return issued, more, nil
}

// decideIssue tells the stream's reader what it has not been told: rows of the feed, one by one or by a digest, and
// signals.
func decideIssue(in Issuing, seal func(cursor) string) Issued {
	s, page := in.Stream, in.Page
	if s.Generation != page.Party.Generation {
		return feedChanged(in)
	}
	out := Issued{Base: s.Base, At: s.At, Tag: s.Tag, Signal: s.Signal, Generation: s.Generation, Quiet: s.Quiet, Back: in.Back}
	for _, signal := range in.Signals {
		out.Signal = signal.Position
		if back, off := in.Excluded[signal.Entry]; off && !back {
			continue
		}
		if row, ok := in.SignalRows[signal.Entry]; ok && signal.due(row, page, in.Now) {
			d := delivery(s, row, page)
			d.Signal, d.Type, d.Position, d.Time, d.Txn = signal.Position, signal.Type, signal.Position, signal.Time, signal.Txn
			out.Deliveries = append(out.Deliveries, d)
		}
	}
	if !in.MoreSignals {
		out.Signal = max(out.Signal, page.Head.Position)
	}
	if s.digests(page.Party, page.Head.Policy) {
		return in.digest(out, seal)
	}
	out.Deliveries = append(out.Deliveries, in.back()...)
	for _, row := range page.Rows {
		if _, off := in.Excluded[row.Entry.ID]; off {
			continue // silent, or told above as it stands, or before long
		}
		rule, ok := ruled(row, page.Party, page.Head.Policy)
		if !ok {
			continue
		}
		t := consent.Tell(rule, s.Base, 0, in.Now)
		if t.Kind == "" {
			continue
		}
		d := delivery(s, row, page)
		d.Kind, d.Names, d.Gone = t.Kind, t.Names, t.Kind == consent.Removed && row.gone()
		out.Deliveries = append(out.Deliveries, d)
	}
	return out.past(page)
}

// Prospect is what issuing a stream would begin with, as far as that can be seen without its rows and without a lock.
type Prospect struct {
	Stream Stream
	Party  Party
	Policy consent.Policy
	// Unsettled counts the stream's deliveries about entries; Digest: one is not settled.
	Unsettled int
	Digest    bool
	// Rows and Signals stand after the stream's places; Back: subjects are on their way back to it.
	Rows, Signals, Back bool
}

// Idle reports that issuing would tell nothing and pass nothing. Then it is not begun: most looks of those who wait are
// of this kind, one for each commit that concerns somebody else, and all streams' places need not follow the head for that
// (Trim takes those along that stand before the oldest tombstone). What comes after this look has a hint of its own.
func (p Prospect) Idle(now int64, window int) bool {
	s := p.Stream
	switch {
	case s.Status != subscriptions.Enabled:
		return true
	case s.Generation != p.Party.Generation:
		return false
	case p.Unsettled >= window:
		return true
	case p.Signals || p.Back:
		return false
	case !p.Rows:
		return s.Base == s.At // else it is at the end now, and what comes next is not to be told with what was told
	}
	return s.digests(p.Party, p.Policy) && (p.Digest || s.quiet(now))
}

// Records reports whether a decision leaves anything to be written.
func (out Issued) Records(s Stream) bool {
	return out.Anew || len(out.Deliveries) > 0 || len(out.Back) > 0 || out.Base != s.Base || out.At != s.At || out.Tag != s.Tag ||
		out.Signal != s.Signal || out.Generation != s.Generation || out.Quiet != s.Quiet
}

// past moves the cursor along the feed: over the page, or to the head when it was the last.
func (out Issued) past(page FeedPage) Issued {
	if page.More {
		out.At, out.Tag = page.Last, page.LastTag
	} else {
		out.Base, out.At, out.Tag = page.Head.Position, page.Head.Position, page.Head.Tag
	}
	return out
}

// feedChanged answers a change for the party as a whole: what waits was decided under other bounds, one notice tells the
// receiver to read a fresh snapshot, and the stream goes on from the head. Signals are in no snapshot: theirs goes on from
// where it stands (TestSignalsOutliveTheGeneration).
func feedChanged(in Issuing) Issued {
	head := in.Page.Head
	return Issued{
		Anew:       true,
		Deliveries: []Delivery{ownDelivery(&in.Stream, subscriptions.FeedChanged(in.Stream.ID.String()), in.Now)},
		Base:       head.Position, At: head.Position, Tag: head.Tag, Signal: in.Stream.Signal,
		Generation: in.Page.Party.Generation, Quiet: in.Stream.Quiet,
		Back: in.Back, // the snapshot tells them
	}
}

// Remains: rows, signals or subjects that are back stand after the place that was decided on.
func (in Issuing) Remains(out Issued) bool {
	if n := len(in.Signals); in.MoreSignals || in.MoreBack || n > 0 && in.Signals[n-1].Position > out.Signal {
		return true
	}
	return !out.Drained && (in.Page.More || len(in.Page.Rows) > 0 && in.Page.Last > out.At)
}

// due: the signal is alive and was raised while the party's present grant ran. What was raised before a grant is none
// of its party's business.
func (s Signal) due(row FeedRow, page FeedPage, now int64) bool {
	if s.Expires <= now || !s.Concerns(row, page.Party, now) {
		return false
	}
	return page.Party.Agreement || s.Position > row.Grant.Given
}

func delivery(s Stream, row FeedRow, page FeedPage) Delivery {
	d := Delivery{
		ID: NewID(), Stream: s.ID, Party: s.Party, Entry: row.Entry.ID,
		Generation: page.Party.Generation, Version: row.version(page.Party),
		Position: row.Entry.Position, Time: row.Entry.Changed,
	}
	if row.Grant != nil {
		d.Given, d.Position, d.Time = row.Grant.Given, row.Grant.Position, row.Grant.Changed
	}
	return d
}
