package hub

import (
	"cmp"
	"encoding/json"
	"reflect"
	"slices"
	"time"

	"tidings/events"
	"tidings/subscriptions"
)

// The rules of a stream that stands still. Drivers call them under the stream's lock; the verbs are in suspend.go.

// NoticeLife is how long the last word on a stream, that it was paused or disabled, can still be fetched by one who
// polls (SE-08). One that is pushed is tried once (SE-09).
const NoticeLife = 7 * 24 * time.Hour

// MayLeave: on a stream that is not enabled nothing leaves but what announces its status (SE-03, ST-11): that it stops
// here, or, of one that the transmitter paused, the probe that it goes on.
func MayLeave(status subscriptions.Status, d Delivery) bool {
	return status == subscriptions.Enabled || d.announces()
}

// announces: it tells a status that the transmitter or its operator set.
func (d Delivery) announces() bool { return d.Entry.IsZero() && d.Type == events.StreamUpdated }

// changesFeed: it tells the receiver to read a snapshot.
func (d Delivery) changesFeed() bool { return d.Entry.IsZero() && d.Type == events.FeedChanged }

// announced is the status that it tells.
func (d Delivery) announced() (status subscriptions.Status) {
	var payload struct {
		Status subscriptions.Status `json:"status"`
	}
	if d.announces() && json.Unmarshal(d.Payload, &payload) == nil {
		status = payload.Status
	}
	return status
}

// spent: the last word on a stream has been said, or can be said no more.
func (d Delivery) spent(method string, now int64) bool {
	if status := d.announced(); status == "" || status == subscriptions.Enabled {
		return false
	}
	return method == events.MethodPush && d.Attempts > 0 || now-d.Time > NoticeLife.Microseconds()
}

// Rewritten is what a write makes of a stream, and of what waits on it.
type Rewritten struct {
	Stream Stream
	// Forget all that is unsettled: nothing is held for a disabled stream (ST-14).
	Forget bool
	// ToHead: it was disabled, what happened meanwhile is not told.
	ToHead bool
	// Hurry: what waits is due at once. The receiver mended what was wrong with it, or said go on (UP-12).
	Hurry bool
	// Drop these of the stream's own.
	Drop []ID
}

// Rewrite applies a writer's choices (w: settings, status, reason, by, verified) to the stream as it stands. waiting are
// the stream's own deliveries, own those that come with the write. ErrTooSoon: too many verifications are owed already, or
// another was asked for at the same time.
//
// That a verification was asked for mends nothing and is no new version: attempts that fail keep to what their receiver
// asked for by Retry-After. So Verified is compared here, as the version does not tell two askers apart.
func Rewrite(was, w Stream, waiting, own []Delivery) (Rewritten, error) {
	r := Rewritten{Stream: was}
	s := &r.Stream
	s.Settings, s.Status, s.Reason, s.By, s.Quiet = w.Settings, w.Status, w.Reason, w.By, w.Quiet
	s.Verified = max(was.Verified, w.Verified)
	asked := s.Verified != was.Verified
	if asked && was.Verified != 0 && s.Verified-was.Verified < VerificationInterval.Microseconds() {
		return r, ErrTooSoon
	}
	if !asked || w.Status != was.Status || w.Reason != was.Reason || w.By != was.By || w.Quiet != was.Quiet ||
		!reflect.DeepEqual(w.Settings, was.Settings) {
		s.Version++
	}
	r.Forget = s.Status == subscriptions.Disabled
	r.ToHead = was.Status == subscriptions.Disabled && !r.Forget
	r.Hurry = was.Settings.Delivery != s.Settings.Delivery || was.Status != subscriptions.Enabled && s.Status == subscriptions.Enabled
	if r.Hurry {
		s.Failures, s.Failing, s.Problem = 0, 0, ""
	}
	if r.Forget {
		return r, nil
	}
	// A status that was set anew makes void what was announced before; with it goes the probe, so that what a receiver or
	// an operator paused is not resumed by it.
	if was.Status != s.Status || was.By != s.By || slices.ContainsFunc(own, Delivery.announces) {
		for _, d := range waiting {
			if d.announces() {
				r.Drop = append(r.Drop, d.ID)
			}
		}
	}
	if slices.ContainsFunc(own, Delivery.changesFeed) {
		waiting = slices.DeleteFunc(slices.Clone(waiting), func(d Delivery) bool {
			if d.changesFeed() {
				r.Drop = append(r.Drop, d.ID) // one says as much as two
			}
			return d.changesFeed()
		})
	}
	giveWay, err := surplus(waiting, own)
	r.Drop = append(r.Drop, giveWay...)
	return r, err
}

// surplus are the verifications that give way to those that come: the newest request counts, who asks again has given the
// first one up (VE-08). Announcements always have room. ErrTooSoon when too many have been sent and are not acknowledged.
func surplus(waiting, own []Delivery) (drop []ID, err error) {
	come := len(own)
	over := come - MaxOwn
	var unsent []Delivery
	for _, d := range waiting {
		if !d.announces() {
			over++
		}
		if d.Type == events.Verification && !d.Sent && d.Busy == 0 {
			unsent = append(unsent, d)
		}
	}
	for _, d := range own {
		if d.announces() {
			come, over = come-1, over-1
		}
	}
	switch {
	case come == 0 || over <= 0:
		return nil, nil
	case over > len(unsent):
		return nil, ErrTooSoon
	}
	slices.SortFunc(unsent, func(a, b Delivery) int { return cmp.Compare(a.Order, b.Order) })
	for _, d := range unsent[:over] {
		drop = append(drop, d.ID)
	}
	return drop, nil
}

// Backlog is a stream with what it has not told.
type Backlog struct {
	Stream
	// Waiting counts its unsettled deliveries, Behind the rows of the feed and the signals that it has not looked at yet, each
	// up to MaxBehind; 0 for a disabled stream, which holds nothing.
	Waiting, Behind int
}

// MaxBehind is as far as a backlog is counted.
const MaxBehind = 10_000

// Heard notes on the stream what an outcome tells of its receiver, and says when what it is about is due again.
func (s *Stream) Heard(o Outcome, now int64) (due int64) {
	switch {
	case o.Next == subscriptions.Done:
		s.Failures, s.Failing, s.Problem = 0, 0, o.Reason
	case o.Reason != "":
		s.Failures, s.Problem = s.Failures+1, o.Reason
		// Who refuses one token answers: it says nothing of how long the receiver has failed, and would pause it for one
		// refusal long ago and one trouble today (PA-07).
		if s.Failing == 0 && subscriptions.TroubleClass(o.Reason) != "token" {
			s.Failing = now
		}
	}
	if o.Version != 0 && o.Version != s.Version {
		return min(o.Due, now)
	}
	return o.Due
}
