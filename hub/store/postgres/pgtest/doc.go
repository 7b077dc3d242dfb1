// Package pgtest gives tests a PostgreSQL: a fresh, empty database per call of [URL], gone when the test ends.
//
// The server is the one that TIDINGS_TEST_POSTGRES names (`make test` starts one for the whole run) or, where
// the variable is empty, a throw-away one that this test binary starts on first use. That one lives as long as a
// pipe that only this process holds, so it dies with the process, however the process dies. A machine without a
// PostgreSQL server fails the test and says what to install: no test is skipped for want of a server.
//
// Only tests may import this package.
package pgtest
