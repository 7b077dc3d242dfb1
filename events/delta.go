package events

import "encoding/json"

// Kind is what happened to an entry since the reader's last page.
type Kind string

// The kinds of change. Added says: forget what you hold of it, and take this.
const (
	Added    Kind = "added"
	Updated  Kind = "updated"
	Disabled Kind = "disabled"
	Enabled  Kind = "enabled"
	Removed  Kind = "removed"
)

// Reason says why an entry was removed.
type Reason string

// The reasons. ReasonEnded covers every other way to leave a feed; which it was,
// a relying party is not told.
const (
	ReasonDeleted Reason = "deleted"
	ReasonEnded   Reason = "ended"
)

// Item is one entry of a /delta page.
type Item struct {
	ID         string   `json:"id"`
	Subject    Subject  `json:"subject"`
	Type       string   `json:"type"` // the resource type: User, Group
	Change     Kind     `json:"change"`
	Reason     Reason   `json:"reason,omitempty"`     // with Removed only
	Attributes []string `json:"attributes,omitempty"` // SCIM paths without filters, extension attributes with their URN
	Version    string   `json:"version,omitempty"`    // the ETag that a fetch would get
	MaxAge     *int64   `json:"max_age,omitempty"`    // seconds a copy fetched now may be kept; absent if there is none to fetch
}

// Page is the answer of /delta. Whoever applies pages in order and stores the
// cursor after each misses nothing.
type Page struct {
	Changes   []Item `json:"changes"`
	Cursor    string `json:"cursor"`
	More      bool   `json:"more"`
	ExpiresIn int64  `json:"expires_in"` // seconds until the cursor may be refused
}

// MarshalJSON writes changes as an array, also when there are none.
func (p Page) MarshalJSON() ([]byte, error) {
	type plain Page
	if p.Changes == nil {
		p.Changes = []Item{}
	}
	return json.Marshal(plain(p))
}

// Notice is a frame of /live: something about the subject changed. The first
// frame has a cursor only.
type Notice struct {
	Subject Subject `json:"subject,omitzero"`
	Cursor  string  `json:"cursor"`
}

// Notices is the answer of /live to a long poll, with the next ticket.
type Notices struct {
	Notices []Notice `json:"notices"`
	Cursor  string   `json:"cursor"`
	// Ticket is the next one; absent when the page's own server is to be asked for it.
	Ticket string `json:"ticket,omitempty"`
}

// MarshalJSON writes notices as an array, also when there are none.
func (n Notices) MarshalJSON() ([]byte, error) {
	type plain Notices
	if n.Notices == nil {
		n.Notices = []Notice{}
	}
	return json.Marshal(plain(n))
}

// TicketRequest is what a relying party's server sends to /live/tickets.
type TicketRequest struct {
	Subjects []Subject `json:"subjects"`
}

// Ticket lets one browser connect to /live, once.
type Ticket struct {
	Ticket    string `json:"ticket"`
	ExpiresIn int64  `json:"expires_in"` // seconds
}

// Codes with which the hub closes a /live socket.
const (
	CloseReconnect     = 4000 // come back with the cursor
	CloseSlow          = 4001 // frames were not read in time; come back with the cursor
	CloseTicket        = 4002 // come back with a new ticket
	CloseGoAway        = 4500 // do not come back
	CloseCursorExpired = 4501 // the cursor is too old; start without one
)

// Problem types (RFC 9457) that a reader of /delta and /subjects must tell apart.
const (
	ProblemCursorExpired  = "urn:tidings:problem:cursor-expired"
	ProblemCursorInvalid  = "urn:tidings:problem:cursor-invalid"
	ProblemGrantEnded     = "urn:tidings:problem:grant-ended"
	ProblemAgreementEnded = "urn:tidings:problem:agreement-ended"
	ProblemNoTransfer     = "urn:tidings:problem:no-transfer"
)
