package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tidings/hub"
	"tidings/subscriptions"
)

// streamMetrics counts streams whenever they are asked for. The labels are words of ours: which stream and whose it is tells
// 'tidings stream list'.
type streamMetrics struct{ h *hub.Hub }

var streamsDesc = prometheus.NewDesc("tidings_streams",
	"Streams by status, who set it and the kind of trouble that the last push met.",
	[]string{"status", "by", "trouble"}, nil)

// Describe implements prometheus.Collector.
func (m streamMetrics) Describe(out chan<- *prometheus.Desc) { out <- streamsDesc }

// Collect implements prometheus.Collector.
func (m streamMetrics) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	streams, err := m.h.AllStreams(ctx)
	if err != nil {
		out <- prometheus.NewInvalidMetric(streamsDesc, err)
		return
	}
	type kind struct {
		status  subscriptions.Status
		by      subscriptions.By
		trouble string
	}
	counts := map[kind]float64{}
	for _, s := range streams {
		counts[kind{s.Status, s.By, subscriptions.TroubleClass(s.Problem)}]++
	}
	for k, n := range counts {
		out <- prometheus.MustNewConstMetric(streamsDesc, prometheus.GaugeValue, n, string(k.status), string(k.by), k.trouble)
	}
}
