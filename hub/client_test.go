package hub_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"tidings/events"
	"tidings/hub"
)

// clientKey is a key pair of a party.
type clientKey struct {
	private ed25519.PrivateKey
	kid     string
}

func newClientKey(kid string) clientKey {
	seed := sha256.Sum256([]byte(kid))
	return clientKey{ed25519.NewKeyFromSeed(seed[:]), kid}
}

func jwks(t testing.TB, keys ...clientKey) []byte {
	t.Helper()
	var public []events.PublicKey
	for _, k := range keys {
		public = append(public, events.PublicKey{Key: k.private.Public(), Algorithm: events.EdDSA, KeyID: k.kid})
	}
	return must(json.Marshal(must(events.NewKeySet(public...))(t)))(t)
}

// assert signs an assertion with claims that are good, unless they are changed.
func (k clientKey) assert(t testing.TB, w *world, party hub.ID, change map[string]any) []byte {
	t.Helper()
	claims := map[string]any{"iss": party.String(), "sub": party.String(), "aud": w.h.Issuer(), "jti": hub.NewID().String(),
		"iat": w.clock.Unix(), "exp": w.clock.Add(time.Minute).Unix()}
	for name, value := range change {
		claims[name] = value
	}
	header := must(json.Marshal(map[string]string{"alg": "EdDSA", "typ": "JWT", "kid": k.kid}))(t)
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode(header) + "." + encode(must(json.Marshal(claims))(t))
	signature := must(k.private.Sign(nil, []byte(signed), crypto.Hash(0)))(t)
	return []byte(signed + "." + encode(signature))
}

// CI-14, CI-19, PB-18: an access token lives ten minutes, may what was asked for, and ends with the credential behind it.
func TestAccessBySecret(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{Name: "shop"})
		other := w.party(hub.PartyRequest{Name: "other"})
		token, secret, err := w.h.AddToken(w.ctx(), hub.TokenRequest{Role: hub.RoleParty, Party: p.ID, Until: w.clock.Add(time.Hour),
			Scopes: []hub.Scope{hub.SSFRead, hub.ChangesRead}})
		if err != nil {
			t.Fatal(err)
		}
		proof := hub.Proof{Client: p.ID.String(), Secret: secret}
		a := must(w.h.Access(w.ctx(), proof, nil))(t)
		if a.Life != 10*time.Minute || !slices.Equal(a.Scopes, token.Scopes) {
			t.Errorf("%+v", a)
		}
		narrow := must(w.h.Access(w.ctx(), proof, []hub.Scope{hub.ChangesRead}))(t)
		c := must(w.h.Authenticate(w.ctx(), narrow.Token))(t)
		if c.Party != p.ID || c.Role != hub.RoleParty || c.Token != token.ID || !slices.Equal(c.Scopes, []hub.Scope{hub.ChangesRead}) {
			t.Errorf("%+v", c)
		}
		if _, err := w.h.Access(w.ctx(), proof, []hub.Scope{hub.ChangesRead, hub.SSFManage}); !errors.Is(err, hub.ErrScope) {
			t.Errorf("more than the credential has: %v", err)
		}
		_, operator, err := w.h.AddToken(w.ctx(), hub.TokenRequest{Role: hub.RoleOperator, Name: "op"})
		if err != nil {
			t.Fatal(err)
		}
		for name, p := range map[string]hub.Proof{
			"nothing":            {},
			"no secret":          {Client: p.ID.String()},
			"wrong secret":       {Client: p.ID.String(), Secret: "tdg_x"},
			"another's id":       {Client: other.ID.String(), Secret: secret},
			"unknown client":     {Client: hub.NewID().String(), Secret: secret},
			"no client":          {Secret: secret},
			"an access token":    {Client: p.ID.String(), Secret: a.Token},
			"operator":           {Client: hub.ID{}.String(), Secret: operator},
			"operator, nameless": {Secret: operator},
		} {
			if _, err := w.h.Access(w.ctx(), p, nil); !errors.Is(err, hub.ErrUnauthenticated) {
				t.Errorf("%s: %v", name, err)
			}
		}
		w.clock = w.clock.Add(10 * time.Minute)
		refuse := func(when, token string) {
			t.Helper()
			if _, err := w.h.Authenticate(w.ctx(), token); !errors.Is(err, hub.ErrUnauthenticated) {
				t.Errorf("%s: %v", when, err)
			}
		}
		refuse("after its life", a.Token)
		w.clock = w.clock.Add(45 * time.Minute)
		last := must(w.h.Access(w.ctx(), proof, nil))(t)
		if last.Life != 5*time.Minute {
			t.Errorf("lives %v, beyond the credential", last.Life)
		}
		must(w.h.Authenticate(w.ctx(), last.Token))(t)
		if err := w.h.RevokeToken(w.ctx(), token.ID); err != nil {
			t.Fatal(err)
		}
		refuse("after the credential's end", last.Token)
		if _, err := w.h.Access(w.ctx(), proof, nil); !errors.Is(err, hub.ErrUnauthenticated) {
			t.Errorf("revoked: %v", err)
		}
		for i := range len(a.Token) {
			forged := []byte(a.Token)
			forged[i] ^= 1
			refuse("forged", string(forged))
		}
		refuse("cut", a.Token[:20])
		refuse("bare", "tda_")
	})
}

// CI-14: private_key_jwt. What is wrong with an assertion is in package events; here is whose it is, that it is taken
// once, and that a key ends with what was got by it.
func TestAccessByAssertion(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p, other := w.party(hub.PartyRequest{Name: "shop"}), w.party(hub.PartyRequest{Name: "other"})
		one, two := newClientKey("one"), newClientKey("two")
		keys := must(w.h.SetPartyKeys(w.ctx(), p.ID, jwks(t, one, two), []hub.Scope{hub.SSFManage, hub.SSFRead}))(t)
		if len(keys) != 2 {
			t.Fatalf("%+v", keys)
		}
		get := func(assertion []byte) (hub.Access, error) {
			return w.h.Access(w.ctx(), hub.Proof{Client: p.ID.String(), Assertion: assertion}, nil)
		}
		assertion := one.assert(t, w, p.ID, nil)
		a := must(get(assertion))(t)
		if !slices.Equal(a.Scopes, []hub.Scope{hub.SSFRead, hub.SSFManage}) {
			t.Errorf("%+v", a)
		}
		b := must(w.h.Access(w.ctx(), hub.Proof{Assertion: two.assert(t, w, p.ID, nil)}, nil))(t)
		three := newClientKey("three")
		refused := map[string][]byte{
			"replayed":           assertion,
			"empty":              {},
			"unregistered key":   three.assert(t, w, p.ID, nil),
			"another key's name": clientKey{three.private, "one"}.assert(t, w, p.ID, nil),
			"another party":      one.assert(t, w, other.ID, nil),
			"unknown party":      one.assert(t, w, hub.NewID(), nil),
			"no party":           one.assert(t, w, p.ID, map[string]any{"iss": "shop", "sub": "shop"}),
			"token endpoint":     one.assert(t, w, p.ID, map[string]any{"aud": w.h.Issuer() + "/oauth/token"}),
			"expired":            one.assert(t, w, p.ID, map[string]any{"exp": w.clock.Unix()}),
			"an hour":            one.assert(t, w, p.ID, map[string]any{"exp": w.clock.Add(time.Hour).Unix()}),
		}
		for name, assertion := range refused {
			if _, err := get(assertion); !errors.Is(err, hub.ErrUnauthenticated) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := w.h.Access(w.ctx(), hub.Proof{Client: other.ID.String(), Assertion: one.assert(t, w, p.ID, nil)}, nil); !errors.Is(err, hub.ErrUnauthenticated) {
			t.Errorf("named another: %v", err)
		}
		// The same jti of another party is another's.
		must(w.h.SetPartyKeys(w.ctx(), other.ID, jwks(t, one), nil))(t)
		same := map[string]any{"jti": "same"}
		must(get(one.assert(t, w, p.ID, same)))(t)
		must(w.h.Access(w.ctx(), hub.Proof{Assertion: one.assert(t, w, other.ID, same)}, nil))(t)
		if _, err := get(one.assert(t, w, p.ID, same)); !errors.Is(err, hub.ErrUnauthenticated) {
			t.Errorf("jti again: %v", err)
		}

		left := must(w.h.SetPartyKeys(w.ctx(), p.ID, jwks(t, two, three), []hub.Scope{hub.SSFRead, hub.SSFManage}))(t)
		if len(left) != 2 || !slices.ContainsFunc(left, func(k hub.Token) bool {
			return slices.ContainsFunc(keys, func(was hub.Token) bool { return was.ID == k.ID })
		}) {
			t.Errorf("the key that stayed got another id: %+v", left)
		}
		if _, err := w.h.Authenticate(w.ctx(), a.Token); !errors.Is(err, hub.ErrUnauthenticated) {
			t.Errorf("the key ended: %v", err)
		}
		must(w.h.Authenticate(w.ctx(), b.Token))(t)
		if _, err := get(one.assert(t, w, p.ID, nil)); !errors.Is(err, hub.ErrUnauthenticated) {
			t.Errorf("ended key: %v", err)
		}
		must(get(three.assert(t, w, p.ID, nil)))(t)
		many := make([]clientKey, hub.MaxPartyKeys+1)
		for i := range many {
			many[i] = newClientKey(hub.NewID().String())
		}
		if _, err := w.h.SetPartyKeys(w.ctx(), p.ID, jwks(t, many...), nil); !errors.Is(err, hub.ErrBadRequest) {
			t.Errorf("too many keys: %v", err)
		}
		if _, err := w.h.SetPartyKeys(w.ctx(), hub.NewID(), jwks(t, one), nil); !errors.Is(err, hub.ErrNotFound) {
			t.Errorf("keys of nobody: %v", err)
		}
		if err := w.h.RemoveParty(w.ctx(), "test", p.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := w.h.Authenticate(w.ctx(), b.Token); !errors.Is(err, hub.ErrUnauthenticated) {
			t.Errorf("removed party: %v", err)
		}
		if _, err := get(three.assert(t, w, p.ID, nil)); !errors.Is(err, hub.ErrUnauthenticated) {
			t.Errorf("removed party: %v", err)
		}
	})
}

// A node whose clock is behind takes an assertion for longer than others keep it in mind: it is remembered for that long.
func TestReplayAtASlowClock(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p, key := w.party(hub.PartyRequest{Name: "shop"}), newClientKey("one")
		must(w.h.SetPartyKeys(w.ctx(), p.ID, jwks(t, key), nil))(t)
		w.clock = time.Now().Add(-30 * time.Second)
		assertion := key.assert(t, w, p.ID, map[string]any{"exp": w.clock.Add(10 * time.Second).Unix()})
		must(w.h.Access(w.ctx(), hub.Proof{Assertion: assertion}, nil))(t)
		if _, err := w.h.Access(w.ctx(), hub.Proof{Assertion: assertion}, nil); !errors.Is(err, hub.ErrUnauthenticated) {
			t.Errorf("replayed: %v", err)
		}
	})
}

// Only what the hub sealed, and only until it expires, is told from what anybody can make up without a look into the store.
func TestGenuine(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{Name: "shop"})
		token, secret, err := w.h.AddToken(w.ctx(), hub.TokenRequest{Role: hub.RoleParty, Party: p.ID})
		if err != nil {
			t.Fatal(err)
		}
		access := must(w.h.Access(w.ctx(), hub.Proof{Client: p.ID.String(), Secret: secret}, nil))(t).Token
		altered := []byte(access)
		altered[len(altered)/2] ^= 1
		for text, want := range map[string]bool{access: true, string(altered): false, secret: false, "": false, "tda_": false, w.now(p): false} {
			if w.h.Genuine(text) != want {
				t.Errorf("%q: %v", text, !want)
			}
		}
		if err := w.h.RevokeToken(w.ctx(), token.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := w.h.Authenticate(w.ctx(), access); !errors.Is(err, hub.ErrUnauthenticated) {
			t.Errorf("genuine, and revoked: %v", err)
		}
		w.clock = w.clock.Add(hub.AccessLife)
		if w.h.Genuine(access) {
			t.Error("it has expired")
		}
	})
}
