package events

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
)

// MediaType is the media type of a SET in a request (RFC 8417 §2.3).
const MediaType = "application/secevent+jwt"

// MaxToken is the greatest size in bytes of a compact SET, made or accepted.
const MaxToken = 1 << 20

// Token is the claims set of one Security Event Token (RFC 8417 §2.2, SSF 1.0
// §4.1). There is no place for sub and exp, which SSF forbids (§4.1.2, §4.1.7).
type Token struct {
	Issuer   string
	JTI      string
	IssuedAt int64 // seconds since the Unix epoch, rounded down: never in the future
	Audience Audience
	SubID    Subject
	Txn      string // names the cause; left out if empty
	Event    Type
	Payload  map[string]any // numbers that were received are json.Number
}

// NewJTI returns a new token id: 128 random bits in URL-safe, unreserved
// characters (RFC 3986 §2.3).
func NewJTI() string {
	var id [16]byte
	rand.Read(id[:]) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// check tells what a token lacks to be sent.
func (t Token) check() error {
	switch {
	case t.Issuer == "":
		return fmt.Errorf("%w: iss is missing", ErrInvalidRequest)
	case t.JTI == "":
		return fmt.Errorf("%w: jti is missing", ErrInvalidRequest)
	case t.IssuedAt <= 0:
		return fmt.Errorf("%w: iat is missing", ErrInvalidRequest)
	case len(t.Audience) == 0 || slices.Contains(t.Audience, ""):
		return fmt.Errorf("%w: aud is missing", ErrInvalidRequest)
	case t.SubID.IsZero():
		return fmt.Errorf("%w: sub_id is missing", ErrInvalidRequest)
	case !isEventURI(string(t.Event)):
		return fmt.Errorf("%w: the event's name is no URI", ErrInvalidRequest)
	}
	if _, known := Lookup(t.Event); known {
		if err := Validate(t.Event, t.Payload); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalidRequest, err)
		}
	}
	return nil
}

// appendClaims appends the claims as JSON. Members stand in one order, so the
// same token gives the same text.
func (t Token) appendClaims(out []byte) ([]byte, error) {
	out = quote(append(out, `{"iss":`...), t.Issuer)
	out = quote(append(out, `,"jti":`...), t.JTI)
	out = strconv.AppendInt(append(out, `,"iat":`...), t.IssuedAt, 10)
	out = t.Audience.append(append(out, `,"aud":`...))
	out = append(append(out, `,"sub_id":`...), t.SubID.text...)
	if t.Txn != "" {
		out = quote(append(out, `,"txn":`...), t.Txn)
	}
	out = append(quote(append(out, `,"events":{`...), string(t.Event)), ':')
	if len(t.Payload) == 0 {
		return append(out, `{}}}`...), nil // never null (RFC 8417 §2)
	}
	payload, err := json.Marshal(t.Payload)
	if err != nil {
		return nil, fmt.Errorf("%w: marshal payload: %w", ErrInvalidRequest, err)
	}
	return append(append(out, payload...), '}', '}'), nil
}

// Kept reads a token that was signed here and kept since. It verifies nothing: a token that comes from anywhere else is
// for [Verify].
func Kept(compact []byte) (Token, error) {
	parts := bytes.Split(compact, []byte("."))
	if len(parts) != 3 {
		return Token{}, fmt.Errorf("%w: no compact token", ErrInvalidRequest)
	}
	claims, err := base64.RawURLEncoding.AppendDecode(nil, parts[1])
	if err != nil {
		return Token{}, fmt.Errorf("%w: claims are no base64url", ErrInvalidRequest)
	}
	return parseToken(claims)
}

// parseToken reads claims, strictly as SSF 1.0 §4.1 and the CAEP
// interoperability profile 1.0 §2.8.1 want them.
func parseToken(data []byte) (Token, error) {
	claims, err := object(data)
	if err != nil {
		return Token{}, fmt.Errorf("claims: %w", err)
	}
	for _, name := range []string{"sub", "exp"} {
		// Without them a SET cannot be passed off as an access or ID token.
		if _, present := claims[name]; present {
			return Token{}, fmt.Errorf("%s is forbidden", name)
		}
	}
	var t Token
	if t.Issuer, err = stringClaim(claims, "iss"); err != nil {
		return Token{}, err
	}
	if t.JTI, err = stringClaim(claims, "jti"); err != nil {
		return Token{}, err
	}
	if _, present := claims["txn"]; present {
		if t.Txn, err = stringClaim(claims, "txn"); err != nil {
			return Token{}, err
		}
	}
	if t.IssuedAt, err = date(claims["iat"]); err != nil {
		return Token{}, err
	}
	if err := t.Audience.UnmarshalJSON(claims["aud"]); err != nil {
		return Token{}, err
	}
	if t.SubID, err = ParseSubject(claims["sub_id"]); err != nil {
		return Token{}, fmt.Errorf("sub_id: %w", err)
	}
	if t.Event, t.Payload, err = event(claims["events"]); err != nil {
		return Token{}, err
	}
	return t, nil
}

func stringClaim(claims map[string]json.RawMessage, name string) (string, error) {
	value, ok := text(claims[name])
	if !ok {
		return "", fmt.Errorf("%s is missing or no string", name)
	}
	return value, nil
}

// date reads a NumericDate (RFC 7519 §2), rounding fractions down.
func date(raw json.RawMessage) (int64, error) {
	var seconds float64
	if len(raw) == 0 || raw[0] == 'n' || json.Unmarshal(raw, &seconds) != nil {
		return 0, fmt.Errorf("iat is missing or no number")
	}
	if seconds < 1 || seconds > 1<<40 {
		return 0, fmt.Errorf("iat is out of range")
	}
	return int64(math.Floor(seconds)), nil
}

// event reads the events claim, which must hold one event: several could only be
// further names of the same (RFC 8417 §2.2), and no receiver could order them.
func event(raw json.RawMessage) (Type, map[string]any, error) {
	var named map[string]json.RawMessage
	if json.Unmarshal(raw, &named) != nil || len(named) != 1 {
		return "", nil, fmt.Errorf("events must be an object with one member")
	}
	for name, value := range named {
		if !isEventURI(name) {
			return "", nil, fmt.Errorf("the event's name is no URI")
		}
		payload, err := decodePayload(value)
		return Type(name), payload, err
	}
	panic("a map with one member has a member")
}

func isEventURI(name string) bool {
	u, err := url.Parse(name)
	return err == nil && u.Scheme != "" && (u.Opaque != "" || u.Host != "")
}

// decodePayload reads an event's payload, keeping numbers as they were sent.
func decodePayload(raw json.RawMessage) (map[string]any, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var payload map[string]any
	if err := dec.Decode(&payload); err != nil || payload == nil {
		return nil, errors.New("the event's payload is no object")
	}
	return payload, nil
}
