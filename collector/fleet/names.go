package fleet

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Lengths of names, in bytes: an identifier is a DNS label, an asset's name has room for a full host name.
const (
	maxID   = 63
	maxName = 128
	maxText = 200
	// maxProse is for what people wrote at length: terms, instructions.
	maxProse = 16 << 10
)

// validID: a word of [a-z0-9-] that begins and ends with a letter or digit.
func validID(s string) bool { return validWord(s, maxID, "-") }

// validName: what may become the instance label. Lower case only, because host names that differ in case alone are
// the same host, and two assets must not be.
func validName(s string) bool { return validWord(s, maxName, "-._:") }

func validWord(s string, longest int, marks string) bool {
	if s == "" || len(s) > longest {
		return false
	}
	for i := range len(s) {
		alphanumeric := s[i] >= 'a' && s[i] <= 'z' || s[i] >= '0' && s[i] <= '9'
		edge := i == 0 || i == len(s)-1
		if !alphanumeric && (edge || !strings.ContainsRune(marks, rune(s[i]))) {
			return false
		}
	}
	return true
}

// validText: one line of printable text for people.
func validText(s string) bool {
	return len(s) <= maxText && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
	})
}

// validProse: lines of printable text for people.
func validProse(s string) bool {
	return len(s) <= maxProse && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.Is(unicode.Bidi_Control, r)
	})
}

// AssetName makes a host's name for itself into a valid asset name: lower case, every run of other characters one
// dash. It is empty when nothing is left of it.
func AssetName(hostname string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(hostname) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' || r == '_':
			b.WriteRune(r)
		case !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
		if b.Len() >= maxName {
			break
		}
	}
	return strings.Trim(b.String(), "-._")
}
