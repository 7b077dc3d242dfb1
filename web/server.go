package web

import (
	"log/slog"
	"net/http"
	"time"
)

const (
	headerTime = 10 * time.Second
	// requestTime bounds the arrival of header and body. It does not count the waiting of a long poll: the server lifts it
	// when the body has arrived, to notice that the caller goes away (TestSlowRequests pins it).
	requestTime = 40 * time.Second
	// answerTime bounds taking an answer, counted from the request's header: the longest poll and a slow line.
	answerTime = 3 * time.Minute
	idleTime   = 2 * time.Minute
	readyTime  = 5 * time.Second
	maxHeader  = 32 << 10
)

// NewServer makes the server for a handler of New. A request that does not arrive in time, or whose answer is not taken
// in time, loses its connection. A connection that became a socket is no longer the server's, and loses these bounds.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       requestTime,
		WriteTimeout:      answerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		// What it logs is mostly strangers' broken handshakes.
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
