package sample

import (
	"regexp"
	"strings"
)

// passwordQuoted finds what stands in SQL before the quote of a password: IDENTIFIED BY 'x', PASSWORD 'x', PASSWORD('x').
var passwordQuoted = regexp.MustCompile(`(?i)\b(?:identified\s+(?:with\s+\S+\s+)?(?:by|as|using)(?:\s+password)?\s+|password\s+|password\s*\(\s*|` +
	`set\s+password\b[^=\n]{0,200}=\s*(?:password\s*\(\s*)?)\\*["'\x60]`)

// sql finds the passwords of statements.
func (f *finder) sql(lower string) {
	if !strings.Contains(lower, "password") && !strings.Contains(lower, "identified") {
		return
	}
	for _, at := range passwordQuoted.FindAllStringIndex(f.s, -1) {
		from := at[1] - 1
		for from > 0 && f.s[from-1] == '\\' {
			from--
		}
		if v, ok := f.quoted(from, false); ok && !plainWord(found{secret: f.s[v.from:v.to]}) {
			f.add(v.from, v.to)
		}
	}
}
