package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
)

// ErrPayload says that a payload breaks the definition of its event type, or
// that the type is not in the catalogue.
var ErrPayload = errors.New("event payload is malformed")

// Validate holds a payload against the definition of its event type. Members
// that the definition does not name are allowed (SSF 1.0 §4.2.3). Errors wrap
// [ErrPayload] and tell the member, never its value.
func Validate(t Type, payload map[string]any) error {
	definition, ok := Lookup(t)
	if !ok {
		return fmt.Errorf("%w: type is unknown", ErrPayload)
	}
	for _, name := range definition.Required {
		if _, ok := payload[name]; !ok {
			return fmt.Errorf("%w: %s is missing", ErrPayload, name)
		}
	}
	for name, value := range payload {
		check, ok := checks[t][name]
		if !ok {
			check, ok = familyChecks[definition.Family][name]
		}
		if ok && !check(value) {
			return fmt.Errorf("%w: %s is not allowed so", ErrPayload, name)
		}
	}
	return relations(t, payload)
}

// A check tells whether a member's value is allowed. Values are either Go's own
// or as decoded from JSON, numbers also as json.Number.
type check func(value any) bool

// familyChecks apply to a member of any type of the family that has no check of
// its own in checks.
var familyChecks = map[Family]map[string]check{
	FamilySCIM: {
		"subject":    never, // RFC 9967 §2.1: in sub_id only
		"sub_id":     never,
		"version":    isText,
		"data":       never, // only in :full (RFC 9967 §2.4)
		"attributes": never, // only in :notice
	},
	FamilyCAEP:    withReasons(map[string]check{"fp_ua": isText, "ext_id": isText}),
	FamilyRISC:    {"subject_type": never}, // RISC 1.0 §3.1
	FamilySSF:     {"subject": never},      // SSF 1.0 §3.1.2
	FamilyTidings: {"subject": never, "attributes": isTexts, "version": isText},
}

var checks = map[Type]map[string]check{
	ProvCreateNotice: {"attributes": someTexts},
	ProvPatchNotice:  {"attributes": someTexts},
	ProvPutNotice:    {"attributes": someTexts},
	ProvCreateFull:   {"data": isObject},
	ProvPatchFull:    {"data": isObject},
	ProvPutFull:      {"data": isObject},

	TokenClaimsChange: {"claims": isObject},
	CredentialChange: {
		"credential_type": isText, // the list is open (CAEP 1.0 §3.3)
		"change_type":     oneOf("create", "revoke", "update", "delete"),
		"friendly_name":   isText, "x509_issuer": isText, "x509_serial": isText, "fido2_aaguid": isText,
	},
	AssuranceLevelChange: {
		"namespace": isText, "current_level": isText, "previous_level": isText,
		"change_direction": oneOf("increase", "decrease"),
	},
	DeviceComplianceChange: {"previous_status": compliance, "current_status": compliance},
	SessionEstablished:     {"acr": isText, "amr": isTexts},
	RiskLevelChange:        {"principal": isText, "current_level": riskLevel, "previous_level": riskLevel, "risk_reason": isText},

	AccountDisabled:      {"reason": oneOf("hijacking", "bulk-account")},
	IdentifierChanged:    {"new-value": isText},
	CredentialCompromise: withReasons(map[string]check{"credential_type": isText}),

	Digest:        {"cursor": isText},
	Verification:  {"state": isString},
	StreamUpdated: {"status": oneOf("enabled", "paused", "disabled"), "reason": isString},
}

var (
	compliance = oneOf("compliant", "not-compliant")
	riskLevel  = oneOf("LOW", "MEDIUM", "HIGH")
	// language is the shape of a BCP 47 tag, which is all a receiver can rely on.
	language = regexp.MustCompile(`^[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*$`)
)

// withReasons adds the claims that every CAEP event may carry (CAEP 1.0 §2).
func withReasons(own map[string]check) map[string]check {
	own["event_timestamp"] = isNumber
	own["initiating_entity"] = oneOf("admin", "user", "policy", "system")
	own["reason_admin"] = isReason
	own["reason_user"] = isReason
	return own
}

// relations are the rules between members.
func relations(t Type, payload map[string]any) error {
	if t != CredentialChange {
		return nil
	}
	kind, _ := payload["credential_type"].(string)
	_, issuer := payload["x509_issuer"]
	_, serial := payload["x509_serial"]
	if (issuer || serial) && kind != "x509" {
		return fmt.Errorf("%w: x509 members are for x509 credentials", ErrPayload)
	}
	if _, aaguid := payload["fido2_aaguid"]; aaguid && kind != "fido2-platform" && kind != "fido2-roaming" {
		return fmt.Errorf("%w: fido2_aaguid is for FIDO2 credentials", ErrPayload)
	}
	return nil
}

func never(any) bool { return false }

func isString(value any) bool {
	_, ok := value.(string)
	return ok
}

func isText(value any) bool {
	s, ok := value.(string)
	return ok && s != ""
}

func oneOf(allowed ...string) check {
	return func(value any) bool {
		s, ok := value.(string)
		return ok && slices.Contains(allowed, s)
	}
}

func isTexts(value any) bool {
	switch list := value.(type) {
	case []string:
		return !slices.Contains(list, "")
	case []any:
		return !slices.ContainsFunc(list, func(item any) bool { return !isText(item) })
	}
	return false
}

func someTexts(value any) bool {
	switch list := value.(type) {
	case []string:
		return len(list) > 0 && isTexts(list)
	case []any:
		return len(list) > 0 && isTexts(list)
	}
	return false
}

func isNumber(value any) bool {
	switch n := value.(type) {
	case json.Number:
		_, err := n.Float64()
		return err == nil
	case int, int64, float64:
		return true
	}
	return false
}

// isObject tells an object with a member at least. What was marshalled already
// counts as one if it looks so; [Signer.Sign] marshals it again.
func isObject(value any) bool {
	switch object := value.(type) {
	case map[string]any:
		return len(object) > 0
	case json.RawMessage:
		var members map[string]json.RawMessage
		return json.Unmarshal(object, &members) == nil && len(members) > 0
	}
	return false
}

// isReason tells an object from language tags to text: a plain string is the
// commonest fault of CAEP transmitters (CAEP 1.0 §2).
func isReason(value any) bool {
	switch reasons := value.(type) {
	case map[string]string:
		for tag, reason := range reasons {
			if !language.MatchString(tag) || reason == "" {
				return false
			}
		}
		return len(reasons) > 0
	case map[string]any:
		for tag, reason := range reasons {
			if !language.MatchString(tag) || !isText(reason) {
				return false
			}
		}
		return len(reasons) > 0
	}
	return false
}
