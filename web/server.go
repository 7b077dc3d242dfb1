package web

import (
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

const (
	headerTime = 10 * time.Second
	bodyTime   = 30 * time.Second
	// answerTime bounds taking an answer, from the request's beginning: more than the longest long poll and a slow line.
	answerTime = 3 * time.Minute
	idleTime   = 2 * time.Minute
	readyTime  = 5 * time.Second
	maxHeader  = 32 << 10
)

// NewServer makes the server for a handler of New. It has no ReadTimeout and no WriteTimeout: they would count a long
// poll's waiting, and cut a socket. The deadlines of body and answer are set per request instead.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// deadlines bounds how long a request may take to send its body and to take its answer. A connection that is hijacked
// loses both.
func deadlines(body, answer time.Duration) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			control := http.NewResponseController(w)
			// A writer that knows no deadlines has no line that could be slow.
			_ = control.SetWriteDeadline(time.Now().Add(answer))
			if r.Body != nil && r.Body != http.NoBody && control.SetReadDeadline(time.Now().Add(body)) == nil {
				r.Body = &timed{ReadCloser: r.Body, arrived: sync.OnceFunc(func() { _ = control.SetReadDeadline(time.Time{}) })}
			}
			next.ServeHTTP(w, r)
		})
	}
}

// timed lifts the deadline when the body has arrived: while a long poll waits, the server reads on to notice that the
// caller went away, and a deadline that passed then would look like that.
type timed struct {
	io.ReadCloser
	arrived func()
}

func (t *timed) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	if err == io.EOF {
		t.arrived()
	}
	return n, err
}
