package api

import (
	"bytes"
	"encoding/csv"
	"strings"
)

// csv is the report's tables, one below the other with an empty row between them, each with its header.
func (rp Report) csv() ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	for i, t := range rp.Tables {
		if i > 0 {
			if err := w.Write([]string{""}); err != nil {
				return nil, err
			}
		}
		for _, row := range append([][]string{t.Columns}, t.Rows...) {
			cells := make([]string, len(row))
			for i, cell := range row {
				cells[i] = CSVCell(cell)
			}
			if err := w.Write(cells); err != nil {
				return nil, err
			}
		}
	}
	w.Flush()
	return b.Bytes(), w.Error()
}

// CSVCell makes text inert for programs that take a cell which begins like a formula for one: it gets an apostrophe in
// front. Numbers stay as they are, the negative ones too: they are no formulas. NUL and what is not UTF-8 is shown as U+FFFD.
func CSVCell(s string) string {
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")
	if s == "" || plainNumber(s) {
		return s
	}
	// What some programs strip before they look is looked through; the full-width forms count as the plain ones do.
	first, _ := firstRune(strings.TrimLeft(s, " \u00a0\n\v\f\ufeff\u200b"))
	if strings.ContainsRune("=+-@\t\r|%＝＋－＠", first) || strings.ContainsAny(s[:1], "\t\r\n") {
		return "'" + s
	}
	return s
}

func firstRune(s string) (rune, bool) {
	for _, r := range s {
		return r, true
	}
	return 0, false
}

// plainNumber tells an optional minus, digits, and a fraction.
func plainNumber(s string) bool {
	s = strings.TrimPrefix(s, "-")
	whole, fraction, point := strings.Cut(s, ".")
	digits := func(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
	return digits(whole) && (!point || digits(fraction))
}
