package history

import (
	"fmt"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/tsdb"
)

// Stats counts the series of the head, which holds the newest hours; each list has limit lines at most. ErrUnavailable when
// there is no history now.
func (h *History) Stats(limit int) (*tsdb.Stats, error) {
	s := h.shelf.Load()
	if s == nil || !s.readers.TryRLock() { // see Queryable
		return nil, fmt.Errorf("count history: %w; see the log for why, it comes back by itself", ErrUnavailable)
	}
	defer s.readers.RUnlock()
	return s.db.Head().Stats(model.MetricNameLabel, limit), nil
}
