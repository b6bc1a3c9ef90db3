package main

import (
	"fmt"
	"io"
	"strings"
)

// column is one column of a table.
type column struct {
	title string
	// stretch columns give up cells first when the terminal is narrow, down to their title or eight cells.
	stretch bool
}

// table prints rows aligned under titles. Cells come from anywhere: they are cleaned here. With a width the stretching
// columns are cut so that every row fits; a row that cannot fit runs over.
func table(w io.Writer, width int, columnsOf []column, rows [][]string) {
	widths := make([]int, len(columnsOf))
	for i, c := range columnsOf {
		widths[i] = columns(c.title)
	}
	cells := make([][]string, len(rows))
	for r, row := range rows {
		cells[r] = make([]string, len(columnsOf))
		for i := range columnsOf {
			if i < len(row) {
				cells[r][i] = clean(row[i])
			}
			widths[i] = max(widths[i], columns(cells[r][i]))
		}
	}
	squeeze(widths, columnsOf, width)
	titles := make([]string, len(columnsOf))
	for i, c := range columnsOf {
		titles[i] = clean(c.title)
	}
	for _, row := range append([][]string{titles}, cells...) {
		var b strings.Builder
		for i, cell := range row {
			if i > 0 {
				b.WriteString("  ")
			}
			b.WriteString(pad(cut(cell, widths[i]), widths[i]))
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}

// squeeze takes cells from the widest stretching column until the row fits into width.
func squeeze(widths []int, columnsOf []column, width int) {
	total, least := 2*(len(widths)-1), make([]int, len(widths))
	for i, n := range widths {
		total += n
		least[i] = max(8, columns(columnsOf[i].title)) // once: a title may come from a host, and be long
	}
	for width > 0 && total > width {
		widest := -1
		for i, c := range columnsOf {
			if c.stretch && widths[i] > least[i] && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return
		}
		widths[widest]--
		total--
	}
}
