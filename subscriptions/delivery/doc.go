// Package delivery holds the ways out of the hub: push (RFC 8935), poll (RFC 8936), receivers' sockets, and live notices
// for browsers. It talks; what may be told and what is still owed is the engine's (package hub), and what follows from
// a receiver's answer is a rule of package subscriptions.
//
// Promises:
//   - Nothing is queued between the engine's check of a grant and the sending that it allows. What had to wait is asked
//     about again before it leaves; only the news that something ended needs no asking.
//   - A token is settled only by the receiver's word. A lost answer, a closed connection, a stopped process leave it
//     owed, and the same bytes go again (at least once).
//   - One receiver's trouble delays no other: every push stream has a lane with a window that shrinks with trouble, a
//     request that hangs gives its place back, and a slow socket is cut, not waited for.
//   - Only public addresses are connected to, judged when connecting; redirects are not followed and a proxy of the
//     environment is not used.
//   - Whatever a stranger can make grow has a bound: bodies, answers, headers, waiting polls, sockets, their queues and
//     their lives.
package delivery
