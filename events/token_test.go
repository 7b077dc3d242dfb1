package events_test

import (
	"encoding/json"
	"reflect"
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
