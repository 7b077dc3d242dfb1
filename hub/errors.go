package hub

import "errors"

// What the engine says besides the store's errors; each edge translates them once into its own format.
var (
	// ErrUnauthenticated: no such credential, or it was revoked or expired.
	ErrUnauthenticated = errors.New("credential is not valid")
	// ErrForbidden: the credential is for something else.
	ErrForbidden = errors.New("credential does not allow this")
	// ErrScope: the scope does not exist, or is more than the credential may have.
	ErrScope = errors.New("scope is not allowed")
	// ErrVersion: the entry is not at the version the source expected (RFC 7644 section 3.14).
	ErrVersion = errors.New("version does not match")
	// ErrCursorExpired: the cursor is too old, of another generation or of another history; start anew (410).
	ErrCursorExpired = errors.New("cursor expired")
	// ErrCursorInvalid: no cursor of this party (400).
	ErrCursorInvalid = errors.New("cursor is not valid")
	// ErrGrantEnded: the party knew the subject once and may not any more.
	ErrGrantEnded = errors.New("grant ended")
	// ErrAgreementEnded: the party's agreement no longer covers the subject.
	ErrAgreementEnded = errors.New("agreement ended")
	// ErrNoTransfer: the person agreed to notices only.
	ErrNoTransfer = errors.New("values were not granted")
	// ErrAgreement: the party acts under an agreement and takes no grants of single people.
	ErrAgreement = errors.New("party is under an agreement and takes no grants")
	// ErrUntil: a grant would end before it begins.
	ErrUntil = errors.New("end of the grant is in the past")
	// ErrNothingGranted: a grant names no attribute that policy and the party's bounds allow.
	ErrNothingGranted = errors.New("grant allows nothing")
	// ErrTooSoon: asked more often than allowed.
	ErrTooSoon = errors.New("asked too often")
	// ErrTooMany: as many of these are under way as may be at a time; each makes room by itself when it is over.
	ErrTooMany = errors.New("as many are under way as may be")
	// ErrSubjects: the stream leaves out as many subjects as it may (MaxExclusions).
	ErrSubjects = errors.New("stream leaves out as many subjects as it may")
	// ErrDisabled: the stream is disabled; nothing can be put in line on it.
	ErrDisabled = errors.New("stream is disabled")
	// ErrWrongKey: the key file does not belong to this store.
	ErrWrongKey = errors.New("key file does not belong to this store")
	// ErrKeyFile: the text is no key file.
	ErrKeyFile = errors.New("not a key file")
	// ErrBadRequest: a member of a request has no meaning here; the wrapping text names it.
	ErrBadRequest = errors.New("bad request")
)
