package subscriptions

import "tidings/events"

// The events of a stream itself: their subject is the stream, always the only one (SSF 1.0 sections 8.1.4.1, 8.1.5),
// and they are told whatever types the stream delivers.

// Verification answers a request for verification with its state unchanged. A nil state means that there was none, or
// that nobody asked: then the event must not have one either (SSF 1.0 section 8.1.4.2).
func Verification(streamID string, state *string) Event {
	payload := map[string]any{}
	if state != nil {
		payload["state"] = *state
	}
	return Event{events.Verification, events.Opaque(streamID), payload}
}

// StreamUpdated tells that the transmitter changed the stream's status (SSF 1.0 section 8.1.5).
func StreamUpdated(streamID string, status Status, reason string) Event {
	payload := map[string]any{"status": string(status)}
	if reason != "" {
		payload["reason"] = reason
	}
	return Event{events.StreamUpdated, events.Opaque(streamID), payload}
}

// Digest tells that there are changes, and the cursor from which /delta tells them: a relying party asks when it suits
// it (RFC 7642 section 3.5).
func Digest(streamID, cursor string) Event {
	return Event{events.Digest, events.Opaque(streamID), map[string]any{"cursor": cursor}}
}

// FeedChanged tells that what the party may see changed as a whole: it is to read a fresh snapshot.
func FeedChanged(streamID string) Event {
	return Event{events.FeedChanged, events.Opaque(streamID), map[string]any{}}
}
