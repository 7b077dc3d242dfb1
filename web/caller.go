package web

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"tidings/hub"
)

// Authenticator finds who holds a bearer token; hub.ErrUnauthenticated for one that nobody holds.
type Authenticator interface {
	Authenticate(ctx context.Context, bearer string) (hub.Caller, error)
	// Genuine says, without a look into the store, that the hub itself made the token and that it has not expired; that of
	// a token which was made up it says of none.
	Genuine(bearer string) bool
}

// maxToken bounds a bearer token in bytes; the hub's own are shorter.
const maxToken = 1024

type queryTokenKey struct{}

// gate finds out who calls.
type gate struct {
	auth Authenticator
	// resource is where the metadata is that tells a stranger how to get a token (RFC 9728 section 5.1).
	resource string

	party, staff, failures, strangers *Limiter
	// known are hashes of tokens that were good of late: a stranger at the same address cannot shut them out.
	known recent[struct{}]
}

// caller finds who holds the token. What comes from an address that failed too often is not even looked up, unless no
// stranger can have made it up: then it is counted for itself, should its credential have been revoked.
func (g *gate) caller(r *http.Request, token string) (hub.Caller, error) {
	sum := sha256.Sum256([]byte(token))
	hash, failing := string(sum[:]), ClientAddress(r)
	genuine := g.auth.Genuine(token)
	if genuine {
		failing = hash
	}
	if !g.known.has(hash) {
		if err := g.failures.spent(failing); err != nil {
			return hub.Caller{}, err
		}
	}
	caller, err := g.auth.Authenticate(r.Context(), token)
	if errors.Is(err, hub.ErrUnauthenticated) {
		g.known.drop(hash)
		_ = g.failures.Take(failing) // the next one is told
	}
	if err != nil {
		return caller, err
	}
	if !genuine { // of those there are as many as one asks for
		g.known.get(hash, func() struct{} { return struct{}{} })
	}
	limit := g.staff
	if caller.Role == hub.RoleParty {
		limit = g.party
	}
	return caller, limit.Take(string(caller.Token[:]))
}

// authenticate puts the caller of a request into its context. It refuses nobody itself: most faces want a caller, some
// do not, and each answers in its own format. A request with a token in its query has no caller, even if a good token
// stands in its header: such URLs end in logs, so whoever makes them is to notice at once (AU-07).
func (g *gate) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := &challenged{ResponseWriter: w, unauthorized: challenge, resource: g.resource}
		ctx := r.Context()
		token, given := bearer(r)
		switch {
		case r.URL.Query().Has("access_token"):
			out.unauthorized = challenge + `, error="invalid_request", error_description="a token in the query is not accepted"`
			ctx = context.WithValue(ctx, queryTokenKey{}, true)
		case given:
			caller, err := g.caller(r, token)
			switch {
			case errors.Is(err, hub.ErrUnauthenticated):
				out.unauthorized = challenge + `, error="invalid_token"`
			case err != nil:
				Refuse(w, r, fmt.Errorf("find caller: %w", err))
				return
			default:
				ctx = hub.WithCaller(ctx, caller)
				// Of those who wait a token may end meanwhile.
				out.unauthorized = challenge + `, error="invalid_token"`
			}
		}
		if _, known := hub.CallerFrom(ctx); !known {
			if err := g.strangers.Take(ClientAddress(r)); err != nil {
				Refuse(w, r, err)
				return
			}
		}
		next.ServeHTTP(out, r.WithContext(ctx))
	})
}

// bearer is the token of the Authorization header. What cannot be a token is looked up all the same, as the empty one:
// malformed, unknown and revoked get one answer.
func bearer(r *http.Request) (token string, given bool) {
	headers := r.Header.Values("Authorization")
	if len(headers) == 0 {
		return "", false
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", false // another face may know the scheme
	}
	token = strings.TrimLeft(token, " ")
	if len(headers) > 1 || len(token) > maxToken {
		return "", true
	}
	return token, true
}

// Caller is who calls, if its credential is for one of the scopes. hub.ErrUnauthenticated, *hub.Insufficient;
// hub.ErrBadRequest for a token in the query.
func Caller(r *http.Request, scopes ...hub.Scope) (hub.Caller, error) {
	if r.Context().Value(queryTokenKey{}) != nil {
		return hub.Caller{}, fmt.Errorf("%w: a token in the query is not accepted", hub.ErrBadRequest)
	}
	caller, ok := hub.CallerFrom(r.Context())
	if !ok {
		return hub.Caller{}, hub.ErrUnauthenticated
	}
	return caller, caller.Need(scopes...)
}

// For is a handler for callers with one of the scopes; it answers the others.
func For(h http.Handler, scopes ...hub.Scope) http.Handler {
	return Handler(func(w http.ResponseWriter, r *http.Request) error {
		if _, err := Caller(r, scopes...); err != nil {
			return err
		}
		h.ServeHTTP(w, r)
		return nil
	})
}

// insufficient is the challenge that names what is missing (RFC 6750 section 3.1). Where several scopes would do, the first
// is named: a client that asked for all of them would ask for more than it needs.
func insufficient(scopes []hub.Scope) string {
	return fmt.Sprintf(`%s, error="insufficient_scope", scope="%s"`, challenge, hub.ScopeText(scopes[:1]))
}

// challenge is what is told of every refusal: which kind of credential is looked for.
const challenge = `Bearer realm="tidings"`

// challenged adds WWW-Authenticate to answers that refuse a caller (RFC 6750 section 3, AU-06), whichever face gives
// them. A 403 for a scope that is missing has one already (insufficient); of any other no error code is true.
type challenged struct {
	http.ResponseWriter
	unauthorized, resource string
}

func (c *challenged) WriteHeader(status int) {
	text := ""
	switch status {
	case http.StatusUnauthorized:
		text = c.unauthorized + `, resource_metadata="` + c.resource + `"`
	case http.StatusForbidden:
		text = challenge
	case http.StatusBadRequest:
		if strings.Contains(c.unauthorized, "invalid_request") {
			text = c.unauthorized
		}
	}
	if text != "" && c.Header().Get("WWW-Authenticate") == "" {
		c.Header().Set("WWW-Authenticate", text)
	}
	c.ResponseWriter.WriteHeader(status)
}

func (c *challenged) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// Hijack hands over the connection; the websocket library asks for it by this name.
func (c *challenged) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(c.ResponseWriter).Hijack()
}
