package events

import (
	"encoding/json"
	"fmt"
)

// MaxPoll is the greatest size in bytes of a poll request, and of a frame that a
// websocket receiver sends.
const MaxPoll = 1 << 20

// SetError says why a receiver could not accept a SET; the body of an RFC 8935
// §2.3 error and a value of setErrs (RFC 8936 §2.2).
type SetError struct {
	Err         string `json:"err"`
	Description string `json:"description,omitempty"`
}

// PollRequest is the body of a poll (RFC 8936 §2.2) and, without MaxEvents and
// ReturnImmediately, a receiver's websocket frame.
type PollRequest struct {
	MaxEvents         *int                `json:"maxEvents,omitempty"` // nil for no limit; 0 to acknowledge only
	ReturnImmediately bool                `json:"returnImmediately,omitempty"`
	Ack               []string            `json:"ack,omitempty"`     // ids of SETs that were received
	SetErrs           map[string]SetError `json:"setErrs,omitempty"` // by the id of the SET that was not accepted
}

// ParsePollRequest reads a poll request of at most [MaxPoll] bytes. Unknown
// members are ignored; an error wraps [ErrInvalidRequest].
func ParsePollRequest(data []byte) (PollRequest, error) {
	if len(data) > MaxPoll {
		return PollRequest{}, fmt.Errorf("poll: %w: larger than %d bytes", ErrInvalidRequest, MaxPoll)
	}
	members, err := object(data)
	if err != nil {
		return PollRequest{}, fmt.Errorf("poll: %w: %w", ErrInvalidRequest, err)
	}
	var request PollRequest
	for name, into := range map[string]any{
		"maxEvents":         &request.MaxEvents,
		"returnImmediately": &request.ReturnImmediately,
		"ack":               &request.Ack,
		"setErrs":           &request.SetErrs,
	} {
		if raw, present := members[name]; present && json.Unmarshal(raw, into) != nil {
			return PollRequest{}, fmt.Errorf("poll: %w: %s has the wrong type", ErrInvalidRequest, name)
		}
	}
	if request.MaxEvents != nil && *request.MaxEvents < 0 {
		return PollRequest{}, fmt.Errorf("poll: %w: maxEvents is negative", ErrInvalidRequest)
	}
	return request, nil
}

// PollResponse is the answer to a poll (RFC 8936 §2.3), and the hub's websocket
// frame.
type PollResponse struct {
	Sets          map[string]string `json:"sets"` // compact SETs by jti
	MoreAvailable bool              `json:"moreAvailable,omitempty"`
}

// MarshalJSON writes sets as an object, also when there are none (RFC 8936 §2.3).
func (r PollResponse) MarshalJSON() ([]byte, error) {
	type plain PollResponse
	if r.Sets == nil {
		r.Sets = map[string]string{}
	}
	return json.Marshal(plain(r))
}
