package subscriptions

import (
	"maps"
	"slices"
	"strings"

	"tidings/consent"
	"tidings/events"
)

// Signal is something a party should do once: end sessions, distrust a credential, follow a renamed identifier.
type Signal struct {
	Type events.Type
	// Payload holds members of the event. For identifier-changed and identifier-recycled it is {"kind": "email", "phone"
	// or "userName", "old": the value that no longer holds}: both make the subject, and stand in no event's payload.
	Payload map[string]any
	// Members narrow the subject: session, device, tenant (SSF 1.0 section 3.3). "user" is always the entry.
	Members map[string]events.Subject
	// Details are further members of the payload that say what a value of the attribute Of is, such as a certificate's
	// serial number: told only where values may travel and Of is granted.
	Details map[string]any
	Of      string
	// Besides is an attribute: a party that may know it is told the same by another signal.
	Besides string
}

// always may stand in every CAEP event (CAEP 1.0 section 2), and in credential-compromise (RISC 1.0 section 2.7).
var always = []string{"event_timestamp", "initiating_entity", "reason_admin", "reason_user"}

// carries says which types can be signalled, and which members of a signal's payload reach the event; the rest stays
// here, so that no value gets out by a member nobody thought of. Whether an account is active or gone is state, told
// from the feed, and cannot be signalled; why it was disabled can (RI-03).
var carries = map[events.Type][]string{
	events.SessionRevoked:         always,
	events.CredentialChange:       with("credential_type", "change_type", "friendly_name", "x509_issuer", "x509_serial", "fido2_aaguid"),
	events.DeviceComplianceChange: with("previous_status", "current_status"),
	events.RiskLevelChange:        with("principal", "current_level", "previous_level", "risk_reason"),
	events.AssuranceLevelChange:   with("namespace", "current_level", "previous_level", "change_direction"),
	events.SessionEstablished:     with("fp_ua", "acr", "amr", "ext_id"),
	events.SessionPresented:       with("fp_ua", "ext_id"),

	events.AccountDisabled:                 {"reason"},
	events.CredentialCompromise:            with("credential_type"),
	events.AccountCredentialChangeRequired: nil,
	events.IdentifierChanged:               nil,
	events.IdentifierRecycled:              nil,
	events.RecoveryActivated:               nil,
	events.RecoveryInformationChanged:      nil,

	// Told when a person's opt state moves, and by nothing else.
	events.OptIn: nil, events.OptOutInitiated: nil, events.OptOutCancelled: nil, events.OptOutEffective: nil,
}

// OptEvent is the type that tells a move of a person's opt state (RISC 1.0 section 2.8).
func OptEvent(m consent.OptMove) events.Type { return SignalType(string(m)) }

// IsOpt reports whether the type tells a move of a person's opt state.
func IsOpt(t events.Type) bool {
	return t == events.OptIn || t == events.OptOutInitiated || t == events.OptOutCancelled || t == events.OptOutEffective
}

// SignalType reads the type of a signal: its URI, or the last part of it, as people write it ("session-revoked").
func SignalType(text string) events.Type {
	for t := range carries {
		if text == shortType(t) {
			return t
		}
	}
	return events.Type(text)
}

// SignalTypes lists the types that can be signalled by the last part of their URIs, sorted.
func SignalTypes() (names []string) {
	for t := range carries {
		if !IsOpt(t) {
			names = append(names, shortType(t))
		}
	}
	slices.Sort(names)
	return names
}

func with(names ...string) []string { return append(names, always...) }

// Validate checks a signal before it is raised; the error is an *Invalid. It tells the member, never its value.
func (s Signal) Validate() error {
	allowed, ok := carries[s.Type]
	if !ok {
		return &Invalid{"type", "cannot be signalled; these can: " + strings.Join(SignalTypes(), ", ")}
	}
	if IsOpt(s.Type) {
		return &Invalid{"type", "is told when a person's opt state with one party moves, and cannot be signalled"}
	}
	if s.renames() {
		if s.identifier().IsZero() {
			return &Invalid{"payload", `needs "kind" (email, phone, userName) and "old", an address or E.164 number`}
		}
		allowed = []string{"kind", "old"}
	}
	for name := range s.Payload {
		if !slices.Contains(allowed, name) {
			return &Invalid{"payload", "has a member that the event type does not define"}
		}
	}
	if err := events.Validate(s.Type, s.payload()); err != nil {
		return &Invalid{"payload", "does not fit the event type"}
	}
	if err := s.relations(); err != nil {
		return err
	}
	for name, part := range s.Members {
		if name == "user" || s.renames() || events.Complex(map[string]events.Subject{name: part}).IsZero() {
			return &Invalid{"subject", "has a member that cannot stand beside the user"}
		}
	}
	return nil
}

// relations are what the catalogue does not know: how members of payload and subject belong together.
func (s Signal) relations() error {
	switch s.Type {
	case events.AccountDisabled:
		if s.Payload["reason"] == nil {
			return &Invalid{"payload", "needs the reason; that the account is disabled is told from its state"}
		}
	case events.DeviceComplianceChange: // CAEP 1.0 section 3.5: it is about a device
		if s.Members["device"].IsZero() {
			return &Invalid{"members", "must name the device"}
		}
	case events.AssuranceLevelChange:
		given, _ := s.Payload["change_direction"].(string)
		if found := s.direction(); given != "" && found != "" && given != found {
			return &Invalid{"payload", "says a change_direction that is not that of its levels"}
		}
	}
	return nil
}

// direction is where an assurance went, as far as its levels say so themselves: those of NIST SP 800-63 and ISO/IEC 29115
// end in their number. It should be told where the previous level is (CAEP 1.0 section 3.4).
func (s Signal) direction() string {
	namespace, _ := s.Payload["namespace"].(string)
	if !strings.HasPrefix(namespace, "NIST-") && namespace != "ISO-IEC-29115" {
		return ""
	}
	before, _ := s.Payload["previous_level"].(string)
	now, _ := s.Payload["current_level"].(string)
	if len(before) == 0 || len(before) != len(now) || before[:len(before)-1] != now[:len(now)-1] {
		return ""
	}
	from, to := before[len(before)-1], now[len(now)-1]
	switch {
	case from < '0' || from > '9' || to < '0' || to > '9' || from == to:
		return ""
	case to > from:
		return "increase"
	}
	return "decrease"
}

// payload copies what may reach the event.
func (s Signal) payload() map[string]any {
	out := map[string]any{}
	for _, name := range carries[s.Type] {
		if value, ok := s.Payload[name]; ok {
			out[name] = value
		}
	}
	if way := s.direction(); s.Type == events.AssuranceLevelChange && way != "" && out["change_direction"] == nil {
		out["change_direction"] = way
	}
	return out
}

// renames reports whether the subject must be the identifier itself (RISC 1.0 sections 2.5 and 2.6).
func (s Signal) renames() bool {
	return s.Type == events.IdentifierChanged || s.Type == events.IdentifierRecycled
}

// Covers is the attribute that a grant must hold for its party to be told the signal: that of the identifier it names, ""
// for what concerns the account as a whole.
func (s Signal) Covers() string {
	if !s.renames() {
		return ""
	}
	switch s.Payload["kind"] {
	case "email":
		return "emails"
	case "phone":
		return "phoneNumbers"
	}
	return "userName"
}

// identifier is the subject of a signal that renames: the old value, which the receiver knows the person by (RI-05).
// A userName serves if it is an address; the zero Subject means that there is no such event.
func (s Signal) identifier() events.Subject {
	old, _ := s.Payload["old"].(string)
	switch s.Payload["kind"] {
	case "email", "userName":
		return events.Email(old)
	case "phone":
		return events.Phone(old)
	}
	return events.Subject{}
}

// subject is who the signal is about, given the entry's own subject.
func (s Signal) subject(user events.Subject) events.Subject {
	if s.renames() {
		return s.identifier()
	}
	if len(s.Members) == 0 || user.IsZero() {
		return user
	}
	members := maps.Clone(s.Members)
	members["user"] = user
	return events.Complex(members)
}
