package notify

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// Whatever a receiver answers, what is shown of it is one short line that no terminal, log or page acts on.
func FuzzShown(f *testing.F) {
	for _, s := range []string{"", "ok", "\x1b[2J\r\nX: y", "\xff\xfe", "a\u202eb", strings.Repeat("ü", 300), strings.Repeat(" \x00", 300)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got := shown(b)
		if len(got) > maxShown+len("…") || !utf8.ValidString(got) {
			t.Errorf("%d bytes, valid %t: %q", len(got), utf8.ValidString(got), got)
		}
		if strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("unprintable: %q", got)
		}
	})
}
