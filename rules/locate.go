package rules

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// locate finds where in a YAML file the byte at of a scalar's text stands: line and column, counted in characters from 1. The
// column is 0 where the text cannot be followed, because escapes or a tag stand between: then the line is the scalar's first.
func locate(content []byte, n *yaml.Node, text string, at int) (line, column int) {
	c := cursor{line: 1, column: 1, rest: []rune(string(content))}
	for len(c.rest) > 0 && (c.line < n.Line || c.line == n.Line && c.column < n.Column) {
		c.next()
	}
	var escape rune
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		for len(c.rest) > 0 && c.rest[0] != '\n' {
			c.next()
		}
	case n.Style&yaml.SingleQuotedStyle != 0:
		escape = '\''
		c.next()
	case n.Style&yaml.DoubleQuotedStyle != 0:
		escape = '\\'
		c.next()
	}
	c.skipSpace()
	text = text[:min(at, len(strings.TrimRightFunc(text, unicode.IsSpace)))]
	for _, r := range strings.TrimLeftFunc(text, unicode.IsSpace) {
		switch {
		case unicode.IsSpace(r): // folding makes one space of many
			c.skipSpace()
			continue
		case escape != 0 && len(c.rest) > 1 && c.rest[0] == escape && c.rest[1] == r:
			c.next()
		}
		if len(c.rest) == 0 || c.rest[0] != r {
			return n.Line, 0
		}
		c.next()
	}
	return c.line, c.column
}

// cursor is a place in a file.
type cursor struct {
	line, column int
	rest         []rune
}

func (c *cursor) next() {
	if len(c.rest) == 0 {
		return
	}
	c.column++
	if c.rest[0] == '\n' {
		c.line, c.column = c.line+1, 1
	}
	c.rest = c.rest[1:]
}

func (c *cursor) skipSpace() {
	for len(c.rest) > 0 && unicode.IsSpace(c.rest[0]) {
		c.next()
	}
}

// unreadable says where a file is no YAML, or YAML with a value that is not of its key's kind.
func (r *reader) unreadable(err error) {
	var bad *yaml.TypeError
	if !errors.As(err, &bad) {
		text := yamlPlace.ReplaceAllString(strings.TrimPrefix(err.Error(), "yaml: "), "")
		r.faultAt(brokenLine(r.content), 0, fmt.Errorf("not YAML: %s: want a mapping with keys of %s; look at quotes, brackets and indentation", text, known(fileKeys)))
		return
	}
	for _, text := range bad.Errors {
		line := 0
		if m := yamlPlace.FindStringSubmatch(text); m != nil {
			line, _ = strconv.Atoi(m[1]) // digits
		}
		r.faultAt(line, 0, errors.New(yamlPlace.ReplaceAllString(text, "")))
	}
}

// yamlPlace is how the YAML package says where something is. Should it change its words, a person reads those.
var yamlPlace = regexp.MustCompile(`^line (\d+): `)

// brokenTries bounds how many lines back it is looked for what was opened and never closed.
const brokenTries = 100

// brokenLine is the line with which a file stops being YAML: without it and all after it, it is. The YAML package's own
// lines are those of what surrounds the fault, one too low, or not there at all.
func brokenLine(content []byte) int {
	var doc any
	lines := &lineReader{rest: content}
	if yaml.NewDecoder(lines).Decode(&doc) == nil {
		return 0
	}
	ends := lines.ends
	for i := len(ends) - 1; i >= max(0, len(ends)-brokenTries); i-- {
		var doc any
		start := 0
		if i > 0 {
			start = ends[i-1]
		}
		if err := yaml.NewDecoder(bytes.NewReader(content[:start])).Decode(&doc); err == nil || errors.Is(err, io.EOF) {
			return i + 1
		}
	}
	return len(ends)
}

// afterFirst is the line with which a second document begins.
func afterFirst(content []byte) int {
	lines := &lineReader{rest: content}
	var doc any
	_ = yaml.NewDecoder(lines).Decode(&doc) // its faults are told elsewhere
	return len(lines.ends)
}

// lineReader gives out one line after another, so that it is known how many were needed.
type lineReader struct {
	rest []byte
	// ends are where the lines that were given out end.
	ends []int
	at   int
}

func (r *lineReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := min(len(r.rest), len(p))
	if i := bytes.IndexByte(r.rest[:n], '\n'); i >= 0 {
		n = i + 1
	}
	copy(p, r.rest[:n])
	whole := r.rest[n-1] == '\n' || n == len(r.rest)
	r.rest, r.at = r.rest[n:], r.at+n
	if whole {
		r.ends = append(r.ends, r.at)
	}
	return n, nil
}
