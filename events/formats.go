package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// nesting says which formats may stand at a place.
type nesting int

const (
	anyFormat    nesting = iota
	notComplex           // a member of a complex subject (SSF 1.0 §3.3: simple subjects)
	onlySingular         // one of the aliases (RFC 9493 §3.2.8: no aliases in aliases)
)

// A rule is what a format demands of its string members.
type rule struct {
	required []string
	open     bool // further string members may follow (RFC 9967 §2.1)
	check    func(members map[string]string) bool
}

var rules = map[string]rule{
	FormatAccount: {required: []string{"uri"}, check: func(m map[string]string) bool { return isAccount(m["uri"]) }},
	FormatEmail:   {required: []string{"email"}, check: func(m map[string]string) bool { return isEmail(m["email"]) }},
	FormatIssSub:  {required: []string{"iss", "sub"}},
	FormatOpaque:  {required: []string{"id"}},
	FormatPhone:   {required: []string{"phone_number"}, check: func(m map[string]string) bool { return e164.MatchString(m["phone_number"]) }},
	FormatDID:     {required: []string{"url"}, check: func(m map[string]string) bool { return didURL.MatchString(m["url"]) }},
	FormatURI:     {required: []string{"uri"}, check: func(m map[string]string) bool { return isURI(m["uri"]) }},
	FormatJWTID:   {required: []string{"iss", "jti"}},
	FormatSAML:    {required: []string{"issuer", "assertion_id"}},
	FormatSCIM:    {required: []string{"uri"}, open: true, check: func(m map[string]string) bool { return isRelative(m["uri"]) }},
}

var (
	e164   = regexp.MustCompile(`^\+[1-9][0-9]{1,14}$`)
	didURL = regexp.MustCompile(`^did:[a-z0-9]+:[A-Za-z0-9._:%-]+([/?#][^\s]*)?$`)
)

// parseSubject reads one identifier from well-formed JSON. Names of members are
// the sender's and stay out of errors; names of rules are ours.
func parseSubject(data []byte, place nesting) (Subject, error) {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil || raw == nil {
		return Subject{}, errors.New("not a JSON object")
	}
	format, ok := text(raw["format"])
	if !ok {
		return Subject{}, errors.New("format is missing")
	}
	delete(raw, "format")
	if format == "phone" {
		format = FormatPhone
	}
	switch format {
	case FormatComplex:
		if place != anyFormat {
			return Subject{}, errors.New("complex inside another subject")
		}
		return parseComplex(raw)
	case FormatAliases:
		if place == onlySingular {
			return Subject{}, errors.New("aliases inside aliases")
		}
		return parseAliases(raw)
	case FormatIPAddresses:
		return parseIPAddresses(raw)
	}
	return parseSimple(format, raw)
}

func parseSimple(format string, raw map[string]json.RawMessage) (Subject, error) {
	if _, known := rules[format]; !known {
		return Subject{}, errors.New("format is unknown")
	}
	members := make(map[string]string, len(raw))
	fields := make(map[string]string, len(raw))
	for name, value := range raw {
		s, ok := text(value)
		if !ok {
			return Subject{}, fmt.Errorf("a member of %s is no string or is empty", format)
		}
		members[name] = s
		fields[name] = string(quote(nil, s))
	}
	if err := checkMembers(format, members); err != nil {
		return Subject{}, err
	}
	return bounded(canonical(format, fields))
}

// checkMembers holds the string members against the format's rule.
func checkMembers(format string, members map[string]string) error {
	rule := rules[format]
	for _, name := range rule.required {
		if members[name] == "" {
			return fmt.Errorf("%s lacks %s", format, name)
		}
	}
	if !rule.open && len(members) != len(rule.required) {
		return fmt.Errorf("%s has a member that the format does not describe", format)
	}
	for _, value := range members {
		if strings.ToValidUTF8(value, "") != value {
			return fmt.Errorf("a member of %s is not UTF-8", format)
		}
	}
	if rule.check != nil && !rule.check(members) {
		return fmt.Errorf("%s of %s has the wrong form", rule.required[0], format)
	}
	return nil
}

func parseComplex(raw map[string]json.RawMessage) (Subject, error) {
	parts := make(map[string]Subject, len(raw))
	for name, value := range raw {
		part, err := parseSubject(value, notComplex)
		if err != nil {
			return Subject{}, fmt.Errorf("member of complex: %w", err)
		}
		parts[name] = part
	}
	if _, unnamed := parts[""]; unnamed || len(parts) == 0 {
		return Subject{}, errors.New("complex needs a named member")
	}
	return bounded(Complex(parts))
}

func parseAliases(raw map[string]json.RawMessage) (Subject, error) {
	var items []json.RawMessage
	if err := json.Unmarshal(raw["identifiers"], &items); err != nil || len(items) == 0 || len(raw) != 1 {
		return Subject{}, errors.New("aliases needs identifiers, an array with one at least, and nothing else")
	}
	list := make([]string, len(items))
	for i, item := range items {
		one, err := parseSubject(item, onlySingular)
		if err != nil {
			return Subject{}, fmt.Errorf("one of aliases: %w", err)
		}
		list[i] = one.text
	}
	slices.Sort(list)
	list = slices.Compact(list)
	return bounded(canonical(FormatAliases, map[string]string{"identifiers": "[" + strings.Join(list, ",") + "]"}))
}

func parseIPAddresses(raw map[string]json.RawMessage) (Subject, error) {
	list, ok := texts(raw["ip-addresses"])
	if !ok || len(list) == 0 || len(raw) != 1 {
		return Subject{}, errors.New("ip-addresses needs ip-addresses, an array with one at least, and nothing else")
	}
	out := []byte{'['}
	for i, item := range list {
		if addr, err := netip.ParseAddr(item); err != nil || addr.Zone() != "" {
			return Subject{}, errors.New("ip-addresses has an entry that is no address")
		}
		if i > 0 {
			out = append(out, ',')
		}
		out = quote(out, item)
	}
	return bounded(canonical(FormatIPAddresses, map[string]string{"ip-addresses": string(append(out, ']'))}))
}

// bounded refuses what canonical could not hold: escapes may grow in rewriting.
func bounded(s Subject) (Subject, error) {
	if s.IsZero() {
		return Subject{}, fmt.Errorf("larger than %d bytes", MaxSubject)
	}
	return s, nil
}

// isAccount tells an acct: URI with its user and host (RFC 7565 §7).
func isAccount(s string) bool {
	rest, ok := strings.CutPrefix(s, "acct:")
	at := strings.LastIndexByte(rest, '@')
	return ok && at > 0 && at < len(rest)-1 && isURI(s)
}

// isEmail tells an addr-spec (RFC 5322 §3.4.1): no display name, brackets or
// comments, which a parser of whole address lines would accept.
func isEmail(s string) bool {
	if strings.ContainsAny(s, "\r\n\x00") {
		return false
	}
	addr, err := mail.ParseAddress(s)
	return err == nil && addr.Name == "" && addr.Address == s
}

// isURI tells an absolute URI (RFC 3986 §3).
func isURI(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme != "" && !strings.ContainsAny(s, " \t\"<>\\^`{|}") &&
		(u.Opaque != "" || u.Host != "" || u.Path != "")
}

// isRelative tells a path below the SCIM base such as /Users/2819c223; a host
// would let an event speak of another server's resource.
func isRelative(s string) bool {
	u, err := url.Parse(s)
	return err == nil && len(s) > 1 && s[0] == '/' && u.Scheme == "" && u.Host == "" && !strings.HasPrefix(s, "//")
}
