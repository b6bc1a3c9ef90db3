package sample

import "strings"

// options finds --password VALUE, also as a list that a program printed: "--password", "VALUE".
func (f *finder) options() {
	s := f.s
	for i := 0; i < len(s) && f.work >= 0; i++ {
		if s[i] != '-' || i > 0 && !isBlank(s[i-1]) && strings.IndexByte("\"'`([{,|=\\", s[i-1]) < 0 {
			continue
		}
		end := i
		for end < len(s) && isName(s[end]) {
			end++
		}
		if secretOption(s[i:end]) {
			f.option(i, end)
		}
		i = end - 1
	}
}

// option looks at the value behind the option that stands from i to end.
func (f *finder) option(i, end int) {
	s := f.s
	from := end
	if i > 0 && from < len(s) && s[from] == s[i-1] && (s[from] == '"' || s[from] == '\'') {
		from++ // its own closing quote
		if from < len(s) && s[from] == ',' {
			from++
		}
	}
	blank := from
	for from < len(s) && isBlank(s[from]) {
		from++
	}
	if from == len(s) || from == end || from == blank && s[from-1] != ',' {
		return
	}
	if at, ok := f.quoted(from, false); ok {
		if !plainWord(found{secret: s[at.from:at.to]}) {
			f.add(at.from, at.to)
		}
		return
	}
	if s[from] == '-' {
		return // the next option
	}
	to := from
	for to < len(s) && !isBlank(s[to]) && !f.closes(to) {
		to++
	}
	if !plainWord(found{secret: s[from:to]}) {
		f.add(from, to)
	}
}
