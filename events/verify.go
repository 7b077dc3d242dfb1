package events

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// Why a SET was refused; each is an error code of RFC 8935 §2.4, see [Code].
var (
	ErrInvalidRequest  = errors.New("not a valid SET")
	ErrInvalidKey      = errors.New("SET is not signed by an accepted key")
	ErrInvalidIssuer   = errors.New("SET is from another issuer")
	ErrInvalidAudience = errors.New("SET is for another audience")

	// ErrUnknownKey is an ErrInvalidKey whose kid is not in the set: reading the
	// issuer's set again may help. For other ErrInvalidKey it cannot.
	ErrUnknownKey = fmt.Errorf("%w: kid is not in the set", ErrInvalidKey)
)

// Error codes of RFC 8935 §2.4 and, for verification, SSF 1.0 §8.1.4.1.
const (
	CodeInvalidRequest       = "invalid_request"
	CodeInvalidKey           = "invalid_key"
	CodeInvalidIssuer        = "invalid_issuer"
	CodeInvalidAudience      = "invalid_audience"
	CodeAuthenticationFailed = "authentication_failed"
	CodeAccessDenied         = "access_denied"
	CodeInvalidState         = "invalid_state"
)

// Code is the RFC 8935 §2.4 code of an error of [Verify]; of any other error it
// is invalid_request.
func Code(err error) string {
	switch {
	case errors.Is(err, ErrInvalidKey):
		return CodeInvalidKey
	case errors.Is(err, ErrInvalidIssuer):
		return CodeInvalidIssuer
	case errors.Is(err, ErrInvalidAudience):
		return CodeInvalidAudience
	}
	return CodeInvalidRequest
}

// Expect is what a receiver holds a SET against.
type Expect struct {
	Issuer   string        // the transmitter's issuer, compared byte for byte
	Audience string        // must be among the SET's
	Now      time.Time     // the receiver's time
	Skew     time.Duration // how far iat may be ahead of it
}

// Verify checks a compact SET and returns its claims: one event, typ
// secevent+jwt, no sub, no exp, signed by the key of the set that kid names with
// the algorithm this key is for, from the issuer, for the audience. The order is
// that of RFC 8935 §2: form, authenticity, audience. The issuer is looked at
// before its key is, so that a stranger's SET is called that.
//
// The payload is not held against its definition, for types a receiver does not
// know are to be ignored; see [Validate]. Repeats are the caller's to know by jti.
func Verify(compact []byte, keys KeySet, expect Expect) (Token, error) {
	set, err := parseSET(compact)
	if err != nil {
		return Token{}, fmt.Errorf("verify: %w: %w", ErrInvalidRequest, err)
	}
	t, err := parseToken(set.claims)
	if err != nil {
		return Token{}, fmt.Errorf("verify: %w: %w", ErrInvalidRequest, err)
	}
	if t.Issuer != expect.Issuer {
		return Token{}, fmt.Errorf("verify: %w", ErrInvalidIssuer)
	}
	if err := set.authentic(keys); err != nil {
		return Token{}, fmt.Errorf("verify: %w", err)
	}
	if !slices.Contains(t.Audience, expect.Audience) {
		return Token{}, fmt.Errorf("verify: %w", ErrInvalidAudience)
	}
	if t.IssuedAt > expect.Now.Add(expect.Skew).Unix() {
		return Token{}, fmt.Errorf("verify: %w: iat is in the future", ErrInvalidRequest)
	}
	return t, nil
}

// compactJWS is a compact JWS (RFC 7515 §7.1) taken apart, believed in nothing yet.
type compactJWS struct {
	typ               string
	alg, kid          string
	signed            []byte // header and claims as they were signed
	claims, signature []byte
}

func parseSET(compact []byte) (compactJWS, error) {
	set, err := parseCompact(compact, MaxToken)
	if err == nil && set.typ != "secevent+jwt" {
		err = errors.New("typ is not secevent+jwt") // another kind of JWT must not pass for a SET
	}
	return set, err
}

func parseCompact(compact []byte, limit int) (compactJWS, error) {
	if len(compact) > limit {
		return compactJWS{}, fmt.Errorf("larger than %d bytes", limit)
	}
	parts := bytes.Split(compact, []byte{'.'})
	if len(parts) != 3 {
		return compactJWS{}, errors.New("not a compact JWS")
	}
	var decoded [3][]byte
	for i, part := range parts {
		var err error
		if decoded[i], err = decodeBase64(part); err != nil {
			return compactJWS{}, err
		}
	}
	set := compactJWS{
		signed:    compact[:len(parts[0])+1+len(parts[1])],
		claims:    decoded[1],
		signature: decoded[2],
	}
	header, err := object(decoded[0])
	if err != nil {
		return compactJWS{}, fmt.Errorf("header: %w", err)
	}
	if _, present := header["crit"]; present {
		return compactJWS{}, errors.New("crit names extensions, and none are understood") // RFC 7515 §4.1.11
	}
	// Keys that the header brings along (jwk, jku, x5c, x5u) are never looked at.
	set.typ, _ = text(header["typ"])
	set.alg, _ = text(header["alg"])
	set.kid, _ = text(header["kid"])
	return set, nil
}

// decodeBase64 decodes unpadded base64url in its one canonical form (RFC 7515 §2).
// The decoder of the standard library passes over line breaks, so they are looked
// for.
func decodeBase64(part []byte) ([]byte, error) {
	decoded := make([]byte, base64.RawURLEncoding.DecodedLen(len(part)))
	n, err := base64.RawURLEncoding.Strict().Decode(decoded, part)
	if err != nil || bytes.ContainsAny(part, "\r\n") {
		return nil, errors.New("not base64url")
	}
	return decoded[:n], nil
}

// authentic checks the signature. The key decides the algorithm, and the header
// must say the same: so a public key is never used as an HMAC secret, and "none"
// is no algorithm of any key.
func (set compactJWS) authentic(keys KeySet) error {
	key, ok := keys.Find(set.kid)
	if !ok {
		return ErrUnknownKey
	}
	if set.alg != string(key.Algorithm) {
		return fmt.Errorf("%w: alg is not the key's", ErrInvalidKey)
	}
	verifier, err := jws.NewVerifier(jwa.SignatureAlgorithm(key.Algorithm))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalidKey, err)
	}
	if err := verifier.Verify(set.signed, set.signature, key.Key); err != nil {
		return fmt.Errorf("%w: signature does not fit", ErrInvalidKey)
	}
	return nil
}
