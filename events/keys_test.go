package events_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"tidings/events"
)

// The key of RFC 7638 §3.1 and its thumbprint.
func TestKeyIDIsTheThumbprint(t *testing.T) {
	const n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
	set, err := events.ParseKeySet([]byte(`{"keys":[{"kty":"RSA","e":"AQAB","n":"` + n + `","kid":"2011-04-29"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	key, ok := set.Find("2011-04-29")
	if !ok || key.Algorithm != events.RS256 {
		t.Fatalf("found %v, algorithm %q", ok, key.Algorithm)
	}
	kid, err := events.KeyID(key.Key)
	if err != nil {
		t.Fatal(err)
	}
	if want := "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"; kid != want {
		t.Errorf("thumbprint %s, want %s", kid, want)
	}
}

// A stored key is the same key, and its plain DER says nothing of its use.
func TestPrivateKeysAreReadBack(t *testing.T) {
	for _, alg := range []events.Algorithm{events.ES256, events.RS256, events.EdDSA} {
		key, err := events.GenerateKey(alg)
		if err != nil {
			t.Fatal(err)
		}
		der, err := events.MarshalPrivate(key)
		if err != nil {
			t.Fatal(err)
		}
		back, err := events.ParsePrivate(der)
		if err != nil {
			t.Fatal(err)
		}
		if !back.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(key.Public()) {
			t.Errorf("%s: another key was read", alg)
		}
		if got, err := events.AlgorithmOf(back.Public()); err != nil || got != alg {
			t.Errorf("algorithm %s (%v), want %s", got, err, alg)
		}
		for _, bad := range [][]byte{nil, der[1:], der[:len(der)-1]} {
			if _, err := events.ParsePrivate(bad); !errors.Is(err, events.ErrKey) {
				t.Errorf("%s: broken DER: %v", alg, err)
			}
		}
	}
	if _, err := events.GenerateKey("HS256"); !errors.Is(err, events.ErrKey) {
		t.Errorf("a key for HS256: %v", err)
	}
}

// CI-13, SP-15: too short RSA and other curves sign nothing and verify nothing.
func TestUnfitKeys(t *testing.T) {
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good, err := events.GenerateKey(events.ES256)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		id  string
		key crypto.Signer
		alg events.Algorithm
		kid string
	}{
		{"short RSA", short, events.RS256, "k"},
		{"P-384", p384, events.ES256, "k"},
		{"no key", nil, events.ES256, "k"},
		{"no kid", good, events.ES256, ""},
		{"another algorithm", good, events.RS256, "k"},
		{"no algorithm", good, "", "k"},
		{"none", good, "none", "k"},
	}
	for _, test := range tests {
		if _, err := events.NewSigner(test.key, test.alg, test.kid); !errors.Is(err, events.ErrKey) {
			t.Errorf("%s: %v, want ErrKey", test.id, err)
		}
	}
	public := events.PublicKey{Key: good.Public(), Algorithm: events.ES256, KeyID: "k"}
	if _, err := events.NewKeySet(public, public); !errors.Is(err, events.ErrKey) {
		t.Errorf("one id twice: %v", err)
	}
}

// MD-03, MD-23: the published set has kid, alg and use, and no private part.
func TestKeySetJSON(t *testing.T) {
	signer, keys := newSigner(t, events.ES256)
	out, err := json.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	var set struct {
		Keys []map[string]string `json:"keys"`
	}
	if err := json.Unmarshal(out, &set); err != nil || len(set.Keys) != 1 {
		t.Fatalf("%s: %v", out, err)
	}
	key := set.Keys[0]
	if key["kid"] != signer.PublicKey().KeyID || key["alg"] != "ES256" || key["use"] != "sig" || key["kty"] != "EC" || key["d"] != "" {
		t.Errorf("key %v", key)
	}
	if out, err := json.Marshal(events.KeySet{}); err != nil || string(out) != `{"keys":[]}` {
		t.Errorf("empty set is %s (%v)", out, err)
	}
}

const edKey = `"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"`

func TestParseKeySet(t *testing.T) {
	tests := []struct {
		id, in string
		keys   int // -1: refused
	}{
		{"usable", `{"keys":[{` + edKey + `,"kid":"a","alg":"EdDSA","use":"sig"}]}`, 1},
		{"neither alg nor use", `{"keys":[{` + edKey + `,"kid":"a"}],"more":1}`, 1},
		{"none", `{"keys":[]}`, 0},
		{"kty unknown", `{"keys":[{"kty":"PQ","kid":"b"},{` + edKey + `,"kid":"a"}]}`, 1},
		{"symmetric", `{"keys":[{"kty":"oct","k":"c2VjcmV0","kid":"a","alg":"HS256"}]}`, 0},
		{"no kid", `{"keys":[{` + edKey + `}]}`, 0},
		{"for encryption", `{"keys":[{` + edKey + `,"kid":"a","use":"enc"}]}`, 0},
		{"alg of another kind", `{"keys":[{` + edKey + `,"kid":"a","alg":"HS256"}]}`, 0},
		{"point not on the curve", `{"keys":[{"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA","kid":"a"}]}`, 0},
		{"RSA too short", `{"keys":[{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJX","e":"AQAB","kid":"a"}]}`, 0},
		{"X25519", `{"keys":[{"kty":"OKP","crv":"X25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"a"}]}`, 0},
		{"private", `{"keys":[{` + edKey + `,"kid":"a","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}]}`, -1},
		{"one id twice", `{"keys":[{` + edKey + `,"kid":"a"},{` + edKey + `,"kid":"a"}]}`, -1},
		{"member repeated", `{"keys":[{` + edKey + `,"kid":"a","kid":"b"}]}`, -1},
		{"no keys", `{}`, -1},
		{"a key alone", `{` + edKey + `,"kid":"a"}`, -1},
		{"key no object", `{"keys":["a"]}`, -1},
		{"no JSON", `keys`, -1},
		{"too many", `{"keys":[` + strings.Repeat(`{"kty":"x"},`, 64) + `{"kty":"x"}]}`, -1},
		{"too large", `{"keys":[],"x":"` + strings.Repeat("a", 256<<10) + `"}`, -1},
	}
	for _, test := range tests {
		t.Run(test.id, func(t *testing.T) {
			set, err := events.ParseKeySet([]byte(test.in))
			if test.keys < 0 {
				if !errors.Is(err, events.ErrKey) {
					t.Errorf("error %v, want ErrKey", err)
				}
				return
			}
			if err != nil || set.Len() != test.keys {
				t.Errorf("%d keys and error %v, want %d keys", set.Len(), err, test.keys)
			}
		})
	}
}

// What is read is written and read again the same.
func FuzzParseKeySet(f *testing.F) {
	f.Add([]byte(`{"keys":[{` + edKey + `,"kid":"a"}]}`))
	for _, alg := range []events.Algorithm{events.ES256, events.RS256} {
		_, keys := newSigner(f, alg)
		out, err := json.Marshal(keys)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(out)
	}
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"","y":"","kid":"a"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"","e":"","kid":"a"},{"kty":"oct"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := events.ParseKeySet(data)
		if err != nil {
			return
		}
		out, err := json.Marshal(set)
		if err != nil {
			t.Fatal(err)
		}
		again, err := events.ParseKeySet(out)
		if err != nil {
			t.Fatalf("%s is not read back: %v", out, err)
		}
		if same, err := json.Marshal(again); err != nil || !bytes.Equal(same, out) {
			t.Fatalf("%s is read back as %s (%v)", out, same, err)
		}
	})
}
