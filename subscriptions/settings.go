package subscriptions

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"tidings/events"
)

// Bounds of what a receiver may make us keep.
const (
	maxDescription = 1000 // runes; the rest is cut (SC-11)
	maxEndpoint    = 2048 // bytes
	maxHeader      = 4096 // bytes
	maxRequested   = 64
	longestDigest  = 86400 // seconds
	maxType        = 512   // bytes of a requested type that is kept; no type of ours is longer
)

// Invalid says which member of what a receiver asked for cannot be, and why: fit for the detail of a 400 answer. It
// never quotes the member's value, which may be a secret.
type Invalid struct {
	Member string // as in the JSON body: "delivery.endpoint_url"
	Reason string
}

func (e *Invalid) Error() string { return e.Member + " " + e.Reason }

// Validate checks what a receiver asked for and returns it in the form to keep: no method means poll (SSF 1.0 section
// 8.1.1.1), a long description is cut. allowInsecure permits push to http and to this machine, for trials; allowed are
// addresses besides the public internet that may be pushed to. The error is an *Invalid.
//
// The endpoint_url of poll and websocket is the transmitter's. A caller that gets its own URL back in an update takes
// it out before (SSF 1.0 section 8.1.1.3); any other is refused here.
func (s Settings) Validate(allowInsecure bool, allowed ...netip.Prefix) (Settings, error) {
	if s.Requested != nil {
		// What is not understood is ignored (SC-05), so what is too long to be known is not kept, and of a long list only
		// what is offered; the list stays a list.
		long := len(s.Requested) > maxRequested
		s.Requested = slices.DeleteFunc(slices.Clone(s.Requested), func(t events.Type) bool {
			return t == "" || len(t) > maxType || long && !slices.Contains(Offer{Values: true}.Supported(), t)
		})
		if long {
			slices.Sort(s.Requested)
			s.Requested = slices.Compact(s.Requested)
		}
	}
	if s.DigestInterval < 0 || s.DigestInterval > longestDigest {
		return Settings{}, &Invalid{"digest_interval", fmt.Sprintf("is not from 1 to %d seconds", longestDigest)}
	}
	if s.Algorithm != "" && !slices.Contains(Algorithms(), s.Algorithm) {
		return Settings{}, &Invalid{"set_signing_alg", "is not among set_signing_alg_values_supported"}
	}
	if runes := []rune(s.Description); len(runes) > maxDescription {
		s.Description = string(runes[:maxDescription])
	}
	if s.Delivery == (Delivery{}) {
		s.Delivery.Method = events.MethodPoll
	}
	return s, s.Delivery.validate(allowInsecure, allowed)
}

func (d Delivery) validate(allowInsecure bool, allowed []netip.Prefix) error {
	if !slices.Contains(MethodsSupported(), d.Method) {
		return &Invalid{"delivery.method", "is not among delivery_methods_supported"}
	}
	if d.Method == events.MethodPush {
		if reason := refuseEndpoint(d.EndpointURL, allowInsecure, allowed); reason != "" {
			return &Invalid{"delivery.endpoint_url", reason}
		}
		if reason := refuseHeader(d.AuthorizationHeader); reason != "" {
			return &Invalid{"delivery.authorization_header", reason}
		}
		return nil
	}
	if d.EndpointURL != "" {
		return &Invalid{"delivery.endpoint_url", "is made by the transmitter for this method"}
	}
	if d.AuthorizationHeader != "" {
		return &Invalid{"delivery.authorization_header", "is for push only"}
	}
	return nil
}

// refuseEndpoint says what is wrong with a push endpoint, "" if nothing. Names are looked up only when a push connects,
// and the address is judged there again (CR-10); an address written out is refused at once, so that the receiver learns
// it now.
func refuseEndpoint(text string, allowInsecure bool, allowed []netip.Prefix) string {
	if text == "" {
		return "is missing"
	}
	if len(text) > maxEndpoint {
		return fmt.Sprintf("is longer than %d bytes", maxEndpoint)
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Opaque != "" {
		return "is no absolute URL"
	}
	if u.Scheme != "https" && !(allowInsecure && u.Scheme == "http") {
		return "is no https URL"
	}
	if u.User != nil {
		return "has user information" // it would end in logs; authorization_header is the place
	}
	if strings.Contains(text, "#") {
		return "has a fragment"
	}
	if allowInsecure {
		allowed = slices.Concat(allowed, Loopback)
	}
	if InsideHost(u.Hostname(), allowed) {
		return "names a host that is not on the public internet"
	}
	return ""
}

// Loopback is where receivers may be, besides those of the public internet, on a hub that is tried out.
var Loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// InsideHost tells hosts that are evidently not on the public internet, nor among the allowed.
func InsideHost(host string, allowed []netip.Prefix) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return !slices.ContainsFunc(allowed, func(p netip.Prefix) bool { return p.Addr().IsLoopback() })
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		// No name ends in a number: "127.1" and "0x7f000001" are what some take for addresses.
		last := host[strings.LastIndexByte(host, '.')+1:]
		return last == "" || last[0] >= '0' && last[0] <= '9'
	}
	addr = addr.Unmap()
	if slices.ContainsFunc(allowed, func(p netip.Prefix) bool { return p.Contains(addr) }) {
		return false
	}
	return !addr.IsGlobalUnicast() || addr.IsPrivate()
}

// refuseHeader says what is wrong with the value of an Authorization header, "" if nothing. It has to be sent verbatim
// (DE-02): a line break would start another header, and spaces at the ends do not survive HTTP.
func refuseHeader(value string) string {
	switch {
	case len(value) > maxHeader:
		return fmt.Sprintf("is longer than %d bytes", maxHeader)
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }):
		return "has characters that are not visible ASCII"
	case strings.TrimSpace(value) != value:
		return "begins or ends with a space"
	}
	return ""
}
