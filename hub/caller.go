package hub

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// Caller is who calls: found from a token by the engine, put in the request's context by one middleware.
type Caller struct {
	Role  Role
	Party ID // of a party's credential
	Token ID
}

// Actor is how the log names the caller: the id of its credential.
func (c Caller) Actor() string { return c.Token.String() }

type callerKey struct{}

// WithCaller puts the caller into a context.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerFrom is the caller of a context, if somebody authenticated.
func CallerFrom(ctx context.Context) (Caller, bool) {
	c, ok := ctx.Value(callerKey{}).(Caller)
	return c, ok
}

const tokenHead = "tdg_"

// newToken makes a credential of 256 random bits, shown once.
func newToken() (text string, hash [32]byte) {
	secret := make([]byte, 32)
	rand.Read(secret)
	text = tokenHead + base64.RawURLEncoding.EncodeToString(secret)
	return text, sha256.Sum256([]byte(text))
}

// Authenticate finds who holds a bearer token. Unknown, malformed and revoked tokens take one path: a look-up by hash,
// so nothing of the secret is compared byte by byte. ErrUnauthenticated.
func (h *Hub) Authenticate(ctx context.Context, bearer string) (Caller, error) {
	t, err := h.store.TokenByHash(ctx, sha256.Sum256([]byte(bearer)))
	switch {
	case errors.Is(err, ErrNotFound):
		return Caller{}, ErrUnauthenticated
	case err != nil:
		return Caller{}, fmt.Errorf("authenticate: %w", err)
	}
	return Caller{Role: t.Role, Party: t.Party, Token: t.ID}, nil
}

// AddToken makes a credential for a directory or an operator.
func (h *Hub) AddToken(ctx context.Context, role Role, name string) (Token, string, error) {
	name, err := label(name)
	if err != nil {
		return Token{}, "", err
	}
	if role != RoleDirectory && role != RoleOperator {
		return Token{}, "", fmt.Errorf("%w: role is directory or operator", ErrBadRequest)
	}
	text, hash := newToken()
	t := Token{ID: NewID(), Role: role, Name: name, Hash: hash, CreatedAt: h.now()}
	if err := h.store.AddToken(ctx, t); err != nil {
		return Token{}, "", fmt.Errorf("add token: %w", err)
	}
	return t, text, nil
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
