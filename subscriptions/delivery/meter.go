package delivery

import (
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tidings/subscriptions"
)

// meter counts what became of pushes. Its labels are a handful of words and status codes: none of them names a party, a
// stream or a person.
type meter struct {
	attempts *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newMeter() *meter {
	return &meter{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tidings_push_attempts_total",
			Help: "Pushes, by what became of them (delivered, retry, dead, refused) and the answer (an HTTP status, or why there was none).",
		}, []string{"outcome", "answer"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tidings_push_seconds", Help: "Time from a push to its answer, by what became of it.",
			Buckets: []float64{.001, .005, .025, .1, .5, 1, 5, 15, 30},
		}, []string{"outcome"}),
	}
}

// telling are the statuses that are counted by themselves.
var telling = []int{202, 400, 401, 403, 404, 410, 429, 500, 503}

// Collectors are the metrics of pushing.
func (p *Pusher) Collectors() []prometheus.Collector {
	return []prometheus.Collector{p.meter.attempts, p.meter.seconds}
}

func (m *meter) count(a subscriptions.Answer, next subscriptions.Next, took time.Duration) {
	outcome := map[subscriptions.Next]string{subscriptions.Done: "delivered", subscriptions.Retry: "retry", subscriptions.Remake: "remade",
		subscriptions.Dead: "dead", subscriptions.Hold: "refused"}[next]
	answer := a.Failure
	switch class := a.Status / 100; {
	case a.Status == 0:
	case slices.Contains(telling, a.Status):
		answer = strconv.Itoa(a.Status)
	case class >= 2 && class <= 5:
		answer = strconv.Itoa(class) + "xx"
	default:
		answer = "other" // a receiver can write what it likes
	}
	m.attempts.WithLabelValues(outcome, answer).Inc()
	m.seconds.WithLabelValues(outcome).Observe(took.Seconds())
}
