package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
	"golang.org/x/text/width"
)

// maxMarks is how many combining marks may stand on one letter; more would paint over other lines.
const maxMarks = 4

// clean makes text from elsewhere inert and one line: whatever a terminal could take for a command, or a reader for
// something that is not there (controls, ANSI, bidirectional and invisible characters, line breaks), is shown as an
// escape like \x1b or \u202e. What can be printed stays as it is.
func clean(s string) string {
	var b strings.Builder
	marks := 0
	for i, w := 0, 0; i < len(s); i += w {
		var r rune
		r, w = utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && w == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
			continue
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t' || r == '\u00a0':
			b.WriteByte(' ')
		case unicode.Is(unicode.M, r) && marks < maxMarks:
			marks++
			b.WriteRune(r)
			continue
		case !unicode.IsPrint(r) || unicode.Is(unicode.M, r):
			escapeRune(&b, r)
			continue
		default:
			b.WriteRune(r)
		}
		marks = 0
	}
	return b.String()
}

func escapeRune(b *strings.Builder, r rune) {
	switch {
	case r < 0x100:
		fmt.Fprintf(b, `\x%02x`, r)
	case r < 0x10000:
		fmt.Fprintf(b, `\u%04x`, r)
	default:
		fmt.Fprintf(b, `\U%08x`, r)
	}
}

// safeWriter is the last gate before a terminal: it passes printable text and line feeds and escapes the rest, so that
// nothing that was not cleaned on the way can act. Every Write is whole runes, as fmt's are.
type safeWriter struct{ w io.Writer }

// Write writes p made inert. It reports len(p) when all of that was written.
func (s safeWriter) Write(p []byte) (int, error) {
	var b bytes.Buffer
	for i, line := range strings.Split(string(p), "\n") {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(clean(line))
	}
	if _, err := s.w.Write(b.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// cleanJSON writes what a terminal could act on as JSON's own escapes: the same value, in letters that are inert. Such
// characters can only stand inside strings, where JSON allows them to be escaped.
func cleanJSON(raw []byte) []byte {
	var b bytes.Buffer
	for _, r := range string(raw) {
		switch {
		case r == '\n' || r == ' ' || unicode.IsPrint(r):
			b.WriteRune(r)
		case r >= 0x10000:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+(r>>10), 0xdc00+(r&0x3ff))
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.Bytes()
}

// columns is how many cells a string takes on a terminal: wide East Asian letters take two, combining marks none.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

func runeColumns(r rune) int {
	if unicode.Is(unicode.M, r) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// cut shortens s to at most max cells, ending in … when something was left out.
func cut(s string, most int) string {
	if columns(s) <= most {
		return s
	}
	n := 0
	for i, r := range s {
		if n += runeColumns(r); n > most-1 {
			return s[:i] + "…"
		}
	}
	return s
}

// pad fills s with blanks to cells.
func pad(s string, cells int) string {
	if n := cells - columns(s); n > 0 {
		return s + strings.Repeat(" ", n)
	}
	return s
}

// wrap breaks s at blanks into lines of at most cells; a word longer than a line is broken where it must. 0 cells mean
// one line.
func wrap(s string, cells int) []string {
	if cells <= 0 {
		return []string{s}
	}
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		left := columns(word) // counted once: a word may come from a host, and be long
		for left > cells {
			if line != "" {
				lines, line = append(lines, line), ""
			}
			head := hardCut(word, cells)
			lines = append(lines, head)
			word, left = word[len(head):], left-columns(head)
		}
		switch {
		case word == "":
		case line == "":
			line = word
		case columns(line)+1+left <= cells:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	if line != "" || len(lines) == 0 {
		lines = append(lines, line)
	}
	return lines
}

// hardCut is the longest beginning of s that fits into cells, at least one rune.
func hardCut(s string, cells int) string {
	n := 0
	for i, r := range s {
		if n += runeColumns(r); n > cells && i > 0 {
			return s[:i]
		}
	}
	return s
}

// terminalWidth is the width of the terminal behind w in cells, 0 when w is no terminal: then nothing is cut or wrapped.
func terminalWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	cells, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return cells
}
