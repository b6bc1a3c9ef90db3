package history

import (
	"fmt"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/tsdb"
)

// Stats counts what is in the head: series, and the chunks of their samples.
type Stats struct {
	*tsdb.Stats
	Chunks int64
}

// gauge is a gauge of the TSDB's own; 0 when it has none of that name.
func (s *shelf) gauge(name string) int64 {
	families, err := s.metrics.Gather()
	if err != nil {
		return 0
	}
	for _, f := range families {
		if f.GetName() == name {
			return int64(f.GetMetric()[0].GetGauge().GetValue())
		}
	}
	return 0
}

// Stats counts the series of the head, which holds the newest hours; each list has limit lines at most. ErrUnavailable when
// there is no history now.
func (h *History) Stats(limit int) (Stats, error) {
	s := h.shelf.Load()
	if s == nil || !s.readers.TryRLock() { // see Queryable
		return Stats{}, fmt.Errorf("count history: %w; see the log for why, it comes back by itself", ErrUnavailable)
	}
	defer s.readers.RUnlock()
	return Stats{s.db.Head().Stats(model.MetricNameLabel, limit), s.gauge("prometheus_tsdb_head_chunks")}, nil
}
