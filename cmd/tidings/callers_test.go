package main

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidings/events"
	"tidings/subscriptions/receiver"
)

// AU-06, CI-16, CI-20, CI-30, CI-31: what a party's token may be used for, over the whole program. A token that lacks the
// scope is told which; nothing else changes.
func TestScopes(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s site) {
		w := s.world()
		anna := w.person("anna", object{"title": "Clerk"}, "--attributes", "title")
		var stream events.StreamConfiguration
		w.must("POST", "/ssf/streams", w.shop.Token, object{}, &stream)
		id := stream.StreamID
		for _, scope := range []string{"ssf.read", "ssf.manage", "changes.read", "subjects.read", "live.ticket"} {
			var made credential
			w.tidings(&made, "token", "add", "--role", "party", "--party", w.shop.ID, "--scope", scope)
			for _, e := range []struct {
				method, path string
				body         any
				may          string // the scopes that do
			}{
				{"GET", "/ssf/streams", nil, "ssf.read ssf.manage"},
				{"GET", "/ssf/streams?stream_id=" + id, nil, "ssf.read ssf.manage"},
				{"GET", "/ssf/status?stream_id=" + id, nil, "ssf.read ssf.manage"},
				{"POST", "/ssf/streams", object{}, "ssf.manage"},
				{"PATCH", "/ssf/streams", object{"stream_id": id, "description": scope}, "ssf.manage"},
				{"PUT", "/ssf/streams", object{"stream_id": id}, "ssf.manage"},
				{"POST", "/ssf/status", object{"stream_id": id, "status": "enabled"}, "ssf.manage"},
				{"POST", "/ssf/verify", object{"stream_id": id}, "ssf.manage"},
				{"POST", "/ssf/poll/" + id, object{"returnImmediately": true}, "ssf.manage"},
				{"DELETE", "/ssf/streams?stream_id=none", nil, "ssf.manage"},
				{"GET", "/delta", nil, "changes.read"},
				{"GET", "/subjects/" + anna.id, nil, "subjects.read"},
				{"POST", "/live/tickets", object{"subjects": []json.RawMessage{anna.subject}}, "live.ticket"},
				{"POST", "/signals", object{"userName": "anna", "type": "session-revoked"}, "scim.write operator"},
				{"GET", "/scim/v2/Users", nil, "scim.write"},
			} {
				status, header := call(e.method, w.hub.url+e.path, made.Token, e.body, nil)
				first, _, _ := strings.Cut(e.may, " ")
				want := `Bearer realm="tidings", error="insufficient_scope", scope="` + first + `"`
				challenge := header.Get("WWW-Authenticate")
				switch {
				case strings.Contains(" "+e.may+" ", " "+scope+" "):
					if status == http.StatusUnauthorized || status == http.StatusForbidden || status == 0 {
						t.Errorf("%s with %s: %d", e.method+" "+e.path, scope, status)
					}
				case status != http.StatusForbidden || !strings.HasPrefix(challenge, want):
					t.Errorf("%s with %s: %d, challenge %q", e.method+" "+e.path, scope, status, challenge)
				}
			}
			if out, stderr, code := s.try("token", "add", "--role", "party", "--party", w.shop.ID); code != 1 || !strings.Contains(stderr, "has 2 valid tokens") {
				t.Errorf("a third token: %d %q %q", code, out, stderr)
			}
			w.tidings(nil, "token", "revoke", made.ID)
			if status, _ := call("GET", w.hub.url+"/delta", made.Token, nil, nil); status != http.StatusUnauthorized {
				t.Errorf("revoked: %d", status)
			}
		}
		w.clean()
	})
}

// CI-14, CI-15, CI-19, CI-21: a client finds the token endpoint from a refusal, proves itself with a secret or a key, and
// one token serves management and poll. What is revoked ends at once, with what was got by it.
func TestStoryOfAnAccessToken(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s site) {
		w := s.world()
		_, header := call("GET", w.hub.url+"/delta", "", nil, nil)
		_, where, _ := strings.Cut(header.Get("WWW-Authenticate"), `resource_metadata="`)
		var resource struct {
			Servers []string `json:"authorization_servers"`
		}
		if status, _ := call("GET", strings.TrimSuffix(where, `"`), "", nil, &resource); status != 200 || len(resource.Servers) != 1 {
			t.Fatalf("%s: %d", where, status)
		}
		var server struct {
			Issuer   string
			Endpoint string `json:"token_endpoint"`
		}
		call("GET", resource.Servers[0]+"/.well-known/oauth-authorization-server", "", nil, &server)
		ask := func(form url.Values, edit func(*http.Request)) (status int, token string) {
			t.Helper()
			form.Set("grant_type", "client_credentials")
			req, err := http.NewRequest("POST", server.Endpoint, strings.NewReader(form.Encode()))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if edit != nil {
				edit(req)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var body struct {
				Token string `json:"access_token"`
			}
			_ = json.NewDecoder(resp.Body).Decode(&body)
			return resp.StatusCode, body.Token
		}
		use := func(token string) (status int) {
			status, _ = call("GET", w.hub.url+"/ssf/streams", token, nil, nil)
			return status
		}

		status, bySecret := ask(url.Values{"scope": {"ssf.manage"}}, func(r *http.Request) { r.SetBasicAuth(w.shop.ID, w.shop.Token) })
		var stream events.StreamConfiguration
		if w.must("POST", "/ssf/streams", bySecret, object{}, &stream); status != 200 {
			t.Errorf("status %d", status)
		}
		w.must("POST", "/ssf/poll/"+stream.StreamID, bySecret, object{"returnImmediately": true}, nil)
		if status, _ := call("GET", w.hub.url+"/delta", bySecret, nil, nil); status != http.StatusForbidden {
			t.Errorf("more than was asked for: %d", status)
		}

		sdk := &receiver.Client{Base: w.hub.url}
		sdk.Token = receiver.AccessToken(sdk, w.shop.ID, w.shop.Token, "ssf.read")
		if got, err := sdk.Status(t.Context(), stream.StreamID); err != nil || got.Status != events.StatusEnabled {
			t.Errorf("the SDK: %v %v", got, err)
		}

		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		set, err := events.NewKeySet(events.PublicKey{Key: public, Algorithm: events.EdDSA, KeyID: "shop-1"})
		if err != nil {
			t.Fatal(err)
		}
		jwks, err := json.Marshal(set)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "keys.json")
		register := func(text string) {
			t.Helper()
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		register(strings.Replace(string(jwks), `"kty"`, `"d":"c2VjcmV0","kty"`, 1))
		if out, stderr, code := s.try("party", "keys", w.shop.ID, "--jwks", file); code != 1 || !strings.Contains(stderr, "public keys only") || strings.Contains(stderr, "c2VjcmV0") {
			t.Errorf("a private key: %d %q %q", code, out, stderr)
		}
		register(string(jwks))
		var key struct{ ID, Kind, Name string }
		w.tidings(&key, "party", "keys", w.shop.ID, "--jwks", file)
		var listed struct{ ID, Kind, Name string }
		if w.tidings(&listed, "party", "keys", w.shop.ID); listed != key || key.Kind != "key" || key.Name != "shop-1" {
			t.Errorf("listed %v, registered %v", listed, key)
		}
		assertion := func(jti string) url.Values {
			encode := base64.RawURLEncoding.EncodeToString
			signed := encode([]byte(`{"alg":"EdDSA","kid":"shop-1"}`)) + "." + encode(fmt.Appendf(nil, `{"iss":%q,"sub":%[1]q,"aud":%q,"jti":%q,"exp":%d}`,
				w.shop.ID, server.Issuer, jti, time.Now().Add(time.Minute).Unix()))
			signature, err := private.Sign(nil, []byte(signed), crypto.Hash(0))
			if err != nil {
				t.Fatal(err)
			}
			return url.Values{"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {signed + "." + encode(signature)}}
		}
		first := assertion("one")
		status, byKey := ask(first, nil)
		if status != 200 || use(byKey) != 200 {
			t.Errorf("by key: %d", status)
		}
		if status, _ := ask(first, nil); status != http.StatusUnauthorized {
			t.Errorf("replayed: %d", status)
		}
		// Another node knows what this one took, and takes what this one gave.
		other := s.serve("127.0.0.1:0", "--issuer", w.hub.url)
		server.Endpoint = "http://" + other.listening(t) + "/oauth/token"
		if status, _ := ask(first, nil); status != http.StatusUnauthorized {
			t.Errorf("replayed at another node: %d", status)
		}
		if status, _ := call("GET", "http://"+other.listening(t)+"/ssf/streams", byKey, nil, nil); status != 200 {
			t.Errorf("at another node: %d", status)
		}

		w.tidings(nil, "token", "revoke", key.ID)
		if got := use(byKey); got != http.StatusUnauthorized {
			t.Errorf("its key was revoked: %d", got)
		}
		if status, _ := ask(assertion("two"), nil); status != http.StatusUnauthorized {
			t.Errorf("a revoked key: %d", status)
		}
		if use(bySecret) != 200 {
			t.Error("another credential's access ended too")
		}
		w.tidings(nil, "party", "remove", w.shop.ID)
		if got := use(bySecret); got != http.StatusUnauthorized {
			t.Errorf("its party was removed: %d", got)
		}
		w.clean()
	})
}
