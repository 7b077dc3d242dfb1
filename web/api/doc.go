// Package api is the face for a relying party's server: the delta pages of what it may know (GET /delta), the values it
// was granted (GET /subjects/{id}) and the tickets with which its visitors' browsers listen (POST /live/tickets).
//
// Promises: every answer is made for the calling party alone, under the grants as they stand at that moment; another
// party's subject and one that never was get the same answer; nothing but granted values leaves, and they say for how
// long a copy may be kept.
package api
