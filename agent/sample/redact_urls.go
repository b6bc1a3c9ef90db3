package sample

import "strings"

// urls finds scheme://user:password@host and scheme://token@host. A password may hold @, quotes and even /.
func (f *finder) urls() {
	for at := 0; ; {
		i := strings.Index(f.s[at:], "://")
		if i < 0 {
			return
		}
		from := at + i + len("://")
		to := f.urlEnd(from)
		f.url(from, to)
		at = to
	}
}

// urlEnd is where the text ends that may belong to the URL whose scheme ends at from, at the latest before the next one.
func (f *finder) urlEnd(from int) int {
	s := f.s
	for i := from; i < len(s); i++ {
		switch {
		case isBlank(s[i]), s[i] == '<', s[i] == '>', f.closes(i):
			return i
		case strings.HasPrefix(s[i:], "://"):
			for i > from && isName(s[i-1]) {
				i--
			}
			return i
		}
	}
	return len(s)
}

// minUserToken is the length from which a user without a password is taken for a token.
const minUserToken = 20

func (f *finder) url(from, to int) {
	last := strings.LastIndexByte(f.s[from:to], '@')
	if last < 0 {
		return
	}
	to = from + last
	user := f.s[from:to]
	switch first := strings.IndexAny(user, ":/@["); {
	case first >= 0 && user[first] == ':':
		if !isPort(user[first+1:]) {
			f.add(from+first+1, to)
		}
	case first < 0 && len(user) >= minUserToken:
		f.add(from, to)
	}
}

// isPort says whether s begins with a port and a path: it is no password then, but what follows host: in a URL whose path
// holds an @.
func isPort(s string) bool {
	digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
	return digits > 0 && digits <= 5 && digits < len(s) && strings.IndexByte("/?#", s[digits]) >= 0
}
