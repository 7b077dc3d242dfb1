// Package schema holds the rules of SCIM 2.0 attributes (RFC 7643, RFC 7644 §3.4.2.2 and §3.5.2) as the hub uses them:
// what attributes there are, how they are called, when two values are the same, what a PATCH makes of a
// resource and what a filter selects.
//
// It promises three things the rest of the hub leans on:
//
//   - One spelling. Whatever a client sends, attribute names come out as in the schema, absent values are absent
//     (never null, "" or []), and a false "primary" is left out, so that the same facts sent twice are the
//     same value: [Diff] of both is empty and nothing is logged.
//   - No password is kept. It is seen, it raises a flag, it is gone; no error quotes any value.
//   - Bounded work on strangers' input: bodies, filters and patches have a limit of depth, length and count.
//
// Values in, values out: no I/O, no clock, no context, no goroutine. Nothing given to a function is changed by it.
package schema
