package subscriptions

import (
	"cmp"
	"slices"
	"time"

	"tidings/events"
)

// Profile says what a party's streams get by default.
type Profile string

const (
	// Tidings streams: ES256, SCIM notices, account and session events.
	Tidings Profile = "tidings"
	// CAEP streams follow the CAEP interoperability profile: RS256, reason_admin, all subjects.
	CAEP Profile = "caep"
)

// SubjectFormat is how CAEP and RISC events name a person to a party; SCIM events always use the scim format.
type SubjectFormat string

const (
	FormatIssSub SubjectFormat = "iss_sub"
	FormatEmail  SubjectFormat = "email"
	FormatOpaque SubjectFormat = "opaque"
	FormatPhone  SubjectFormat = "phone_number"
	FormatSCIM   SubjectFormat = "scim"
)

// Formats lists them.
func Formats() []SubjectFormat {
	return []SubjectFormat{FormatIssSub, FormatEmail, FormatOpaque, FormatPhone, FormatSCIM}
}

// Status of a stream (SSF 1.0 section 8.1.2).
type Status string

const (
	Enabled  Status = "enabled"
	Paused   Status = "paused"
	Disabled Status = "disabled"
)

// By is who set a stream's status. What a receiver or an operator stopped is not resumed by the transmitter.
type By string

const (
	ByReceiver    By = "receiver"
	ByOperator    By = "operator"
	ByTransmitter By = "transmitter"
)

// Delivery says by which of the ways out a stream's tokens leave (SSF 1.0 section 6.1).
type Delivery struct {
	Method      string `json:"method"`
	EndpointURL string `json:"endpoint_url,omitempty"`
	// AuthorizationHeader is the literal value sent with every push (DE-02). It is a secret: the store holds it sealed,
	// and it stands in no log, error or answer.
	AuthorizationHeader string `json:"authorization_header,omitempty"`
}

// Settings are what the receiver chose for its stream.
type Settings struct {
	// Requested event types; nil means that the profile's types were taken (SC-20). An empty list is a choice, not the
	// lack of one (SC-21), and stays one when it is kept as JSON.
	Requested   []events.Type `json:"events_requested,omitzero"`
	Delivery    Delivery      `json:"delivery"`
	Description string        `json:"description,omitempty"`
	// DigestInterval is the least time between two digests, in seconds; 0 for the usual one.
	DigestInterval int64 `json:"digest_interval,omitempty"`
	// Algorithm that the stream's tokens are signed with; "" for the profile's.
	Algorithm events.Algorithm `json:"set_signing_alg,omitempty"`
}

// SignedWith is the algorithm for new tokens of a stream.
func (s Settings) SignedWith(p Profile) events.Algorithm {
	return cmp.Or(s.Algorithm, AlgorithmFor(p))
}

// usualDigest is how often a stream tells a digest that did not choose.
const usualDigest = 60 // seconds

// Digests reports whether the receiver chose to be told by digests. Who asks for all notices beside, as one does that
// copies events_supported, has not chosen, and would be told nothing that it understands.
func (s Settings) Digests() bool {
	asks := func(t events.Type) bool { return slices.Contains(s.Requested, t) }
	return asks(events.Digest) && slices.ContainsFunc(scimTypes, func(t events.Type) bool { return !asks(t) })
}

// DigestEvery is the least time between two digests.
func (s Settings) DigestEvery() time.Duration {
	return time.Duration(cmp.Or(s.DigestInterval, usualDigest)) * time.Second
}
