package web

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"
)

// meter counts requests. Its labels are the pattern of the route, a known method and the status: all bounded, none of
// them about anybody.
type meter struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	underWay prometheus.Gauge
}

func newMeter(registry *prometheus.Registry) (*meter, error) {
	m := &meter{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tidings_http_requests_total", Help: "Requests answered, by route pattern, method and status.",
		}, []string{"route", "method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tidings_http_request_seconds", Help: "Time to answer, by route pattern; long polls count their waiting.",
			Buckets: []float64{.001, .005, .025, .1, .5, 2.5, 10, 60},
		}, []string{"route"}),
		underWay: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "tidings_http_requests_under_way", Help: "Requests that are not answered yet, long polls that wait and sockets among them.",
		}),
	}
	for _, c := range []prometheus.Collector{m.requests, m.seconds, m.underWay} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

type logKey struct{}

func logger(r *http.Request) *slog.Logger {
	if l, ok := r.Context().Value(logKey{}).(*slog.Logger); ok {
		return l
	}
	return slog.Default()
}

// route is the pattern that took the request: the path itself would name subjects.
func route(r *http.Request) string {
	if c := chi.RouteContext(r.Context()); c != nil {
		if pattern := c.RoutePattern(); pattern != "" {
			return pattern
		}
	}
	return "none"
}

func method(r *http.Request) string {
	switch r.Method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
		return r.Method
	}
	return "other"
}

// observe counts each request and answers for a handler that panics: one broken request is no reason to break others'.
func observe(log *slog.Logger, m *meter) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r = r.WithContext(context.WithValue(r.Context(), logKey{}, log))
			out := &answer{ResponseWriter: w}
			start := time.Now()
			m.underWay.Inc()
			defer func() {
				m.underWay.Dec()
				broken := recover()
				if broken != nil && broken != http.ErrAbortHandler {
					// The value may quote anything; its type and the place are enough to find the fault.
					log.Error("handler panicked", slog.String("route", route(r)), slog.String("panic", fmt.Sprintf("%T", broken)), slog.String("stack", string(debug.Stack())))
					if out.status == 0 {
						Refuse(out, r, errInternal)
						broken = nil
					} else {
						broken = http.ErrAbortHandler // the answer was begun; only a broken connection tells
					}
				}
				m.requests.WithLabelValues(route(r), method(r), strconv.Itoa(out.status)).Inc()
				m.seconds.WithLabelValues(route(r)).Observe(time.Since(start).Seconds())
				if broken != nil {
					panic(broken)
				}
			}()
			next.ServeHTTP(out, r)
			if out.status == 0 {
				out.status = http.StatusOK
			}
		})
	}
}

// answer remembers the status; 0 if there was none.
type answer struct {
	http.ResponseWriter
	status int
}

func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= 200 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a.ResponseWriter.Write(p)
}

func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(a.ResponseWriter).Hijack()
	if err == nil {
		a.status = http.StatusSwitchingProtocols
	}
	return conn, rw, err
}
