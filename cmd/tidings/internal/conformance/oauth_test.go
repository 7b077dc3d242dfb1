package conformance

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// authorization: where a receiver gets its access tokens (RFC 6749 section 4.4, RFC 8414, RFC 9728).
func authorization(t *try) {
	refused := t.call("GET", t.streams(), "", nil)
	t.check(strings.Contains(refused.header.Get("WWW-Authenticate"), "resource_metadata="), "CI-21", "the challenge is %q", refused.header.Get("WWW-Authenticate"))
	resource := t.call("GET", base(t.program.issuer)+"/.well-known/oauth-protected-resource", "", nil)
	scopes := texts(resource.object()["scopes_supported"])
	t.check(resource.status == 200 && resource.isJSON() && slices.Contains(scopes, "ssf.manage") && slices.Contains(scopes, "ssf.read"), "CI-21 CI-15", "the resource's metadata answers %v", resource)
	servers := texts(resource.object()["authorization_servers"])
	t.need(len(servers) == 1 && servers[0] == t.program.issuer, "CI-21", "authorization_servers is %v", servers)
	server := t.call("GET", base(servers[0])+"/.well-known/oauth-authorization-server", "", nil).object()
	t.check(server["issuer"] == servers[0], "CI-21 CI-14", "issuer is %v", server["issuer"])
	endpoint, _ := server["token_endpoint"].(string)
	t.need(endpoint != "" && slices.Contains(texts(server["grant_types_supported"]), "client_credentials"), "CI-14", "the server's metadata is %v", server)

	ask := func(authorization string, form url.Values) answer {
		header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
		if authorization != "" {
			header.Set("Authorization", authorization)
		}
		return t.ask("POST", endpoint, header, form.Encode())
	}
	basic := func(id, secret string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
	}
	wants := url.Values{"grant_type": {"client_credentials"}, "scope": {"ssf.read"}}
	a := ask(basic(t.id, t.token), wants)
	token, _ := a.object()["access_token"].(string)
	t.need(a.status == 200 && token != "", "CI-14", "the token endpoint answered %v", a)
	lives, _ := a.object()["expires_in"].(float64)
	t.check(lives > 0 && lives <= 3600, "CI-14 PB-18", "expires_in is %v", a.object()["expires_in"])
	t.check(strings.EqualFold(text(a.object()["token_type"]), `"Bearer"`) && a.header.Get("Cache-Control") == "no-store", "CI-14", "answered %v %v", a, a.header)
	t.check(t.call("GET", t.streams(), token, nil).status == 200, "CI-16", "the token is not taken")
	t.check(t.call("POST", t.streams(), token, object{}).status == 403, "CI-31 CI-16", "ssf.read may create")

	for name, c := range map[string]struct{ id, secret string }{
		"wrong secret": {t.id, "tdg_wrong"}, "unknown client": {"nobody", t.token}, "operator": {t.id, t.program.operator}, "no secret": {t.id, ""},
	} {
		a := ask(basic(c.id, c.secret), wants)
		t.check(a.status == 401 && a.object()["error"] == "invalid_client" && a.object()["access_token"] == nil, "CI-19", "%s answered %v", name, a)
	}
	for name, form := range map[string]url.Values{
		"another grant":   {"grant_type": {"password"}},
		"no grant":        {},
		"too wide":        {"grant_type": {"client_credentials"}, "scope": {"scim.write"}},
		"parameter twice": {"grant_type": {"client_credentials", "client_credentials"}},
	} {
		a := ask(basic(t.id, t.token), form)
		t.check(a.status == 400 && a.object()["access_token"] == nil, "CI-14", "%s answered %v", name, a)
	}

	// private_key_jwt (RFC 7523 section 3).
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	public := must(jwk.FromRaw(key.Public()))
	for name, value := range map[string]any{"kid": "k1", "alg": "ES256", "use": "sig"} {
		if err := public.Set(name, value); err != nil {
			panic(err)
		}
	}
	set := text(object{"keys": []any{public}})
	file := filepath.Join(folder, "jwks-"+t.id+".json")
	if err := os.WriteFile(file, []byte(set), 0o600); err != nil {
		panic(err)
	}
	t.program.tidings(nil, "party", "keys", t.id, "--jwks", file)
	claims := func(edit func(object)) object {
		c := object{"iss": t.id, "sub": t.id, "aud": t.program.issuer, "exp": time.Now().Unix() + 60, "jti": rand.Text()}
		if edit != nil {
			edit(c)
		}
		return c
	}
	sign := func(c object, alg jwa.SignatureAlgorithm, with any) string {
		header := jws.NewHeaders()
		if err := header.Set("kid", "k1"); err != nil {
			panic(err)
		}
		if alg == jwa.NoSignature {
			return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","kid":"k1"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(text(c))) + "."
		}
		return string(must(jws.Sign([]byte(text(c)), jws.WithKey(alg, with, jws.WithProtectedHeaders(header)))))
	}
	assert := func(jwt string) answer {
		return ask("", url.Values{"grant_type": {"client_credentials"}, "client_assertion": {jwt},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}})
	}
	once := sign(claims(nil), jwa.ES256, key)
	a = assert(once)
	t.check(a.status == 200 && a.object()["access_token"] != nil, "CI-14", "an assertion answered %v", a)
	other := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	for name, jwt := range map[string]string{
		"replayed":                  once,
		"expired":                   sign(claims(func(c object) { c["exp"] = time.Now().Unix() - 120 }), jwa.ES256, key),
		"too long":                  sign(claims(func(c object) { c["exp"] = time.Now().Unix() + 3600 }), jwa.ES256, key),
		"another audience":          sign(claims(func(c object) { c["aud"] = "https://evil.example" }), jwa.ES256, key),
		"another client":            sign(claims(func(c object) { c["sub"] = "nobody" }), jwa.ES256, key),
		"no jti":                    sign(claims(func(c object) { delete(c, "jti") }), jwa.ES256, key),
		"no exp":                    sign(claims(func(c object) { delete(c, "exp") }), jwa.ES256, key),
		"another key":               sign(claims(nil), jwa.ES256, other),
		"none":                      sign(claims(nil), jwa.NoSignature, nil),
		"HS256 with the public key": sign(claims(nil), jwa.HS256, []byte(set)),
		"no JWT":                    "x.y.z",
	} {
		a := assert(jwt)
		t.check((a.status == 401 || a.status == 400) && a.object()["access_token"] == nil, "CI-19", "an assertion that is %s answered %v", name, a)
	}
}
