// Package scim is the door for directories that push: a SCIM 2.0 service provider (RFC 7643, RFC 7644) at /scim/v2. Each
// write becomes one Report; the hub finds what really changed, so that a client that sends the same facts again and
// again (Entra ID does, every 40 minutes) makes no noise.
//
// Promises:
//   - An answer to a write is given after its commit. A refused request has changed nothing.
//   - Who has no directory credential learns nothing, whatever the path: 401 or 403.
//   - Work on one request is bounded: its body, its filter, the entries that a list looks at.
//   - Errors have the form of RFC 7644 section 3.12, and no error or log line quotes a value.
//
// Not offered, and said so in the ServiceProviderConfig: bulk, sorting, changing passwords. A password is seen and
// dropped.
package scim
