package ingest

import (
	"io"
	"math"
	"net/http"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/agent/wire"
	"github.com/watchbill/watchbill/rules/window"
)

// incoming has a body decoded, from the line or from memory, and says how many bytes came for it.
type incoming func(decode func(in io.Reader, coding string) error) (n int, err error)

// readReport reads a report of the version that its media type says; one of version 1 has passed wire.CheckReport. done
// gives back what the report lies in: nothing of it may be used after that. The error is wire.ErrInFull for a report
// that leans on what this collector has not heard; it has its name then.
func (i *Ingest) readReport(media string, from incoming, a *agent) (m *wire.Report, n int, done func(), err error) {
	a.version1 = media == wire.TypeReportV1
	if !a.version1 {
		m = &wire.Report{}
		n, err = from(func(in io.Reader, coding string) error { return wire.Decode(in, coding, i.o.Limits, m) })
		return m, n, func() {}, err
	}
	d := wire.NewDecoder()
	n, err = from(func(in io.Reader, coding string) error {
		m, err = d.Report(in, coding, i.o.Limits, &a.outlines)
		return err
	})
	return m, n, d.Release, err
}

// said is the newest ok block of a source in version 1, which later ones may say they are the same as.
type said struct {
	at     int64
	layout *window.Layout
	values []float64
}

// repeats says whether every block that claims to be as an earlier one names the one that is remembered. If not, this
// collector has forgotten, or another one took it: the agent sends it again in full.
func (a *agent) repeats(m *wire.Report) bool {
	return !slices.ContainsFunc(m.GetBlocks(), func(b *wire.Block) bool {
		if b.GetSameAsMs() == 0 {
			return false
		}
		s := a.said[b.GetSource()]
		return s == nil || s.at != b.GetSameAsMs()
	})
}

// remember keeps what later blocks may lean on: m was applied as b.
func (a *agent) remember(m *wire.Block, b *window.Block) {
	if b.Status != window.OK || m.GetSameAsMs() != 0 {
		return
	}
	s := a.said[m.GetSource()]
	if s == nil {
		if a.said == nil {
			a.said = map[string]*said{}
		}
		s = &said{at: math.MinInt64}
		a.said[m.GetSource()] = s
	}
	if m.GetSampledAtMs() > s.at {
		s.at, s.layout, s.values = m.GetSampledAtMs(), b.Layout, append(s.values[:0], b.Values...)
	}
}

// forgetSaid keeps what is remembered to the sources that count.
func (a *agent) forgetSaid() {
	for source := range a.said {
		if _, ok := a.sources[source]; !ok {
			delete(a.said, source)
		}
	}
}

// inFull asks for a report again, with everything written out.
func (i *Ingest) inFull(ack *wire.Ack) outcome {
	ack.InFull = true
	return outcome{http.StatusOK, resultNeedShapes, ack}
}

// changedShapes adds to what the report offers the shapes that it brings as changes to ones that this customer's agents
// have reported. One that leans on a shape which is not known here is passed over: it is asked for in full.
func (s *sorting) changedShapes() {
	for _, c := range s.m.GetShapeChanges() {
		if len(c.GetBase()) != len(shapeID{}) {
			s.breaks(&wire.Error{Reason: wire.ReasonMalformed, Text: "a shape change has no base"})
			continue
		}
		base, ok := s.i.shapes.find(s.who.Customer, shapeID(c.GetBase()), s.now)
		if !ok {
			continue
		}
		l, err := wire.ReadShapeChange(c, labelsOf(base), s.i.o.Limits)
		if err != nil {
			s.breaks(asWire(err))
			continue
		}
		s.offered[l.ID] = l
	}
}

func (s *sorting) breaks(err *wire.Error) {
	if s.broken == nil {
		s.broken = err
	}
}

// labelsOf is a layout in the types of the wire.
func labelsOf(l *window.Layout) [][]wire.Label {
	out := make([][]wire.Label, len(l.Series))
	for i, series := range l.Series {
		out[i] = make([]wire.Label, 0, series.Len())
		series.Range(func(x labels.Label) {
			out[i] = append(out[i], wire.Label{Name: x.Name, Value: x.Value})
		})
	}
	return out
}
