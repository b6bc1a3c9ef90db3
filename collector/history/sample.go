package history

import "github.com/prometheus/prometheus/model/labels"

// Sample is one sample under its own labels, as it came from elsewhere or is about this collector itself.
type Sample struct {
	Labels labels.Labels
	T      int64 // ms
	V      float64
}
