package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"tidings/hub"
	"tidings/hub/source/scim"
	"tidings/subscriptions/delivery"
	"tidings/web"
	"tidings/web/api"
	"tidings/web/live"
	"tidings/web/oauth"
	"tidings/web/ssf"
)

type serveCommand struct {
	Listen  string   `help:"Address to listen on." default:"127.0.0.1:8420" placeholder:"HOST:PORT"`
	Issuer  string   `help:"Public URL of the hub: iss of every token. Default, on loopback only: http://LISTEN." placeholder:"URL"`
	TLSCert string   `help:"Certificate chain (PEM); reloaded when it changes." type:"path" placeholder:"FILE"`
	TLSKey  string   `help:"Private key of the certificate (PEM)." type:"path" placeholder:"FILE"`
	Proxy   []string `name:"behind-proxy" help:"Serve plain HTTP to a TLS-terminating proxy in this network, and to nobody else; repeatable." placeholder:"CIDR"`

	keySetAge
	PartyRate int `help:"Requests a second that one credential of a party may make over time; five seconds' worth may come at once. More get 429 with Retry-After." default:"200" placeholder:"N"`

	AllowInsecureReceivers bool     `help:"Permit http, and receivers on loopback. For trying things out: refused unless the issuer is on loopback."`
	AllowReceivers         []string `help:"Permit https receivers on this network, which is not the public internet; repeatable." placeholder:"CIDR"`
	ReceiverProxy          string   `help:"Push through this proxy (http, https or socks5). It looks names up and must refuse those of inner addresses itself." placeholder:"URL"`
}

func (c *serveCommand) Run(rt *runtime) error {
	proxies, err := c.check()
	if err != nil {
		return err
	}
	// Listening comes first: a port in use is noticed before anything is made.
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	if c.Issuer == "" {
		c.Issuer = "http://" + listener.Addr().String()
	}
	if listener, err = c.secure(listener, rt.log); err != nil {
		return err
	}
	outward, err := c.outward()
	if err != nil {
		return err
	}
	h, done, err := rt.openHub(writing, hub.Config{Issuer: c.Issuer, AllowInsecureReceivers: c.AllowInsecureReceivers,
		AllowReceivers: outward.Allowed, KeySetAge: time.Duration(c.KeySetAge)})
	if err != nil {
		return err
	}
	defer done()
	limits := web.DefaultLimits()
	limits.Party = web.Limit{Rate: float64(c.PartyRate), Burst: 5 * c.PartyRate}
	serving, err := newServing(h, outward, web.Config{Log: rt.log, Limits: limits, Proxies: proxies})
	if err != nil {
		return err
	}
	rt.log.Info("serving", "listen", listener.Addr().String(), "issuer", c.Issuer)
	return serving.run(rt.ctx, listener, onlyFrom(proxies, serving.handler))
}

// check refuses what would serve people's data in the clear or let strangers aim the hub at internal addresses.
func (c *serveCommand) check() (proxies []netip.Prefix, err error) {
	for _, text := range c.Proxy {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, misused("--behind-proxy: a network looks like 10.0.0.0/8")
		}
		proxies = append(proxies, p)
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return nil, misused("--listen: an address looks like 127.0.0.1:8420")
	}
	switch {
	case c.PartyRate < 1:
		return nil, misused("--party-rate: at least 1 request a second")
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return nil, misused("--tls-cert and --tls-key go together")
	case c.TLSCert != "" && len(proxies) > 0:
		return nil, misused("either --tls-cert or --behind-proxy: a proxy that ends TLS is told plain HTTP")
	case c.TLSCert == "" && len(proxies) == 0 && !loopback(host):
		return nil, misused("listening on %s without TLS: give --tls-cert and --tls-key, or --behind-proxy, or listen on loopback", c.Listen)
	case c.Issuer == "" && (c.TLSCert != "" || len(proxies) > 0 || !loopback(host)):
		return nil, misused("--issuer is needed: the public URL of the hub")
	}
	if c.Issuer == "" {
		return proxies, nil
	}
	u, err := url.Parse(c.Issuer)
	switch {
	case err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || strings.Contains(c.Issuer, "#") || strings.Contains(c.Issuer, "?"):
		return nil, misused("--issuer: a URL such as https://tidings.example.com, without query and fragment")
	case u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())):
		return nil, misused("--issuer: https, except on loopback")
	case c.AllowInsecureReceivers && !loopback(u.Hostname()):
		return nil, misused("--allow-insecure-receivers is for an issuer on loopback")
	}
	return proxies, nil
}

// outward says where pushes may go, and how.
func (c *serveCommand) outward() (out delivery.Outward, err error) {
	out.Insecure = c.AllowInsecureReceivers
	for _, text := range c.AllowReceivers {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return out, misused("--allow-receivers: a network looks like 10.0.0.0/8")
		}
		out.Allowed = append(out.Allowed, p.Masked())
	}
	if c.ReceiverProxy != "" {
		// Its text is not quoted: it may hold a password.
		if out.Proxy, err = url.Parse(c.ReceiverProxy); err != nil || out.Proxy.Host == "" ||
			!slices.Contains([]string{"http", "https", "socks5"}, out.Proxy.Scheme) {
			return out, misused("--receiver-proxy: a URL such as http://proxy.example.com:3128; http, https or socks5")
		}
	}
	return out, nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// secure puts TLS over the listener where a certificate was given.
func (c *serveCommand) secure(l net.Listener, log *slog.Logger) (net.Listener, error) {
	if c.TLSCert == "" {
		return l, nil
	}
	certificate := &certificate{certFile: c.TLSCert, keyFile: c.TLSKey, log: log}
	if _, err := certificate.get(nil); err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	return tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: certificate.get}), nil
}

// certificate is reloaded when its file changes, so that a renewal needs no restart. One that cannot be read leaves the
// old one in use.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	loaded  *tls.Certificate
	changed [2]time.Time // of the files as last read
	failed  time.Time    // when they could not be used; zero when they could
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var changed [2]time.Time
	for i, name := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(name); err == nil {
			changed[i] = info.ModTime()
		}
	}
	// Files that did not do are looked at again after a second, not for each stranger who connects.
	if c.loaded != nil && changed == c.changed && (c.failed.IsZero() || time.Since(c.failed) < time.Second) {
		return c.loaded, nil
	}
	c.changed, c.failed = changed, time.Time{}
	fresh, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	switch {
	case err == nil:
		c.loaded = &fresh
	case c.loaded == nil:
		return nil, err
	default:
		c.failed = time.Now()
		c.log.Warn("certificate cannot be reloaded; the old one stays in use", "error", err)
	}
	return c.loaded, nil
}

// onlyFrom admits only proxies, where there are any: what they were told to end TLS for must not be reached around them.
func onlyFrom(proxies []netip.Prefix, next http.Handler) http.Handler {
	if len(proxies) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, err := netip.ParseAddrPort(r.RemoteAddr)
		for _, p := range proxies {
			if err == nil && p.Contains(peer.Addr().Unmap()) {
				next.ServeHTTP(w, r)
				return
			}
		}
		http.Error(w, "this address is served through a proxy only", http.StatusForbidden)
	})
}

// visitors bounds the calls of /live from one client address. All visitors of a large network may have one, and come
// together when a node stops; a call with a ticket that is none costs one look.
var visitors = web.Limit{Rate: 500, Burst: 10000}

// serving is a hub with all its faces.
type serving struct {
	h       *hub.Hub
	push    *delivery.Pusher
	sockets *delivery.Websocket
	live    *delivery.Live
	handler http.Handler
	log     *slog.Logger
}

// newServing joins the faces; the configuration is completed with what the hub decides.
func newServing(h *hub.Hub, out delivery.Outward, conf web.Config) (*serving, error) {
	log := conf.Log
	streams, err := ssf.Routes(h)
	if err != nil {
		return nil, err
	}
	tokens, err := oauth.Routes(h)
	if err != nil {
		return nil, err
	}
	// A receiver's frame counts as a request; a page that polls asks twice a minute, and there are many.
	party := conf.Limits.Party
	frames, polls := web.NewLimiter(party), web.NewLimiter(web.Limit{Rate: 2 * party.Rate, Burst: 2 * party.Burst})
	s := &serving{h: h, push: delivery.NewPusher(h, out, log), sockets: delivery.NewWebsocket(h, frames, log), live: delivery.NewLive(h, polls, log), log: log}
	outward := []web.Route{
		{Method: http.MethodPost, Pattern: "/ssf/poll/{stream_id}", Handler: web.For(delivery.NewPoll(h, log), hub.SSFManage)},
		{Method: http.MethodGet, Pattern: "/ssf/socket/{stream_id}", Handler: web.For(s.sockets, hub.SSFManage)},
		{Method: http.MethodGet, Pattern: "/live", Handler: web.NewLimiter(visitors).PerAddress(s.live), Open: true},
		{Pattern: "/scim/v2/*", Handler: scim.New(h, log)},
	}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	metrics.MustRegister(s.push.Collectors()...)
	metrics.MustRegister(streamMetrics{h}, givenUp{h})
	conf.Issuer, conf.Metrics, conf.Auth = h.Issuer(), metrics, h
	conf.Ready = func(ctx context.Context) error { _, err := h.Head(ctx); return err }
	s.handler, err = web.New(conf, streams, tokens, api.Routes(h), live.Routes(), outward)
	return s, err
}

// stopTime is how long requests under way may take to end when the program stops. A write is answered with what became of
// it, whoever waits for something to come is answered that nothing did (TestStopping).
const stopTime = 5 * time.Second

// run serves until ctx ends. Long polls and sockets end with it; what was being delivered stays owed and is sent again.
func (s *serving) run(ctx context.Context, l net.Listener, handler http.Handler) error {
	g, ctx := errgroup.WithContext(ctx)
	server := web.NewServer(handler, s.log)
	requests, cut := context.WithCancel(context.WithoutCancel(ctx))
	server.BaseContext = func(net.Listener) context.Context { return requests }
	g.Go(func() error { return s.h.Run(ctx) })
	g.Go(func() error { return s.push.Run(ctx) })
	g.Go(func() error { return s.sockets.Run(ctx) })
	g.Go(func() error { return s.live.Run(ctx) })
	g.Go(func() error {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		defer cut()
		stop, cancel := context.WithTimeout(requests, stopTime)
		defer cancel()
		if server.Shutdown(stop) != nil {
			return server.Close()
		}
		return nil
	})
	return g.Wait()
}
