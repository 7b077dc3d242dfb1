package hub

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tidings/events"
	"tidings/subscriptions"
)

const (
	// MaxStreams bounds a party's streams.
	MaxStreams = 16
	// VerificationInterval is how often a stream may ask for a verification (SC-10).
	VerificationInterval = time.Second
	maxState             = 1024
	maxReason            = 500
)

// CreateStream makes a stream for the calling party, enabled and standing at the head: the past is in /delta.
// *subscriptions.Invalid, ErrLimit, ErrForbidden.
func (h *Hub) CreateStream(ctx context.Context, c Caller, s subscriptions.Settings) (*Stream, error) {
	if c.Role != RoleParty {
		return nil, ErrForbidden
	}
	s, err := h.validate(ctx, s)
	if err != nil {
		return nil, err
	}
	stream := Stream{ID: NewID(), Party: c.Party, Status: subscriptions.Enabled, CreatedAt: h.now()}
	stream.Settings = h.sealSettings(stream.ID, s)
	created, err := h.store.CreateStream(ctx, stream, MaxStreams)
	if err != nil {
		return nil, fmt.Errorf("create stream: %w", err)
	}
	return created, nil
}

func (h *Hub) validate(ctx context.Context, s subscriptions.Settings) (subscriptions.Settings, error) {
	s, err := s.Validate(h.conf.AllowInsecureReceivers, h.conf.AllowReceivers...)
	if err != nil || s.Algorithm == "" {
		return s, err
	}
	signing, err := h.SigningAlgorithms(ctx)
	if err == nil && !slices.Contains(signing, s.Algorithm) {
		err = &subscriptions.Invalid{Member: "set_signing_alg", Reason: "is not among set_signing_alg_values_supported yet"}
	}
	return s, err
}

// sealSettings encrypts the one secret that receivers give us before the store sees it.
func (h *Hub) sealSettings(stream ID, s subscriptions.Settings) subscriptions.Settings {
	if header := s.Delivery.AuthorizationHeader; header != "" {
		sealed := h.keys.sealed([]byte(header), "stream:"+stream.String())
		s.Delivery.AuthorizationHeader = base64.RawStdEncoding.EncodeToString(sealed) // settings are kept as JSON text
	}
	return s
}

func (h *Hub) authorization(s *Stream) (string, error) {
	sealed := s.Settings.Delivery.AuthorizationHeader
	if sealed == "" {
		return "", nil
	}
	raw, err := base64.RawStdEncoding.DecodeString(sealed)
	if err != nil {
		return "", fmt.Errorf("open authorization header: %w", err)
	}
	header, err := h.keys.unsealed(raw, "stream:"+s.ID.String())
	if err != nil {
		return "", fmt.Errorf("open authorization header: %w", err)
	}
	return string(header), nil
}

// Stream reads one stream of the calling party. Malformed, unknown and foreign ids take one path: ErrNotFound.
func (h *Hub) Stream(ctx context.Context, c Caller, id string) (*Stream, error) {
	if c.Role != RoleParty {
		return nil, ErrForbidden
	}
	stream, _ := ParseID(id) // text that is none is looked up as the zero id, which nobody has
	return h.store.Stream(ctx, c.Party, stream)
}

// Streams lists the calling party's streams.
func (h *Hub) Streams(ctx context.Context, c Caller) ([]Stream, error) {
	if c.Role != RoleParty {
		return nil, ErrForbidden
	}
	return h.store.Streams(ctx, c.Party)
}

// DeleteStream drops a stream and all that waits on it (DL-03). ErrNotFound.
func (h *Hub) DeleteStream(ctx context.Context, c Caller, id string) error {
	if c.Role != RoleParty {
		return ErrForbidden
	}
	stream, _ := ParseID(id)
	return h.store.DeleteStream(ctx, c.Party, stream)
}

// UpdateStream applies edit to the settings of a stream as they stand, secrets opened; the edited settings are checked
// as new ones are. edit may be called again if the stream was written meanwhile.
func (h *Hub) UpdateStream(ctx context.Context, c Caller, id string, edit func(Stream, *subscriptions.Settings) error) (*Stream, error) {
	s, _, err := h.writeStream(ctx, c, id, func(s *Stream) ([]Delivery, error) {
		settings, delivery := s.Settings, s.Settings.Delivery
		header, err := h.authorization(s)
		if err != nil {
			return nil, err
		}
		settings.Delivery.AuthorizationHeader = header
		opened := settings.Delivery
		if err := edit(*s, &settings); err != nil {
			return nil, err
		}
		if settings, err = h.validate(ctx, settings); err != nil {
			return nil, err
		}
		own := h.redigest(s, settings)
		if settings.Delivery == opened {
			s.Settings = settings
			s.Settings.Delivery = delivery // sealed as it was: sealing anew would look like another secret
			return own, nil
		}
		if s.Status == subscriptions.Paused && s.By == subscriptions.ByTransmitter {
			s.Status, s.By, s.Reason = subscriptions.Enabled, subscriptions.ByReceiver, "" // it mended what we stopped for
		}
		s.Settings = h.sealSettings(s.ID, settings)
		return own, nil
	})
	return s, err
}

// SetStatus enables, pauses or disables a stream, as the receiver asked. Pausing holds what comes, as a cursor that
// stands still; disabling drops what waits, and enabling moves to the head. What an operator stopped its receiver cannot
// change: ErrForbidden.
func (h *Hub) SetStatus(ctx context.Context, c Caller, id string, status subscriptions.Status, reason string) (*Stream, error) {
	if err := checkStatus(status, reason); err != nil {
		return nil, err
	}
	s, dropped, err := h.writeStream(ctx, c, id, func(s *Stream) ([]Delivery, error) {
		if s.By == subscriptions.ByOperator && s.Status != subscriptions.Enabled {
			if status == s.Status {
				return nil, errUnchanged // ST-17
			}
			return nil, ErrForbidden
		}
		s.Status, s.Reason, s.By = status, reason, subscriptions.ByReceiver
		return nil, nil
	})
	if errors.Is(err, errUnchanged) {
		return h.Stream(ctx, c, id)
	}
	if err == nil && status == subscriptions.Disabled {
		h.log.Info("stream disabled by its receiver", "stream", s.ID, "dropped", dropped) // ST-14
	}
	return s, err
}

func checkStatus(status subscriptions.Status, reason string) error {
	if len(reason) > maxReason {
		return &subscriptions.Invalid{Member: "reason", Reason: "is too long"}
	}
	if !slices.Contains([]subscriptions.Status{subscriptions.Enabled, subscriptions.Paused, subscriptions.Disabled}, status) {
		return &subscriptions.Invalid{Member: "status", Reason: "is enabled, paused or disabled"}
	}
	return nil
}

// Verify puts a verification event first in the stream's line (SSF 1.0 section 8.1.4). state is nil for none.
// ErrTooSoon, ErrNotFound. A disabled stream takes the request and sends nothing (ST-15).
func (h *Hub) Verify(ctx context.Context, c Caller, id string, state *string) error {
	if state != nil && len(*state) > maxState {
		return &subscriptions.Invalid{Member: "state", Reason: "is too long"}
	}
	_, _, err := h.writeStream(ctx, c, id, func(s *Stream) ([]Delivery, error) {
		now := h.now()
		if now-s.Verified < VerificationInterval.Microseconds() {
			return nil, ErrTooSoon
		}
		s.Verified = now
		if s.Status == subscriptions.Disabled {
			return nil, nil
		}
		return []Delivery{ownDelivery(s, subscriptions.Verification(s.ID.String(), state), now)}, nil
	})
	return err
}

// ownDelivery is an event about the stream itself.
func ownDelivery(s *Stream, e subscriptions.Event, now int64) Delivery {
	return Delivery{ID: NewID(), Stream: s.ID, Party: s.Party, Type: e.Type, Payload: mustJSON(e.Payload), Time: now, Txn: newTxn()}
}

// writeStream is rewriteStream for a stream of the calling party.
func (h *Hub) writeStream(ctx context.Context, c Caller, id string, change func(*Stream) ([]Delivery, error)) (*Stream, int, error) {
	if c.Role != RoleParty {
		return nil, 0, ErrForbidden
	}
	stream, _ := ParseID(id) // as in Stream
	return h.rewriteStream(ctx, c.Party, stream, change)
}

// rewriteStream reads a stream, lets change decide, and writes it if it still stands as it was read. It reports how many
// deliveries that dropped.
func (h *Hub) rewriteStream(ctx context.Context, party, stream ID, change func(*Stream) ([]Delivery, error)) (*Stream, int, error) {
	for range maxRounds {
		s, err := h.store.Stream(ctx, party, stream)
		if err != nil {
			return nil, 0, err
		}
		own, err := change(s)
		if err != nil {
			return nil, 0, err
		}
		written, dropped, err := h.store.SetStream(ctx, *s, own)
		if errors.Is(err, ErrConflict) {
			continue
		}
		if err != nil {
			return nil, 0, fmt.Errorf("write stream: %w", err)
		}
		return written, dropped, nil
	}
	return nil, 0, fmt.Errorf("write stream: %w", ErrConflict)
}

// Configuration is a stream as SSF 1.0 section 8.1.1 shows it. The authorization header is never shown (SC-22).
func (h *Hub) Configuration(ctx context.Context, s *Stream) (events.StreamConfiguration, error) {
	p, err := h.store.Party(ctx, s.Party)
	if err != nil {
		return events.StreamConfiguration{}, fmt.Errorf("read party: %w", err)
	}
	head, err := h.store.Head(ctx)
	if err != nil {
		return events.StreamConfiguration{}, fmt.Errorf("read policy: %w", err)
	}
	offer := p.offer(head.Policy)
	d := s.Settings.Delivery
	endpoint := d.EndpointURL
	base := strings.TrimSuffix(h.conf.Issuer, "/")
	switch d.Method {
	case events.MethodPoll:
		endpoint = base + "/ssf/poll/" + s.ID.String()
	case events.MethodWebsocket:
		endpoint = "ws" + strings.TrimPrefix(base, "http") + "/ssf/socket/" + s.ID.String() // wss of https
	}
	var digest int64
	if s.Settings.Digests() {
		digest = int64(s.Settings.DigestEvery().Seconds())
	}
	return events.StreamConfiguration{
		StreamID:                s.ID.String(),
		Issuer:                  h.conf.Issuer,
		Audience:                events.Audience{p.Audience},
		EventsSupported:         offer.Supported(),
		EventsRequested:         s.Settings.Requested,
		EventsDelivered:         offer.Delivered(s.Settings),
		Delivery:                &events.Delivery{Method: d.Method, EndpointURL: endpoint},
		MinVerificationInterval: int64(VerificationInterval.Seconds()),
		Description:             s.Settings.Description,
		DigestInterval:          digest,
		Algorithm:               s.Settings.Algorithm,
	}, nil
}

// payload reads what ownDelivery wrote.
func (d Delivery) payload() (map[string]any, error) {
	var p map[string]any
	err := json.Unmarshal(d.Payload, &p)
	return p, err
}
