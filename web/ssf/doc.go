// Package ssf is the management face of a Shared Signals transmitter (OpenID Shared Signals Framework 1.0, sections 7
// and 8): discovery, keys, streams, their status and verification. Delivery itself is elsewhere.
//
// Promises:
//   - A receiver sees and changes its own streams only; another's stream and one that never was get the same 404.
//   - URLs come from the configured issuer, never from a request's Host (WK-06).
//   - A push endpoint's authorization_header is taken and never shown again (SC-22), and never goes to an endpoint it was
//     not given for.
//   - Only endpoints that exist are advertised.
//   - All subjects a party was granted are on its streams (default_subjects ALL). A receiver may take them off one stream
//     and add them again. The answer never tells whether there is such a person or what they granted (PR-01).
package ssf
