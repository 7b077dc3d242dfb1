// Command tidings is the hub and everything an operator does with it, in one program. It reads its configuration (flags,
// environment, one file) and joins the parts; no rule of the product stands here.
//
// Every command acts on the store directly and may run beside a serving hub, which notices within a second. Results go
// to standard output (as JSON with --json), one clear line about what is wrong to standard error; the exit status is 0,
// 1 for a failure, 2 for a command that makes no sense.
package main
