package hub

import (
	"tidings/consent"
	"tidings/events"
	"tidings/subscriptions"
)

// Stream is a party's subscription: settings, status and a cursor of two kinds of row, entries and signals.
type Stream struct {
	ID, Party ID
	Settings  subscriptions.Settings
	Status    subscriptions.Status
	// Reason is told to the receiver with the status; By is who set it ("": as it was made).
	Reason string
	By     subscriptions.By
	// Base, At and Tag are the stream's place in its party's feed (Cursor); Signal its place among the signals.
	Base, At, Signal int64
	Tag              Tag
	Generation       int64
	// Version is compared when settings or status are written.
	Version   int64
	CreatedAt int64
	// Verified is when a verification was last asked for, to bound how often that is.
	Verified int64
	// Quiet is until when the feed is not issued: the next digest is not due before.
	Quiet int64
	// Failures counts failed attempts in a row on the stream, Failing is when the first of them ended (0: none), and
	// Problem says what the last one was, or what was odd about the last success: shown in the status and to the operator.
	Failures int
	Failing  int64
	Problem  string
}

// Delivery is what is to be told on a stream and is not yet settled. Per stream and entry there are at most two: one
// that has been sent and one that waits and absorbs what comes next.
type Delivery struct {
	ID     ID
	Stream ID
	Party  ID
	Entry  ID // zero: the stream's own (verification, stream-updated, feed-changed)
	// Order is the place in the stream: within an entry a later one waits for an earlier one.
	Order int64
	Kind  consent.Kind
	Gone  bool // a removal because the entry was deleted
	Names []string
	// Given is the grant's Given when it was issued: a grant given anew is another one. 0 under an agreement, where
	// Generation takes its place.
	Given, Generation int64
	// Version is the grant's counter when issued, told so that a receiver can drop what is older than what it holds.
	Version int64
	// Position and Time are of the line that led here; Txn is the line's, and is looked up there (Sendable) unless it
	// was known when this was issued.
	Position, Time int64
	Txn            string
	// Signal is the position of the signal to tell; 0 for a feed row. Type is set for a signal and for the stream's own,
	// Payload for the stream's own.
	Signal  int64
	Type    events.Type
	Payload []byte
	// Sent: its tokens exist and have begun to leave. Busy: an attempt is under way until this time, by the node Owner.
	Sent     bool
	Busy     int64
	Owner    string
	Due      int64 // not to be tried before
	Attempts int
	// Cut, if not 0, is how many of its tokens have left: a poll asked for fewer than there are. The rest is due as soon as
	// these are settled.
	Cut int
	// Void: revoked while an attempt was under way; it is dropped when that ends. Remake: narrowed likewise; its
	// tokens are made anew when that ends.
	Void, Remake bool
	// Refused: the receiver did not accept the key that signed its tokens; they were made anew since.
	Refused bool
	Tokens  []SignedToken
}

// SignedToken is one signed security event token of a delivery, kept byte for byte until it is settled.
type SignedToken struct {
	JTI     string
	KeyID   string // of the key that signed it
	Compact []byte // nil once settled
	Settled bool
}

// Signal is something parties should do once.
type Signal struct {
	Position int64
	Entry    ID
	Type     events.Type
	// Covers is the attribute that a grant must cover for the party to be told ("" for account and session signals).
	Covers string
	// Payload is sealed by the engine: it may hold an identifier's old value. It is erased when all have settled it.
	Payload []byte
	Expires int64
	Txn     string
	Time    int64
	// Party is the only one to be told; zero for all that it concerns. Once it is raised its rows say so.
	Party ID
	// Actor raised it, from Source; they stand in the log only.
	Actor, Source string

	plain *subscriptions.Signal // before it is sealed
}
