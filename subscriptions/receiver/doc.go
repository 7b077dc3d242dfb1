// Package receiver is the relying party's side of Tidings: it receives Security Event Tokens by push or poll, reads
// what changed, fetches values, and keeps copies no longer than it may.
//
// A relying party needs one [Client]. It puts a [Handler] where the hub is to push, or calls [Client.Receive] to poll, or
// [Client.Listen] to keep a socket open; it follows what changed with [Client.Delta] into a store of its own, or lets a
// [Cache] hold copies in memory:
//
//	hub := &receiver.Client{Base: "https://hub.example", Token: receiver.StaticToken(secret)} // or AccessToken
//	cache := &receiver.Cache{Client: hub}
//	http.Handle("POST /events", &receiver.Handler{Client: hub, Audience: "https://rp.example",
//		Authorization: header, Keep: func(ctx context.Context, t events.Token) error { cache.Tell(t); return nil }})
//
// Promises:
//   - Only a token that is signed by a published key of the hub, from it and for the audience, is kept; it is
//     acknowledged after it was kept, never before (RFC 8935 section 2, RFC 8936 section 2.4).
//   - Delivery is at least once. A Handler recognises recent repeats by jti; what keeps tokens must bear the others.
//   - A copy is never handed out past its lifetime, nor after the cache was told that it may not be held.
//   - What a stranger sends, and what the hub answers, is bounded; strangers make this side ask for keys at most once
//     in five seconds.
//
// Of this module it imports package events only.
package receiver
