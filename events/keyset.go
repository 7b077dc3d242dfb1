package events

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/lestrrat-go/jwx/v2/jwk"
)

// Bounds of a key set read from a stranger.
const (
	maxKeySet = 256 << 10
	maxKeys   = 64
)

// PublicKey is a public key under its id, for one algorithm only.
type PublicKey struct {
	Key       crypto.PublicKey
	Algorithm Algorithm
	KeyID     string
}

// KeySet is a set of public keys, each with its own id: the JWK Set at jwks_uri
// (RFC 7517 §5). The zero KeySet is empty. It is immutable.
type KeySet struct {
	keys []PublicKey
}

// NewKeySet makes a set. A key of another kind than its algorithm's, or an id
// that is empty or taken, is an error wrapping [ErrKey].
func NewKeySet(keys ...PublicKey) (KeySet, error) {
	set := KeySet{keys: make([]PublicKey, 0, len(keys))}
	for _, key := range keys {
		alg, err := AlgorithmOf(key.Key)
		if err != nil {
			return KeySet{}, err
		}
		if alg != key.Algorithm {
			return KeySet{}, fmt.Errorf("%w: not for %s", ErrKey, key.Algorithm)
		}
		if _, taken := set.Find(key.KeyID); taken || key.KeyID == "" {
			return KeySet{}, fmt.Errorf("%w: id is empty or taken", ErrKey)
		}
		set.keys = append(set.keys, key)
	}
	return set, nil
}

// Find looks a key up by its id.
func (s KeySet) Find(kid string) (PublicKey, bool) {
	at := slices.IndexFunc(s.keys, func(key PublicKey) bool { return key.KeyID == kid })
	if at < 0 {
		return PublicKey{}, false
	}
	return s.keys[at], true
}

// Len is the number of keys.
func (s KeySet) Len() int { return len(s.keys) }

// MarshalJSON writes the JWK Set, each key with kid, alg and use.
func (s KeySet) MarshalJSON() ([]byte, error) {
	shown := make([]jwk.Key, len(s.keys))
	for i, key := range s.keys {
		var err error
		if shown[i], err = key.jwk(); err != nil {
			return nil, err
		}
	}
	return json.Marshal(map[string][]jwk.Key{"keys": shown})
}

func (k PublicKey) jwk() (jwk.Key, error) {
	shown, err := jwk.FromRaw(k.Key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	err = errors.Join(
		shown.Set(jwk.KeyIDKey, k.KeyID),
		shown.Set(jwk.AlgorithmKey, string(k.Algorithm)),
		shown.Set(jwk.KeyUsageKey, "sig"),
	)
	return shown, err
}

// ParseKeySet reads a JWK Set of at most 256 KiB and 64 keys. Keys that cannot
// sign a SET here (other kinds or algorithms, RSA below 2048 bits, no kid, for
// encryption) are passed over, as RFC 7517 §5 advises. A private key in the set,
// or two usable keys of one id, make the whole set unfit: nobody can tell any more
// who signs with it. Errors wrap [ErrKey].
func ParseKeySet(data []byte) (KeySet, error) {
	if len(data) > maxKeySet {
		return KeySet{}, fmt.Errorf("%w: set larger than %d bytes", ErrKey, maxKeySet)
	}
	members, err := object(data)
	if err != nil {
		return KeySet{}, fmt.Errorf("%w: %w", ErrKey, err)
	}
	var raws []json.RawMessage
	if err := json.Unmarshal(members["keys"], &raws); err != nil || raws == nil {
		return KeySet{}, fmt.Errorf("%w: set has no array of keys", ErrKey)
	}
	if len(raws) > maxKeys {
		return KeySet{}, fmt.Errorf("%w: set has more than %d keys", ErrKey, maxKeys)
	}
	var keys []PublicKey
	for _, raw := range raws {
		key, usable, err := parseJWK(raw)
		if err != nil {
			return KeySet{}, err
		}
		if usable {
			keys = append(keys, key)
		}
	}
	return NewKeySet(keys...)
}

// parseJWK reads one key of a set and tells whether it can be used here.
func parseJWK(raw json.RawMessage) (PublicKey, bool, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil || members == nil {
		return PublicKey{}, false, fmt.Errorf("%w: not an object", ErrKey)
	}
	kty, _ := text(members["kty"])
	if kty != "EC" && kty != "RSA" && kty != "OKP" {
		return PublicKey{}, false, nil
	}
	if _, private := members["d"]; private {
		return PublicKey{}, false, fmt.Errorf("%w: a private key is published", ErrKey)
	}
	if use, present := members["use"]; present && string(use) != `"sig"` {
		return PublicKey{}, false, nil
	}
	kid, named := text(members["kid"])
	if !named {
		return PublicKey{}, false, nil
	}
	key, ok := publicKey(raw)
	if !ok {
		return PublicKey{}, false, nil
	}
	alg, err := AlgorithmOf(key)
	if err != nil {
		return PublicKey{}, false, nil
	}
	if stated, present := members["alg"]; present && string(stated) != `"`+string(alg)+`"` {
		return PublicKey{}, false, nil
	}
	return PublicKey{Key: key, Algorithm: alg, KeyID: kid}, true, nil
}

func publicKey(raw json.RawMessage) (crypto.PublicKey, bool) {
	shown, err := jwk.ParseKey(raw)
	if err != nil {
		return nil, false
	}
	var key any
	if err := shown.Raw(&key); err != nil {
		return nil, false
	}
	switch key := key.(type) {
	case *ecdsa.PublicKey, *rsa.PublicKey, ed25519.PublicKey:
		return key, true
	}
	return nil, false
}
