// Package oauth is the authorization server of relying parties' servers (RFC 6749 with client credentials only): it
// changes what a party holds for good, a secret or a key, into what it may lose, a token of ten minutes.
//
// Promises:
//   - Errors are OAuth's own (RFC 6749 section 5.2), not problems.
//   - A client that does not exist and one whose proof is wrong get the same answer.
//   - What proves nothing changes nothing: only an assertion that is good in every way is remembered, until it expires.
//   - No answer is stored by anybody, but for the metadata.
package oauth
