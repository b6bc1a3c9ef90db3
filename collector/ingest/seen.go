package ingest

// Bounds of what is remembered about one agent's reports: 16 epochs of 64 spans are 17 KiB at the very most, and two or
// three spans in practice, because an agent sends its newest report first and then its backlog in order. What is
// forgotten may take effect again: samples do so without harm (they are known by their time), events are known to the
// store by their ID.
const (
	maxEpochs = 16
	maxSpans  = 64
)

// span is a run of sequence numbers, both ends included.
type span struct{ from, to uint64 }

// seen is which reports of one agent were applied: per epoch, ascending, ascending spans that do not touch.
type seen struct{ epochs []epochSeen }

type epochSeen struct {
	epoch uint64
	spans []span
}

// has says whether (epoch, sequence) was added and not forgotten.
func (s *seen) has(epoch, sequence uint64) bool {
	for _, e := range s.epochs {
		if e.epoch == epoch {
			for _, p := range e.spans {
				if p.from <= sequence && sequence <= p.to {
					return true
				}
			}
		}
	}
	return false
}

// behind says whether something newer than (epoch, sequence) was added.
func (s *seen) behind(epoch, sequence uint64) bool {
	if len(s.epochs) == 0 {
		return false
	}
	last := s.epochs[len(s.epochs)-1]
	return epoch < last.epoch || epoch == last.epoch && sequence < last.spans[len(last.spans)-1].to
}

// add remembers (epoch, sequence), forgetting the oldest where there is no room.
func (s *seen) add(epoch, sequence uint64) {
	i := 0
	for i < len(s.epochs) && s.epochs[i].epoch < epoch {
		i++
	}
	if i == len(s.epochs) || s.epochs[i].epoch != epoch {
		s.epochs = append(s.epochs, epochSeen{})
		copy(s.epochs[i+1:], s.epochs[i:])
		s.epochs[i] = epochSeen{epoch: epoch}
	}
	s.epochs[i].spans = addTo(s.epochs[i].spans, sequence)
	if len(s.epochs) > maxEpochs {
		s.epochs = append(s.epochs[:0], s.epochs[1:]...)
	}
}

func addTo(spans []span, n uint64) []span {
	i := 0
	for i < len(spans) && spans[i].to < n {
		i++
	}
	// Now spans[i] is the first that ends at or after n.
	after := i < len(spans) && (spans[i].from <= n || spans[i].from-1 == n) // holds n, or begins right behind it
	before := i > 0 && spans[i-1].to+1 == n
	switch {
	case after && before && spans[i].from > n:
		spans[i-1].to = spans[i].to
		spans = append(spans[:i], spans[i+1:]...)
	case after:
		spans[i].from = min(spans[i].from, n)
	case before:
		spans[i-1].to = n
	default:
		spans = append(spans, span{})
		copy(spans[i+1:], spans[i:])
		spans[i] = span{n, n}
	}
	if len(spans) > maxSpans {
		spans = append(spans[:0], spans[1:]...)
	}
	return spans
}
