package sample

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/watchbill/watchbill/agent/wire"
)

// parseExposition reads Prometheus' text format 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/),
// strictly: a file that is damaged, or was still being written, must fail and not be believed in part. Time stamps are
// refused, since samples are stamped when they are read. Errors say the line; what they quote is cut short.
func parseExposition(text string) ([]wire.Sample, error) {
	if text != "" && !strings.HasSuffix(text, "\n") {
		return nil, errors.New("the last line has no end: write the file under another name and rename it when it is whole")
	}
	if !utf8.ValidString(text) {
		return nil, errors.New("it is not UTF-8")
	}
	p := exposition{seen: map[string]bool{}, types: map[string]bool{}, helps: map[string]bool{}, sampled: map[string]bool{}}
	n := 0
	for l := range strings.Lines(text) {
		n++
		if err := p.line(strings.Trim(strings.TrimSuffix(l, "\n"), " \t")); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	return p.out, nil
}

// exposition is what was read so far.
type exposition struct {
	out                   []wire.Sample
	seen                  map[string]bool // series
	types, helps, sampled map[string]bool // metric names
}

func (p *exposition) line(l string) error {
	switch {
	case l == "":
		return nil
	case l[0] == '#':
		return p.comment(l[1:])
	}
	s, err := parseSeries(l)
	if err != nil {
		return err
	}
	key := seriesKey(s)
	if p.seen[key] {
		return fmt.Errorf("the series %.80s is there twice", key)
	}
	p.seen[key], p.sampled[s.Name] = true, true
	p.out = append(p.out, s)
	return nil
}

// comment reads "HELP name text" and "TYPE name type"; any other comment means nothing.
func (p *exposition) comment(l string) error {
	kind, rest := cutWord(l)
	if kind != "HELP" && kind != "TYPE" {
		return nil
	}
	name, rest := cutWord(rest)
	if !metricName(name) {
		return fmt.Errorf("%s of %.80q, which is no metric name", kind, name)
	}
	if kind == "HELP" {
		if p.helps[name] {
			return fmt.Errorf("second HELP of %s", name)
		}
		p.helps[name] = true
		return nil
	}
	if p.types[name] || p.sampled[name] {
		return fmt.Errorf("TYPE of %s comes twice, or after its first sample", name)
	}
	p.types[name] = true
	if t := strings.TrimSpace(rest); !slices.Contains([]string{"counter", "gauge", "histogram", "summary", "untyped"}, t) {
		return fmt.Errorf("%s has the type %.40q: want counter, gauge, histogram, summary or untyped", name, t)
	}
	return nil
}

// parseSeries reads `name{label="value",…} number`.
func parseSeries(l string) (wire.Sample, error) {
	i := strings.IndexAny(l, "{ \t")
	if i < 0 {
		i = len(l)
	}
	s := wire.Sample{Name: l[:i]}
	if !metricName(s.Name) {
		return s, fmt.Errorf("%.80q is no metric name", s.Name)
	}
	rest := strings.TrimLeft(l[i:], " \t")
	if inner, ok := strings.CutPrefix(rest, "{"); ok {
		var err error
		if s.Labels, rest, err = parseLabels(inner); err != nil {
			return s, fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	number, rest := cutWord(rest)
	if rest = strings.TrimSpace(rest); rest != "" {
		return s, fmt.Errorf("%s: after the value stands %.40q: time stamps are not taken here", s.Name, rest)
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || strings.ContainsAny(number, "pPxX_") { // no hexadecimal
		return s, fmt.Errorf("%s: want a number, got %.40q", s.Name, number)
	}
	s.Value = v
	return s, nil
}

// parseLabels reads what stands between the braces, and returns what comes after them.
func parseLabels(l string) (labels []wire.Label, rest string, err error) {
	limits := wire.DefaultLimits()
	for {
		l = strings.TrimLeft(l, " \t")
		if rest, ok := strings.CutPrefix(l, "}"); ok {
			return labels, rest, nil
		}
		name, after, ok := strings.Cut(l, "=")
		name = strings.TrimRight(name, " \t")
		if !ok || !wire.LabelName(name) || len(name) > limits.LabelNameBytes {
			return nil, "", fmt.Errorf("want a label, name=\"value\", got %.80q", l)
		}
		after, ok = strings.CutPrefix(strings.TrimLeft(after, " \t"), `"`)
		if !ok {
			return nil, "", fmt.Errorf("label %s: want a value in double quotes", name)
		}
		v, after, err := unquote(after)
		if err != nil {
			return nil, "", fmt.Errorf("label %s: %w", name, err)
		}
		if len(v) > limits.LabelValueBytes {
			return nil, "", fmt.Errorf("label %s: its value has %d bytes, at most %d are taken", name, len(v), limits.LabelValueBytes)
		}
		if slices.ContainsFunc(labels, func(l wire.Label) bool { return l.Name == name }) {
			return nil, "", fmt.Errorf("label %s is there twice", name)
		}
		if labels = append(labels, wire.Label{Name: name, Value: v}); len(labels) >= limits.LabelsPerSeries {
			return nil, "", fmt.Errorf("more than %d labels", limits.LabelsPerSeries-1)
		}
		l = strings.TrimLeft(after, " \t")
		if next, ok := strings.CutPrefix(l, ","); ok {
			l = next
		} else if !strings.HasPrefix(l, "}") {
			return nil, "", fmt.Errorf("after label %s: want a comma or }, got %.40q", name, l)
		}
	}
}

// unquote reads up to the closing quote and undoes \\, \" and \n.
func unquote(s string) (v, rest string, err error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], nil
		case '\\':
			i++
			if i == len(s) {
				return "", "", errors.New("the value ends in a backslash")
			}
			plain := strings.IndexByte(`\"n`, s[i])
			if plain < 0 {
				return "", "", fmt.Errorf(`\%c is no escape: want \\, \" or \n`, s[i])
			}
			b.WriteByte("\\\"\n"[plain])
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", errors.New("the value has no closing quote")
}

// seriesKey is the same for the same series, however its labels are ordered. A label without a value is none.
func seriesKey(s wire.Sample) string {
	labels := slices.DeleteFunc(slices.Clone(s.Labels), func(l wire.Label) bool { return l.Value == "" })
	slices.SortFunc(labels, func(a, b wire.Label) int { return strings.Compare(a.Name, b.Name) })
	var b strings.Builder
	b.WriteString(s.Name)
	for _, l := range labels {
		fmt.Fprintf(&b, ",%s=%q", l.Name, l.Value)
	}
	return b.String()
}

func cutWord(s string) (first, rest string) {
	s = strings.TrimLeft(s, " \t")
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

// metricName says whether s can be the name of a metric: to the wire it is the value of a label.
func metricName(s string) bool {
	return wire.MetricName(s) && len(s) <= wire.DefaultLimits().LabelValueBytes
}
