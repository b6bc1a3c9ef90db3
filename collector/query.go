package collector

import "github.com/watchbill/watchbill/collector/api"

// queried is what Prometheus' API reads: the history, or nil, not a History that is nil, where it is off.
func (c *Collector) queried() api.Curves {
	if c.history == nil {
		return nil
	}
	return c.history
}
