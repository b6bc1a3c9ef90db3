package remote

import (
	"slices"
	"sync/atomic"

	"github.com/klauspost/compress/snappy"
	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

// encoder makes requests. It belongs to one shard, and keeps its room from one request to the next.
type encoder struct {
	message remoteapi.WriteMessageType
	marks   *atomic.Uint64

	// groups are the series of a batch in the order in which they come, with how many samples each has.
	groups []group
	v1     prompb.WriteRequest
	labels []prompb.Label
	one    []prompb.Sample
	v2     writev2.Request
	table  writev2.SymbolsTable
	refs   []uint32
	two    []writev2.Sample
	raw    []byte
	packed []byte
}

type group struct {
	series *series
	// from and to are the place of its samples among all of the batch.
	from, to int
}

func newEncoder(m remoteapi.WriteMessageType, marks *atomic.Uint64) *encoder {
	return &encoder{message: m, marks: marks, table: writev2.NewSymbolTable()}
}

// encode is the body of a request that holds batch, good until the next call. Samples of one series stand together, in their
// order.
func (e *encoder) encode(batch []sample) []byte {
	e.group(batch)
	if e.message == remoteapi.WriteV2MessageType {
		e.encodeV2(batch)
	} else {
		e.encodeV1(batch)
	}
	e.packed = snappy.Encode(e.packed[:cap(e.packed)], e.raw)
	return e.packed
}

func (e *encoder) group(batch []sample) {
	mark := e.marks.Add(1)
	clear(e.groups)
	e.groups = e.groups[:0]
	for _, s := range batch {
		if s.series.mark != mark {
			s.series.mark, s.series.slot = mark, len(e.groups)
			e.groups = append(e.groups, group{series: s.series})
		}
		e.groups[s.series.slot].to++
	}
	from := 0
	for i := range e.groups {
		n := e.groups[i].to
		e.groups[i].from, e.groups[i].to = from, from
		from += n
	}
}

// place is where the next sample of a series goes.
func (e *encoder) place(s *series) int {
	g := &e.groups[s.slot]
	g.to++
	return g.to - 1
}

func (e *encoder) encodeV1(batch []sample) {
	e.one = slices.Grow(e.one[:0], len(batch))[:len(batch)]
	for _, s := range batch {
		e.one[e.place(s.series)] = prompb.Sample{Timestamp: s.t, Value: s.v}
	}
	clear(e.labels)
	e.labels, e.v1.Timeseries = e.labels[:0], e.v1.Timeseries[:0]
	for _, g := range e.groups {
		from := len(e.labels)
		g.series.labels.Range(func(l labels.Label) {
			e.labels = append(e.labels, prompb.Label{Name: l.Name, Value: l.Value})
		})
		e.v1.Timeseries = append(e.v1.Timeseries, prompb.TimeSeries{
			Labels: e.labels[from:len(e.labels):len(e.labels)], Samples: e.one[g.from:g.to:g.to],
		})
	}
	size := e.v1.Size()
	e.raw = grow(e.raw, size)
	if _, err := e.v1.MarshalToSizedBuffer(e.raw); err != nil {
		panic(err) // it fails for messages that cannot be, only
	}
}

func (e *encoder) encodeV2(batch []sample) {
	e.two = slices.Grow(e.two[:0], len(batch))[:len(batch)]
	for _, s := range batch {
		e.two[e.place(s.series)] = writev2.Sample{Timestamp: s.t, Value: s.v}
	}
	e.table.Reset()
	e.refs, e.v2.Timeseries = e.refs[:0], e.v2.Timeseries[:0]
	for _, g := range e.groups {
		from := len(e.refs)
		g.series.labels.Range(func(l labels.Label) {
			e.refs = append(e.refs, e.table.Symbolize(l.Name), e.table.Symbolize(l.Value))
		})
		e.v2.Timeseries = append(e.v2.Timeseries, writev2.TimeSeries{
			LabelsRefs: e.refs[from:len(e.refs):len(e.refs)], Samples: e.two[g.from:g.to:g.to],
		})
	}
	e.v2.Symbols = e.table.Symbols()
	size := e.v2.Size()
	e.raw = grow(e.raw, size)
	if _, err := e.v2.MarshalToSizedBuffer(e.raw); err != nil {
		panic(err) // as above
	}
}
