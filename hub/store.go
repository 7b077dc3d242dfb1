package hub

import (
	"context"
	"errors"

	"tidings/consent"
	"tidings/hub/schema"
	"tidings/subscriptions"
)

// Store remembers. It is made of atomic verbs in four roles; no transaction handle leaves a driver. Two drivers
// implement it, each with its own SQL, and pass one suite (hub/store/storetest).
//
// Drivers call the pure functions of this package inside their transactions (Stamp, Apply, Absorb, Move, …), so that
// rules stand in one place and SQL only finds, compares and keeps.
type Store interface {
	Log
	State
	Outbox
	Scratch
	Close() error
}

// Errors of a store, by meaning.
var (
	// ErrConflict: what was expected to stand there was changed meanwhile; read again and decide again.
	ErrConflict = errors.New("changed meanwhile")
	// ErrNotFound: there is no such thing, or it is not the caller's.
	ErrNotFound = errors.New("not found")
	// ErrTaken: the userName or key belongs to another entry.
	ErrTaken = errors.New("already taken")
	// ErrLimit: a bound on what a caller may grow was reached; something has to go first.
	ErrLimit = errors.New("limit reached")
	// ErrInUse: something else still needs it.
	ErrInUse = errors.New("still in use")
	// ErrBusy: the store pushes back; the caller may try again.
	ErrBusy = errors.New("store is busy")
	// ErrNewer: the store was written by a newer version of the program.
	ErrNewer = errors.New("store belongs to a newer version")
)

// MaxMoves bounds the feed rows that one transaction moves; the rest of a wide line is a durable echo.
const MaxMoves = 1000

// Log is the one door and the reading of lines.
type Log interface {
	// Commit runs the items of a batch in one transaction, each atomic for itself: an item whose expectation fails is
	// refused (Receipt.Errors) and leaves nothing, the others go on. The head row is locked first and nothing read
	// before is believed. Items are taken in order until the transaction has moved MaxMoves feed rows; what is left is
	// not begun (Receipt.Done).
	Commit(ctx context.Context, b Batch) (Receipt, error)
	// Head is the last position taken and its tag.
	Head(ctx context.Context) (Head, error)
	// Changes reads lines with position > after, oldest first.
	Changes(ctx context.Context, after int64, limit int) ([]Change, error)
	// Watch hints that something was committed, by this process or another. Hints may be lost or come for nothing; the
	// channel is closed when ctx ends.
	Watch(ctx context.Context) <-chan struct{}
	// Trim forgets tombstones, ended parties and lines up to position, at most limit rows, and never a line that a live
	// cursor may stand on; it moves Head.Oldest. It reports whether there is more to forget.
	Trim(ctx context.Context, upTo int64, limit int) (more bool, err error)
}

// Head is where the log stands.
type Head struct {
	Position int64
	Tag      Tag
	// Oldest is the position up to which tombstones have been forgotten: a cursor older than that answers 410.
	Oldest int64
	Policy consent.Policy
}

// Batch is what one transaction commits.
type Batch struct {
	Now   int64
	Items []Item
}

// Item is one thing that happens entirely or not at all.
type Item struct {
	Entry *EntryWrite
	Grant *GrantWrite
	Party *PartyWrite
	// Policy replaces the policy and raises every party's generation.
	Policy *consent.Policy
	// Lines are appended in order, each taking a position; a line stamps its names on its entry and moves the feed rows
	// it concerns.
	Lines []Change
	// Signals are raised after the lines, each as a line of its own.
	Signals []Signal
	// Echo goes on with an unfinished wide line.
	Echo ID
	// Cookie is a source's own position, kept with the changes it led to.
	Cookie *Cookie
}

// EntryWrite is an entry's state after an item.
type EntryWrite struct {
	// Entry with Version as it was read (0: must not exist yet); the driver counts it up, stamps Marks and sets the
	// positions. Attributes nil with Deleted set: erase it.
	Entry  Entry
	Delete bool
	// UserName is folded; unique among living entries of the type; "" for none.
	UserName string
	// Keys are folded names under which the source knows the entry; unique per source among living entries. They are
	// the full set; nil leaves those that stand there.
	Keys []string
	// Identifiers are keys to find the entry by (hub.Identifiers); nil leaves those that stand there.
	Identifiers []ID
	// References replace those the entry had. The driver resolves targets: by (source, key), else by id text.
	References []Reference
	// Renamed: members of this group have to be told, since its name is part of their "groups".
	Renamed bool

	document []byte
}

// Document is the entry's attributes as stores keep them. The engine makes it before the head is locked, so that nobody
// waits for it; else it is made when it is asked for.
func (w *EntryWrite) Document() ([]byte, error) {
	if w.document != nil {
		return w.document, nil
	}
	return schema.Encode(w.Entry.Attributes)
}

// GrantWrite is a grant's terms after an item. Its line (Item.Lines[0]) is Granted, Regraded, Revoked or Expired.
type GrantWrite struct {
	// Grant with Version as it was read, 0 for a pair of party and entry that never had one.
	Grant Grant
	// Names that joined or left, to be stamped on the grant.
	Names []string
	// Narrowed: tokens that were made under the old terms are made anew.
	Narrowed bool
}

// PartyWrite is a party after an item. Its line is PartyAdded, PartyChanged or PartyRemoved.
type PartyWrite struct {
	Party Party // Generation as it was read, 0: must not exist yet; the driver counts it up
	Token *Token
}

// Cookie is a source's own position in its own log.
type Cookie struct {
	Source string
	Value  []byte
}

// Receipt is what a commit did.
type Receipt struct {
	// Done counts the items that were taken; the rest was not begun.
	Done int
	// Errors holds per taken item nil, ErrConflict, ErrTaken or ErrNotFound.
	Errors []error
	// Entries, Grants and Parties are the rows as written, per taken item, with positions and versions.
	Entries []*Entry
	Grants  []*Grant
	Parties []*Party
	Head    Head
	// Echoing: a wide line is unfinished (State.Echoes).
	Echoing bool
}

// State is what is known now.
type State interface {
	// Entries reads living entries by source and folded key, in the order asked; nil where there is none.
	Entries(ctx context.Context, source string, keys []string) ([]*Entry, error)
	// Entry reads one entry, deleted ones as tombstones; ErrNotFound.
	Entry(ctx context.Context, id ID) (*Entry, error)
	// ByUserName finds a living entry by folded userName; ErrNotFound.
	ByUserName(ctx context.Context, folded string) (*Entry, error)
	// List reads living entries of a type in order of id, after an id. Total counts all of them.
	List(ctx context.Context, t string, after ID, limit int) (page []*Entry, total int, err error)
	// References reads the pointers of and to an entry.
	References(ctx context.Context, entry ID) (from, to []Reference, err error)
	// Unresolved reads references of a source whose target is not known.
	Unresolved(ctx context.Context, source string, limit int) ([]Reference, error)
	// Cookie reads a source's position; nil when it never had one.
	Cookie(ctx context.Context, source string) ([]byte, error)

	// Feed reads one page of a party's feed in one snapshot.
	Feed(ctx context.Context, q FeedQuery) (*FeedPage, error)
	// Told reads the rows of the given entries in the party's feed, with their entries, in one snapshot: what a check,
	// a fetch or a reference needs. Entries never told to the party are missing in the map.
	Told(ctx context.Context, party ID, entries []ID) (*FeedPage, error)

	Grants(ctx context.Context, party ID, after ID, limit int) ([]Grant, error) // zero party: all
	Grant(ctx context.Context, id ID) (*Grant, error)
	// Expired reads grants whose end has come and that have no tombstone yet.
	Expired(ctx context.Context, now int64, limit int) ([]Grant, error)
	// Echoes lists wide lines that are unfinished.
	Echoes(ctx context.Context, limit int) ([]ID, error)

	Parties(ctx context.Context) ([]Party, error)
	Party(ctx context.Context, id ID) (*Party, error)
	// AddToken keeps a credential (a party's first comes with PartyWrite). ErrTaken when its id or hash is there already,
	// ErrNotFound when its party is not living, ErrLimit when MaxPartyTokens bearer tokens of the party are valid at t.CreatedAt.
	AddToken(ctx context.Context, t Token) error
	RevokeToken(ctx context.Context, id ID, now int64) error
	Tokens(ctx context.Context) ([]Token, error)
	// UseTokens notes when credentials were used last; a later time stays. Ids that are not there are passed over, and so
	// may be a row that another transaction holds: nobody relies on it.
	UseTokens(ctx context.Context, last map[ID]int64) error
	// SetKeys makes these the keys of a party that are valid, as ExchangeKeys says; ErrNotFound when it is not living.
	SetKeys(ctx context.Context, party ID, keys []Token, now int64) error
	// Keys reads the valid keys of a party, in order of id; none of one that is not living.
	Keys(ctx context.Context, party ID) ([]Token, error)
	// Token reads a credential that is neither revoked nor of a removed party; it may be expired. ErrNotFound.
	Token(ctx context.Context, id ID) (*Token, error)
	// TokenByHash is Token for a bearer token, by its hash.
	TokenByHash(ctx context.Context, hash [32]byte) (*Token, error)

	// Secrets are keys wrapped by the key file, kept in the store; InitSecret keeps the first one only and returns
	// what stands there afterwards.
	Secrets(ctx context.Context) ([]Secret, error)
	InitSecret(ctx context.Context, s Secret) (Secret, error)
	// Secret reads the one of a name; ErrNotFound.
	Secret(ctx context.Context, name string) (Secret, error)
	// SwapKeyring replaces the secret Keyring if Version is still the one that stands there, and counts it up
	// (ErrConflict; ErrNotFound). It is refused with ErrInUse while tokens that are not settled were signed with one of
	// the dropped keys: their receivers could not check them any more.
	SwapKeyring(ctx context.Context, s Secret, dropped []string) (Secret, error)

	// Check verifies the whole database against the invariants and reports what is wrong, in words with ids only.
	Check(ctx context.Context) (problems []string, err error)
}

// Secret is a wrapped key, or several. Name is unique: "check", "seal", "subject:<sector>", Keyring. What stands under a
// name never changes, except the keyring.
type Secret struct {
	Name      string
	Wrapped   []byte
	CreatedAt int64
	Version   int64 // from 1
}

// Keyring is the name of the one secret that can be replaced (SwapKeyring): the signing keys and their states, sealed as
// one text, so that a change of several keys is one write.
const Keyring = "keyring"

// FeedQuery asks for rows of a party with position > After and up to the head, at most Limit.
type FeedQuery struct {
	Party ID
	After int64
	Limit int
	// Values asks for the entries' attributes too; without it Entry.Attributes stays nil.
	Values bool
	// At, if not 0, asks for the tag of the line there.
	At int64
}

// FeedPage is a snapshot.
type FeedPage struct {
	Party Party
	Head  Head
	Rows  []FeedRow
	// Last is the position of the last row looked at; More says that rows stand after it.
	Last int64
	More bool
	// LineTag is the tag of the line at FeedQuery.At; zero when there is no such line.
	LineTag Tag
	// LastTag is the tag of the line at Last.
	LastTag Tag
}

// FeedRow is one entry in a party's feed: under an agreement for everybody Grant is nil.
type FeedRow struct {
	Grant *Grant
	Entry Entry
}

// Outbox is what is on its way.
type Outbox interface {
	// CreateStream keeps a new stream, its place set to the head; ErrLimit when the party has limit streams.
	CreateStream(ctx context.Context, s Stream, limit int) (*Stream, error)
	// Stream and Streams read; the party's only (zero party: any). ErrNotFound.
	Stream(ctx context.Context, party, id ID) (*Stream, error)
	Streams(ctx context.Context, party ID) ([]Stream, error)
	// SetStream writes settings, status, reason, by, Verified and Quiet if Version still stands, and keeps own (verification,
	// stream-updated) with it, all as Rewrite says. It reports how many unsettled deliveries were dropped by disabling.
	SetStream(ctx context.Context, s Stream, own []Delivery) (written *Stream, dropped int, err error)
	DeleteStream(ctx context.Context, party, id ID) error
	// Rewind moves a stream back to a place, as Stream.Rewound says; the party's only (zero party: any). ErrNotFound, and
	// errors of Rewound.
	Rewind(ctx context.Context, party, stream ID, to Place) (*Stream, error)
	// Choose changes which subjects the party's stream is told of, in one transaction: it reads what stands of the entries
	// named (Choosing), asks choose, whose error is the answer, and records what that says. ErrNotFound for the stream.
	// Exclusions end with their stream or when the entry's tombstone is trimmed; those on their way back also when the
	// stream is disabled.
	Choose(ctx context.Context, party, stream ID, named Naming, now int64, choose func(Choosing) (Chosen, error)) error
	// Backlogs reads streams with what they have not told, in order of id: all, or the one of the id if it is not zero (none
	// if it is not there).
	Backlogs(ctx context.Context, id ID) ([]Backlog, error)

	// Issue reads the stream's next rows and room in one snapshot (Issuing), asks decide what is to be told, and
	// records that and the moved cursor in one transaction; nothing if the cursor or the status moved meanwhile
	// (ErrConflict). At most window deliveries stay unsettled; a generation that moved on is decided about also where that
	// leaves no room. A stream that is idle (Prospect) is only looked at. It reports whether there is more to issue.
	Issue(ctx context.Context, stream ID, now int64, window int, decide func(Issuing) Issued) (more bool, err error)
	// Sendable reads deliveries whose turn it is and that may leave (MayLeave), with what is needed to check and make them, in one snapshot.
	Sendable(ctx context.Context, stream ID, now int64, limit int) ([]Sending, error)
	// Begin starts attempts: each delivery is begun only if it is still there and not busy, its grant (or agreement)
	// stands as it did in the Sending, the keyring is still of the version that the attempt was prepared under, and its
	// tokens are kept with it. Those that may not be told any more are withdrawn. It returns, per attempt, whether it may
	// go out now.
	Begin(ctx context.Context, now int64, attempts []Attempt) ([]bool, error)
	// Settle ends attempts, with what the receiver said. It returns the deliveries that were given up by that.
	Settle(ctx context.Context, stream ID, now int64, outcomes []Outcome) ([]DeadLetter, error)
	// Signed counts, by the id of the key that signed them, the tokens that are not settled. The empty id stands for those
	// that were kept before ids of keys were kept with them.
	Signed(ctx context.Context) (map[string]int, error)
	// Recall un-makes the deliveries whose tokens a key signed (Recalled) and counts the keyring's version up, so that no
	// attempt begins with what was read before. It returns how many tokens are left, all of attempts under way.
	Recall(ctx context.Context, kid string, now int64) (left int, err error)
	// Lease takes or keeps for node, until the given time, streams of the method that have something to do (one that is
	// not enabled only what may leave it), and reports when the next waiting delivery, or a digest, is due (0: none).
	// Attempts of a node that lost its lease have ended.
	Lease(ctx context.Context, node string, now, until int64, method string) (streams []ID, next int64, err error)
	// DeadLetters reads what was given up, the newest first.
	DeadLetters(ctx context.Context, q LetterQuery) ([]DeadLetter, error)
	// Revive puts letters of a stream back in line, all or the one named, oldest first, at most limit of them, as
	// Reviving.Decide says: those that it settles are letters no more. ErrNotFound when the stream, or the letter on it, is
	// not there, ErrDisabled.
	Revive(ctx context.Context, stream, letter ID, now int64, window, limit int) (Revived, error)
	// DropLetters forgets letters, at most q.Limit, and says how many.
	DropLetters(ctx context.Context, q LetterQuery) (int, error)
	// EraseSignals erases payloads that all parties have settled or whose life is over.
	EraseSignals(ctx context.Context, now int64, limit int) (int, error)
}

// Issuing is the snapshot that a decision is made from.
type Issuing struct {
	Stream Stream
	Page   FeedPage // rows after Stream.At, at most the room
	// Signals after Stream.Signal that concern the party, with the rows of their entries as they stand.
	Signals     []Signal
	SignalRows  map[ID]FeedRow // those of Back too
	MoreSignals bool
	// Excluded holds those of the entries here that are off the stream; true for those on their way back. Back lists these,
	// as far as there is room.
	Excluded map[ID]bool
	Back     []ID
	MoreBack bool
	Room     int
	Now      int64
	// Digest: one is not settled yet.
	Digest bool
}

// Issued is what was decided: deliveries to keep and where the cursors go.
type Issued struct {
	Deliveries       []Delivery
	Base, At, Signal int64
	Tag              Tag
	Generation       int64
	// Back are entries that are on the stream again: their exclusions end.
	Back  []ID
	Quiet int64
	// Drained: of the feed nothing more is to be issued now, whatever the page says.
	Drained bool
	// Anew: the party's generation moved on, what is unsettled is what Regenerate leaves of it.
	Anew bool
}

// Sending is a delivery with what stands behind it at this moment.
type Sending struct {
	Delivery Delivery
	Row      *FeedRow // nil: never told, or the stream's own
	Party    Party
	Settings subscriptions.Settings // of the stream
	Signal   *Signal                // nil once erased
	Policy   consent.Policy
	// Actor and Source are of the line that led to the delivery; empty once the log has forgotten it.
	Actor, Source string
	// Keyring is the keyring's version, 0 when there is none.
	Keyring int64
}

// Attempt begins to send a delivery.
type Attempt struct {
	Delivery ID
	Owner    string
	Busy     int64 // until
	// Tokens to keep with it, when they were made now.
	Tokens []SignedToken
	// Left is how many of the tokens it had in the Sending were not settled; another value means that one of those that
	// would leave was acknowledged since. Cut as in Delivery.
	Left, Cut int
	// First is the jti of the first token it had in the Sending; another one means that its tokens were made anew since.
	First string
	// Given, Regraded and Generation are what the Sending showed; another value means that the grant is another one.
	Given, Regraded, Generation int64
	// Keyring is the version that the tokens were signed or read under; with another one the attempt does not begin: the
	// key may be published no longer.
	Keyring int64
	// Position is the delivery's in the Sending; another value means that it absorbed a change since.
	Position int64
	// Remake: the tokens that stand say what the stream asks for no longer; they are un-made, as those of wider terms.
	Remake bool
	// Withdraw: nothing may be told (any more); drop it. Dead: it cannot be made; keep a dead letter.
	Withdraw bool
	Dead     string
}

// Outcome is what a receiver said of one token.
type Outcome struct {
	JTI  string
	Next subscriptions.Next // Done, Retry at Due, Remake at Due, or Dead
	Due  int64
	// Attempt is the one that this is the end of (Outgoing.Attempts); 0 for a word that comes by itself, as in a poll. The
	// end of an attempt that is not the latest ends nothing (Delivery.Outlived), except that a token which arrived is
	// settled however late that is known.
	Attempt int
	// Version, if not 0, is of the stream as the attempt found it. If it was written since, what is to be retried is due at
	// once: it may go another way now (UP-12).
	Version int64
	// Reason is the receiver's error code or the kind of failure, never a body; empty where nothing failed (what a poll
	// handed out comes due again unless it is acknowledged).
	Reason string
	// Description is what the receiver wrote beside its code. It may hold personal data: the engine bounds and seals it
	// before the store sees it (DeadLetter.Description), and it stands in no log.
	Description string
	Sealed      []byte
}

// Scratch keeps small sealed records that are used once or for a while: tickets, nonces, sessions.
type Scratch interface {
	// Keep stores a record under a key that must not exist; ErrLimit when group holds limit unexpired records.
	Keep(ctx context.Context, r Record, limit int) error
	// Take returns a record and removes it: at most one caller gets it. ErrNotFound when it is not there or expired.
	Take(ctx context.Context, key string, now int64) (*Record, error)
	// Swap replaces the value of a record that still holds old.
	Swap(ctx context.Context, key string, old, value []byte, expires int64) error
}

// Record is one scratch record. Key is a hash of the secret that was handed out.
type Record struct {
	Key, Group string
	Value      []byte
	Expires    int64
}
