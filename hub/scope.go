package hub

import (
	"fmt"
	"slices"
	"strings"
)

// Scope is one thing that a credential may be used for: an OAuth scope (RFC 6749 section 3.3).
type Scope string

// The scopes. Those that begin with ssf are the ones of the CAEP interoperability profile (section 2.7).
const (
	SSFRead      Scope = "ssf.read"      // to read one's streams and their status
	SSFManage    Scope = "ssf.manage"    // to do everything with one's streams, and fetch from them
	ChangesRead  Scope = "changes.read"  // to read one's deltas
	SubjectsRead Scope = "subjects.read" // to fetch the values that people granted
	LiveTicket   Scope = "live.ticket"   // to make tickets for browsers
	SCIMWrite    Scope = "scim.write"    // to report people and groups
	Operate      Scope = "operator"      // to do what operators do
)

// Scopes are what a credential of the role may be used for at most.
func (r Role) Scopes() []Scope {
	switch r {
	case RoleParty:
		return []Scope{SSFRead, SSFManage, ChangesRead, SubjectsRead, LiveTicket}
	case RoleDirectory:
		return []Scope{SCIMWrite}
	case RoleOperator:
		return []Scope{Operate}
	}
	return nil
}

// scopes puts what was asked for into the order in which scopes are told. Nothing asked for is all that is allowed.
// ErrScope for one that is not allowed.
func scopes(wanted, allowed []Scope) ([]Scope, error) {
	if len(wanted) == 0 {
		return allowed, nil
	}
	var out []Scope
	for _, s := range allowed {
		if slices.Contains(wanted, s) {
			out = append(out, s)
		}
	}
	for _, s := range wanted {
		if !slices.Contains(out, s) {
			return nil, fmt.Errorf("%w: %.40q", ErrScope, s)
		}
	}
	return out, nil
}

// ScopeText writes scopes as RFC 6749 section 3.3 does: with a blank between. Stores keep them so.
func ScopeText(scopes []Scope) string {
	words := make([]string, len(scopes))
	for i, s := range scopes {
		words[i] = string(s)
	}
	return strings.Join(words, " ")
}

// ReadScopes reads what ScopeText wrote; whether there are such scopes is asked where they are used.
func ReadScopes(text string) (scopes []Scope) {
	for _, word := range strings.Fields(text) {
		scopes = append(scopes, Scope(word))
	}
	return scopes
}

// Insufficient is the ErrForbidden of a credential that has none of the scopes that would do.
type Insufficient struct{ Scopes []Scope }

func (e *Insufficient) Error() string { return "credential has not the scope " + ScopeText(e.Scopes) }

// Is makes it an ErrForbidden.
func (e *Insufficient) Is(err error) bool { return err == ErrForbidden }
