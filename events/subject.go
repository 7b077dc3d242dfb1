package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// MaxSubject is the greatest size in bytes of a subject identifier.
const MaxSubject = 8 << 10

// Formats of subject identifiers: RFC 9493 §3.2, SSF 1.0 §3.3 and §3.5, and
// RFC 9967 §2.1.
const (
	FormatAccount     = "account"
	FormatEmail       = "email"
	FormatIssSub      = "iss_sub"
	FormatOpaque      = "opaque"
	FormatPhone       = "phone_number"
	FormatDID         = "did"
	FormatURI         = "uri"
	FormatAliases     = "aliases"
	FormatComplex     = "complex"
	FormatJWTID       = "jwt_id"
	FormatSAML        = "saml_assertion_id"
	FormatIPAddresses = "ip-addresses"
	FormatSCIM        = "scim"
)

// Subject is a subject identifier: who or what an event is about. The zero
// Subject identifies nothing. Subjects are comparable with == and serve as map
// keys.
//
// It is held as its canonical JSON text (format first, members sorted, aliases
// sorted and without repetition), so that equality of identifiers is equality of
// text whatever order the sender chose (SSF 1.0 §8.1.3.1).
type Subject struct {
	format, text string
}

// ErrSubject says that a subject identifier breaks the rules of its format
// (RFC 9493 §3) or is of no format known here.
var ErrSubject = errors.New("subject identifier is malformed")

// ParseSubject reads a subject identifier from JSON of at most [MaxSubject]
// bytes. Errors wrap [ErrSubject].
//
// The format "phone", found in examples of SSF 1.0 §8.1.3.3, is taken as
// phone_number.
func ParseSubject(data []byte) (Subject, error) {
	if len(data) > MaxSubject {
		return Subject{}, fmt.Errorf("%w: larger than %d bytes", ErrSubject, MaxSubject)
	}
	if err := wellFormed(data); err != nil {
		return Subject{}, fmt.Errorf("%w: %w", ErrSubject, err)
	}
	s, err := parseSubject(data, anyFormat)
	if err != nil {
		return Subject{}, fmt.Errorf("%w: %w", ErrSubject, err)
	}
	return s, nil
}

// IssSub returns the iss_sub identifier (RFC 9493 §3.2.3). Like its siblings
// below it returns the zero Subject if the values make no valid identifier.
func IssSub(iss, sub string) Subject {
	return simple(FormatIssSub, "iss", iss, "sub", sub)
}

// Email returns the email identifier (RFC 9493 §3.2.2), or the zero Subject if
// addr is not an address.
func Email(addr string) Subject { return simple(FormatEmail, "email", addr) }

// Phone returns the phone_number identifier (RFC 9493 §3.2.5), or the zero
// Subject if e164 is not an E.164 number with its leading plus sign.
func Phone(e164 string) Subject { return simple(FormatPhone, "phone_number", e164) }

// Opaque returns the opaque identifier (RFC 9493 §3.2.4); a stream's own subject
// is Opaque of its stream id (SSF 1.0 §8.1.4.1).
func Opaque(id string) Subject { return simple(FormatOpaque, "id", id) }

// SCIM returns the scim identifier (RFC 9967 §2.1); uri is relative to the SCIM
// base, such as /Users/2819c223. The externalID is left out if empty.
func SCIM(uri, externalID string) Subject {
	if externalID == "" {
		return simple(FormatSCIM, "uri", uri)
	}
	return simple(FormatSCIM, "externalId", externalID, "uri", uri)
}

// Complex returns the complex subject of the members (SSF 1.0 §3.3), or the zero
// Subject if there are none or one of them is zero or complex itself.
func Complex(members map[string]Subject) Subject {
	if len(members) == 0 {
		return Subject{}
	}
	fields := make(map[string]string, len(members))
	for name, part := range members {
		if name == "" || name == "format" || part.IsZero() || part.format == FormatComplex {
			return Subject{}
		}
		fields[name] = part.text
	}
	return canonical(FormatComplex, fields)
}

// simple makes a subject of string members, given as name, value, and so on, in
// the order of names. A page of changes makes hundreds.
func simple(format string, pairs ...string) Subject {
	members := make(map[string]string, len(pairs)/2)
	out := quote([]byte(`{"format":`), format)
	for i := 0; i < len(pairs); i += 2 {
		members[pairs[i]] = pairs[i+1]
		out = append(quote(append(out, ','), pairs[i]), ':')
		out = quote(out, pairs[i+1])
	}
	if checkMembers(format, members) != nil {
		return Subject{}
	}
	return sized(format, append(out, '}'))
}

// canonical makes the subject's one text from its members' JSON.
func canonical(format string, fields map[string]string) Subject {
	out := quote([]byte(`{"format":`), format)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		out = append(quote(append(out, ','), name), ':')
		out = append(out, fields[name]...)
	}
	return sized(format, append(out, '}'))
}

// sized makes what ParseSubject would refuse for its size the zero Subject.
func sized(format string, text []byte) Subject {
	if len(text) > MaxSubject {
		return Subject{}
	}
	return Subject{format: format, text: string(text)}
}

// IsZero reports whether s identifies nothing.
func (s Subject) IsZero() bool { return s.text == "" }

// Format is the name of the identifier's format, empty for the zero Subject.
func (s Subject) Format() string { return s.format }

// Member is the value of a member that is a string, such as "sub" of an iss_sub
// identifier, or empty.
func (s Subject) Member(name string) string {
	if name == "format" {
		return s.format
	}
	value, _ := text(s.members()[name])
	return value
}

// Part is the member of a complex subject by that name, such as "user".
func (s Subject) Part(name string) (Subject, bool) {
	part, ok := s.Parts()[name]
	return part, ok
}

// Parts are the members of a complex subject by name; nil for other formats.
func (s Subject) Parts() map[string]Subject {
	if s.format != FormatComplex {
		return nil
	}
	parts := map[string]Subject{}
	for name, raw := range s.members() {
		if name != "format" {
			parts[name] = trusted(raw)
		}
	}
	return parts
}

// Identifiers are the members of an aliases subject; for any other format, s
// itself.
func (s Subject) Identifiers() []Subject {
	if s.format != FormatAliases {
		return []Subject{s}
	}
	var raws []json.RawMessage
	// The text was made by canonical and is an array of objects there.
	_ = json.Unmarshal(s.members()["identifiers"], &raws)
	list := make([]Subject, len(raws))
	for i, raw := range raws {
		list[i] = trusted(raw)
	}
	return list
}

// members decodes the text, which canonical made.
func (s Subject) members() map[string]json.RawMessage {
	var members map[string]json.RawMessage
	if s.text != "" {
		_ = json.Unmarshal([]byte(s.text), &members)
	}
	return members
}

// trusted takes a part of a canonical text, which is canonical itself.
func trusted(raw json.RawMessage) Subject {
	var head struct {
		Format string `json:"format"`
	}
	_ = json.Unmarshal(raw, &head)
	return Subject{format: head.Format, text: string(raw)}
}

// String names the format only: a subject may be a person's address, and must
// not reach a log by way of %v.
func (s Subject) String() string {
	if s.IsZero() {
		return "no subject"
	}
	return s.format + " subject"
}

// GoString is String, for %#v.
func (s Subject) GoString() string { return s.String() }

// MarshalJSON writes the identifier's JSON object; a zero Subject is null.
func (s Subject) MarshalJSON() ([]byte, error) {
	if s.IsZero() {
		return []byte("null"), nil
	}
	return []byte(s.text), nil
}

// UnmarshalJSON is [ParseSubject], with null for the zero Subject.
func (s *Subject) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		*s = Subject{}
		return nil
	}
	parsed, err := ParseSubject(data)
	if err != nil {
		return err
	}
	*s = parsed
	return nil
}

// Equal reports whether both are the same identifier; the same as ==.
func (s Subject) Equal(other Subject) bool { return s == other }

// Matches reports whether an event about one subject is for a stream that asked
// for the other (SSF 1.0 §8.1.3.1); it is symmetric. Simple subjects match when
// identical. Complex ones match when no member that both have differs. Where the
// text is silent: aliases match what any of them matches, a simple subject never
// matches a complex one, and the zero Subject matches nothing.
func (s Subject) Matches(other Subject) bool {
	if s.IsZero() || other.IsZero() {
		return false
	}
	if s.format != FormatComplex || other.format != FormatComplex {
		return matchSimple(s, other)
	}
	theirs := other.Parts()
	for name, part := range s.Parts() {
		if counterpart, shared := theirs[name]; shared && !matchSimple(part, counterpart) {
			return false
		}
	}
	return true
}

func matchSimple(a, b Subject) bool {
	if a == b {
		return true
	}
	if a.format != FormatAliases && b.format != FormatAliases {
		return false
	}
	theirs := b.Identifiers()
	return slices.ContainsFunc(a.Identifiers(), func(id Subject) bool { return slices.Contains(theirs, id) })
}

// Addable reports whether a stream may be asked to add the subject. A complex
// subject without any member that SSF 1.0 §3.3 names would match every complex
// subject, as two without a common member do.
func (s Subject) Addable() bool {
	if s.format != FormatComplex {
		return !s.IsZero()
	}
	parts := s.Parts()
	return slices.ContainsFunc(strings.Fields("user device session application tenant org_unit group"),
		func(name string) bool { _, named := parts[name]; return named })
}
