package subscriptions

import (
	"slices"
	"strings"

	"tidings/events"
)

// What is offered. Left out are put notices, as a replacement is told as the names that really changed, and sessions-revoked,
// which RISC 1.0 section 2.11 forbids new transmitters. valueTypes exist to carry values and are offered where the policy
// lets values travel.
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
		events.OptIn, events.OptOutInitiated, events.OptOutCancelled, events.OptOutEffective,
	}
	valueTypes = []events.Type{events.ProvCreateFull, events.ProvPatchFull, events.ProvPutFull, events.TokenClaimsChange}
	digests    = []events.Type{events.Digest}
	// A Tidings stream is told by default what its copies and its sessions depend on.
	tidingsDefaults = slices.Concat(scimTypes, []events.Type{
		events.SessionRevoked, events.CredentialChange,
		events.AccountDisabled, events.AccountEnabled, events.AccountPurged, events.AccountCredentialChangeRequired,
		events.IdentifierChanged, events.CredentialCompromise,
		events.OptIn, events.OptOutInitiated, events.OptOutCancelled, events.OptOutEffective,
	})
)

// rowTypes tell how an entry is: a digest takes their place. All others are told once, of signals.
var rowTypes = slices.Concat(scimTypes, valueTypes, []events.Type{events.AccountDisabled, events.AccountEnabled, events.AccountPurged})

// Offer is what a party's streams may ask for.
type Offer struct {
	Profile Profile
	// Types are the operator's bound for the party; none for no bound.
	Types []events.Type
	// Values: the policy lets values travel inside events.
	Values bool
}

// Supported lists the event types that a stream may ask for: its events_supported (SC-04). It does not hold what belongs
// to the stream itself (verification, stream-updated, feed-changed), which needs no asking.
func (o Offer) Supported() []events.Type {
	all := slices.Concat(scimTypes, caepTypes, riscTypes, digests)
	if o.Profile == CAEP {
		all = slices.Concat(caepTypes, riscTypes, scimTypes, digests)
	}
	if o.Values {
		all = append(all, valueTypes...)
	}
	return o.bounded(all)
}

// Defaults lists the event types that a stream gets whose receiver asked for none in particular (SC-20). Values are
// told to those only who asked for them.
func (o Offer) Defaults() []events.Type {
	if o.Profile == CAEP {
		return o.bounded(slices.Clone(caepTypes))
	}
	return o.bounded(slices.Clone(tidingsDefaults))
}

// Delivered is a stream's events_delivered: what was asked for and is offered (SSF 1.0 section 8.1.1). Types that are
// unknown are ignored (SC-05); on a stream of digests those are left out that a digest takes the place of. The list may be
// empty but is never nil, as the member is required even then (SC-21).
func (o Offer) Delivered(s Settings) []events.Type {
	if s.Requested == nil {
		return o.Defaults()
	}
	delivered := slices.DeleteFunc(o.Supported(), func(t events.Type) bool { return !slices.Contains(s.Requested, t) })
	instead := digests
	if s.Digests() && slices.Contains(delivered, events.Digest) {
		instead = rowTypes
	}
	return slices.DeleteFunc(delivered, func(t events.Type) bool { return slices.Contains(instead, t) })
}

func (o Offer) bounded(all []events.Type) []events.Type {
	return slices.DeleteFunc(all, func(t events.Type) bool { return len(o.Types) > 0 && !slices.Contains(o.Types, t) })
}

// WantValues: the stream asked for values in its events, by a type that exists to carry them.
func WantValues(delivered []events.Type) bool {
	return slices.ContainsFunc(delivered, func(t events.Type) bool { return slices.Contains(valueTypes, t) })
}

// ParseTypes reads event types as operators write them: a family (scim, caep, risc), a URI, or the last part of one
// ("session-revoked", "prov:patch:full"). The error is an *Invalid; no text gives no types.
func ParseTypes(texts []string) (types []events.Type, err error) {
	for _, text := range texts {
		var found []events.Type
		for _, t := range (Offer{Values: true}).Supported() {
			definition, _ := events.Lookup(t)
			if text == string(t) || text == string(definition.Family) || text != "" && text == shortType(t) {
				found = append(found, t)
			}
		}
		if len(found) == 0 {
			return nil, &Invalid{"events", "has a type that is not offered"}
		}
		types = append(types, found...)
	}
	slices.Sort(types)
	return slices.Compact(types), nil
}

// shortType is the last part of a type's URI, as people write it.
func shortType(t events.Type) string {
	for _, prefix := range []string{"urn:ietf:params:scim:event:", "urn:tidings:event:"} {
		if rest, is := strings.CutPrefix(string(t), prefix); is {
			return rest
		}
	}
	return string(t[strings.LastIndexByte(string(t), '/')+1:])
}

// Algorithms lists the ways to sign tokens. Each has a key from the beginning.
func Algorithms() []events.Algorithm {
	return []events.Algorithm{events.ES256, events.RS256, events.EdDSA}
}

// AlgorithmFor is the algorithm that tokens for the profile are signed with where the stream chose none (RS256: CAEP
// interoperability profile 1.0 section 2.6).
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
