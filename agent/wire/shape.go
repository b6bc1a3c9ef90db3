package wire

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"slices"
	"strings"
	"unicode/utf8"
)

// Layout is what a Shape says, spelled out and checked: the label sets of a block in its order, without the asset's
// identity. Series are strictly ascending, and so are the labels of each by name, NameLabel among them. It is
// immutable and may be shared.
type Layout struct {
	ID     [32]byte
	Series [][]Label
}

// compareSeries orders label sets label by label, name before value; a prefix comes first.
func compareSeries(a, b []Label) int {
	return slices.CompareFunc(a, b, func(x, y Label) int {
		return cmp.Or(strings.Compare(x.Name, y.Name), strings.Compare(x.Value, y.Value))
	})
}

// ShapeID is the SHA-256 of the canonical encoding of a layout's series:
//
//	"watchbill shape v1\n" ‖ n(series) ‖ for each series: n(labels) ‖ for each label: s(name) ‖ s(value)
//
// n is an unsigned LEB128 varint as protobuf has it, s(x) is n(length of x in bytes) ‖ x. The first part separates this
// hash from every other use of SHA-256; the counts and lengths make the encoding of a layout unique.
func ShapeID(series [][]Label) [32]byte {
	c := canon{h: sha256.New()}
	c.text(canonicalHead)
	c.count(len(series))
	for _, labels := range series {
		c.count(len(labels))
		for _, l := range labels {
			c.count(len(l.Name))
			c.text(l.Name)
			c.count(len(l.Value))
			c.text(l.Value)
		}
	}
	return c.sum()
}

const canonicalHead = "watchbill shape v1\n"

// canon gathers small pieces before they are hashed: the whole encoding, in which every label is spelled out, is never
// in memory.
type canon struct {
	h   hash.Hash
	buf [512]byte
	n   int
}

func (c *canon) count(n int) {
	if len(c.buf)-c.n < binary.MaxVarintLen64 {
		c.flush()
	}
	c.n += binary.PutUvarint(c.buf[c.n:], uint64(n)) //nolint:gosec // a length
}

func (c *canon) text(s string) {
	for len(s) > 0 {
		if c.n == len(c.buf) {
			c.flush()
		}
		n := copy(c.buf[c.n:], s)
		c.n, s = c.n+n, s[n:]
	}
}

func (c *canon) flush() {
	c.h.Write(c.buf[:c.n]) // never fails: hash.Hash
	c.n = 0
}

func (c *canon) sum() (id [32]byte) {
	c.flush()
	c.h.Sum(id[:0])
	return id
}

// Shape writes l for the line: every name and value once.
func (l Layout) Shape() *Shape {
	s := &Shape{Series: make([]*Series, len(l.Series))}
	index := map[string]uint32{}
	symbol := func(text string) uint32 {
		i, ok := index[text]
		if !ok {
			i = uint32(len(s.Symbols)) //nolint:gosec // at most two per label
			index[text] = i
			s.Symbols = append(s.Symbols, text)
		}
		return i
	}
	for i, labels := range l.Series {
		refs := make([]uint32, 0, 2*len(labels))
		for _, label := range labels {
			refs = append(refs, symbol(label.Name), symbol(label.Value))
		}
		s.Series[i] = &Series{Labels: refs}
	}
	return s
}

// ReadShape checks a shape as it came over the line and returns what it says, with the ID computed from that and not
// taken from anyone. It holds that metric and label names are legacy Prometheus names, labels ascend and have values,
// every series has a metric name, series strictly ascend (so none is there twice), texts are UTF-8, and that no label
// is one only the collector may set: customer, site, instance, job, alertname and whatever begins with two underscores.
// Nothing is allocated before the counts are within max. Errors are *Error.
func ReadShape(s *Shape, max Limits) (Layout, error) {
	if err := checkShapeSize(s, max); err != nil {
		return Layout{}, err
	}
	series, err := seriesOf(s)
	if err != nil {
		return Layout{}, err
	}
	for i, labels := range series {
		if err := checkLabels(labels, max); err != nil {
			return Layout{}, err
		}
		if i == 0 {
			continue
		}
		switch c := compareSeries(series[i-1], labels); {
		case c == 0:
			return Layout{}, refuse(ReasonDuplicateSeries, "series %s is there twice: every series of a block must be "+
				"told apart by its labels", text(labels))
		case c > 0:
			return Layout{}, refuse(ReasonMalformed, "series %s comes after %s: the series of a shape must ascend",
				text(labels), text(series[i-1]))
		}
	}
	return Layout{ID: ShapeID(series), Series: series}, nil
}

// checkShapeSize reckons what s will cost spelled out, without spelling it out.
func checkShapeSize(s *Shape, max Limits) error {
	if err := over("symbols of a shape", len(s.GetSymbols()), max.Symbols, "symbols"); err != nil {
		return err
	}
	if err := over("series of a shape", len(s.GetSeries()), max.SeriesPerBlock, "series_per_block"); err != nil {
		return err
	}
	labels, size := 0, len(canonicalHead)+uvarintLen(len(s.GetSeries()))
	for i, row := range s.GetSeries() {
		refs := row.GetLabels()
		if len(refs)%2 != 0 {
			return refuse(ReasonMalformed, "series %d of a shape has a label without a value", i)
		}
		if err := over("labels of one series", len(refs)/2, max.LabelsPerSeries, "labels_per_series"); err != nil {
			return err
		}
		labels += len(refs) / 2
		size += uvarintLen(len(refs) / 2)
		for _, ref := range refs {
			if uint64(ref) >= uint64(len(s.GetSymbols())) {
				return refuse(ReasonMalformed, "series %d of a shape names symbol %d of %d", i, ref, len(s.GetSymbols()))
			}
			n := len(s.GetSymbols()[ref])
			size += uvarintLen(n) + n
		}
		if err := over("bytes of a shape spelled out", size, max.ShapeBytes, "shape_bytes"); err != nil {
			return err
		}
	}
	return over("labels of a shape", labels, max.LabelsPerShape, "labels_per_shape")
}

func uvarintLen(n int) int {
	var buf [binary.MaxVarintLen64]byte
	return binary.PutUvarint(buf[:], uint64(n)) //nolint:gosec // a length
}

// seriesOf spells a shape out and checks only what that takes. Strings are shared with s.
func seriesOf(s *Shape) ([][]Label, error) {
	n := 0
	for _, row := range s.GetSeries() {
		n += len(row.GetLabels()) / 2
	}
	all := make([]Label, 0, n)
	series := make([][]Label, len(s.GetSeries()))
	for i, row := range s.GetSeries() {
		refs, from := row.GetLabels(), len(all)
		for len(refs) >= 2 {
			if max(refs[0], refs[1]) >= uint32(len(s.GetSymbols())) { //nolint:gosec // bounded by the message's size
				return nil, refuse(ReasonMalformed, "series %d of a shape names a symbol that is not there", i)
			}
			all = append(all, Label{Name: s.GetSymbols()[refs[0]], Value: s.GetSymbols()[refs[1]]})
			refs = refs[2:]
		}
		series[i] = all[from:len(all):len(all)]
	}
	return series, nil
}

func checkLabels(labels []Label, max Limits) error {
	named := false
	for i, l := range labels {
		if i > 0 && labels[i-1].Name >= l.Name {
			if labels[i-1].Name == l.Name {
				return refuse(ReasonDuplicateLabel, "label %q is twice in series %s", l.Name, text(labels))
			}
			return refuse(ReasonBadLabel, "labels of series %s must ascend by name, %q comes after %q", text(labels),
				l.Name, labels[i-1].Name)
		}
		if err := checkLabel(l, max); err != nil {
			return err
		}
		named = named || l.Name == NameLabel
	}
	if !named {
		return refuse(ReasonBadLabel, "series %s has no metric name (label %s)", text(labels), NameLabel)
	}
	return nil
}

func checkLabel(l Label, max Limits) error {
	if err := over("bytes of a label name", len(l.Name), max.LabelNameBytes, "label_name_bytes"); err != nil {
		return err
	}
	if n := len(l.Value); n > max.LabelValueBytes {
		return over(fmt.Sprintf("bytes of a value of label %s", shorten(l.Name)), n, max.LabelValueBytes, "label_value_bytes")
	}
	switch {
	case !utf8.ValidString(l.Value):
		return refuse(ReasonBadText, "label %s: value %q is not UTF-8", shorten(l.Name), shorten(l.Value))
	case l.Value == "":
		return refuse(ReasonBadLabel, "label %s has no value: leave it out", shorten(l.Name))
	case l.Name == NameLabel:
		if !MetricName(l.Value) {
			return refuse(ReasonBadLabel, "metric name %q: want [a-zA-Z_:][a-zA-Z0-9_:]*", shorten(l.Value))
		}
	case !LabelName(l.Name):
		return refuse(ReasonBadLabel, "label name %q: want [a-zA-Z_][a-zA-Z0-9_]*", shorten(l.Name))
	case ReservedLabel(l.Name):
		return refuse(ReasonReservedLabel, "label %s=%q: only the collector sets this label; rename it at its source",
			l.Name, shorten(l.Value))
	}
	return nil
}

// ReservedLabel tells whether only the collector may set a label of this name. ReadShape refuses such a label, all but
// NameLabel; whoever gathers series that others named leaves those series out beforehand.
func ReservedLabel(name string) bool {
	switch name {
	case "customer", "site", "instance", "job", "alertname":
		return true
	}
	return strings.HasPrefix(name, "__")
}

// MetricName tells whether s is a metric name as Prometheus had them before UTF-8 names, the only ones that ReadShape
// takes; see "Metric names and labels" in its data model.
func MetricName(s string) bool { return legacyName(s, true) }

// LabelName is MetricName for the name of a label, in which a colon may not stand.
func LabelName(s string) bool { return legacyName(s, false) }

func legacyName(s string, colons bool) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_':
		case c >= '0' && c <= '9' && i > 0:
		case c == ':' && colons:
		default:
			return false
		}
	}
	return s != ""
}

// text is a series for a person to read, in Prometheus' notation.
func text(labels []Label) string {
	var b bytes.Buffer
	writeSeries(&b, labels)
	return shorten(b.String())
}

// shorten keeps what someone sent from filling the message that complains about it.
func shorten(s string) string { return Clean(s, 200) }

// Clean makes s fit for the wire: valid UTF-8 (each invalid run becomes U+FFFD) of at most n bytes, cut between
// characters.
func Clean(s string, n int) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
