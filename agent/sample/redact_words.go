package sample

import "strings"

// shellWord is a word of a command line as a shell reads it: what stands in its quotes, if it is in quotes.
type shellWord struct{ from, to int }

// commands finds the secrets that well-known programs take from options which do not say so.
func (f *finder) commands(p programs, lower string) {
	if !p.mentioned(lower) {
		return
	}
	read := map[int]bool{} // names of programs on lines that have been read from another
	for _, at := range p.name.FindAllStringSubmatchIndex(f.s, -1) {
		from := at[2]
		if read[from] {
			continue
		}
		end := len(f.s)
		if i := strings.IndexByte(f.s[from:], '\n'); i >= 0 {
			end = from + i
		}
		if !f.spend(from, end-from) {
			return
		}
		words := f.shellWords(from, end)
		texts := make([]string, len(words))
		for i, w := range words {
			texts[i] = f.s[w.from:w.to]
		}
		secrets, named := p.secrets(texts)
		for _, i := range named {
			read[words[i].from+nameOf(texts[i])] = true
		}
		for _, h := range secrets {
			f.hide(words[h.word].from+h.from, words[h.word].to)
		}
	}
}

// hide takes out a word but for a quote at its end that was opened before it.
func (f *finder) hide(from, to int) {
	if from >= to {
		return
	}
	v := f.s[from:to]
	if last := v[len(v)-1]; (last == '"' || last == '\'' || last == '`') && strings.Count(v, string(last))%2 == 1 {
		to--
	}
	f.add(from, to)
}

// quotes are where each kind of quote stands last in a line.
type quotes struct {
	s    string
	last map[byte]int
}

func (q quotes) at(i int) bool { _, ok := q.last[q.s[i]]; return ok }

// closing is where the quote at i is closed; i when it is not.
func (q quotes) closing(i int) int {
	for j := i + 1; j <= q.last[q.s[i]]; j++ {
		if q.s[j] == '\\' && q.s[i] == '"' {
			j++
		} else if q.s[j] == q.s[i] {
			return j
		}
	}
	return i
}

// wordEnd is the end of a word that goes on at i. In an option, and behind an equals sign, a quote may hold blanks.
func (q quotes) wordEnd(i int, option bool) int {
	for ; i < len(q.s) && !isBlank(q.s[i]); i++ {
		if !q.at(i) || !option && q.s[i-1] != '=' {
			continue
		}
		if c := q.closing(i); c > i {
			i = c
		} else if option {
			return len(q.s)
		}
	}
	return i
}

// shellWords reads words up to end. A quote that is never closed is a character like any other, as an apostrophe, but
// in an option and behind it, where it runs to the end.
func (f *finder) shellWords(from, end int) []shellWord {
	q := quotes{f.s[:end], map[byte]int{}}
	for _, c := range []byte{'"', '\''} {
		q.last[c] = strings.LastIndexByte(q.s, c)
	}
	var out []shellWord
	option := false // the word before was one
	for i := from; i < end; {
		if isBlank(q.s[i]) {
			i++
			continue
		}
		w := shellWord{from: i}
		switch {
		case !q.at(i):
			w.to = q.wordEnd(i+1, q.s[i] == '-')
		case q.closing(i) > i:
			w.from, w.to = i+1, q.closing(i)
			if next := w.to + 1; next < end && !isBlank(q.s[next]) {
				w.to = q.wordEnd(next, true)
			}
		case option:
			w.from, w.to = i+1, end
		default:
			w.to = q.wordEnd(i+1, false)
		}
		i = max(w.to, i+1)
		if i < end && q.at(i) {
			i++
		}
		if w.from < w.to {
			out = append(out, w)
			option = q.s[w.from] == '-'
		}
	}
	return out
}
