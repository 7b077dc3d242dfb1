package events

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Delivery methods. The first two are SSF 1.0 §6.1; the last is ours, with RFC
// 8936 bodies as frames.
const (
	MethodPush      = "urn:ietf:rfc:8935"
	MethodPoll      = "urn:ietf:rfc:8936"
	MethodWebsocket = "urn:tidings:delivery:websocket"
)

// SpecVersion is the version of SSF that is spoken here (SSF 1.0 §7.1).
const SpecVersion = "1_0"

// Authorization schemes (SSF 1.0 §7.1.1).
const (
	SchemeOAuth = "urn:ietf:rfc:6749"
	SchemeMTLS  = "urn:ietf:rfc:8705"
)

// Metadata is the transmitter configuration (SSF 1.0 §7.1). Members that would be
// empty are left out, as §7.2.3 demands.
type Metadata struct {
	SpecVersion              string                `json:"spec_version,omitempty"`
	Issuer                   string                `json:"issuer"`
	JWKSURI                  string                `json:"jwks_uri,omitempty"`
	DeliveryMethodsSupported []string              `json:"delivery_methods_supported,omitempty"`
	ConfigurationEndpoint    string                `json:"configuration_endpoint,omitempty"`
	StatusEndpoint           string                `json:"status_endpoint,omitempty"`
	AddSubjectEndpoint       string                `json:"add_subject_endpoint,omitempty"`
	RemoveSubjectEndpoint    string                `json:"remove_subject_endpoint,omitempty"`
	VerificationEndpoint     string                `json:"verification_endpoint,omitempty"`
	CriticalSubjectMembers   []string              `json:"critical_subject_members,omitempty"`
	AuthorizationSchemes     []AuthorizationScheme `json:"authorization_schemes,omitempty"`
	DefaultSubjects          string                `json:"default_subjects,omitempty"` // ALL or NONE
	// Algorithms are the values of a stream's set_signing_alg; our own member, named as in RFC 8414 §2.
	Algorithms []Algorithm `json:"set_signing_alg_values_supported,omitempty"`
}

// AuthorizationScheme names a way to authorize management calls (SSF 1.0 §7.1.1).
type AuthorizationScheme struct {
	SpecURN string `json:"spec_urn"`
}

// MetadataURL is where the metadata of an issuer lives: the well-known path stands
// between host and path, and one terminating slash is dropped (SSF 1.0 §7.2.1).
func MetadataURL(issuer string) (string, error) { return WellKnownURL(issuer, "ssf-configuration") }

// WellKnownURL is where a document of that name about an issuer lives (RFC 8615 §3, RFC 8414 §3.1, RFC 9728 §3.1): all
// put it where [MetadataURL] says.
func WellKnownURL(issuer, name string) (string, error) {
	u, err := url.Parse(issuer)
	if err != nil || u.Host == "" || u.User != nil || (u.Scheme != "https" && u.Scheme != "http") {
		return "", errors.New("issuer is no web URL")
	}
	if strings.ContainsAny(issuer, "?#") {
		return "", errors.New("issuer has a query or fragment")
	}
	return fmt.Sprintf("%s://%s/.well-known/%s%s", u.Scheme, u.Host, name, strings.TrimSuffix(u.EscapedPath(), "/")), nil
}

// StreamConfiguration is a stream as SSF 1.0 §8.1.1 shows it, and the body to
// create or change one. Members that are zero are left out; a list that is empty
// but not nil stays, for events_delivered is required even then.
type StreamConfiguration struct {
	StreamID                string    `json:"stream_id,omitempty"`
	Issuer                  string    `json:"iss,omitempty"`
	Audience                Audience  `json:"aud,omitzero"`
	EventsSupported         []Type    `json:"events_supported,omitzero"`
	EventsRequested         []Type    `json:"events_requested,omitzero"`
	EventsDelivered         []Type    `json:"events_delivered,omitzero"`
	Delivery                *Delivery `json:"delivery,omitempty"`
	MinVerificationInterval int64     `json:"min_verification_interval,omitempty"` // seconds
	Description             string    `json:"description,omitempty"`
	InactivityTimeout       int64     `json:"inactivity_timeout,omitempty"` // seconds
	// DigestInterval is the least time in seconds between two digests, on a stream that delivers them; our own member.
	DigestInterval int64 `json:"digest_interval,omitempty"`
	// Algorithm is what the receiver wants its SETs to be signed with; absent where it chose none. Our own member.
	Algorithm Algorithm `json:"set_signing_alg,omitempty"`
}

// Delivery is how SETs leave on a stream (SSF 1.0 §6.1).
type Delivery struct {
	Method      string `json:"method"`
	EndpointURL string `json:"endpoint_url,omitempty"`
	// AuthorizationHeader is the value of the Authorization header of every push,
	// as the receiver chose it: a secret.
	AuthorizationHeader string `json:"authorization_header,omitempty"`
}

// Status says whether a stream sends (SSF 1.0 §8.1.2).
type Status string

// The statuses.
const (
	StatusEnabled  Status = "enabled"
	StatusPaused   Status = "paused"   // what happens meanwhile is kept
	StatusDisabled Status = "disabled" // what happens meanwhile is not kept
)

// StreamStatus is the body of the status endpoint, both ways (SSF 1.0 §8.1.2).
type StreamStatus struct {
	StreamID string `json:"stream_id"`
	Status   Status `json:"status"`
	Reason   string `json:"reason,omitempty"`
}

// SubjectRequest adds a subject to a stream or removes it (SSF 1.0 §8.1.3).
type SubjectRequest struct {
	StreamID string  `json:"stream_id"`
	Subject  Subject `json:"subject"`
	Verified *bool   `json:"verified,omitempty"` // absent: verified; not used in removing
}

// VerificationRequest asks for a verification event (SSF 1.0 §8.1.4.2). The state
// is echoed as it came; without one, the event has none.
type VerificationRequest struct {
	StreamID string  `json:"stream_id"`
	State    *string `json:"state,omitempty"`
}
