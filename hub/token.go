package hub

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"time"
)

// MaxPartyTokens bounds a party's bearer tokens that are valid at a time: one in use, and one that takes its place.
const MaxPartyTokens = 2

// Token is a credential: a static bearer token, of which only the hash is kept, or a public key of a party.
type Token struct {
	ID        ID
	Role      Role
	Party     ID
	Name      string // of a key, its kid
	Hash      [32]byte
	Key       []byte // a JWK Set that holds the public key alone; nil for a bearer token
	Scopes    []Scope
	CreatedAt int64
	Expires   int64 // time, 0 for never
	Used      int64 // about when it was used last: written once a minute at most; 0 for never
	Revoked   int64 // time, 0 while it is valid
}

// runs reports whether the token is neither revoked nor expired.
func (t Token) runs(now int64) bool { return t.Revoked == 0 && (t.Expires == 0 || t.Expires > now) }

// caller is who calls with the credential, or with an access token that was got with it.
func (t Token) caller(scopes []Scope, expires int64) Caller {
	return Caller{Role: t.Role, Party: t.Party, Token: t.ID, Scopes: scopes, Expires: expires}
}

const tokenHead = "tdg_"

// newToken makes a credential of 256 random bits, shown once.
func newToken() (text string, hash [32]byte) {
	secret := make([]byte, 32)
	rand.Read(secret)
	text = tokenHead + base64.RawURLEncoding.EncodeToString(secret)
	return text, sha256.Sum256([]byte(text))
}

// TokenRequest is what an operator says of a new token.
type TokenRequest struct {
	Role  Role
	Party ID // of RoleParty
	// Name is for finding it again; by default the party's.
	Name string
	// Scopes bound what it may be used for; none are all of its role.
	Scopes []Scope
	// Until is its end; zero for none.
	Until time.Time
}

// AddToken makes a credential, whose text is shown this once. A party has at most MaxPartyTokens that are valid, so that
// it can take a new one into use before the old one ends, and none is forgotten. ErrBadRequest, ErrScope, ErrUntil,
// ErrNotFound (the party), ErrLimit.
func (h *Hub) AddToken(ctx context.Context, r TokenRequest) (Token, string, error) {
	t := Token{ID: NewID(), Role: r.Role, Party: r.Party, CreatedAt: h.now()}
	if err := h.describe(ctx, &t, r); err != nil {
		return Token{}, "", fmt.Errorf("add token: %w", err)
	}
	var text string
	text, t.Hash = newToken()
	if err := h.store.AddToken(ctx, t); err != nil {
		return Token{}, "", fmt.Errorf("add token: %w", err)
	}
	return t, text, nil
}

func (h *Hub) describe(ctx context.Context, t *Token, r TokenRequest) (err error) {
	allowed := r.Role.Scopes()
	switch {
	case allowed == nil:
		return fmt.Errorf("%w: role is party, directory or operator", ErrBadRequest)
	case (r.Role == RoleParty) == r.Party.IsZero():
		return fmt.Errorf("%w: a token of role party, and no other, is of a party", ErrBadRequest)
	}
	if t.Scopes, err = scopes(r.Scopes, allowed); err != nil {
		return err
	}
	if !r.Until.IsZero() {
		if t.Expires = r.Until.UnixMicro(); t.Expires <= t.CreatedAt {
			return ErrUntil
		}
	}
	if r.Name == "" && r.Role == RoleParty {
		p, err := h.store.Party(ctx, r.Party)
		if err != nil {
			return err
		}
		r.Name = p.Name
	}
	t.Name, err = label(r.Name)
	return err
}

// RevokeToken ends a credential at once. ErrNotFound.
func (h *Hub) RevokeToken(ctx context.Context, id ID) error {
	return h.store.RevokeToken(ctx, id, h.now())
}

// Tokens lists credentials, without their secrets.
func (h *Hub) Tokens(ctx context.Context) ([]Token, error) { return h.store.Tokens(ctx) }

// label reads a name that an operator gives to a party or a token.
func label(name string) (string, error) {
	name = strings.TrimSpace(name)
	if name == "" || len(name) > 200 || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", fmt.Errorf("%w: a name of 1 to 200 characters is needed", ErrBadRequest)
	}
	return name, nil
}

// uses remembers when credentials were used until it is written, so that no request waits for a write. What is lost in
// a crash is a minute of a time that is told as approximate. It holds one time for each valid credential at most.
type uses struct {
	mu   sync.Mutex
	last map[ID]int64
}

func (u *uses) note(id ID, now int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.last == nil {
		u.last = map[ID]int64{}
	}
	u.last[id] = now
}

func (u *uses) take() map[ID]int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	last := u.last
	u.last = nil
	return last
}

// NoteUses writes down when credentials were used last; Run does it every minute.
func (h *Hub) NoteUses(ctx context.Context) error {
	last := h.used.take()
	if len(last) == 0 {
		return nil
	}
	if err := h.store.UseTokens(ctx, last); err != nil {
		return fmt.Errorf("note uses of tokens: %w", err)
	}
	return nil
}
