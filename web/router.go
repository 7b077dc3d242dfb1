package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tidings/events"
	"tidings/hub"
)

// Config is what the program decides for the frame.
type Config struct {
	// Issuer is the public URL of the hub. Its path, if it has one, is served beside the root, so that it does not matter
	// whether a proxy in front takes it away.
	Issuer string
	Log    *slog.Logger
	// Metrics are shown at /metrics; the frame adds its own.
	Metrics *prometheus.Registry
	// Ready is asked at /readyz whether the hub can serve; an error says that it cannot.
	Ready func(context.Context) error
	Auth  Authenticator
	// Limits bound how often callers come; the zero value is none.
	Limits Limits
	// Proxies are those whose forwarding headers are believed.
	Proxies []netip.Prefix
}

// Route is one endpoint. Pattern is the path with {names} that the handler finds by http.Request.PathValue; a trailing
// /* matches what is below. An empty Method is any.
type Route struct {
	Method, Pattern string
	Handler         http.Handler
	// Open: no bearer token is looked for here, and strangers are not counted. Whoever has to be known is known in another
	// way, which the face bounds itself, or the answer costs nothing.
	Open bool
}

// New makes the handler of the whole hub from the routes of its faces.
func New(c Config, faces ...[]Route) (http.Handler, error) {
	issuer, err := url.Parse(c.Issuer)
	if err != nil || issuer.Host == "" {
		return nil, errors.New("issuer is no web URL")
	}
	base := strings.TrimSuffix(issuer.Path, "/")
	if strings.ContainsAny(base, "{}*") {
		return nil, errors.New("issuer has a path that cannot be routed")
	}
	counted, err := newMeter(c.Metrics)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	resource, err := events.WellKnownURL(c.Issuer, "oauth-protected-resource")
	if err != nil {
		return nil, err
	}
	gate := &gate{auth: c.Auth, resource: resource,
		party: NewLimiter(c.Limits.Party), staff: NewLimiter(c.Limits.Staff),
		failures: NewLimiter(c.Limits.Failures), strangers: NewLimiter(c.Limits.Strangers)}
	mux := chi.NewRouter()
	mux.Use(observe(c.Log, counted), headers(issuer.Scheme == "https"), behind(c.Proxies), middleware.GetHead)
	mux.NotFound(Handler(func(http.ResponseWriter, *http.Request) error { return hub.ErrNotFound }).ServeHTTP)
	mux.MethodNotAllowed(notAllowed)
	health := []Route{
		{Method: http.MethodGet, Pattern: "/healthz", Handler: Handler(healthy), Open: true},
		{Method: http.MethodGet, Pattern: "/readyz", Handler: ready(c.Ready, c.Log), Open: true},
		{Method: http.MethodGet, Pattern: "/metrics", Handler: promhttp.HandlerFor(prometheus.GathererFunc(lately(c.Metrics.Gather)), promhttp.HandlerOpts{}), Open: true},
	}
	for _, routes := range append(faces, health) {
		for _, r := range routes {
			h := r.Handler
			if !r.Open {
				h = gate.authenticate(h)
			}
			handle(mux, r.Method, r.Pattern, h)
			if base != "" && !strings.HasPrefix(r.Pattern, "/.well-known/") {
				handle(mux, r.Method, base+r.Pattern, h)
			}
		}
	}
	return mux, nil
}

func handle(mux chi.Router, method, pattern string, h http.Handler) {
	if method == "" {
		mux.Handle(pattern, h)
		return
	}
	mux.Method(method, pattern, h)
}

// notAllowed tells which methods the path has.
func notAllowed(w http.ResponseWriter, r *http.Request) {
	routes := chi.RouteContext(r.Context()).Routes
	for _, m := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
		if routes.Match(chi.NewRouteContext(), m, r.URL.Path) {
			w.Header().Add("Allow", m)
		}
	}
	Refuse(w, r, errMethod)
}

// headers sets what every answer says unless its handler knows better. Pages set a Content-Security-Policy of their own.
func headers(secure bool) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h.Set("Cache-Control", "no-store")
			h.Set("X-Content-Type-Options", "nosniff")
			h.Set("Referrer-Policy", "no-referrer")
			h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
			if secure {
				h.Set("Strict-Transport-Security", "max-age=31536000")
			}
			next.ServeHTTP(w, r)
		})
	}
}

func healthy(w http.ResponseWriter, _ *http.Request) error {
	return Write(w, http.StatusOK, map[string]string{"status": "ok"})
}

// ready tells a load balancer whether to send requests here: it asks the store.
func ready(check func(context.Context) error, log *slog.Logger) Handler {
	asked := lately(func() (struct{}, error) {
		// Not the context of who asks: the answer is for others, too.
		ctx, cancel := context.WithTimeout(context.Background(), readyTime)
		defer cancel()
		err := check(ctx)
		if err != nil {
			log.Warn("not ready", slog.Any("err", err))
		}
		return struct{}{}, err
	})
	return func(w http.ResponseWriter, _ *http.Request) error {
		if _, err := asked(); err != nil {
			return Write(w, http.StatusServiceUnavailable, map[string]string{"status": "not ready"})
		}
		return Write(w, http.StatusOK, map[string]string{"status": "ready"})
	}
}
