package ssf

import (
	"fmt"
	"slices"

	"tidings/events"
	"tidings/hub"
	"tidings/subscriptions"
	"tidings/web"
)

// Unknown members are ignored in all bodies (UP-13).

func readCreate(body web.Members) (s subscriptions.Settings, err error) {
	if err := receiverMembers(body, &s); err != nil {
		return s, err
	}
	s.Delivery, _, err = readDelivery(body)
	if s.Delivery.Method == events.MethodPoll || s.Delivery.Method == events.MethodWebsocket {
		s.Delivery.EndpointURL = "" // ours to make
	}
	return s, err
}

// receiverMembers takes over the members that a receiver chooses, besides delivery. Absent ones stay; null clears.
func receiverMembers(body web.Members, s *subscriptions.Settings) error {
	if body.Has("description") {
		s.Description = ""
	}
	if body.Has("events_requested") {
		s.Requested = nil
	}
	if body.Has("digest_interval") {
		s.DigestInterval = 0
	}
	if body.Has("set_signing_alg") {
		s.Algorithm = ""
	}
	if err := body.Get("description", &s.Description); err != nil {
		return err
	}
	if err := body.Get("digest_interval", &s.DigestInterval); err != nil {
		return err
	}
	if err := body.Get("set_signing_alg", &s.Algorithm); err != nil {
		return err
	}
	return body.Get("events_requested", &s.Requested)
}

// readDelivery reads the delivery; header tells whether it says anything of the authorization_header.
func readDelivery(body web.Members) (d subscriptions.Delivery, header bool, err error) {
	inner, err := body.Object("delivery")
	if err != nil {
		return d, false, err
	}
	for name, into := range map[string]*string{"method": &d.Method, "endpoint_url": &d.EndpointURL, "authorization_header": &d.AuthorizationHeader} {
		if err := inner.Get(name, into); err != nil {
			return d, false, fmt.Errorf("delivery: %w", err)
		}
	}
	return d, inner.Has("authorization_header"), nil
}

// merge is PATCH: what is sent is changed, what is not stays (UP-02, UP-03).
func merge(body web.Members, s *subscriptions.Settings, before events.StreamConfiguration) error {
	if err := receiverMembers(body, s); err != nil {
		return err
	}
	if !body.Has("delivery") {
		return nil
	}
	return redeliver(body, s, before)
}

// replace is PUT: what is not sent is gone (UP-04).
func replace(body web.Members, s *subscriptions.Settings, before events.StreamConfiguration) error {
	s.Description, s.Requested, s.DigestInterval, s.Algorithm = "", nil, 0, ""
	if err := receiverMembers(body, s); err != nil {
		return err
	}
	return redeliver(body, s, before)
}

// redeliver replaces the delivery as a whole (UP-14), with two exceptions. The transmitter's own endpoint_url may be
// sent back as it is. And the authorization_header, which is never shown (SC-22), survives when method and endpoint are
// sent back as they are without a word about it: otherwise reading a stream, changing its description and putting it
// back would lose the secret. To take it away, send null or "". Another endpoint never gets it.
//
// Without a delivery a stream that polls goes on polling; one that pushes would silently fall quiet, so it is refused.
func redeliver(body web.Members, s *subscriptions.Settings, before events.StreamConfiguration) error {
	next, header, err := readDelivery(body)
	if err != nil {
		return err
	}
	if next == (subscriptions.Delivery{}) {
		if s.Delivery.Method == events.MethodPush {
			return fmt.Errorf("%w: delivery is missing", hub.ErrBadRequest)
		}
		return nil
	}
	switch {
	case next.Method != events.MethodPush && next.EndpointURL != "":
		if before.Delivery == nil || next.Method != before.Delivery.Method || next.EndpointURL != before.Delivery.EndpointURL {
			return differs("delivery.endpoint_url")
		}
		next.EndpointURL = ""
	case next.Method == s.Delivery.Method && next.EndpointURL == s.Delivery.EndpointURL && !header:
		next.AuthorizationHeader = s.Delivery.AuthorizationHeader
	}
	s.Delivery = next
	return nil
}

// unchanged refuses an update that gives another value to a member of ours (UP-05, UP-09). Lists are compared as sets
// (UP-13).
func unchanged(body web.Members, before events.StreamConfiguration) error {
	var (
		issuer               *string
		audience             *events.Audience
		supported, delivered *[]events.Type
		interval, inactivity *int64
	)
	for name, into := range map[string]any{
		"iss": &issuer, "aud": &audience, "events_supported": &supported, "events_delivered": &delivered,
		"min_verification_interval": &interval, "inactivity_timeout": &inactivity,
	} {
		if err := body.Get(name, into); err != nil {
			return err
		}
	}
	switch {
	case issuer != nil && *issuer != before.Issuer:
		return differs("iss")
	case audience != nil && !audience.Equal(before.Audience):
		return differs("aud")
	case supported != nil && !sameSet(*supported, before.EventsSupported):
		return differs("events_supported")
	case delivered != nil && !sameSet(*delivered, before.EventsDelivered):
		return differs("events_delivered")
	case interval != nil && *interval != before.MinVerificationInterval:
		return differs("min_verification_interval")
	case inactivity != nil && *inactivity != before.InactivityTimeout:
		return differs("inactivity_timeout")
	}
	return nil
}

func differs(name string) error {
	return fmt.Errorf("%w: %s is the transmitter's and has another value", hub.ErrBadRequest, name)
}

func sameSet(a, b []events.Type) bool {
	sorted := func(list []events.Type) []events.Type {
		list = slices.Clone(list)
		slices.Sort(list)
		return slices.Compact(list)
	}
	return slices.Equal(sorted(a), sorted(b))
}

func readStatus(body web.Members) (id string, status subscriptions.Status, reason string, err error) {
	if id, err = body.Text("stream_id"); err != nil {
		return "", "", "", err
	}
	text, err := body.Text("status")
	if err != nil {
		return "", "", "", err
	}
	err = body.Get("reason", &reason)
	return id, subscriptions.Status(text), reason, err
}

// readVerify tells no state from an empty one: what was sent is echoed unchanged (VE-04), and nothing else (VE-06).
func readVerify(body web.Members) (id string, state *string, err error) {
	if id, err = body.Text("stream_id"); err != nil {
		return "", nil, err
	}
	err = body.Get("state", &state)
	return id, state, err
}
