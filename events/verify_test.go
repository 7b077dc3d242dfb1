package events_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"

	"tidings/events"
)

const goodClaims = `{"iss":"https://hub.example","jti":"jti-1","iat":1790000000,"aud":"https://party.example",` +
	`"sub_id":{"format":"opaque","id":"s"},"txn":"t","events":{"urn:ietf:params:scim:event:feed:add":{}}}`

func encode(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// forge signs any header and claims, well-formed or not.
func forge(tb testing.TB, key crypto.Signer, alg, header, claims string) []byte {
	tb.Helper()
	signed := encode(header) + "." + encode(claims)
	signer, err := jws.NewSigner(jwa.SignatureAlgorithm(alg))
	if err != nil {
		tb.Fatal(err)
	}
	signature, err := signer.Sign([]byte(signed), key)
	if err != nil {
		tb.Fatal(err)
	}
	return []byte(signed + "." + encode(string(signature)))
}

// without drops a member of the claims, with replaces or adds one.
func without(tb testing.TB, name string) string { return with(tb, name, "") }

func with(tb testing.TB, name, value string) string {
	tb.Helper()
	var claims map[string]json.RawMessage
	if err := json.Unmarshal([]byte(goodClaims), &claims); err != nil {
		tb.Fatal(err)
	}
	delete(claims, name)
	if value != "" {
		claims[name] = json.RawMessage(value)
	}
	out, err := json.Marshal(claims)
	if err != nil {
		tb.Fatal(err)
	}
	return string(out)
}

func TestVerifyClaims(t *testing.T) {
	key, err := events.GenerateKey(events.EdDSA)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := events.NewKeySet(events.PublicKey{Key: key.Public(), Algorithm: events.EdDSA, KeyID: "k1"})
	if err != nil {
		t.Fatal(err)
	}
	const header = `{"alg":"EdDSA","typ":"secevent+jwt","kid":"k1"}`
	tests := []struct {
		id, header, claims string
		want               error
		code               string
	}{
		{"good", header, goodClaims, nil, ""},
		{"SP-12 unknown claims", header, with(t, "extra", `{"a":[1]}`), nil, ""},
		{"SP-07 aud array", header, with(t, "aud", `["https://other.example","https://party.example"]`), nil, ""},
		{"ET-02 iat with a fraction", header, with(t, "iat", `1790000000.9`), nil, ""},
		{"SP-11 iat within the skew", header, with(t, "iat", `1790000060`), nil, ""},
		{"unknown event type", header, with(t, "events", `{"https://example.com/event":{"a":1}}`), nil, ""},
		{"no txn", header, without(t, "txn"), nil, ""},
		{"unknown header member", `{"alg":"EdDSA","typ":"secevent+jwt","kid":"k1","jku":"https://evil.example"}`, goodClaims, nil, ""},

		{"SP-01 typ missing", `{"alg":"EdDSA","kid":"k1"}`, goodClaims, events.ErrInvalidRequest, "invalid_request"},
		{"SP-01 typ JWT", `{"alg":"EdDSA","typ":"JWT","kid":"k1"}`, goodClaims, events.ErrInvalidRequest, "invalid_request"},
		{"SP-01 typ at+jwt", `{"alg":"EdDSA","typ":"at+jwt","kid":"k1"}`, goodClaims, events.ErrInvalidRequest, "invalid_request"},
		{"crit", `{"alg":"EdDSA","typ":"secevent+jwt","kid":"k1","crit":["b64"],"b64":false}`, goodClaims, events.ErrInvalidRequest, "invalid_request"},
		{"header repeats alg", `{"alg":"none","alg":"EdDSA","typ":"secevent+jwt","kid":"k1"}`, goodClaims, events.ErrInvalidRequest, "invalid_request"},
		{"header no object", `"secevent+jwt"`, goodClaims, events.ErrInvalidRequest, "invalid_request"},
		{"SP-04 sub", header, with(t, "sub", `"s"`), events.ErrInvalidRequest, "invalid_request"},
		{"SP-04 sub null", header, with(t, "sub", `null`), events.ErrInvalidRequest, "invalid_request"},
		{"SP-05 exp", header, with(t, "exp", `1890000000`), events.ErrInvalidRequest, "invalid_request"},
		{"ET-01 iss missing", header, without(t, "iss"), events.ErrInvalidRequest, "invalid_request"},
		{"ET-02 iat missing", header, without(t, "iat"), events.ErrInvalidRequest, "invalid_request"},
		{"ET-02 iat null", header, with(t, "iat", `null`), events.ErrInvalidRequest, "invalid_request"},
		{"ET-02 iat text", header, with(t, "iat", `"1790000000"`), events.ErrInvalidRequest, "invalid_request"},
		{"ET-02 iat huge", header, with(t, "iat", `1e300`), events.ErrInvalidRequest, "invalid_request"},
		{"ET-02 iat negative", header, with(t, "iat", `-5`), events.ErrInvalidRequest, "invalid_request"},
		{"SP-11 iat in the future", header, with(t, "iat", `1790000061`), events.ErrInvalidRequest, "invalid_request"},
		{"ET-03 jti missing", header, without(t, "jti"), events.ErrInvalidRequest, "invalid_request"},
		{"ET-03 jti empty", header, with(t, "jti", `""`), events.ErrInvalidRequest, "invalid_request"},
		{"ET-03 jti number", header, with(t, "jti", `7`), events.ErrInvalidRequest, "invalid_request"},
		{"ET-08 txn number", header, with(t, "txn", `7`), events.ErrInvalidRequest, "invalid_request"},
		{"ET-04 aud missing", header, without(t, "aud"), events.ErrInvalidRequest, "invalid_request"},
		{"ET-04 aud empty", header, with(t, "aud", `[]`), events.ErrInvalidRequest, "invalid_request"},
		{"ET-05 events missing", header, without(t, "events"), events.ErrInvalidRequest, "invalid_request"},
		{"ET-05 events of none", header, with(t, "events", `{}`), events.ErrInvalidRequest, "invalid_request"},
		{"ET-05 events array", header, with(t, "events", `[{}]`), events.ErrInvalidRequest, "invalid_request"},
		{"CI-22 two events", header, with(t, "events", `{"urn:a:b":{},"urn:a:c":{}}`), events.ErrInvalidRequest, "invalid_request"},
		{"ET-05 same event twice", header, with(t, "events", `{"urn:a:b":{},"urn:a:b":{}}`), events.ErrInvalidRequest, "invalid_request"},
		{"EV-02 payload null", header, with(t, "events", `{"urn:a:b":null}`), events.ErrInvalidRequest, "invalid_request"},
		{"EV-02 payload array", header, with(t, "events", `{"urn:a:b":[]}`), events.ErrInvalidRequest, "invalid_request"},
		{"ET-05 event's name no URI", header, with(t, "events", `{"feed-add":{}}`), events.ErrInvalidRequest, "invalid_request"},
		{"ET-10 sub_id missing", header, without(t, "sub_id"), events.ErrInvalidRequest, "invalid_request"},
		{"FM-05 sub_id text", header, with(t, "sub_id", `"s"`), events.ErrInvalidRequest, "invalid_request"},
		{"FM-01 sub_id malformed", header, with(t, "sub_id", `{"format":"email"}`), events.ErrInvalidRequest, "invalid_request"},
		{"claim repeated", header, strings.Replace(goodClaims, `{"iss"`, `{"iss":"https://hub.example","iss"`, 1), events.ErrInvalidRequest, "invalid_request"},
		{"claims no object", header, `[]`, events.ErrInvalidRequest, "invalid_request"},
		{"claims and more", header, goodClaims + `{}`, events.ErrInvalidRequest, "invalid_request"},
		{"claims too deep", header, with(t, "extra", strings.Repeat("[", 500)+strings.Repeat("]", 500)), events.ErrInvalidRequest, "invalid_request"},

		{"SP-06 another issuer", header, with(t, "iss", `"https://hub.example/"`), events.ErrInvalidIssuer, "invalid_issuer"},
		{"SP-16 another audience", header, with(t, "aud", `"https://other.example"`), events.ErrInvalidAudience, "invalid_audience"},
		{"MD-24 kid unknown", `{"alg":"EdDSA","typ":"secevent+jwt","kid":"k2"}`, goodClaims, events.ErrUnknownKey, "invalid_key"},
		{"kid missing", `{"alg":"EdDSA","typ":"secevent+jwt"}`, goodClaims, events.ErrInvalidKey, "invalid_key"},
		{"alg of another kind of key", `{"alg":"ES256","typ":"secevent+jwt","kid":"k1"}`, goodClaims, events.ErrInvalidKey, "invalid_key"},
		{"alg in lower case", `{"alg":"eddsa","typ":"secevent+jwt","kid":"k1"}`, goodClaims, events.ErrInvalidKey, "invalid_key"},
	}
	for _, test := range tests {
		t.Run(test.id, func(t *testing.T) {
			token, err := events.Verify(forge(t, key, "EdDSA", test.header, test.claims), keys, expect())
			if !errors.Is(err, test.want) {
				t.Fatalf("error %v, want %v", err, test.want)
			}
			if test.want == nil {
				if token.JTI != "jti-1" || token.Payload == nil {
					t.Errorf("got %+v", token)
				}
				return
			}
			if got := events.Code(err); got != test.code {
				t.Errorf("code %s, want %s", got, test.code)
			}
			if token.JTI != "" || token.Payload != nil {
				t.Errorf("a refused token was returned: %+v", token)
			}
		})
	}
	if _, err := events.Verify(forge(t, key, "EdDSA", header, goodClaims), events.KeySet{}, expect()); !errors.Is(err, events.ErrUnknownKey) {
		t.Errorf("empty key set: %v", err)
	}
}

// EV-05 and RFC 8725 §3.1: whoever knows the public key only cannot make a SET.
func TestAlgorithmConfusion(t *testing.T) {
	for _, alg := range []events.Algorithm{events.ES256, events.RS256, events.EdDSA} {
		signer, keys := newSigner(t, alg)
		public := signer.PublicKey()
		for _, name := range []string{"none", "None", "NONE", "", "HS256"} {
			header := fmt.Sprintf(`{"alg":%q,"typ":"secevent+jwt","kid":%q}`, name, public.KeyID)
			signed := encode(header) + "." + encode(goodClaims)
			for what, secret := range knownTexts(t, keys, public) {
				mac := hmac.New(sha256.New, secret)
				mac.Write([]byte(signed))
				for _, signature := range []string{"", encode(string(mac.Sum(nil)))} {
					_, err := events.Verify([]byte(signed+"."+signature), keys, expect())
					if !errors.Is(err, events.ErrInvalidKey) {
						t.Errorf("%s key, alg %q, secret %s: %v, want ErrInvalidKey", alg, name, what, err)
					}
				}
			}
		}
		if _, err := events.NewSigner(hmacSigner{}, "HS256", "k"); !errors.Is(err, events.ErrKey) {
			t.Errorf("a signer for HS256: %v", err)
		}
	}
}

// knownTexts are the forms of a public key that an attacker could take as a secret.
func knownTexts(t *testing.T, keys events.KeySet, public events.PublicKey) map[string][]byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public.Key)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string][]byte{
		"DER": der, "JWKS": set, "nothing": {},
		"PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
	}
	if raw, ok := public.Key.(ed25519.PublicKey); ok {
		texts["raw"] = raw
	}
	return texts
}

type hmacSigner struct{}

func (hmacSigner) Public() crypto.PublicKey { return []byte("secret") }
func (hmacSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return []byte("mac"), nil
}

// The alg of one key is not usable with the other, and neither signs for the other.
func TestKeysAreNotInterchangeable(t *testing.T) {
	first, _ := newSigner(t, events.ES256)
	second, _ := newSigner(t, events.EdDSA)
	keys, err := events.NewKeySet(first.PublicKey(), second.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	for _, signer := range []*events.Signer{first, second} {
		compact, err := signer.Sign(token())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := events.Verify(compact, keys, expect()); err != nil {
			t.Fatal(err)
		}
		other := first.PublicKey()
		if signer == first {
			other = second.PublicKey()
		}
		parts := strings.Split(string(compact), ".")
		for _, alg := range []events.Algorithm{events.ES256, events.EdDSA, events.RS256} {
			header := fmt.Sprintf(`{"alg":%q,"typ":"secevent+jwt","kid":%q}`, alg, other.KeyID)
			forged := encode(header) + "." + parts[1] + "." + parts[2]
			if _, err := events.Verify([]byte(forged), keys, expect()); !errors.Is(err, events.ErrInvalidKey) {
				t.Errorf("another key's signature under %s: %v", alg, err)
			}
		}
	}
}

// No bit of a SET can be changed, nothing added, nothing left out.
func TestVerifyRefusesAnyOtherText(t *testing.T) {
	signer, keys := newSigner(t, events.ES256)
	compact, err := signer.Sign(token())
	if err != nil {
		t.Fatal(err)
	}
	text := string(compact)
	for i := range compact {
		changed := []byte(text)
		changed[i] ^= 1
		if _, err := events.Verify(changed, keys, expect()); err == nil {
			t.Fatalf("accepted with byte %d changed", i)
		}
	}
	parts := strings.Split(text, ".")
	for id, bad := range map[string]string{
		"newline at the end":  text + "\n",
		"newline inside":      text[:40] + "\n" + text[40:],
		"padding":             text + "=",
		"unused last bits":    text[:len(text)-1] + string(text[len(text)-1]+1), // 64 bytes leave four of them
		"four parts":          text + ".x",
		"two parts":           parts[0] + "." + parts[1],
		"no signature":        parts[0] + "." + parts[1] + ".",
		"no claims":           parts[0] + ".." + parts[2],
		"JSON serialization":  `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"nothing":             "",
		"larger than a token": parts[0] + "." + strings.Repeat("A", events.MaxToken) + "." + parts[2],
	} {
		if _, err := events.Verify([]byte(bad), keys, expect()); err == nil {
			t.Errorf("%s: accepted", id)
		}
	}
}

func TestVerifyTime(t *testing.T) {
	signer, keys := newSigner(t, events.EdDSA)
	compact, err := signer.Sign(token())
	if err != nil {
		t.Fatal(err)
	}
	held := expect()
	held.Skew = 0
	if _, err := events.Verify(compact, keys, held); err != nil {
		t.Errorf("made this very second: %v", err)
	}
	held.Now = now.Add(-time.Second)
	if _, err := events.Verify(compact, keys, held); !errors.Is(err, events.ErrInvalidRequest) {
		t.Errorf("made in the next second: %v", err)
	}
	held.Now = now.AddDate(5, 0, 0) // SETs do not expire (SP-05)
	if _, err := events.Verify(compact, keys, held); err != nil {
		t.Errorf("made years ago: %v", err)
	}
}

func TestCode(t *testing.T) {
	for err, want := range map[error]string{
		events.ErrInvalidRequest:                       "invalid_request",
		fmt.Errorf("x: %w", events.ErrUnknownKey):      "invalid_key",
		fmt.Errorf("x: %w", events.ErrInvalidIssuer):   "invalid_issuer",
		fmt.Errorf("x: %w", events.ErrInvalidAudience): "invalid_audience",
		io.EOF: "invalid_request",
	} {
		if got := events.Code(err); got != want {
			t.Errorf("Code(%v) = %s, want %s", err, got, want)
		}
	}
}

// fuzzKey is one fixed key, so that findings are the same in every run.
func fuzzKey() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) }

// Whatever header and claims a rightful signer signs, Verify answers without panic,
// and what it accepts can be sent on and is accepted again.
func FuzzVerify(f *testing.F) {
	key := fuzzKey()
	keys, err := events.NewKeySet(events.PublicKey{Key: key.Public(), Algorithm: events.EdDSA, KeyID: "k1"})
	if err != nil {
		f.Fatal(err)
	}
	signer, err := events.NewSigner(key, events.EdDSA, "k1")
	if err != nil {
		f.Fatal(err)
	}
	const header = `{"alg":"EdDSA","typ":"secevent+jwt","kid":"k1"}`
	f.Add(header, goodClaims, "")
	f.Add(header, with(f, "events", `{"https://schemas.openid.net/secevent/caep/event-type/session-revoked":{"event_timestamp":1e2,"a":{"b":[1.50]}}}`), "")
	f.Add(header, with(f, "aud", `["https://party.example","b"]`), "")
	f.Add(`{"alg":"none"}`, goodClaims, "a.b.c")
	f.Add("", "", "....")
	f.Fuzz(func(t *testing.T, header, claims, raw string) {
		if _, err := events.Verify([]byte(raw), keys, expect()); err == nil {
			t.Fatalf("accepted %q, which nobody signed", raw)
		}
		got, err := events.Verify(forge(t, key, "EdDSA", header, claims), keys, expect())
		if err != nil {
			if got.JTI != "" {
				t.Fatal("a refused token was returned")
			}
			return
		}
		compact, err := signer.Sign(got)
		if err != nil {
			if events.Validate(got.Event, got.Payload) == nil {
				t.Fatalf("cannot sign what was verified: %v", err)
			}
			return
		}
		if _, err := events.Verify(compact, keys, expect()); err != nil {
			t.Fatalf("refused what was signed: %v", err)
		}
	})
}
