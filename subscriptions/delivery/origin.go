package delivery

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// mayConnect decides whether a page of this origin may use a ticket. It keeps a ticket that leaked from serving in a
// page of somebody else. Registered origins are the only ones; with none, the hub's own pages and those of the visitor's
// own machine. Requests without the header do not come from a foreign page: browsers send it with every socket and every
// request across origins.
func mayConnect(origin string, registered []string, own string) bool {
	if origin == "" {
		return true
	}
	from := canonicalOrigin(origin)
	if from == "" {
		return false // "null" among them: a page without an origin is anybody's
	}
	if len(registered) > 0 {
		return slices.ContainsFunc(registered, func(o string) bool { return canonicalOrigin(o) == from })
	}
	return from == canonicalOrigin(own) || onLoopback(from)
}

// canonicalOrigin is scheme, host and port in one spelling (RFC 6454 section 4), "" for what is no web origin. A path
// is passed over: the hub's own URL may have one.
func canonicalOrigin(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil {
		return ""
	}
	port := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	if port == "" {
		return ""
	}
	if p := u.Port(); p != "" {
		port = p
	}
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

func onLoopback(origin string) bool {
	u, err := url.Parse(origin)
	if err != nil {
		return false
	}
	host := u.Hostname()
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
