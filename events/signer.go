package events

import (
	"crypto"
	"encoding/base64"
	"fmt"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// Signer signs tokens with one key. It is safe for concurrent use if the key is.
type Signer struct {
	key    crypto.Signer
	public PublicKey
	jws    jws.Signer
	header string // the JOSE header as it stands in every SET: encoded, with its dot
}

// NewSigner makes a signer. The key must be of the algorithm's kind (RS256: 2048
// bits or more), the kid not empty; otherwise the error wraps [ErrKey].
func NewSigner(key crypto.Signer, alg Algorithm, kid string) (*Signer, error) {
	if key == nil {
		return nil, fmt.Errorf("%w: there is none", ErrKey)
	}
	public := PublicKey{Key: key.Public(), Algorithm: alg, KeyID: kid}
	if _, err := NewKeySet(public); err != nil {
		return nil, err
	}
	by, err := jws.NewSigner(jwa.SignatureAlgorithm(alg))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	header := quote([]byte(`{"alg":"`+string(alg)+`","typ":"secevent+jwt","kid":`), kid)
	encoded := base64.RawURLEncoding.EncodeToString(append(header, '}'))
	return &Signer{key: key, public: public, jws: by, header: encoded + "."}, nil
}

// PublicKey is what receivers need to check the signer's tokens.
func (s *Signer) PublicKey() PublicKey { return s.public }

// Sign makes the compact SET of a token. A token that lacks a claim, whose payload
// breaks the definition of its event type, or that would be larger than
// [MaxToken] gets an error wrapping [ErrInvalidRequest]: no receiver would take
// it, however often it is sent.
func (s *Signer) Sign(t Token) ([]byte, error) {
	if err := t.check(); err != nil {
		return nil, fmt.Errorf("sign token: %w", err)
	}
	claims, err := t.appendClaims(make([]byte, 0, 640))
	if err != nil {
		return nil, fmt.Errorf("sign token: %w", err)
	}
	const signatures = 1400 // RSA of maxRSABits, encoded
	size := len(s.header) + base64.RawURLEncoding.EncodedLen(len(claims))
	if size+signatures > MaxToken {
		return nil, fmt.Errorf("sign token: %w: larger than %d bytes", ErrInvalidRequest, MaxToken)
	}
	compact := make([]byte, 0, size+400)
	compact = append(compact, s.header...)
	compact = base64.RawURLEncoding.AppendEncode(compact, claims)
	signature, err := s.jws.Sign(compact, s.key)
	if err != nil {
		return nil, fmt.Errorf("sign token: %w", err)
	}
	return base64.RawURLEncoding.AppendEncode(append(compact, '.'), signature), nil
}
