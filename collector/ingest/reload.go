package ingest

import "time"

// SpreadFor is over how long so many agents are told to spread their return: as long as the door needs to let them in.
func (i *Ingest) SpreadFor(agents int) time.Duration {
	all := time.Duration(agents) * time.Second / time.Duration(i.o.Door.PerSecond)
	return min(max(i.o.ReturnSpread, all), maxSpread)
}
