package subscriptions

import (
	"slices"

	"tidings/events"
)

// What is offered. Left out are types that exist to carry values (":full", token-claims-change), since an Occasion holds
// none; put notices, as a replacement is told as the names that really changed; sessions-revoked, which RISC 1.0 section
// 2.11 forbids new transmitters; and the opt-in and opt-out events, as a party is not told why a person left its feed.
var (
	scimTypes = []events.Type{
		events.FeedAdd, events.FeedRemove, events.ProvCreateNotice, events.ProvPatchNotice,
		events.ProvDelete, events.ProvActivate, events.ProvDeactivate,
	}
	caepTypes = []events.Type{
		events.SessionRevoked, events.CredentialChange, events.DeviceComplianceChange, events.RiskLevelChange,
		events.AssuranceLevelChange, events.SessionEstablished, events.SessionPresented,
	}
	riscTypes = []events.Type{
		events.AccountDisabled, events.AccountEnabled, events.AccountPurged, events.AccountCredentialChangeRequired,
		events.IdentifierChanged, events.IdentifierRecycled, events.CredentialCompromise,
		events.RecoveryActivated, events.RecoveryInformationChanged,
	}
	// A Tidings stream is told by default what its copies and its sessions depend on.
	tidingsDefaults = slices.Concat(scimTypes, []events.Type{
		events.SessionRevoked, events.CredentialChange,
		events.AccountDisabled, events.AccountEnabled, events.AccountPurged, events.AccountCredentialChangeRequired,
		events.IdentifierChanged, events.CredentialCompromise,
	})
)

// Offered lists the event types that a party of the profile may ask for: a stream's events_supported (SC-04). It does
// not hold what belongs to the stream itself (verification, stream-updated, feed-changed), which needs no asking.
func Offered(p Profile) []events.Type {
	if p == CAEP {
		return slices.Concat(caepTypes, riscTypes, scimTypes)
	}
	return slices.Concat(scimTypes, caepTypes, riscTypes)
}

// Defaults lists the event types that a stream gets whose receiver asked for none in particular (SC-20).
func Defaults(p Profile) []events.Type {
	if p == CAEP {
		return slices.Clone(caepTypes)
	}
	return slices.Clone(tidingsDefaults)
}

// Delivered is a stream's events_delivered: what was asked for and is offered (SSF 1.0 section 8.1.1). Types that are
// unknown are ignored (SC-05). It may be empty but is never nil, as the member is required even then (SC-21).
func Delivered(p Profile, s Settings) []events.Type {
	if s.Requested == nil {
		return Defaults(p)
	}
	return slices.DeleteFunc(Offered(p), func(t events.Type) bool { return !slices.Contains(s.Requested, t) })
}

// AlgorithmFor is the algorithm that tokens for the profile are signed with (CAEP interoperability profile 1.0 section
// 2.6 for RS256).
func AlgorithmFor(p Profile) events.Algorithm {
	if p == CAEP {
		return events.RS256
	}
	return events.ES256
}

// MethodsSupported lists the ways out, as the metadata's delivery_methods_supported tells them (SSF 1.0 section 7.1).
func MethodsSupported() []string {
	return []string{events.MethodPush, events.MethodPoll, events.MethodWebsocket}
}
