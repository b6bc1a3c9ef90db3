package wire

// Label is one name and value of a series.
type Label struct{ Name, Value string }

// Sample is one series and its value, as a sampler or probe produces it: without the asset's identity, labels in any
// order, names as the Prometheus exporters have them.
type Sample struct {
	Name   string
	Labels []Label
	Value  float64
}
