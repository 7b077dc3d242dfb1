package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Bounds of a client assertion.
const (
	// MaxAssertion bounds it in bytes.
	MaxAssertion = 8 << 10
	// AssertionLife bounds how far ahead its end may be: for so long its jti is remembered.
	AssertionLife = 5 * time.Minute
	// assertionSkew is how far a client's clock may be ahead.
	assertionSkew = 30 * time.Second
	// maxAssertionID bounds its jti in bytes.
	maxAssertionID = 256
)

// ErrAssertion says that a client assertion proves nothing.
var ErrAssertion = errors.New("client assertion is not valid")

// Assertion is what a client said of itself, signed with its own key (RFC 7523
// §3): the way private_key_jwt of OpenID Connect Core 1.0 §9.
type Assertion struct {
	Client  string // iss and sub
	JTI     string // to be taken once
	Expires time.Time
	KeyID   string // of the key that signed it
}

// AssertionClient is whom an assertion claims to come from, believed in nothing
// yet: for finding the keys to verify it with. An error wraps [ErrAssertion].
func AssertionClient(compact []byte) (string, error) {
	_, claims, err := parseAssertion(compact)
	if err != nil {
		return "", err
	}
	return claims.client, nil
}

// VerifyAssertion checks an assertion for the authorization server of that name,
// its issuer: signed by the client's key that kid names with the algorithm that
// this key is for, meant for this server alone, and of a short life. Whether its
// jti was seen before is the caller's to know. Errors wrap [ErrAssertion].
//
// The audience is the issuer and nothing else, not even the URL of the token
// endpoint: an assertion that is good at two servers can be taken from one to the
// other. A kid may be left out where the client has one key only.
func VerifyAssertion(compact []byte, keys KeySet, issuer string, now time.Time) (Assertion, error) {
	jws, claims, err := parseAssertion(compact)
	if err != nil {
		return Assertion{}, err
	}
	if jws.kid == "" && keys.Len() == 1 {
		jws.kid = keys.keys[0].KeyID
	}
	if err := jws.authentic(keys); err != nil {
		return Assertion{}, fmt.Errorf("%w: %w", ErrAssertion, err)
	}
	if claims.audience != issuer {
		return Assertion{}, fmt.Errorf("%w: it is for another audience", ErrAssertion)
	}
	if err := claims.timely(now); err != nil {
		return Assertion{}, fmt.Errorf("%w: %w", ErrAssertion, err)
	}
	return Assertion{Client: claims.client, JTI: claims.jti, Expires: time.Unix(claims.exp, 0), KeyID: jws.kid}, nil
}

// assertionClaims are the claims of an assertion, as seconds where they are times;
// nbf and iat are 0 where they are missing.
type assertionClaims struct {
	client, audience, jti string
	exp, nbf, iat         int64
}

func parseAssertion(compact []byte) (compactJWS, assertionClaims, error) {
	jws, err := parseCompact(compact, MaxAssertion)
	if err != nil {
		return jws, assertionClaims{}, fmt.Errorf("%w: %w", ErrAssertion, err)
	}
	// A SET of a client that signs both with one key must not pass for its login.
	if kind := strings.ToLower(jws.typ); kind != "" && kind != "jwt" && kind != "client-authentication+jwt" {
		return jws, assertionClaims{}, fmt.Errorf("%w: typ is of something else", ErrAssertion)
	}
	claims, err := readAssertion(jws.claims)
	if err != nil {
		return jws, assertionClaims{}, fmt.Errorf("%w: %w", ErrAssertion, err)
	}
	return jws, claims, nil
}

func readAssertion(data []byte) (c assertionClaims, err error) {
	members, err := object(data)
	if err != nil {
		return c, fmt.Errorf("claims: %w", err)
	}
	if c.client, err = stringClaim(members, "iss"); err != nil {
		return c, err
	}
	if subject, _ := text(members["sub"]); subject != c.client {
		return c, errors.New("iss and sub are not the same")
	}
	if c.jti, err = stringClaim(members, "jti"); err != nil {
		return c, err
	}
	if len(c.jti) > maxAssertionID {
		return c, fmt.Errorf("jti is longer than %d bytes", maxAssertionID)
	}
	audience := members["aud"]
	var list []json.RawMessage
	if json.Unmarshal(audience, &list) == nil && len(list) == 1 {
		audience = list[0]
	}
	if c.audience, _ = text(audience); c.audience == "" {
		return c, errors.New("aud is not one name")
	}
	for name, time := range map[string]*int64{"exp": &c.exp, "nbf": &c.nbf, "iat": &c.iat} {
		raw, present := members[name]
		if !present && name != "exp" {
			continue
		}
		if *time, err = date(raw); err != nil {
			return c, fmt.Errorf("%s is missing or no time", name)
		}
	}
	return c, nil
}

// timely holds the times of an assertion against the server's.
func (c assertionClaims) timely(now time.Time) error {
	ahead := now.Add(assertionSkew).Unix()
	switch {
	case c.exp <= now.Unix():
		return errors.New("it expired")
	case c.exp > now.Add(AssertionLife+assertionSkew).Unix():
		return fmt.Errorf("it ends more than %v ahead", AssertionLife)
	case c.nbf > ahead, c.iat > ahead:
		return errors.New("it begins in the future")
	case c.nbf > c.exp, c.iat > c.exp:
		return errors.New("it ends before it begins")
	}
	return nil
}

// Members of a JWK that nobody but its owner may know (RFC 7518 §6).
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

// ParseClientKeys reads the JWK Set by which an operator registers a client's
// keys. Other than [ParseKeySet] it takes all of the set or nothing: a key that
// would be passed over in silence is one that its owner waits for in vain. A key
// without kid is named by its thumbprint. Errors wrap [ErrKey] and never quote a
// key.
func ParseClientKeys(data []byte) ([]PublicKey, error) {
	if len(data) > maxKeySet {
		return nil, fmt.Errorf("%w: set larger than %d bytes", ErrKey, maxKeySet)
	}
	members, err := object(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	var raws []json.RawMessage
	if err := json.Unmarshal(members["keys"], &raws); err != nil || raws == nil {
		return nil, fmt.Errorf("%w: set has no array of keys", ErrKey)
	}
	keys := make([]PublicKey, len(raws))
	for i, raw := range raws {
		if keys[i], err = clientKey(raw); err != nil {
			return nil, fmt.Errorf("key %d of the set: %w", i+1, err)
		}
	}
	_, err = NewKeySet(keys...)
	return keys, err
}

func clientKey(raw json.RawMessage) (PublicKey, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil || members == nil {
		return PublicKey{}, fmt.Errorf("%w: not an object", ErrKey)
	}
	if slices.ContainsFunc(privateMembers, func(name string) bool { _, there := members[name]; return there }) {
		return PublicKey{}, fmt.Errorf("%w: it holds a secret; public keys only", ErrKey)
	}
	if use, there := members["use"]; there && string(use) != `"sig"` {
		return PublicKey{}, fmt.Errorf("%w: not for signatures", ErrKey)
	}
	key, ok := publicKey(raw)
	if !ok {
		return PublicKey{}, fmt.Errorf("%w: not an EC, RSA or OKP public key", ErrKey)
	}
	alg, err := AlgorithmOf(key)
	if err != nil {
		return PublicKey{}, err
	}
	if stated, there := members["alg"]; there && string(stated) != `"`+string(alg)+`"` {
		return PublicKey{}, fmt.Errorf("%w: alg is not %s, which such a key is used with here", ErrKey, alg)
	}
	kid, named := text(members["kid"])
	if !named {
		kid, err = KeyID(key)
	}
	return PublicKey{Key: key, Algorithm: alg, KeyID: kid}, err
}
