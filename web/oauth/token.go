package oauth

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"tidings/hub"
	"tidings/web"
)

const (
	grantType     = "client_credentials"
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	// maxForm bounds a request in bytes: an assertion and a little more.
	maxForm = 16 << 10
	// maxHeader bounds what may stand in an Authorization header.
	maxHeader = 2 << 10
)

// refusal is an error as RFC 6749 section 5.2 has it.
type refusal struct {
	status      int
	Code        string `json:"error"`
	Description string `json:"error_description,omitempty"`
}

func (r *refusal) Error() string { return r.Code }

var (
	// invalidClient is told to whoever proved nothing, for whatever reason: it must not tell which clients there are.
	invalidClient = &refusal{http.StatusUnauthorized, "invalid_client", "the client could not be authenticated"}
	invalidScope  = &refusal{http.StatusBadRequest, "invalid_scope", "the scope does not exist, or the client may not have it"}
	unsupported   = &refusal{http.StatusBadRequest, "unsupported_grant_type", "the grant type is " + grantType}
	tooOften      = &refusal{http.StatusTooManyRequests, "temporarily_unavailable", "asked too often"}
	failed        = &refusal{http.StatusInternalServerError, "server_error", "something failed inside the hub"}
	busy          = &refusal{http.StatusServiceUnavailable, "temporarily_unavailable", "try again shortly"}
)

func invalidRequest(what string) *refusal {
	return &refusal{http.StatusBadRequest, "invalid_request", what}
}

// token is the token endpoint.
func (f face) token(w http.ResponseWriter, r *http.Request) {
	access, err := f.exchange(w, r)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Pragma", "no-cache") // RFC 6749 section 5.1 wants both
	if err != nil {
		refuse(w, r, err)
		return
	}
	_ = web.Write(w, http.StatusOK, struct {
		Token string `json:"access_token"`
		Type  string `json:"token_type"`
		Life  int64  `json:"expires_in"`
		Scope string `json:"scope"`
	}{access.Token, "Bearer", int64(access.Life / time.Second), hub.ScopeText(access.Scopes)})
}

func (f face) exchange(w http.ResponseWriter, r *http.Request) (access hub.Access, err error) {
	if err := f.limiter.Take(web.ClientAddress(r)); err != nil {
		return access, err
	}
	form, err := readForm(w, r)
	if err != nil {
		return access, err
	}
	switch form["grant_type"] {
	case grantType:
	case "":
		return access, invalidRequest("grant_type is missing")
	default:
		return access, unsupported
	}
	proof, err := readProof(r.Header.Values("Authorization"), form)
	if err != nil {
		return access, err
	}
	return f.engine.Access(r.Context(), proof, hub.ReadScopes(form["scope"]))
}

// refuse answers with an error. That the hub failed has a code in RFC 6749 section 4.1.2.1 only, which clients know.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	var said *refusal
	var often *web.TooOften
	switch {
	case errors.As(err, &said):
	case errors.Is(err, hub.ErrUnauthenticated):
		said = invalidClient
	case errors.Is(err, hub.ErrScope):
		said = invalidScope
	case errors.Is(err, hub.ErrTooSoon):
		said = tooOften
		if !errors.As(err, &often) {
			often = &web.TooOften{After: time.Minute}
		}
		w.Header().Set("Retry-After", strconv.Itoa(often.Seconds()))
	case errors.Is(err, hub.ErrBusy), errors.Is(err, context.DeadlineExceeded):
		said = busy
		w.Header().Set("Retry-After", "1")
	default:
		web.Failed(r, err)
		said = failed
	}
	if said.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="tidings", charset="UTF-8"`)
	}
	_ = web.Write(w, said.status, said)
}

// readForm reads the parameters, each of which may be sent once (RFC 6749 section 3.2). One without a value is as good as
// none. Parameters in the URL are refused, since secrets must not stand there (section 2.3.1) and nothing else does.
func readForm(w http.ResponseWriter, r *http.Request) (map[string]string, error) {
	if r.URL.RawQuery != "" {
		return nil, invalidRequest("parameters stand in the body, not in the URL")
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, invalidRequest("the body must be application/x-www-form-urlencoded")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, &refusal{http.StatusRequestEntityTooLarge, "invalid_request", "the body is too large"}
	case err != nil:
		return nil, invalidRequest("the body ended early")
	}
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, invalidRequest("the body is not a form")
	}
	form := map[string]string{}
	for name, all := range values {
		if len(all) > 1 {
			return nil, invalidRequest("a parameter is repeated")
		}
		form[name] = all[0]
	}
	return form, nil
}

// readProof finds how the client proves itself: by client_secret_basic or private_key_jwt, and not by both (RFC 6749
// section 2.3). A secret in the body is not taken: it ends in logs of bodies.
func readProof(headers []string, form map[string]string) (hub.Proof, error) {
	asserted := form["client_assertion"] != "" || form["client_assertion_type"] != ""
	switch {
	case form["client_secret"] != "":
		return hub.Proof{}, invalidClient
	case len(headers) > 0 && asserted, len(headers) > 1:
		return hub.Proof{}, invalidRequest("the client proves itself in more than one way")
	case asserted:
		if form["client_assertion_type"] != assertionType {
			return hub.Proof{}, invalidClient
		}
		return hub.Proof{Client: form["client_id"], Assertion: []byte(form["client_assertion"])}, nil
	case len(headers) == 0:
		return hub.Proof{}, invalidClient
	}
	client, secret, ok := parseBasic(headers[0])
	if !ok || form["client_id"] != "" && form["client_id"] != client {
		return hub.Proof{}, invalidClient
	}
	return hub.Proof{Client: client, Secret: secret}, nil
}

// parseBasic reads an Authorization header of the Basic scheme (RFC 7617). Both halves were form-encoded before they were
// joined (RFC 6749 section 2.3.1), so that either may hold a colon.
func parseBasic(header string) (client, secret string, ok bool) {
	scheme, encoded, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Basic") || len(encoded) > maxHeader {
		return "", "", false
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(strings.TrimLeft(encoded, " "))
	if err != nil {
		return "", "", false
	}
	client, secret, ok = strings.Cut(string(raw), ":")
	if !ok {
		return "", "", false
	}
	client, err = url.QueryUnescape(client)
	if err != nil {
		return "", "", false
	}
	secret, err = url.QueryUnescape(secret)
	return client, secret, err == nil && client != "" && secret != ""
}
