package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"tidings/hub"
)

// givenUp shows how many deliveries this process made dead letters, by the class of the reason: a few words, none of them
// a receiver's own.
type givenUp struct{ h *hub.Hub }

var deadLetters = prometheus.NewDesc("tidings_dead_letters_total", "Deliveries given up for good, by the receiver's error code or the kind of failure.", []string{"err"}, nil)

func (g givenUp) Describe(to chan<- *prometheus.Desc) { to <- deadLetters }

func (g givenUp) Collect(to chan<- prometheus.Metric) {
	for class, n := range g.h.GivenUp() {
		to <- prometheus.MustNewConstMetric(deadLetters, prometheus.CounterValue, float64(n), class)
	}
}
