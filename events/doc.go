// Package events holds what both ends of a stream share: Security Event Tokens
// (RFC 8417 as profiled by the OpenID Shared Signals Framework 1.0), their
// subjects and event types, the keys and signatures that make them trustworthy,
// and the JSON bodies that travel beside them (delta pages, live notices, poll
// requests, stream configurations).
//
// The transmitter signs with a [Signer]; the receiver checks with [Verify]. What
// the one makes the other accepts, and nothing else is accepted.
//
// Promises:
//   - [Verify] and every Parse function for a stranger's JSON are bounded in size
//     and depth, refuse repeated member names, and never panic (each has a fuzz
//     test).
//   - A [Subject] is always valid: there is no way to hold a malformed one but
//     the zero value. Two subjects are equal exactly when == says so.
//   - Only asymmetric signatures by a key of the given set, under the one
//     algorithm that key is for, are believed.
//   - Errors name members and rules, never the values of either.
//
// The package is pure: no I/O, clock, context or goroutine; randomness comes
// from crypto/rand.
package events
