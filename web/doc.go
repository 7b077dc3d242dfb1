// Package web is the frame around the HTTP faces of the hub: it routes, finds out who calls, bounds what strangers may
// send and how long they may take, turns errors into answers, counts, and tells health.
//
// Promises:
//   - One place decides who calls. A handler asks hub.CallerFrom and answers 401 or 403 in its face's own format; the
//     WWW-Authenticate header of these answers is added here, where it is known why (RFC 6750 section 3). A token in the
//     query is never taken for one (section 2.3).
//   - One table turns errors into RFC 9457 problems. What is not in it is a 500 that says nothing and is logged.
//   - A request that does not send its header or body in time, or does not take its answer, loses its connection; a long
//     poll or a socket does not.
//   - No address, query, subject or attribute stands in a log line or a metric, only the pattern of the route.
//   - Answers are not stored by anybody unless a handler says so.
package web
