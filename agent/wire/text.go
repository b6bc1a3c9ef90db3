package wire

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// WriteText writes blocks in Prometheus' text format 0.0.4 ("Exposition formats" in its documentation), without time
// stamps: series grouped by metric name, names ascending, each with its type: counter when the name ends in _total,
// otherwise gauge, which is all the wire knows. Blocks that are not ok become comments that say why. shapes finds the
// shapes of the blocks: Builder.Shape.
func WriteText(w io.Writer, blocks []*Block, shapes func(id []byte) (*Shape, bool)) error {
	families := map[string]*bytes.Buffer{}
	var out bytes.Buffer
	for _, b := range blocks {
		if b.GetStatus() != Block_STATUS_OK {
			// The format ends a comment at the line's end.
			reason := strings.NewReplacer("\n", " ", "\r", " ").Replace(b.GetReason())
			fmt.Fprintf(&out, "# source %s: %s: %s\n", b.GetSource(), statusWord(b.GetStatus()), reason)
			continue
		}
		if err := writeBlock(families, b, shapes); err != nil {
			return fmt.Errorf("write block %s as text: %w", b.GetSource(), err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(families)) {
		kind := "gauge"
		if strings.HasSuffix(name, "_total") {
			kind = "counter"
		}
		fmt.Fprintf(&out, "# TYPE %s %s\n", name, kind)
		out.Write(families[name].Bytes())
	}
	if _, err := w.Write(out.Bytes()); err != nil {
		return fmt.Errorf("write samples as text: %w", err)
	}
	return nil
}

func statusWord(s Block_Status) string {
	return strings.ToLower(strings.TrimPrefix(s.String(), "STATUS_"))
}

func writeBlock(families map[string]*bytes.Buffer, b *Block, shapes func(id []byte) (*Shape, bool)) error {
	shape, ok := shapes(b.GetShapeId())
	if !ok {
		return fmt.Errorf("its shape %x is not known", b.GetShapeId())
	}
	series, err := seriesOf(shape)
	if err != nil {
		return err
	}
	if len(series) != len(b.GetValues()) {
		return fmt.Errorf("it has %d values for %d series", len(b.GetValues()), len(series))
	}
	for i, labels := range series {
		name := metricName(labels)
		f := families[name]
		if f == nil {
			f = &bytes.Buffer{}
			families[name] = f
		}
		writeSeries(f, labels)
		f.WriteByte(' ')
		f.WriteString(formatValue(b.GetValues()[i]))
		f.WriteByte('\n')
	}
	return nil
}

// formatValue is the shortest decimal that reads back to the same number; NaN, +Inf and -Inf are spelled as Go does.
func formatValue(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

func metricName(labels []Label) string {
	i := slices.IndexFunc(labels, func(l Label) bool { return l.Name == NameLabel })
	if i < 0 {
		return ""
	}
	return labels[i].Value
}

func writeSeries(b *bytes.Buffer, labels []Label) {
	b.WriteString(metricName(labels))
	sep := byte('{')
	for _, l := range labels {
		if l.Name == NameLabel {
			continue
		}
		b.WriteByte(sep)
		sep = ','
		b.WriteString(l.Name)
		b.WriteString(`="`)
		writeEscaped(b, l.Value)
		b.WriteByte('"')
	}
	if sep == ',' {
		b.WriteByte('}')
	}
}

// writeEscaped escapes the three characters that the format has an escape for.
func writeEscaped(b *bytes.Buffer, s string) {
	for i := range len(s) {
		switch s[i] {
		case '\\':
			b.WriteString(`\\`)
		case '"':
			b.WriteString(`\"`)
		case '\n':
			b.WriteString(`\n`)
		default:
			b.WriteByte(s[i])
		}
	}
}
