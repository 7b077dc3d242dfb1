package file

import (
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"tidings/hub/schema"
)

// maxDN bounds a normalised DN in bytes. It becomes a key in the store, and PostgreSQL refuses index rows of more than
// a third of a page: one such record must not fail its whole batch.
const maxDN = 1024

// ErrDN: the text is no distinguished name, or longer than 1,024 bytes when normalised. It quotes nothing, as a DN holds
// names of people.
var ErrDN = errors.New("not a distinguished name")

// NormalizeDN brings a distinguished name (RFC 4514) to the one form in which it is compared: no blanks around separators,
// attribute types in lower case by their short name, values folded and with single inner blanks, the parts of
// a multi-valued RDN in order, escapes only where they are needed. Normalising twice is normalising once. "" stays "".
func NormalizeDN(text string) (string, error) {
	dn, err := parseDN(text)
	if err != nil {
		return "", err
	}
	return dn.normal()
}

// dn is a parsed name, the object's own RDN first; each RDN has at least one part.
type dn [][]part

type part struct {
	kind  string // normalised attribute type
	value string // any bytes, without blanks around
	ber   bool   // value is BER in a form nobody can read here
}

// kinds are the other names of the attribute types of RFC 4514 section 3, by name (RFC 4519) and OID.
var kinds = map[string]string{
	"2.5.4.3": "cn", "commonname": "cn",
	"2.5.4.7": "l", "localityname": "l",
	"2.5.4.8": "st", "stateorprovincename": "st",
	"2.5.4.10": "o", "organizationname": "o",
	"2.5.4.11": "ou", "organizationalunitname": "ou",
	"2.5.4.6": "c", "countryname": "c",
	"2.5.4.9": "street", "streetaddress": "street",
	"0.9.2342.19200300.100.1.25": "dc", "domaincomponent": "dc",
	"0.9.2342.19200300.100.1.1": "uid", "userid": "uid",
}

func parseDN(text string) (dn, error) {
	if len(text) > 4*maxDN || !utf8.ValidString(text) {
		return nil, ErrDN
	}
	p := dnParser{strings.Trim(text, " ")}
	if p.rest == "" {
		return nil, nil
	}
	name := dn{nil}
	for {
		a, err := p.part()
		if err != nil {
			return nil, err
		}
		name[len(name)-1] = append(name[len(name)-1], a)
		if p.rest == "" {
			return name, nil
		}
		if p.rest[0] == ',' {
			name = append(name, nil)
		}
		p.rest = p.rest[1:] // part stops only at , and +
	}
}

type dnParser struct{ rest string }

// part reads one type=value.
func (p *dnParser) part() (part, error) {
	kind, rest, found := strings.Cut(p.rest, "=")
	kind = strings.ToLower(strings.Trim(kind, " "))
	kind = strings.TrimPrefix(kind, "oid.")
	if !found || !isType(kind) {
		return part{}, ErrDN
	}
	if short, ok := kinds[kind]; ok {
		kind = short
	}
	p.rest = strings.TrimLeft(rest, " ")
	if strings.HasPrefix(p.rest, "#") {
		value, ber, err := p.hexValue()
		return part{kind, value, ber}, err
	}
	value, err := p.textValue()
	return part{kind, value, false}, err
}

func isType(s string) bool {
	if s == "" || strings.IndexByte("-_.", s[0]) >= 0 {
		return false
	}
	oid := s[0] <= '9'
	for i := range len(s) {
		digit := '0' <= s[i] && s[i] <= '9'
		if oid && !digit && s[i] != '.' || !isAlnum(s[i]) && s[i] != '.' && s[i] != '-' && s[i] != '_' || !oid && s[i] == '.' {
			return false
		}
	}
	return true
}

// hexValue reads a value in the form #hex: the BER of the value (RFC 4514 section 2.4).
func (p *dnParser) hexValue() (value string, ber bool, err error) {
	end := strings.IndexAny(p.rest, ",+")
	if end < 0 {
		end = len(p.rest)
	}
	raw, err := hex.DecodeString(strings.TrimRight(p.rest[1:end], " "))
	if err != nil || len(raw) == 0 {
		return "", false, ErrDN
	}
	p.rest = p.rest[end:]
	var v asn1.RawValue
	if after, err := asn1.Unmarshal(raw, &v); err == nil && len(after) == 0 && v.Class == asn1.ClassUniversal && !v.IsCompound {
		switch v.Tag {
		case asn1.TagOctetString, asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagIA5String:
			return strings.Trim(string(v.Bytes), " "), false, nil
		}
	}
	return string(raw), true, nil
}

// textValue reads a value with escapes (RFC 4514 section 3). Its ; and " must be escaped: older forms of DNs gave them
// another meaning. < and > are taken as they are, which nobody misreads.
func (p *dnParser) textValue() (string, error) {
	var b strings.Builder
	for i := 0; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == ',' || c == '+':
			p.rest = p.rest[i:]
			return strings.Trim(b.String(), " "), nil
		case c == ';' || c == '"' || c == 0:
			return "", ErrDN
		case c != '\\':
			b.WriteByte(c)
		case i+1 < len(p.rest) && strings.IndexByte(`"+,;<>\ #=`, p.rest[i+1]) >= 0:
			i++
			b.WriteByte(p.rest[i])
		case i+2 < len(p.rest):
			pair, err := hex.DecodeString(p.rest[i+1 : i+3])
			if err != nil {
				return "", ErrDN
			}
			b.WriteByte(pair[0])
			i += 2
		default:
			return "", ErrDN
		}
	}
	p.rest = ""
	return strings.Trim(b.String(), " "), nil
}

func (d dn) normal() (string, error) {
	rdns := make([]string, len(d))
	for i, rdn := range d {
		parts := make([]string, len(rdn))
		for j, p := range rdn {
			parts[j] = p.kind + "=" + p.normal()
		}
		slices.Sort(parts)
		rdns[i] = strings.Join(parts, "+")
	}
	text := strings.Join(rdns, ",")
	if len(text) > maxDN {
		return "", ErrDN
	}
	return text, nil
}

func (p part) normal() string {
	switch {
	case p.ber:
		return "#" + hex.EncodeToString([]byte(p.value))
	case !utf8.ValidString(p.value):
		raw, err := asn1.Marshal([]byte(p.value))
		if err != nil {
			panic("file: an octet string that is not BER: " + err.Error())
		}
		return "#" + hex.EncodeToString(raw)
	}
	var b strings.Builder
	text := fold(p.value)
	for i := range len(text) {
		switch c := text[i]; {
		case c < ' ' || c == 0x7f:
			b.WriteString(`\` + hex.EncodeToString([]byte{c}))
		case strings.IndexByte(`"+,;<>\=`, c) >= 0 || c == '#' && i == 0:
			b.WriteString(`\` + string(c))
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// fold makes texts equal that LDAP's caseIgnoreMatch takes for equal, as far as directories differ in practice: case,
// composition, and how many blanks stand in a row (RFC 4518 section 2.6.1).
func fold(s string) string {
	return strings.Join(strings.FieldsFunc(schema.Fold(s), func(r rune) bool { return r == ' ' }), " ")
}
