package sample

import "strings"

// bare is the end of a value without quotes. A blank ends it, and a semicolon or ampersand before the next pair; another
// one may be part of it, as may a quote that closes nothing.
func (f *finder) bare(n named, kind byte, from int) int {
	s := f.s
	i := from
	for ; i < len(s) && !isBlank(s[i]); i++ {
		if s[i] == ';' || s[i] == '&' {
			if i == from || f.pairBehind(i) {
				break
			}
			continue
		}
		if f.closes(i) || s[i] == '\\' && f.closes(i+1) {
			break
		}
	}
	if !f.spend(i, i-from) {
		return len(s)
	}
	if kind == '=' && i > from && i < len(s) && s[i] == ' ' {
		return f.words(n, i)
	}
	return i
}

// closes says whether there is a quote at i that closes something: nothing that belongs to it follows.
func (f *finder) closes(i int) bool {
	s := f.s
	if i >= len(s) || s[i] != '"' && s[i] != '\'' && s[i] != '`' {
		return false
	}
	return i+1 == len(s) || isBlank(s[i+1]) || strings.IndexByte("\"'`,;:)]}>&|\\", s[i+1]) >= 0
}

// pairBehind says whether the value ends at the semicolon or ampersand at i: there is nothing behind it, or another pair.
func (f *finder) pairBehind(i int) bool {
	s := f.s
	j := i + 1
	if j == len(s) || isBlank(s[j]) && s[i] == '&' || f.closes(j) || s[j] == ')' || s[j] == '}' || s[j] == ']' {
		return true
	}
	for j < len(s) && isBlank(s[j]) {
		j++
	}
	if s[i] == ';' && (j == len(s) || j > i+1 && !f.whole) {
		return true
	}
	for start := j; j < len(s) && j-start < maxName; j++ {
		switch {
		case s[j] == '=':
			return j > start
		case isName(s[j]) || s[j] == '[' || s[j] == ']' || s[j] == '%' || s[j] == ' ' && s[i] == ';':
		default:
			return false
		}
	}
	return false
}

// words is the end of a value in a connection string that holds spaces: "Password=a b;". Where it cannot be told from a
// word before a sentence, the value ends at i, at the first space.
func (f *finder) words(n named, i int) int {
	s := f.s
	last := i // the end of the last word before the next pair
	j := i
	for ; j < len(s) && (f.whole || j-i < valueWords); j++ {
		switch {
		case s[j] == '=' || s[j] == '\n' || s[j] == '&' && !f.whole:
			f.spend(j, j-i)
			if f.whole {
				return last
			}
			return i
		case s[j] == ';' && f.whole && !f.pairBehind(j):
		case s[j] == ';':
			f.spend(j, j-i)
			if f.whole || f.listBefore(n.from) || j+1 == len(s) || f.closes(j+1) || !isBlank(s[j+1]) && f.pairBehind(j) {
				return j
			}
			return i
		case f.closes(j):
			f.spend(j, j-i)
			if f.listBefore(n.from) {
				return j
			}
			if !f.whole {
				return i
			}
		case s[j] == ' ' && s[j-1] != ' ':
			last = j
		}
	}
	f.spend(j, j-i)
	if j == len(s) && f.whole {
		return j
	}
	return i
}

// listBefore says whether a name at i continues a list of pairs that semicolons part.
func (f *finder) listBefore(i int) bool {
	before := strings.TrimRight(f.s[max(0, i-8):i], " \t")
	return strings.HasSuffix(before, ";")
}
