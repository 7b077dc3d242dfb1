package hub

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Caller is who calls: found from a token by the engine, put in the request's context by one middleware.
type Caller struct {
	Role  Role
	Party ID // of a party's credential
	Token ID
	// Scopes are what the credential may be used for. The faces ask (Need); the engine's verbs ask for the role.
	Scopes []Scope
	// Expires is when its token ends, 0 for never: that of an access token before the credential does.
	Expires int64
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

// Need says whether the caller's credential is for one of the scopes. *Insufficient if it is not.
func (c Caller) Need(scopes ...Scope) error {
	if slices.ContainsFunc(scopes, func(s Scope) bool { return slices.Contains(c.Scopes, s) }) {
		return nil
	}
	return &Insufficient{scopes}
}

// Authenticate finds who holds a bearer token, be it a credential's own or an access token. Unknown, malformed, expired
// and revoked ones are told alike; the secrets of credentials are looked up by hash, so nothing is compared byte by byte.
// ErrUnauthenticated.
func (h *Hub) Authenticate(ctx context.Context, bearer string) (Caller, error) {
	now := h.now()
	t, c, err := h.holder(ctx, bearer, now)
	switch {
	case errors.Is(err, ErrNotFound), err == nil && !t.runs(now):
		return Caller{}, ErrUnauthenticated
	case err != nil:
		return Caller{}, fmt.Errorf("authenticate: %w", err)
	}
	h.used.note(t.ID, now)
	return c, nil
}

// Still asks again whether a caller's token is good, for one that waited: it may have been revoked or have expired.
// ErrUnauthenticated.
func (h *Hub) Still(ctx context.Context, c Caller) error {
	now := h.now()
	t, err := h.store.Token(ctx, c.Token)
	switch {
	case errors.Is(err, ErrNotFound), err == nil && !t.runs(now), c.Expires != 0 && c.Expires <= now:
		return ErrUnauthenticated
	case err != nil:
		return fmt.Errorf("authenticate again: %w", err)
	}
	return nil
}
