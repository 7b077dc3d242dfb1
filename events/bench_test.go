package events_test

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"

	"tidings/events"
)

// BenchmarkSign holds making a SET against the bare signature of its digest, and
// against jws.Sign with the key as it is; the hub's rate of SETs rests on it.
func BenchmarkSign(b *testing.B) {
	for _, alg := range []events.Algorithm{events.ES256, events.RS256, events.EdDSA} {
		key, err := events.GenerateKey(alg)
		if err != nil {
			b.Fatal(err)
		}
		signer, err := events.NewSigner(key, alg, "k1")
		if err != nil {
			b.Fatal(err)
		}
		compact, err := signer.Sign(token())
		if err != nil {
			b.Fatal(err)
		}
		b.Run(string(alg)+"/set", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := signer.Sign(token()); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(string(alg)+"/bare", func(b *testing.B) {
			digest, hash := sha256.Sum256(compact), crypto.Hash(crypto.SHA256)
			message := digest[:]
			if alg == events.EdDSA {
				message, hash = compact, 0
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := key.Sign(rand.Reader, message, hash); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(string(alg)+"/jws.Sign", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := jws.Sign(compact, jws.WithKey(jwa.SignatureAlgorithm(alg), key)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, alg := range []events.Algorithm{events.ES256, events.RS256, events.EdDSA} {
		signer, keys := newSigner(b, alg)
		compact, err := signer.Sign(token())
		if err != nil {
			b.Fatal(err)
		}
		b.Run(string(alg), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := events.Verify(compact, keys, expect()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
