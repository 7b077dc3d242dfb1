package events

import (
	"slices"
	"strings"
)

// Type is the URI of an event type.
type Type string

// Family is the specification that defines an event type.
type Family string

// The families of the catalogue.
const (
	FamilySCIM    Family = "scim"    // RFC 9967
	FamilyCAEP    Family = "caep"    // CAEP 1.0
	FamilyRISC    Family = "risc"    // RISC 1.0
	FamilySSF     Family = "ssf"     // SSF 1.0
	FamilyTidings Family = "tidings" // our own
)

const (
	scim    = "urn:ietf:params:scim:event:"
	caep    = "https://schemas.openid.net/secevent/caep/event-type/"
	risc    = "https://schemas.openid.net/secevent/risc/event-type/"
	ssf     = "https://schemas.openid.net/secevent/ssf/event-type/"
	tidings = "urn:tidings:event:"
)

// Event types of the SCIM profile (RFC 9967 §2.3 to §2.5).
const (
	FeedAdd           Type = scim + "feed:add"
	FeedRemove        Type = scim + "feed:remove"
	ProvCreateNotice  Type = scim + "prov:create:notice"
	ProvCreateFull    Type = scim + "prov:create:full"
	ProvPatchNotice   Type = scim + "prov:patch:notice"
	ProvPatchFull     Type = scim + "prov:patch:full"
	ProvPutNotice     Type = scim + "prov:put:notice"
	ProvPutFull       Type = scim + "prov:put:full"
	ProvDelete        Type = scim + "prov:delete"
	ProvActivate      Type = scim + "prov:activate"
	ProvDeactivate    Type = scim + "prov:deactivate"
	MiscAsyncResponse Type = scim + "misc:asyncresp"
)

// Event types of CAEP 1.0 (§3).
const (
	SessionRevoked         Type = caep + "session-revoked"
	TokenClaimsChange      Type = caep + "token-claims-change"
	CredentialChange       Type = caep + "credential-change"
	AssuranceLevelChange   Type = caep + "assurance-level-change"
	DeviceComplianceChange Type = caep + "device-compliance-change"
	SessionEstablished     Type = caep + "session-established"
	SessionPresented       Type = caep + "session-presented"
	RiskLevelChange        Type = caep + "risk-level-change"
)

// Event types of RISC 1.0 (§2). SessionsRevoked is deprecated there in favour of
// [SessionRevoked] and listed so that receivers know it.
const (
	AccountCredentialChangeRequired Type = risc + "account-credential-change-required"
	AccountPurged                   Type = risc + "account-purged"
	AccountDisabled                 Type = risc + "account-disabled"
	AccountEnabled                  Type = risc + "account-enabled"
	IdentifierChanged               Type = risc + "identifier-changed"
	IdentifierRecycled              Type = risc + "identifier-recycled"
	CredentialCompromise            Type = risc + "credential-compromise"
	OptIn                           Type = risc + "opt-in"
	OptOutInitiated                 Type = risc + "opt-out-initiated"
	OptOutCancelled                 Type = risc + "opt-out-cancelled"
	OptOutEffective                 Type = risc + "opt-out-effective"
	RecoveryActivated               Type = risc + "recovery-activated"
	RecoveryInformationChanged      Type = risc + "recovery-information-changed"
	SessionsRevoked                 Type = risc + "sessions-revoked"
)

// Event types of SSF 1.0 (§8.1.4, §8.1.5).
const (
	Verification  Type = ssf + "verification"
	StreamUpdated Type = ssf + "stream-updated"
)

// Event types of our own. A digest and feed-changed are about a stream: the
// former tells that there are changes, and the cursor by which /delta tells them;
// the latter that what the party may see has changed as a whole and a fresh snapshot
// is due. The others are about a copy the party holds.
const (
	Digest         Type = tidings + "digest"
	FeedChanged    Type = tidings + "feed-changed"
	CopyExpired    Type = tidings + "copy-expired"
	CopySuperseded Type = tidings + "copy-superseded"
)

// SubjectKind is what an event type demands of its subject.
type SubjectKind int

// The kinds of subject.
const (
	AnySubject        SubjectKind = iota
	SCIMSubject                   // a scim identifier (RFC 9967 §2.1)
	IdentifierSubject             // the email or phone_number itself, with the old value (RISC 1.0 §2.5, §2.6)
	StreamSubject                 // the opaque stream id (SSF 1.0 §8.1.4.1, §8.1.5)
)

// Accepts reports whether s is of the kind.
func (k SubjectKind) Accepts(s Subject) bool {
	switch k {
	case SCIMSubject:
		return s.format == FormatSCIM
	case IdentifierSubject:
		return s.format == FormatEmail || s.format == FormatPhone
	case StreamSubject:
		return s.format == FormatOpaque
	}
	return !s.IsZero()
}

// Definition is what the catalogue knows of an event type.
type Definition struct {
	Type     Type
	Family   Family
	Required []string    // members the payload must have
	Values   bool        // the event exists to carry attribute values and cannot be made without
	Value    string      // the payload member that carries values, required or not; empty if none
	Subject  SubjectKind // what the subject must be
}

var catalogue = []Definition{
	{Type: FeedAdd, Subject: SCIMSubject},
	{Type: FeedRemove, Subject: SCIMSubject},
	{Type: ProvCreateNotice, Subject: SCIMSubject, Required: []string{"attributes"}},
	{Type: ProvCreateFull, Subject: SCIMSubject, Required: []string{"data"}, Values: true, Value: "data"},
	{Type: ProvPatchNotice, Subject: SCIMSubject, Required: []string{"attributes"}},
	{Type: ProvPatchFull, Subject: SCIMSubject, Required: []string{"data"}, Values: true, Value: "data"},
	{Type: ProvPutNotice, Subject: SCIMSubject, Required: []string{"attributes"}},
	{Type: ProvPutFull, Subject: SCIMSubject, Required: []string{"data"}, Values: true, Value: "data"},
	{Type: ProvDelete, Subject: SCIMSubject},
	{Type: ProvActivate, Subject: SCIMSubject},
	{Type: ProvDeactivate, Subject: SCIMSubject},
	{Type: MiscAsyncResponse, Required: []string{"method", "status"}},

	{Type: SessionRevoked},
	{Type: TokenClaimsChange, Required: []string{"claims"}, Values: true, Value: "claims"},
	{Type: CredentialChange, Required: []string{"credential_type", "change_type"}},
	{Type: AssuranceLevelChange, Required: []string{"namespace", "current_level"}},
	{Type: DeviceComplianceChange, Required: []string{"previous_status", "current_status"}},
	{Type: SessionEstablished},
	{Type: SessionPresented},
	{Type: RiskLevelChange, Required: []string{"principal", "current_level"}},

	{Type: AccountCredentialChangeRequired},
	{Type: AccountPurged},
	{Type: AccountDisabled},
	{Type: AccountEnabled},
	{Type: IdentifierChanged, Value: "new-value", Subject: IdentifierSubject},
	{Type: IdentifierRecycled, Subject: IdentifierSubject},
	{Type: CredentialCompromise, Required: []string{"credential_type"}},
	{Type: OptIn},
	{Type: OptOutInitiated},
	{Type: OptOutCancelled},
	{Type: OptOutEffective},
	{Type: RecoveryActivated},
	{Type: RecoveryInformationChanged},
	{Type: SessionsRevoked},

	{Type: Verification, Subject: StreamSubject},
	{Type: StreamUpdated, Subject: StreamSubject, Required: []string{"status"}},

	{Type: Digest, Subject: StreamSubject, Required: []string{"cursor"}},
	{Type: FeedChanged, Subject: StreamSubject},
	{Type: CopyExpired},
	{Type: CopySuperseded},
}

var byType = func() map[Type]Definition {
	families := map[string]Family{scim: FamilySCIM, caep: FamilyCAEP, risc: FamilyRISC, ssf: FamilySSF, tidings: FamilyTidings}
	index := make(map[Type]Definition, len(catalogue))
	for i := range catalogue {
		for prefix, family := range families {
			if strings.HasPrefix(string(catalogue[i].Type), prefix) {
				catalogue[i].Family = family
			}
		}
		index[catalogue[i].Type] = catalogue[i]
	}
	return index
}()

// Lookup finds an event type in the catalogue.
func Lookup(t Type) (Definition, bool) {
	d, ok := byType[t]
	return d, ok
}

// Catalogue lists every event type known here.
func Catalogue() []Definition { return slices.Clone(catalogue) }
