package oauth

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"tidings/events"
	"tidings/hub"
	"tidings/web"
)

// Engine is what this face needs of the hub.
type Engine interface {
	Issuer() string
	Access(ctx context.Context, p hub.Proof, wanted []hub.Scope) (hub.Access, error)
}

const tokenPath = "/oauth/token"

// perAddress bounds the requests for tokens from one client address. A client needs one in ten minutes; what stands here
// is for many behind one address.
var perAddress = web.Limit{Rate: 10, Burst: 100}

type face struct {
	engine  Engine
	limiter *web.Limiter
}

// Routes are the endpoints of this face. The issuer has to be a URL that events.WellKnownURL takes.
func Routes(e Engine) ([]web.Route, error) {
	f := face{engine: e, limiter: web.NewLimiter(perAddress)}
	routes := []web.Route{{Method: http.MethodPost, Pattern: tokenPath, Handler: http.HandlerFunc(f.token), Open: true}}
	for name, handler := range map[string]web.Handler{"oauth-authorization-server": f.server, "oauth-protected-resource": f.resource} {
		where, err := events.WellKnownURL(e.Issuer(), name)
		if err != nil {
			return nil, err
		}
		at, err := url.Parse(where)
		if err != nil {
			return nil, err
		}
		// The one slash at the end that the path drops may come anyway, as for the transmitter's metadata.
		for _, slash := range []string{"", "/"} {
			routes = append(routes, web.Route{Method: http.MethodGet, Pattern: at.EscapedPath() + slash, Handler: handler, Open: true})
		}
	}
	return routes, nil
}

func (f face) base() string { return strings.TrimSuffix(f.engine.Issuer(), "/") }

// server is the metadata of the authorization server (RFC 8414 section 2).
func (f face) server(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Cache-Control", "public, max-age=3600")
	return web.Write(w, http.StatusOK, map[string]any{
		"issuer":         f.engine.Issuer(),
		"token_endpoint": f.base() + tokenPath,
		// There is no authorization endpoint, and so no response type; the member is required all the same.
		"response_types_supported":                         []string{},
		"grant_types_supported":                            []string{grantType},
		"scopes_supported":                                 hub.RoleParty.Scopes(),
		"token_endpoint_auth_methods_supported":            []string{"client_secret_basic", "private_key_jwt"},
		"token_endpoint_auth_signing_alg_values_supported": []events.Algorithm{events.ES256, events.EdDSA, events.RS256},
	})
}

// resource is the metadata of the hub as a protected resource (RFC 9728 section 2; CI-15, CI-21).
func (f face) resource(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Cache-Control", "public, max-age=3600")
	return web.Write(w, http.StatusOK, map[string]any{
		"resource":                 f.engine.Issuer(),
		"authorization_servers":    []string{f.engine.Issuer()},
		"scopes_supported":         hub.RoleParty.Scopes(),
		"bearer_methods_supported": []string{"header"},
	})
}
