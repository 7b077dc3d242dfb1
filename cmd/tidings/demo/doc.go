// Package demo is what `tidings demo` shows beside a hub: a made-up directory with a party and a few grants, and pages on
// which the log is seen moving, people are edited and consent is withdrawn.
//
// The pages ask nobody who they are, so they are for a hub on loopback with invented people only: the command that
// serves them refuses anything else. They act on the hub by the same calls that its faces make, never around them, and
// the log that they show holds names, never values.
package demo
