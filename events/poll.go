package events

import (
	"bytes"
	"encoding/json"
	"errors"
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
		"ack":               (*jtis)(&request.Ack),
		"setErrs":           (*setErrors)(&request.SetErrs),
	} {
		if raw, present := members[name]; present && string(raw) != "null" && json.Unmarshal(raw, into) != nil {
			return PollRequest{}, fmt.Errorf("poll: %w: %s has the wrong type", ErrInvalidRequest, name)
		}
	}
	if request.MaxEvents != nil && *request.MaxEvents < 0 {
		return PollRequest{}, fmt.Errorf("poll: %w: maxEvents is negative", ErrInvalidRequest)
	}
	return request, nil
}

// jtis is a list without null in it, which encoding/json reads as "".
type jtis []string

func (t *jtis) UnmarshalJSON(data []byte) error {
	var all []*string
	if err := json.Unmarshal(data, &all); err != nil {
		return err
	}
	for _, one := range all {
		if one == nil {
			return errors.New("null for a text")
		}
		*t = append(*t, *one)
	}
	return nil
}

// setErrors reads the members of errors by their exact names, and no null for a text.
type setErrors map[string]SetError

func (s *setErrors) UnmarshalJSON(data []byte) error {
	all, err := object(data)
	if err != nil {
		return err
	}
	*s = make(setErrors, len(all))
	for jti, raw := range all {
		members, err := object(raw)
		if err != nil {
			return err
		}
		var said SetError
		for name, into := range map[string]*string{"err": &said.Err, "description": &said.Description} {
			text := into
			if raw, present := members[name]; present && (json.Unmarshal(raw, &text) != nil || text == nil) {
				return errors.New("an error's member is no text")
			}
		}
		(*s)[jti] = said
	}
	return nil
}

// PollResponse is the answer to a poll (RFC 8936 §2.3), and the hub's websocket
// frame.
type PollResponse struct {
	Sets          Sets `json:"sets"`
	MoreAvailable bool `json:"moreAvailable,omitempty"`
}

// Sets are SETs in the order in which they are to be taken. In JSON they are the
// members of one object (RFC 8936 §2.3), written in this order: a receiver that
// reads them so hears of each subject in order.
type Sets []Set

// Set is one signed token and its id.
type Set struct{ JTI, Compact string }

// MarshalJSON writes an object, also when there are none (RFC 8936 §2.3).
func (s Sets) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i, one := range s {
		if i > 0 {
			out = append(out, ',')
		}
		for j, text := range []string{one.JTI, one.Compact} {
			quoted, err := json.Marshal(text)
			if err != nil {
				return nil, err
			}
			if j > 0 {
				out = append(out, ':')
			}
			out = append(out, quoted...)
		}
	}
	return append(out, '}'), nil
}

// UnmarshalJSON reads the members in their order. One that is repeated or no text
// is refused.
func (s *Sets) UnmarshalJSON(data []byte) error {
	if err := wellFormed(data); err != nil {
		return err
	}
	members := json.NewDecoder(bytes.NewReader(data))
	if opening, err := members.Token(); err != nil || opening != json.Delim('{') {
		return errors.New("sets is not an object")
	}
	*s = Sets{}
	for members.More() {
		// The decoder yields names of objects as strings only.
		name, err := members.Token()
		if err != nil {
			return err
		}
		var one Set
		one.JTI, _ = name.(string)
		compact, err := members.Token()
		if err != nil {
			return err
		}
		var text bool
		if one.Compact, text = compact.(string); !text {
			return errors.New("a member of sets is no text")
		}
		*s = append(*s, one)
	}
	return nil
}
