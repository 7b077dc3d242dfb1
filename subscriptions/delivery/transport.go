package delivery

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode"

	"code.dny.dev/ssrf"

	"tidings/subscriptions"
)

const (
	connectTime = 5 * time.Second
	// idleConns keeps a stream's whole window connected between two bursts.
	idleConns       = 64
	maxAnswerHeader = 64 << 10
)

// Outward says which receivers may be reached besides those on the public internet, and how.
type Outward struct {
	// Insecure permits http, and loopback addresses: for trials.
	Insecure bool
	// Allowed are further addresses, for https.
	Allowed []netip.Prefix
	// Proxy, if not nil, connects to receivers in our place (http, https or socks5). Names are then looked up by it and it has
	// to refuse what they must not stand for; we still refuse URLs that name an address themselves.
	Proxy *url.URL
}

// newTransport makes the one pool of connections to receivers. A receiver chose the address, so it is judged once more
// when connecting, after the name was looked up: a check of the name alone could be answered otherwise a moment later
// (TestAnswerChangesBetweenCheckAndDial). HTTP/1.1 keeps each request on a connection of its own: a receiver cannot stall
// its other requests by one. The environment's proxy is not used, it would connect where this check cannot see (PU-09); one
// that the operator configured is.
func newTransport(out Outward, resolver *net.Resolver) *http.Transport {
	dialer := &net.Dialer{Timeout: connectTime, KeepAlive: 30 * time.Second, Resolver: resolver}
	t := &http.Transport{
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12}, // PU-07
		TLSHandshakeTimeout:    connectTime,
		MaxIdleConns:           1024,
		MaxIdleConnsPerHost:    idleConns,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: maxAnswerHeader,
		DisableCompression:     true, // a compressed answer could unpack to more than was read
	}
	if out.Proxy != nil {
		t.Proxy = http.ProxyURL(out.Proxy)
	} else {
		dialer.Control = out.guardian().Safe
	}
	return t
}

func (o Outward) allowed() []netip.Prefix {
	if o.Insecure {
		return slices.Concat(o.Allowed, subscriptions.Loopback)
	}
	return o.Allowed
}

// guardian refuses what is not the public internet: IANA's special-purpose ranges of IPv4, and of IPv6 all but global
// unicast, with what embeds IPv4 there (6to4, Teredo); NAT64, mapped addresses and the metadata services of clouds lie
// in refused ranges, save the one that is added. Receivers choose their port.
func (o Outward) guardian() *ssrf.Guardian {
	var four, six []netip.Prefix
	for _, p := range o.allowed() {
		if p.Addr().Is4() {
			four = append(four, p)
		} else {
			six = append(six, p)
		}
	}
	return ssrf.New(ssrf.WithAnyPort(), ssrf.WithDeniedV4Prefixes(netip.MustParsePrefix("168.63.129.16/32")),
		ssrf.WithAllowedV4Prefixes(four...), ssrf.WithAllowedV6Prefixes(six...))
}

// admits judges a URL before it is asked for: it must be https, and behind a proxy, which connects where we cannot see, it
// must not name an address of the inside itself. The transport writes the digits and dots of other scripts as ours before
// it asks the proxy; a name in another script has its form in ASCII (xn--…), and has to be given in it.
func (o Outward) admits(u *url.URL) error {
	host := strings.TrimSuffix(u.Hostname(), ".")
	switch {
	case u.Scheme != "https" && !o.Insecure:
		return errNoTLS
	case o.Proxy == nil:
		return nil // judged when connecting
	case strings.ContainsFunc(host, func(r rune) bool { return r > unicode.MaxASCII }), subscriptions.InsideHost(u.Hostname(), o.allowed()):
		return errInside
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return o.guardian().SafeAddr(addr.Unmap())
	}
	return nil
}

// failure says in a word why there was no answer. The error itself is not kept: it holds addresses and whatever the
// other side wrote.
func failure(err error) string {
	var (
		name        *net.DNSError
		record      tls.RecordHeaderError
		alert       tls.AlertError
		certificate *tls.CertificateVerificationError
		authority   x509.UnknownAuthorityError
		timeout     net.Error
	)
	switch {
	case errors.Is(err, ssrf.ErrProhibitedIP), errors.Is(err, ssrf.ErrProhibitedNetwork), errors.Is(err, errNoTLS), errors.Is(err, errInside):
		return "blocked"
	case errors.As(err, &name):
		return "dns"
	case errors.As(err, &record), errors.As(err, &alert), errors.As(err, &certificate), errors.As(err, &authority),
		errors.Is(err, http.ErrSchemeMismatch):
		return "tls"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	}
	return "connection"
}
