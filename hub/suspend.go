package hub

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tidings/events"
	"tidings/subscriptions"
)

// Endpoint is where a stream's pushes go.
type Endpoint struct {
	URL string
	// Authorization is the header's value (DE-02), "" for none (DE-03).
	Authorization string
	Party         ID
	// Version is the stream's: another one means that its receiver or an operator changed something.
	Version int64
	// Failing is since when every attempt failed; zero when the last one did not.
	Failing time.Time
}

// Endpoint reads it. ErrNotFound when the stream is gone or its tokens are not pushed (any more).
func (h *Hub) Endpoint(ctx context.Context, stream ID) (Endpoint, error) {
	s, err := h.store.Stream(ctx, ID{}, stream)
	if err != nil {
		return Endpoint{}, err
	}
	if s.Settings.Delivery.Method != events.MethodPush {
		return Endpoint{}, fmt.Errorf("push endpoint: %w", ErrNotFound)
	}
	e := Endpoint{URL: s.Settings.Delivery.EndpointURL, Party: s.Party, Version: s.Version}
	if s.Failing != 0 {
		e.Failing = time.UnixMicro(s.Failing)
	}
	e.Authorization, err = h.authorization(s)
	return e, err
}

// Suspend pauses an enabled push stream because its receiver refuses us or has failed for long. The last thing that leaves
// is one attempt to say so (SE-03, SE-09); then, from the given time on, probes: stream-updated events with the status
// "enabled". Nothing is lost: what was owed stays owed, and the cursor stands.
//
// version is of the Endpoint that failed. If the stream was written since, nothing is done: its receiver may have mended
// what was wrong, and one more failure brings us here again.
func (h *Hub) Suspend(ctx context.Context, stream ID, version int64, reason string, probe time.Time) error {
	s, err := h.store.Stream(ctx, ID{}, stream)
	if err != nil {
		return unlessMoved("suspend stream", err)
	}
	if s.Version != version || s.Status != subscriptions.Enabled || s.Settings.Delivery.Method != events.MethodPush {
		return nil
	}
	s.Status, s.By, s.Reason = subscriptions.Paused, subscriptions.ByTransmitter, reason
	last := ownDelivery(s, subscriptions.StreamUpdated(s.ID.String(), subscriptions.Paused, reason), h.now())
	next := ownDelivery(s, subscriptions.StreamUpdated(s.ID.String(), subscriptions.Enabled, ""), h.now())
	// Made anew for each attempt: that the stream goes on is true only at the time.
	next.Remake, next.Due = true, probe.UnixMicro()
	if _, _, err = h.store.SetStream(ctx, *s, []Delivery{last, next}); err != nil {
		return unlessMoved("suspend stream", err)
	}
	h.log.Warn("stream paused: its receiver does not take what is pushed", "stream", stream, "reason", reason, "probe", probe)
	return nil
}

func unlessMoved(verb string, err error) error {
	if errors.Is(err, ErrConflict) || errors.Is(err, ErrNotFound) {
		return nil
	}
	return fmt.Errorf("%s: %w", verb, err)
}

// Resume enables a stream that Suspend paused: its receiver took the probe. It goes on from its cursor. If we crash before,
// the probe goes again.
func (h *Hub) Resume(ctx context.Context, stream ID) error {
	_, _, err := h.rewriteStream(ctx, ID{}, stream, func(s *Stream) ([]Delivery, error) {
		if s.Status != subscriptions.Paused || s.By != subscriptions.ByTransmitter {
			return nil, errUnchanged
		}
		s.Status, s.By, s.Reason = subscriptions.Enabled, subscriptions.ByTransmitter, ""
		return nil, nil
	})
	switch {
	case errors.Is(err, errUnchanged), errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("resume stream: %w", err)
	}
	h.log.Info("stream enabled again: its receiver answers", "stream", stream)
	return nil
}

// errUnchanged: there is nothing to write.
var errUnchanged = errors.New("nothing to change")

// Backlogs lists all streams, or the one of the id, with what they have not told; for the operator. ErrNotFound.
func (h *Hub) Backlogs(ctx context.Context, id ID) ([]Backlog, error) {
	found, err := h.store.Backlogs(ctx, id)
	if err == nil && len(found) == 0 && !id.IsZero() {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read streams: %w", err)
	}
	return found, nil
}

// AllStreams lists the streams of all parties, for metrics.
func (h *Hub) AllStreams(ctx context.Context) ([]Stream, error) { return h.store.Streams(ctx, ID{}) }

// OperateStream sets a stream's status for an operator; only an operator can then enable it again. A stream that stops
// tells its receiver so last, one that goes on tells it first, both with the reason (SE-03, SE-04). It reports how many
// deliveries were dropped by disabling. *subscriptions.Invalid, ErrNotFound.
func (h *Hub) OperateStream(ctx context.Context, stream ID, status subscriptions.Status, reason string) (*Stream, int, error) {
	if err := checkStatus(status, reason); err != nil {
		return nil, 0, err
	}
	s, dropped, err := h.rewriteStream(ctx, ID{}, stream, func(s *Stream) ([]Delivery, error) {
		was := s.Status
		s.Status, s.By, s.Reason = status, subscriptions.ByOperator, reason
		if was == status || was != subscriptions.Enabled && status != subscriptions.Enabled {
			return nil, nil // SE-07: between paused and disabled nothing may leave
		}
		return []Delivery{ownDelivery(s, subscriptions.StreamUpdated(s.ID.String(), status, reason), h.now())}, nil
	})
	if err != nil {
		return nil, 0, err
	}
	h.log.Info("operator set the status of a stream", "stream", stream, "status", status, "dropped", dropped)
	return s, dropped, nil
}
