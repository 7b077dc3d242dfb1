package events_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"tidings/events"
)

const (
	assertionHeader = `{"alg":"EdDSA","typ":"JWT","kid":"k1"}`
	asServer        = "https://hub.example"
)

var assertionNow = time.Unix(1790000000, 0)

// claim are the claims of a good assertion, with some replaced; "" takes one away.
func claim(pairs ...string) string {
	members := map[string]json.RawMessage{"iss": []byte(`"shop"`), "sub": []byte(`"shop"`), "aud": []byte(`"` + asServer + `"`),
		"jti": []byte(`"j"`), "exp": []byte(`1790000060`), "iat": []byte(`1790000000`)}
	for i := 0; i < len(pairs); i += 2 {
		members[pairs[i]] = json.RawMessage(pairs[i+1])
		if pairs[i+1] == "" {
			delete(members, pairs[i])
		}
	}
	text, err := json.Marshal(members)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// CI-14, RFC 7523 section 3: what an assertion has to say, and for how long.
func TestVerifyAssertion(t *testing.T) {
	key := fuzzKey()
	keys, err := events.NewKeySet(events.PublicKey{Key: key.Public(), Algorithm: events.EdDSA, KeyID: "k1"})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, header, claims string
		good                 bool
	}{
		{"good", assertionHeader, claim(), true},
		{"typ of RFC 7523bis", `{"alg":"EdDSA","typ":"client-authentication+jwt","kid":"k1"}`, claim(), true},
		{"no typ", `{"alg":"EdDSA","kid":"k1"}`, claim(), true},
		{"no kid, one key", `{"alg":"EdDSA"}`, claim(), true},
		{"no iat", assertionHeader, claim("iat", ""), true},
		{"aud as a list of one", assertionHeader, claim("aud", `["`+asServer+`"]`), true},
		{"five minutes", assertionHeader, claim("exp", `1790000300`), true},
		{"a clock ahead", assertionHeader, claim("iat", `1790000030`, "nbf", `1790000030`, "exp", `1790000330`), true},
		{"times with fractions", assertionHeader, claim("iat", `1790000000.5`, "exp", `1790000060.5`), true},
		{"more claims", assertionHeader, claim("extra", `{"a":[1]}`), true},

		{"a SET", `{"alg":"EdDSA","typ":"secevent+jwt","kid":"k1"}`, claim(), false},
		{"an access token", `{"alg":"EdDSA","typ":"at+jwt","kid":"k1"}`, claim(), false},
		{"crit", `{"alg":"EdDSA","kid":"k1","crit":["b64"],"b64":false}`, claim(), false},
		{"unknown kid", `{"alg":"EdDSA","kid":"k2"}`, claim(), false},
		{"alg of another key", `{"alg":"ES256","kid":"k1"}`, claim(), false},
		{"header repeats alg", `{"alg":"none","alg":"EdDSA","kid":"k1"}`, claim(), false},
		{"no iss", assertionHeader, claim("iss", ""), false},
		{"no sub", assertionHeader, claim("sub", ""), false},
		{"sub is another", assertionHeader, claim("sub", `"club"`), false},
		{"iss is empty", assertionHeader, claim("iss", `""`, "sub", `""`), false},
		{"iss is no text", assertionHeader, claim("iss", `7`, "sub", `7`), false},
		{"no aud", assertionHeader, claim("aud", ""), false},
		{"aud is another", assertionHeader, claim("aud", `"https://other.example"`), false},
		{"aud with a slash", assertionHeader, claim("aud", `"`+asServer+`/"`), false},
		{"aud is the endpoint", assertionHeader, claim("aud", `"`+asServer+`/oauth/token"`), false},
		{"two auds", assertionHeader, claim("aud", `["`+asServer+`","https://other.example"]`), false},
		{"the same aud twice", assertionHeader, claim("aud", `["`+asServer+`","`+asServer+`"]`), false},
		{"aud is an empty list", assertionHeader, claim("aud", `[]`), false},
		{"no jti", assertionHeader, claim("jti", ""), false},
		{"jti is empty", assertionHeader, claim("jti", `""`), false},
		{"jti is a number", assertionHeader, claim("jti", `7`), false},
		{"jti is endless", assertionHeader, claim("jti", `"`+strings.Repeat("j", 257)+`"`), false},
		{"no exp", assertionHeader, claim("exp", ""), false},
		{"exp is null", assertionHeader, claim("exp", `null`), false},
		{"exp is text", assertionHeader, claim("exp", `"1790000060"`), false},
		{"exp is huge", assertionHeader, claim("exp", `1e300`), false},
		{"expired", assertionHeader, claim("exp", `1790000000`), false},
		{"six minutes", assertionHeader, claim("exp", `1790000360`), false},
		{"nbf in the future", assertionHeader, claim("nbf", `1790000031`), false},
		{"iat in the future", assertionHeader, claim("iat", `1790000031`), false},
		{"iat is text", assertionHeader, claim("iat", `"now"`), false},
		{"nbf is null", assertionHeader, claim("nbf", `null`), false},
		{"ends before it begins", assertionHeader, claim("iat", `1790000020`, "exp", `1790000010`), false},
		{"claim repeated", assertionHeader, strings.Replace(claim(), `{`, `{"sub":"shop",`, 1), false},
		{"claims no object", assertionHeader, `[]`, false},
		{"oversized", assertionHeader, claim("extra", `"`+strings.Repeat("x", events.MaxAssertion)+`"`), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, err := events.VerifyAssertion(forge(t, key, "EdDSA", test.header, test.claims), keys, asServer, assertionNow)
			switch {
			case test.good && (err != nil || a.Client != "shop" || a.JTI == "" || a.KeyID != "k1" || !a.Expires.After(assertionNow)):
				t.Errorf("%+v, %v", a, err)
			case !test.good && (!errors.Is(err, events.ErrAssertion) || a != events.Assertion{}):
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
	two, err := events.NewKeySet(events.PublicKey{Key: key.Public(), Algorithm: events.EdDSA, KeyID: "k1"},
		events.PublicKey{Key: key.Public(), Algorithm: events.EdDSA, KeyID: "k2"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := events.VerifyAssertion(forge(t, key, "EdDSA", `{"alg":"EdDSA"}`, claim()), two, asServer, assertionNow); !errors.Is(err, events.ErrAssertion) {
		t.Errorf("no kid, two keys: %v", err)
	}
	for _, raw := range []string{"", ".", "..", "a.b.c", "a.b.c.d", encode("{}") + "." + encode("{}") + ".", "\n.\n.\n"} {
		if _, err := events.VerifyAssertion([]byte(raw), keys, asServer, assertionNow); !errors.Is(err, events.ErrAssertion) {
			t.Errorf("%q: %v", raw, err)
		}
	}
}

// RFC 8725 section 3.1: whoever knows the public key only cannot log in with it.
func TestAssertionAlgorithmConfusion(t *testing.T) {
	for _, alg := range []events.Algorithm{events.ES256, events.RS256, events.EdDSA} {
		signer, keys := newSigner(t, alg)
		public := signer.PublicKey()
		for _, name := range []string{"none", "None", "NONE", "", "HS256", "HS512"} {
			signed := encode(fmt.Sprintf(`{"alg":%q,"kid":%q}`, name, public.KeyID)) + "." + encode(claim())
			for what, secret := range knownTexts(t, keys, public) {
				mac := hmac.New(sha256.New, secret)
				mac.Write([]byte(signed))
				for _, signature := range []string{"", encode(string(mac.Sum(nil)))} {
					if _, err := events.VerifyAssertion([]byte(signed+"."+signature), keys, asServer, assertionNow); !errors.Is(err, events.ErrAssertion) {
						t.Errorf("%s key, alg %q, secret %s: %v", alg, name, what, err)
					}
				}
			}
		}
	}
}

// Registered keys are public ones, for one algorithm each, and all of them are understood.
func TestParseClientKeys(t *testing.T) {
	shown := func(raw any, more string) string {
		t.Helper()
		key, err := jwk.FromRaw(raw)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(key)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSuffix(string(text), "}") + more + "}"
	}
	ed := fuzzKey()
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsa, err := events.GenerateKey(events.RS256)
	if err != nil {
		t.Fatal(err)
	}
	public := shown(ed.Public(), "")
	good := `{"keys":[` + shown(ed.Public(), `,"kid":"a","alg":"EdDSA","use":"sig","x5t":"ignored"`) + `,` + shown(rsa.Public(), "") + `]}`
	keys, err := events.ParseClientKeys([]byte(good))
	if err != nil || len(keys) != 2 || keys[0].KeyID != "a" || keys[0].Algorithm != events.EdDSA || len(keys[1].KeyID) != 43 || keys[1].Algorithm != events.RS256 {
		t.Fatalf("%+v %v", keys, err)
	}
	if keys, err := events.ParseClientKeys([]byte(`{"keys":[]}`)); err != nil || len(keys) != 0 {
		t.Errorf("an empty set: %+v %v", keys, err)
	}
	for name, set := range map[string]string{
		"nothing":           ``,
		"no object":         `[` + public + `]`,
		"a bare key":        public,
		"keys is null":      `{"keys":null}`,
		"key is null":       `{"keys":[null]}`,
		"private":           `{"keys":[` + shown(ed, "") + `]}`,
		"private RSA":       `{"keys":[` + shown(rsa, "") + `]}`,
		"RSA with a prime":  `{"keys":[` + shown(rsa.Public(), `,"p":"AQAB"`) + `]}`,
		"symmetric":         `{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`,
		"unknown kind":      `{"keys":[{"kty":"X"}]}`,
		"another curve":     `{"keys":[` + shown(p384.Public(), "") + `]}`,
		"for encryption":    `{"keys":[` + shown(ed.Public(), `,"use":"enc"`) + `]}`,
		"another algorithm": `{"keys":[` + shown(rsa.Public(), `,"alg":"PS256"`) + `]}`,
		"HS256":             `{"keys":[` + shown(rsa.Public(), `,"alg":"HS256"`) + `]}`,
		"one name twice":    `{"keys":[` + shown(ed.Public(), `,"kid":"a"`) + `,` + shown(rsa.Public(), `,"kid":"a"`) + `]}`,
		"one key twice":     `{"keys":[` + public + `,` + public + `]}`,
		"member repeated":   `{"keys":[` + shown(ed.Public(), `,"kid":"a","kid":"b"`) + `]}`,
		"one good, one bad": `{"keys":[` + public + `,{"kty":"EC"}]}`,
		"oversized":         `{"keys":[` + shown(ed.Public(), `,"kid":"`+strings.Repeat("x", 256<<10)+`"`) + `]}`,
	} {
		if keys, err := events.ParseClientKeys([]byte(set)); !errors.Is(err, events.ErrKey) {
			t.Errorf("%s: %+v %v", name, keys, err)
		} else if strings.Contains(err.Error(), "c2VjcmV0") {
			t.Errorf("%s: the error quotes a key: %v", name, err)
		}
	}
}

// Whatever header and claims a rightful client signs, there is an answer without panic; what is accepted says who it is,
// once, and not for long; and what nobody signed is never accepted.
func FuzzVerifyAssertion(f *testing.F) {
	key := fuzzKey()
	keys, err := events.NewKeySet(events.PublicKey{Key: key.Public(), Algorithm: events.EdDSA, KeyID: "k1"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(assertionHeader, claim(), "")
	f.Add(`{"alg":"EdDSA"}`, claim("aud", `["`+asServer+`"]`, "nbf", `1`), "a.b.c")
	f.Add(`{"alg":"none"}`, claim("exp", `1e9`), encode(`{"alg":"none"}`)+"."+encode(claim())+".")
	f.Add("", "", "....")
	f.Fuzz(func(t *testing.T, header, claims, raw string) {
		if _, err := events.VerifyAssertion([]byte(raw), keys, asServer, assertionNow); err == nil {
			t.Fatalf("accepted %q, which nobody signed", raw)
		}
		compact := forge(t, crypto.Signer(key), "EdDSA", header, claims)
		a, err := events.VerifyAssertion(compact, keys, asServer, assertionNow)
		if err != nil {
			return
		}
		client, err := events.AssertionClient(compact)
		if err != nil || client != a.Client || a.Client == "" || a.JTI == "" || len(a.JTI) > 256 || a.KeyID != "k1" {
			t.Fatalf("%+v of %q, %v", a, client, err)
		}
		if life := a.Expires.Sub(assertionNow); life <= 0 || life > 6*time.Minute {
			t.Fatalf("lives %v", life)
		}
	})
}
