package hub

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tidings/events"
)

const (
	// MaxPartyKeys bounds the public keys by which a party may prove itself.
	MaxPartyKeys = 8
	// AccessLife is how long an access token lives, if the credential behind it lives as long (CI-14, PB-18).
	AccessLife = 10 * time.Minute
	// maxAssertions bounds the assertions of a party that are remembered until they expire.
	maxAssertions = 10000
)

// SetPartyKeys makes the keys of a JWK Set (RFC 7517 section 5) those by which a party may prove itself, for some of its
// scopes; none are all. Keys that stand there already stay as they are, others end at once, with the access tokens that
// were got with them. ErrBadRequest, events.ErrKey, ErrScope, ErrNotFound.
func (h *Hub) SetPartyKeys(ctx context.Context, party ID, jwks []byte, wanted []Scope) ([]Token, error) {
	public, err := events.ParseClientKeys(jwks)
	if err != nil {
		return nil, fmt.Errorf("set keys: %w", err)
	}
	if len(public) > MaxPartyKeys {
		return nil, fmt.Errorf("set keys: %w: at most %d keys", ErrBadRequest, MaxPartyKeys)
	}
	may, err := scopes(wanted, RoleParty.Scopes())
	if err != nil {
		return nil, fmt.Errorf("set keys: %w", err)
	}
	now := h.now()
	keys := make([]Token, len(public))
	for i, key := range public {
		t := Token{ID: NewID(), Role: RoleParty, Party: party, Scopes: may, CreatedAt: now}
		// No text has this hash that anybody knows: a key is no bearer token.
		_, t.Hash = newToken()
		if t.Name, err = label(key.KeyID); err != nil || t.Name != key.KeyID {
			return nil, fmt.Errorf("set keys: %w: a kid has 1 to 200 characters", ErrBadRequest)
		}
		set, err := events.NewKeySet(key)
		if err == nil {
			t.Key, err = json.Marshal(set)
		}
		if err != nil {
			return nil, fmt.Errorf("set keys: %w", err)
		}
		keys[i] = t
	}
	if err := h.store.SetKeys(ctx, party, keys, now); err != nil {
		return nil, fmt.Errorf("set keys: %w", err)
	}
	return h.store.Keys(ctx, party)
}

// PartyKeys lists the valid keys of a party. ErrNotFound.
func (h *Hub) PartyKeys(ctx context.Context, party ID) ([]Token, error) {
	if p, err := h.store.Party(ctx, party); err != nil {
		return nil, err
	} else if p.Removed != 0 {
		return nil, ErrNotFound
	}
	return h.store.Keys(ctx, party)
}

// ExchangeKeys says which of a party's keys end and which begin when it is to have others. One that stays keeps its id,
// so that what was got with it stays good.
func ExchangeKeys(have, want []Token) (end []ID, begin []Token) {
	same := func(a, b Token) bool { return bytes.Equal(a.Key, b.Key) && slices.Equal(a.Scopes, b.Scopes) }
	for _, h := range have {
		if !slices.ContainsFunc(want, func(w Token) bool { return same(h, w) }) {
			end = append(end, h.ID)
		}
	}
	for _, w := range want {
		if !slices.ContainsFunc(have, func(h Token) bool { return same(h, w) }) {
			begin = append(begin, w)
		}
	}
	return end, begin
}

// Proof is how a party proves itself for an access token: with one of its tokens as the secret of the client that is
// named by its id, or with an assertion that one of its keys signed.
type Proof struct {
	Client, Secret string
	Assertion      []byte // in the place of Secret; Client may be empty then
}

// Access is an access token.
type Access struct {
	Token  string
	Scopes []Scope
	Life   time.Duration
}

// Access gives a party a token of a short life, for the scopes that it wants of those that its credential has; none
// wanted are all. Nothing is stored: the token is sealed, and good as long as the credential behind it is.
// ErrUnauthenticated for whatever proves nothing, ErrScope, ErrTooSoon for more assertions than are remembered.
func (h *Hub) Access(ctx context.Context, p Proof, wanted []Scope) (Access, error) {
	now := h.now()
	credential, err := h.prove(ctx, p, now)
	if err != nil {
		return Access{}, fmt.Errorf("access: %w", err)
	}
	h.used.note(credential.ID, now)
	a := Access{Life: AccessLife}
	if a.Scopes, err = scopes(wanted, credential.Scopes); err != nil {
		return Access{}, fmt.Errorf("access: %w", err)
	}
	if credential.Expires != 0 {
		a.Life = min(a.Life, time.Duration(credential.Expires-now)*time.Microsecond)
	}
	a.Token = h.keys.sealAccess(access{Credential: credential.ID, Expires: now + a.Life.Microseconds(), Scopes: a.Scopes})
	return a, nil
}

func (h *Hub) prove(ctx context.Context, p Proof, now int64) (*Token, error) {
	if p.Assertion != nil {
		return h.proveKey(ctx, p, now)
	}
	// A client that does not exist takes the path of one whose secret is wrong: the secret is looked up by its hash, and
	// who it belongs to is compared without a shortcut.
	t, err := h.store.TokenByHash(ctx, sha256.Sum256([]byte(p.Secret)))
	if errors.Is(err, ErrNotFound) {
		return nil, ErrUnauthenticated
	}
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare([]byte(t.Party.String()), []byte(p.Client)) == 0 || t.Role != RoleParty || !t.runs(now) {
		return nil, ErrUnauthenticated
	}
	return t, nil
}

// proveKey takes an assertion, once (RFC 7523 section 3). Only one that is good in every other way is remembered, so that
// strangers can make nothing grow. A client that does not exist has no key to verify a signature with, and is refused
// sooner. There is nothing to be had by that: an id has 80 random bits, so nobody finds one by trying, and whoever was told
// one knows no secret (RFC 6749 section 2.2).
func (h *Hub) proveKey(ctx context.Context, p Proof, now int64) (*Token, error) {
	client, err := events.AssertionClient(p.Assertion)
	if err != nil || p.Client != "" && p.Client != client {
		return nil, ErrUnauthenticated
	}
	party, err := ParseID(client)
	if err != nil {
		return nil, ErrUnauthenticated
	}
	credentials, err := h.store.Keys(ctx, party)
	if err != nil {
		return nil, err
	}
	keys, err := clientKeys(credentials)
	if err != nil {
		return nil, err
	}
	a, err := events.VerifyAssertion(p.Assertion, keys, h.conf.Issuer, time.UnixMicro(now))
	if err != nil {
		return nil, ErrUnauthenticated
	}
	i := slices.IndexFunc(credentials, func(t Token) bool { return t.Name == a.KeyID })
	if i < 0 {
		return nil, ErrUnauthenticated
	}
	seen := sha256.Sum256([]byte("assertion " + client + " " + a.JTI))
	err = h.store.Keep(ctx, Record{
		Key: base64.RawURLEncoding.EncodeToString(seen[:]), Group: "assertion " + client, Expires: a.Expires.UnixMicro() + clockSkew, // another node may still take it
	}, maxAssertions)
	switch {
	case errors.Is(err, ErrTaken):
		return nil, ErrUnauthenticated
	case errors.Is(err, ErrLimit):
		return nil, ErrTooSoon
	}
	return &credentials[i], err
}

// clientKeys are the keys of credentials in one set.
func clientKeys(credentials []Token) (events.KeySet, error) {
	var all []events.PublicKey
	for _, t := range credentials {
		keys, err := events.ParseClientKeys(t.Key)
		if err != nil {
			return events.KeySet{}, err
		}
		all = append(all, keys...)
	}
	return events.NewKeySet(all...)
}

// access is what an access token says, to the hub alone.
type access struct {
	Credential ID
	Expires    int64
	Scopes     []Scope
}

const accessHead = "tda_"

func (k *Keys) sealAccess(a access) string {
	plain := append([]byte{}, a.Credential[:]...)
	plain = binary.BigEndian.AppendUint64(plain, uint64(a.Expires))
	plain = append(plain, ScopeText(a.Scopes)...)
	return accessHead + base64.RawURLEncoding.EncodeToString(k.sealed(plain, "access"))
}

// openAccess reads what sealAccess wrote; false for any other text.
func (k *Keys) openAccess(text string) (a access, ok bool) {
	encoded, ok := strings.CutPrefix(text, accessHead)
	if !ok {
		return a, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return a, false
	}
	plain, err := k.unsealed(raw, "access")
	if err != nil || len(plain) < 24 {
		return a, false
	}
	return access{Credential: ID(plain[:16]), Expires: int64(binary.BigEndian.Uint64(plain[16:])), Scopes: ReadScopes(string(plain[24:]))}, true
}

// Genuine reports, without a look into the store, that a bearer token is an access token of the hub's own making which has
// not expired. Whether its credential still stands says Authenticate.
func (h *Hub) Genuine(bearer string) bool {
	a, ok := h.keys.openAccess(bearer)
	return ok && a.Expires > h.now()
}

// holder finds the credential behind a bearer token, and who calls with it.
func (h *Hub) holder(ctx context.Context, bearer string, now int64) (*Token, Caller, error) {
	if !strings.HasPrefix(bearer, accessHead) {
		t, err := h.store.TokenByHash(ctx, sha256.Sum256([]byte(bearer)))
		if err != nil {
			return nil, Caller{}, err
		}
		return t, t.caller(t.Scopes, t.Expires), nil
	}
	a, ok := h.keys.openAccess(bearer)
	if !ok || a.Expires <= now {
		return nil, Caller{}, ErrNotFound
	}
	t, err := h.store.Token(ctx, a.Credential)
	if err != nil {
		return nil, Caller{}, err
	}
	return t, t.caller(a.Scopes, a.Expires), nil
}
