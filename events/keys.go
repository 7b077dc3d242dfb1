package events

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/lestrrat-go/jwx/v2/jwk"
)

// Algorithm is a JWS signature algorithm (RFC 7518 §3.1, RFC 8037 §3.1). There
// are no symmetric ones and no "none": a receiver's public keys are public, and
// would be everybody's secret.
type Algorithm string

// The algorithms. RS256 is what the CAEP interoperability profile 1.0 §2.6 asks
// for; ES256 signs more than ten times as fast (BenchmarkSign).
const (
	ES256 Algorithm = "ES256"
	RS256 Algorithm = "RS256"
	EdDSA Algorithm = "EdDSA"
)

// RSA keys below the minimum are not believed (CAEP interoperability profile 1.0
// §2.6); a larger one than the maximum makes a receiver work for an attacker.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

// ErrKey says that a key is unfit: of another kind than its algorithm's, too
// short, or not a key at all.
var ErrKey = errors.New("key is unfit")

// GenerateKey makes a private key for the algorithm: P-256, RSA of 2048 bits or
// Ed25519.
func GenerateKey(alg Algorithm) (crypto.Signer, error) {
	switch alg {
	case ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case RS256:
		return rsa.GenerateKey(rand.Reader, minRSABits)
	case EdDSA:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, fmt.Errorf("%w: algorithm is unknown", ErrKey)
}

// AlgorithmOf is the one algorithm a public key is used with here. An error wraps
// [ErrKey].
func AlgorithmOf(key crypto.PublicKey) (Algorithm, error) {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		if key == nil || key.Curve != elliptic.P256() {
			return "", fmt.Errorf("%w: not on P-256", ErrKey)
		}
		if _, err := key.ECDH(); err != nil {
			return "", fmt.Errorf("%w: not on P-256", ErrKey)
		}
		return ES256, nil
	case *rsa.PublicKey:
		if key == nil || key.N == nil || key.N.BitLen() < minRSABits || key.N.BitLen() > maxRSABits {
			return "", fmt.Errorf("%w: RSA needs %d to %d bits", ErrKey, minRSABits, maxRSABits)
		}
		return RS256, nil
	case ed25519.PublicKey:
		if len(key) != ed25519.PublicKeySize {
			return "", fmt.Errorf("%w: Ed25519 needs %d bytes", ErrKey, ed25519.PublicKeySize)
		}
		return EdDSA, nil
	}
	return "", fmt.Errorf("%w: of a kind not used here", ErrKey)
}

// KeyID names a public key by its SHA-256 thumbprint (RFC 7638), so that a key
// has the same id wherever it is read.
func KeyID(key crypto.PublicKey) (string, error) {
	if _, err := AlgorithmOf(key); err != nil {
		return "", err
	}
	shown, err := jwk.FromRaw(key)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrKey, err)
	}
	print, err := shown.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrKey, err)
	}
	return base64.RawURLEncoding.EncodeToString(print), nil
}

// MarshalPrivate writes a private key as PKCS #8 DER, unencrypted: whoever keeps
// it wraps it first.
func MarshalPrivate(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("%w: marshal: %w", ErrKey, err)
	}
	return der, nil
}

// ParsePrivate reads what [MarshalPrivate] wrote.
func ParsePrivate(der []byte) (crypto.Signer, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		// The cause may quote bytes of the key.
		return nil, fmt.Errorf("%w: not PKCS #8", ErrKey)
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: cannot sign", ErrKey)
	}
	if _, err := AlgorithmOf(key.Public()); err != nil {
		return nil, err
	}
	return key, nil
}
