package oauth_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tidings/events"
	"tidings/hub"
	"tidings/hub/store/sqlite"
	"tidings/web"
	"tidings/web/oauth"
)

// server is the authorization server with one party that has a secret and a key.
type server struct {
	t       testing.TB
	hub     *hub.Hub
	handler http.Handler
	party   hub.Party
	secret  string
	key     ed25519.PrivateKey
	jwks    []byte
	now     time.Time
	log     bytes.Buffer
	fail    error // of the engine
}

func (s *server) Issuer() string { return s.hub.Issuer() }

func (s *server) Access(ctx context.Context, p hub.Proof, wanted []hub.Scope) (hub.Access, error) {
	if s.fail != nil {
		return hub.Access{}, fmt.Errorf("access: %w", s.fail)
	}
	return s.hub.Access(ctx, p, wanted)
}

func open(t testing.TB, issuer string) *server {
	t.Helper()
	ctx := t.Context()
	store, err := sqlite.Open(ctx, filepath.Join(t.TempDir(), "hub.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	s := &server{t: t, now: time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC), key: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))}
	s.hub, err = hub.Open(ctx, store, hub.NewKeyFile(), hub.Config{Issuer: issuer, Now: func() time.Time { return s.now }})
	if err != nil {
		t.Fatal(err)
	}
	if s.party, s.secret, err = s.hub.AddParty(ctx, "test", hub.PartyRequest{Name: "shop"}); err != nil {
		t.Fatal(err)
	}
	set, err := events.NewKeySet(events.PublicKey{Key: s.key.Public(), Algorithm: events.EdDSA, KeyID: "k1"})
	if err != nil {
		t.Fatal(err)
	}
	if s.jwks, err = json.Marshal(set); err != nil {
		t.Fatal(err)
	}
	if _, err := s.hub.SetPartyKeys(ctx, s.party.ID, s.jwks, nil); err != nil {
		t.Fatal(err)
	}
	routes, err := oauth.Routes(s)
	if err != nil {
		t.Fatal(err)
	}
	whoami := web.Route{Method: "GET", Pattern: "/changes", Handler: web.Handler(func(w http.ResponseWriter, r *http.Request) error {
		c, err := web.Caller(r, hub.ChangesRead)
		if err != nil {
			return err
		}
		return web.Write(w, 200, map[string]any{"party": c.Party, "scope": hub.ScopeText(c.Scopes)})
	})}
	s.handler, err = web.New(web.Config{Issuer: issuer, Log: slog.New(slog.NewTextHandler(&s.log, nil)), Metrics: prometheus.NewRegistry(), Auth: s.hub,
		Limits: web.Limits{Failures: web.Limit{Rate: 1, Burst: 30}},
		Ready:  func(context.Context) error { return nil }}, routes, []web.Route{whoami})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

type answer struct {
	status int
	header http.Header
	raw    string
	body   map[string]any
}

func (s *server) do(r *http.Request) answer {
	s.t.Helper()
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	a := answer{status: w.Code, header: w.Header(), raw: w.Body.String()}
	_ = json.Unmarshal(w.Body.Bytes(), &a.body)
	return a
}

// ask posts a form; headers are name, value pairs, "-" takes the form's media type away.
func (s *server) ask(form string, headers ...string) answer {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), "POST", "/oauth/token", strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return s.do(r)
}

func basic(client, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(client+":"+secret))
}

func (s *server) good() string { return basic(s.party.ID.String(), s.secret) }

const grant = "grant_type=client_credentials"

// token asks for a token, which has to be given.
func (s *server) token(form string, headers ...string) (token string, body map[string]any) {
	s.t.Helper()
	a := s.ask(form, headers...)
	token, _ = a.body["access_token"].(string)
	if a.status != 200 || token == "" || a.body["token_type"] != "Bearer" || a.header.Get("Content-Type") != "application/json" ||
		a.header.Get("Cache-Control") != "no-store" || a.header.Get("Pragma") != "no-cache" {
		s.t.Fatalf("%d %v %s", a.status, a.header, a.raw)
	}
	return token, a.body
}

// refused checks that an error is one of RFC 6749 section 5.2 and tells nothing more.
func (s *server) refused(a answer, status int, code string) {
	s.t.Helper()
	if a.status != status || a.body["error"] != code || a.header.Get("Cache-Control") != "no-store" || a.header.Get("Content-Type") != "application/json" {
		s.t.Errorf("%d %v %s, want %d %s", a.status, a.header, a.raw, status, code)
	}
	if challenge := a.header.Get("WWW-Authenticate"); (status == 401) != strings.HasPrefix(challenge, `Basic realm=`) {
		s.t.Errorf("%d with the challenge %q", status, challenge)
	}
	if strings.Contains(a.raw, s.secret) || strings.Contains(a.raw, "access_token") {
		s.t.Errorf("the error tells a secret: %s", a.raw)
	}
}

func (s *server) use(token string) answer {
	r := httptest.NewRequestWithContext(s.t.Context(), "GET", "/changes", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	return s.do(r)
}

// assertion signs claims that are good but for what is changed; header and signature are the caller's if given.
func (s *server) assertion(change map[string]any, header ...string) string {
	s.t.Helper()
	claims := map[string]any{"iss": s.party.ID, "sub": s.party.ID, "aud": s.hub.Issuer(), "jti": hub.NewID(), "exp": s.now.Add(time.Minute).Unix()}
	for name, value := range change {
		claims[name] = value
	}
	text, err := json.Marshal(claims)
	if err != nil {
		s.t.Fatal(err)
	}
	head := `{"alg":"EdDSA","kid":"k1"}`
	if len(header) > 0 {
		head = header[0]
	}
	return s.sign(head, string(text))
}

func (s *server) sign(header, claims string) string {
	encode := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	signed := encode(header) + "." + encode(claims)
	signature, err := s.key.Sign(nil, []byte(signed), crypto.Hash(0))
	if err != nil {
		s.t.Fatal(err)
	}
	return signed + "." + encode(string(signature))
}

func asserted(assertion string) string {
	return grant + "&" + url.Values{"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {assertion}}.Encode()
}

// CI-14, CI-19: both ways to a token, and what it is good for.
func TestToken(t *testing.T) {
	s := open(t, "https://hub.example")
	const all = "ssf.read ssf.manage changes.read subjects.read live.ticket"
	for way, ask := range map[string]func(more string) (string, map[string]any){
		"basic": func(more string) (string, map[string]any) { return s.token(grant+more, "Authorization", s.good()) },
		"basic, lower case": func(more string) (string, map[string]any) {
			return s.token(grant+more, "Authorization", "basic "+s.good()[6:])
		},
		"basic, encoded": func(more string) (string, map[string]any) {
			return s.token(grant+more, "Authorization", basic(s.party.ID.String(), strings.ReplaceAll(s.secret, "_", "%5F")))
		},
		"basic, named": func(more string) (string, map[string]any) {
			return s.token(grant+more+"&client_id="+s.party.ID.String(), "Authorization", s.good())
		},
		"assertion": func(more string) (string, map[string]any) { return s.token(asserted(s.assertion(nil)) + more) },
		"assertion, named": func(more string) (string, map[string]any) {
			return s.token(asserted(s.assertion(nil)) + more + "&client_id=" + s.party.ID.String())
		},
	} {
		token, body := ask("")
		if body["expires_in"] != 600.0 || body["scope"] != all || strings.Contains(fmt.Sprint(body), "refresh_token") {
			t.Errorf("%s: %v", way, body)
		}
		if a := s.use(token); a.status != 200 || a.body["party"] != s.party.ID.String() {
			t.Errorf("%s: %d %s", way, a.status, a.raw)
		}
		if _, body = ask("&scope="); body["scope"] != all {
			t.Errorf("%s: an empty scope gives %v", way, body)
		}
		narrow, body := ask("&unknown=ignored&scope=changes.read+ssf.read+ssf.read")
		if body["scope"] != "ssf.read changes.read" || s.use(narrow).body["scope"] != "ssf.read changes.read" {
			t.Errorf("%s: %v", way, body)
		}
		other, _ := ask("&scope=ssf.manage")
		if a := s.use(other); a.status != 403 || !strings.Contains(a.header.Get("WWW-Authenticate"), `error="insufficient_scope", scope="changes.read"`) {
			t.Errorf("%s: %d %v", way, a.status, a.header)
		}
		s.now = s.now.Add(10 * time.Minute)
		if a := s.use(token); a.status != 401 || !strings.Contains(a.header.Get("WWW-Authenticate"), `error="invalid_token"`) {
			t.Errorf("%s, after ten minutes: %d", way, a.status)
		}
	}
}

// Bad input: the row's error, the same for unknown clients and wrong proofs, and no token.
func TestTokenRefuses(t *testing.T) {
	s := open(t, "https://hub.example")
	id, stranger := s.party.ID.String(), hub.NewID().String()
	good := []string{"Authorization", s.good()}
	replayed := s.assertion(nil)
	s.token(asserted(replayed))
	header := func(h string) []string { return []string{"Authorization", h} }
	for _, c := range []struct {
		name, form string
		headers    []string
		status     int
		code       string
	}{
		{"empty", "", good, 400, "invalid_request"},
		{"no grant type", "scope=ssf.read", good, 400, "invalid_request"},
		{"another grant type", "grant_type=authorization_code&code=x", good, 400, "unsupported_grant_type"},
		{"password", "grant_type=password&username=x&password=y", good, 400, "unsupported_grant_type"},
		{"grant type twice", grant + "&" + grant, good, 400, "invalid_request"},
		{"unknown twice", grant + "&a=1&a=2", good, 400, "invalid_request"},
		{"not a form", grant + "&a=%zz", good, 400, "invalid_request"},
		{"semicolons", grant + ";scope=ssf.read", good, 400, "invalid_request"},
		{"too large", grant + "&a=" + strings.Repeat("x", 20<<10), good, 413, "invalid_request"},
		{"unknown scope", grant + "&scope=everything", good, 400, "invalid_scope"},
		{"scope of others", grant + "&scope=ssf.read+scim.write", good, 400, "invalid_scope"},
		{"operator", grant + "&scope=operator", good, 400, "invalid_scope"},

		{"nobody", grant, nil, 401, "invalid_client"},
		{"unknown client", grant, header(basic(stranger, s.secret)), 401, "invalid_client"},
		{"wrong secret", grant, header(basic(id, "tdg_wrong")), 401, "invalid_client"},
		{"no secret", grant, header(basic(id, "")), 401, "invalid_client"},
		{"no client", grant, header(basic("", s.secret)), 401, "invalid_client"},
		{"no colon", grant, header("Basic " + base64.StdEncoding.EncodeToString([]byte(id))), 401, "invalid_client"},
		{"not base64", grant, header("Basic ???"), 401, "invalid_client"},
		{"not percent", grant, header(basic(id, "%zz")), 401, "invalid_client"},
		{"endless", grant, header(basic(id, strings.Repeat("x", 5000))), 401, "invalid_client"},
		{"bearer", grant, header("Bearer " + s.secret), 401, "invalid_client"},
		{"another name", grant + "&client_id=" + stranger, good, 401, "invalid_client"},
		{"secret in the body", grant + "&client_id=" + id + "&client_secret=" + s.secret, nil, 401, "invalid_client"},
		{"two headers", grant, append(good, good...), 400, "invalid_request"},
		{"two ways", asserted(s.assertion(nil)), good, 400, "invalid_request"},

		{"no assertion type", grant + "&client_assertion=" + s.assertion(nil), nil, 401, "invalid_client"},
		{"another type", grant + "&client_assertion_type=saml&client_assertion=" + s.assertion(nil), nil, 401, "invalid_client"},
		{"no assertion", asserted(""), nil, 401, "invalid_client"},
		{"replayed", asserted(replayed), nil, 401, "invalid_client"},
		{"expired", asserted(s.assertion(map[string]any{"exp": s.now.Unix()})), nil, 401, "invalid_client"},
		{"far ahead", asserted(s.assertion(map[string]any{"exp": s.now.Add(6 * time.Minute).Unix()})), nil, 401, "invalid_client"},
		{"no jti", asserted(s.assertion(map[string]any{"jti": nil})), nil, 401, "invalid_client"},
		{"another audience", asserted(s.assertion(map[string]any{"aud": "https://hub.example/oauth/token"})), nil, 401, "invalid_client"},
		{"unknown issuer", asserted(s.assertion(map[string]any{"iss": stranger, "sub": stranger})), nil, 401, "invalid_client"},
		{"named another", asserted(s.assertion(nil)) + "&client_id=" + stranger, nil, 401, "invalid_client"},
		{"none", asserted(s.assertion(nil, `{"alg":"none","kid":"k1"}`)), nil, 401, "invalid_client"},
		{"HS256", asserted(s.hs256()), nil, 401, "invalid_client"},
		{"unknown kid", asserted(s.assertion(nil, `{"alg":"EdDSA","kid":"k2"}`)), nil, 401, "invalid_client"},
		{"repeated member", asserted(s.sign(`{"alg":"EdDSA","kid":"k1"}`, `{"iss":"`+stranger+`",`+fmt.Sprintf(`"iss":%q,"sub":%q,"aud":"https://hub.example","jti":"x","exp":%d}`, id, id, s.now.Add(time.Minute).Unix()))), nil, 401, "invalid_client"},
		{"oversized", asserted(s.assertion(map[string]any{"x": strings.Repeat("x", 8<<10)})), nil, 401, "invalid_client"},
		{"not a JWS", asserted("a.b"), nil, 401, "invalid_client"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := *s
			s.t = t
			s.refused(s.ask(c.form, c.headers...), c.status, c.code)
		})
	}
	unknown, wrong := s.ask(grant, header(basic(stranger, "tdg_x"))...), s.ask(grant, header(basic(id, "tdg_x"))...)
	if unknown.raw != wrong.raw || !reflect.DeepEqual(unknown.header, wrong.header) {
		t.Errorf("unknown clients are told from known ones: %s %s", unknown.raw, wrong.raw)
	}
	for _, kind := range []string{"application/json", "", "text/plain", "x;;"} {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/oauth/token", strings.NewReader(grant))
		r.Header.Set("Content-Type", kind)
		r.Header.Set("Authorization", s.good())
		s.refused(s.do(r), 400, "invalid_request")
	}
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/oauth/token?"+grant+"&client_secret="+s.secret, strings.NewReader(grant))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", s.good())
	s.refused(s.do(r), 400, "invalid_request")
	if a := s.do(httptest.NewRequestWithContext(t.Context(), "GET", "/oauth/token", nil)); a.status != 405 {
		t.Errorf("GET: %d", a.status)
	}
	s.token(grant, good...) // nothing of all that changed anything
}

// hs256 is an assertion whose signature takes the public key for a secret.
func (s *server) hs256() string {
	encode := base64.RawURLEncoding.EncodeToString
	parts := strings.Split(s.assertion(nil, `{"alg":"HS256","kid":"k1"}`), ".")
	mac := hmac.New(sha256.New, s.key.Public().(ed25519.PublicKey))
	mac.Write([]byte(parts[0] + "." + parts[1]))
	return parts[0] + "." + parts[1] + "." + encode(mac.Sum(nil))
}

// One address may ask so often only; another is not held up by that.
func TestTokenLimit(t *testing.T) {
	s := open(t, "https://hub.example")
	ask := func(from string) answer {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/oauth/token", strings.NewReader(grant))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.RemoteAddr = from
		return s.do(r)
	}
	for i := range 1000 {
		a := ask("203.0.113.1:5000")
		if a.status == 429 {
			s.refused(a, 429, "temporarily_unavailable")
			if a.header.Get("Retry-After") != "1" || i < 100 {
				t.Errorf("after %d: Retry-After %q", i, a.header.Get("Retry-After"))
			}
			if a := ask("203.0.113.2:5000"); a.status != 401 {
				t.Errorf("another address: %d", a.status)
			}
			return
		}
	}
	t.Error("there is no limit")
}

// Also what is the hub's own fault, and what the frame refuses elsewhere, is told as OAuth tells it.
func TestFailures(t *testing.T) {
	s := open(t, "https://hub.example")
	for err, want := range map[error]struct {
		status     int
		code, wait string
	}{
		hub.ErrBusy:              {503, "temporarily_unavailable", "1"},
		context.DeadlineExceeded: {503, "temporarily_unavailable", "1"},
		hub.ErrTooSoon:           {429, "temporarily_unavailable", "60"},
		errors.New("on fire"):    {500, "server_error", ""},
	} {
		s.fail = err
		a := s.ask(grant, "Authorization", s.good())
		s.refused(a, want.status, want.code)
		if a.header.Get("Retry-After") != want.wait || strings.Contains(a.raw, "fire") {
			t.Errorf("%v: %v %s", err, a.header, a.raw)
		}
	}
	if strings.Count(s.log.String(), "on fire") != 1 || strings.Count(s.log.String(), "\n") != 1 {
		t.Errorf("log: %s", s.log.String())
	}
	s.fail = nil
	for range 40 {
		s.refused(s.ask(grant, "Authorization", "Bearer guess"), 401, "invalid_client")
	}
	if a := s.use("guess"); a.status != 401 {
		t.Errorf("what came to the token endpoint was counted elsewhere: %d", a.status)
	}
}

// CI-15, CI-21, RFC 8414, RFC 9728: clients find their way from a 401 to a token.
func TestMetadata(t *testing.T) {
	for issuer, path := range map[string]string{"https://hub.example": "", "https://hub.example/": "", "https://hub.example/one": "/one", "https://hub.example/one/": "/one"} {
		s := open(t, issuer)
		base := strings.TrimSuffix(issuer, "/")
		scopes := []any{"ssf.read", "ssf.manage", "changes.read", "subjects.read", "live.ticket"}
		for where, want := range map[string]map[string]any{
			"oauth-authorization-server": {"issuer": issuer, "token_endpoint": base + "/oauth/token", "response_types_supported": []any{},
				"grant_types_supported": []any{"client_credentials"}, "scopes_supported": scopes,
				"token_endpoint_auth_methods_supported":            []any{"client_secret_basic", "private_key_jwt"},
				"token_endpoint_auth_signing_alg_values_supported": []any{"ES256", "EdDSA", "RS256"}},
			"oauth-protected-resource": {"resource": issuer, "authorization_servers": []any{issuer}, "scopes_supported": scopes, "bearer_methods_supported": []any{"header"}},
		} {
			for _, slash := range []string{"", "/"} {
				a := s.do(httptest.NewRequestWithContext(t.Context(), "GET", "/.well-known/"+where+path+slash, nil))
				if a.status != 200 || !reflect.DeepEqual(a.body, want) || a.header.Get("Cache-Control") != "public, max-age=3600" {
					t.Errorf("%s %s: %d %v %s", issuer, where, a.status, a.header, a.raw)
				}
			}
		}
		a := s.use("")
		_, where, _ := strings.Cut(a.header.Get("WWW-Authenticate"), `resource_metadata="`)
		if a.status != 401 || where != "https://hub.example/.well-known/oauth-protected-resource"+path+`"` {
			t.Errorf("%s: %d %v", issuer, a.status, a.header)
		}
	}
}
