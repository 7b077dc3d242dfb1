// Package consent decides who may be told what, and for how long a copy may be kept.
//
// It is a rule book: values in, values out. It reads no clock, opens nothing and remembers nothing, so that the same
// answer is given when a delta page is read, when a security event token is made and again when it is about to be sent.
// Stores may use an index of these rules (schema.Mask) to find rows faster, but the rules stand only here.
//
// Promises:
//   - Nothing but the end of a grant is told without a live grant (Tell).
//   - A name outside the grant is told at most as "this left the grant", never with a value (Tell, Select).
//   - Every lifetime ends no later than the grant, the policy and the party's own bound: the shortest wins (MaxAge).
package consent
