package events_test

import (
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"tidings/events"
)

var now = time.Unix(1_790_000_000, 0)

const (
	issuer   = "https://hub.example"
	audience = "https://party.example"
)

// token is a token that every check accepts.
func token() events.Token {
	return events.Token{
		Issuer:   issuer,
		JTI:      "jti-1",
		IssuedAt: now.Unix(),
		Audience: events.Audience{audience},
		SubID:    events.SCIM("/Users/2819c223", ""),
		Txn:      "txn-1",
		Event:    events.ProvPatchNotice,
		Payload:  map[string]any{"attributes": []any{"emails", "name.familyName"}, "version": `W/"12"`},
	}
}

func expect() events.Expect {
	return events.Expect{Issuer: issuer, Audience: audience, Now: now, Skew: time.Minute}
}

func newSigner(tb testing.TB, alg events.Algorithm) (*events.Signer, events.KeySet) {
	tb.Helper()
	key, err := events.GenerateKey(alg)
	if err != nil {
		tb.Fatal(err)
	}
	kid, err := events.KeyID(key.Public())
	if err != nil {
		tb.Fatal(err)
	}
	signer, err := events.NewSigner(key, alg, kid)
	if err != nil {
		tb.Fatal(err)
	}
	keys, err := events.NewKeySet(signer.PublicKey())
	if err != nil {
		tb.Fatal(err)
	}
	return signer, keys
}

// What the signer makes, the verifier accepts, by way of the published key set
// (SP-01, SP-15, MD-24, ET-01 to ET-05, ET-10).
func TestSignedTokenIsVerifiedByPublishedKeys(t *testing.T) {
	for _, alg := range []events.Algorithm{events.ES256, events.RS256, events.EdDSA} {
		t.Run(string(alg), func(t *testing.T) {
			signer, keys := newSigner(t, alg)
			published, err := json.Marshal(keys)
			if err != nil {
				t.Fatal(err)
			}
			read, err := events.ParseKeySet(published)
			if err != nil {
				t.Fatal(err)
			}
			compact, err := signer.Sign(token())
			if err != nil {
				t.Fatal(err)
			}
			got, err := events.Verify(compact, read, expect())
			if err != nil {
				t.Fatal(err)
			}
			if want := token(); !reflect.DeepEqual(got, want) {
				t.Errorf("verified %+v, want %+v", got, want)
			}
		})
	}
}

// opaqueKey is a key that only signs, like one in a hardware module: it is not an
// *ecdsa.PrivateKey to jwx, and its ASN.1 signatures have to become r||s.
type opaqueKey struct{ crypto.Signer }

func TestSignThroughCryptoSigner(t *testing.T) {
	for _, alg := range []events.Algorithm{events.ES256, events.RS256, events.EdDSA} {
		key, err := events.GenerateKey(alg)
		if err != nil {
			t.Fatal(err)
		}
		signer, err := events.NewSigner(opaqueKey{key}, alg, "k")
		if err != nil {
			t.Fatal(err)
		}
		keys, err := events.NewKeySet(signer.PublicKey())
		if err != nil {
			t.Fatal(err)
		}
		for range 64 { // r or s begins with a zero byte once in 128 signatures
			compact, err := signer.Sign(token())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := events.Verify(compact, keys, expect()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// The text of a SET: header, claims and their order (SP-01, SP-04, SP-05, SP-07, EV-02).
func TestSignedText(t *testing.T) {
	signer, _ := newSigner(t, events.ES256)
	tests := []struct {
		id     string
		change func(*events.Token)
		want   string
	}{
		{"all", func(*events.Token) {}, `{"iss":"https://hub.example","jti":"jti-1","iat":1790000000,"aud":"https://party.example",` +
			`"sub_id":{"format":"scim","uri":"/Users/2819c223"},"txn":"txn-1",` +
			`"events":{"urn:ietf:params:scim:event:prov:patch:notice":{"attributes":["emails","name.familyName"],"version":"W/\"12\""}}}`},
		{"no txn, no payload, two audiences", func(t *events.Token) {
			t.Txn, t.Payload, t.Event, t.Audience = "", nil, events.FeedAdd, events.Audience{"a", "b"}
		}, `{"iss":"https://hub.example","jti":"jti-1","iat":1790000000,"aud":["a","b"],` +
			`"sub_id":{"format":"scim","uri":"/Users/2819c223"},"events":{"urn:ietf:params:scim:event:feed:add":{}}}`},
	}
	for _, test := range tests {
		t.Run(test.id, func(t *testing.T) {
			made := token()
			test.change(&made)
			compact, err := signer.Sign(made)
			if err != nil {
				t.Fatal(err)
			}
			parts := strings.Split(string(compact), ".")
			header, err := base64.RawURLEncoding.DecodeString(parts[0])
			if err != nil {
				t.Fatal(err)
			}
			if want := `{"alg":"ES256","typ":"secevent+jwt","kid":"` + signer.PublicKey().KeyID + `"}`; string(header) != want {
				t.Errorf("header %s, want %s", header, want)
			}
			claims, err := base64.RawURLEncoding.DecodeString(parts[1])
			if err != nil {
				t.Fatal(err)
			}
			if string(claims) != test.want {
				t.Errorf("claims %s\nwant %s", claims, test.want)
			}
			if signature, err := base64.RawURLEncoding.DecodeString(parts[2]); err != nil || len(signature) != 64 {
				t.Errorf("ES256 signature of %d bytes, want r||s of 64 (%v)", len(signature), err)
			}
		})
	}
}

// A token that no receiver would take is not made.
func TestSignRefuses(t *testing.T) {
	signer, _ := newSigner(t, events.EdDSA)
	for id, change := range map[string]func(*events.Token){
		"ET-01 iss":           func(t *events.Token) { t.Issuer = "" },
		"ET-02 iat":           func(t *events.Token) { t.IssuedAt = 0 },
		"ET-03 jti":           func(t *events.Token) { t.JTI = "" },
		"ET-04 aud":           func(t *events.Token) { t.Audience = nil },
		"ET-04 aud empty":     func(t *events.Token) { t.Audience = events.Audience{""} },
		"ET-10 sub_id":        func(t *events.Token) { t.SubID = events.Subject{} },
		"ET-05 event":         func(t *events.Token) { t.Event = "feed-add" },
		"SV-08 payload":       func(t *events.Token) { t.Payload = nil },
		"payload no JSON":     func(t *events.Token) { t.Payload["x"] = func() {} },
		"larger than a token": func(t *events.Token) { t.Payload["x"] = strings.Repeat("a", events.MaxToken*3/4) },
	} {
		refused := token()
		change(&refused)
		if compact, err := signer.Sign(refused); !errors.Is(err, events.ErrInvalidRequest) || compact != nil {
			t.Errorf("%s: error %v, want ErrInvalidRequest", id, err)
		}
	}
}

// Numbers travel unchanged, whatever their size.
func TestPayloadNumbersAreKept(t *testing.T) {
	signer, keys := newSigner(t, events.EdDSA)
	sent := token()
	sent.Event = events.SessionRevoked
	sent.SubID = events.Opaque("s")
	sent.Payload = map[string]any{"event_timestamp": now.Unix(), "big": int64(9007199254740993)}
	compact, err := signer.Sign(sent)
	if err != nil {
		t.Fatal(err)
	}
	got, err := events.Verify(compact, keys, expect())
	if err != nil {
		t.Fatal(err)
	}
	if got.Payload["big"] != json.Number("9007199254740993") || got.Payload["event_timestamp"] != json.Number("1790000000") {
		t.Errorf("payload %v", got.Payload)
	}
	if err := events.Validate(got.Event, got.Payload); err != nil {
		t.Error(err)
	}
}

// ET-03, SC-01: ids do not repeat and need no escaping in a URL.
func TestNewJTI(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		jti := events.NewJTI()
		if seen[jti] || !regexp.MustCompile(`^[A-Za-z0-9_-]{22}$`).MatchString(jti) {
			t.Fatalf("jti %q", jti)
		}
		seen[jti] = true
	}
}

// What was signed here is read back as it was; anything else is no token, whatever it looks like.
func TestKept(t *testing.T) {
	for _, bad := range []string{"", "a.b", "a.b.c", "e30.e30.", "..", "a.****.c"} {
		if _, err := events.Kept([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	signer, _ := newSigner(t, events.ES256)
	want := token()
	compact, err := signer.Sign(want)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := events.Kept(compact); err != nil || got.JTI != want.JTI || got.Event != want.Event || got.SubID != want.SubID {
		t.Errorf("%+v %v", got, err)
	}
}
