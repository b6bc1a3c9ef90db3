package sample

import (
	"regexp"
	"strings"
)

// maxName is how much of a name is looked at: what it ends in says what it names.
const maxName = 64

// nameStems are in every name of a secret; they save the expressions.
var nameStems = []string{"pass", "pw", "kennwort", "secret", "token", "key", "cred", "sess", "psk", "auth", "signature"}

var (
	// secretNames are ends of names, in lower case, of values that nobody else should see.
	secretNames = regexp.MustCompile(`(?:pass(?:word|wd|wort|wrd|phrase|code)s?|kennwort|pwd|secrets?|token|credentials?|` +
		`(?:^|[_.-])(?:pass|pw|psk)|masterauth|secret[_.-]?id|session[_.-]?id|sessid|jsessionid|shared[_.-]?access[_.-]?signature|` +
		`(?:api|access|account|auth|private|encryption|decryption|signing|master|secret|session|functions?|subscription|storage|` +
		`shared|preshared|app|application|consumer|deploy|license|webhook|service|admin|root|instrumentation|ingest(?:ion)?|unseal|` +
		`recovery|crypto?|cipher|aes|hmac|psk|wep|wpa)[_.-]?key|^x-[\w-]+-key)` +
		`(?:[_.-]?(?:key|value|hash|base64|b64|base|text|plain|enc|encrypted|data|string|confirm|confirmation|again|new|old|\d+))*$`)
	// gluedPass is the end of dbpass and requirepass.
	gluedPass = regexp.MustCompile(`[a-z0-9]pass\d?$`)
	// camelPw is the end of userPw.
	camelPw = regexp.MustCompile(`[a-z]P[wW]$`)
	// asksFor begins an option that takes no value: --no-password.
	asksFor = regexp.MustCompile(`^-*(?:no|ask|prompt|without|skip|disable|enable|use|show|hide|allow|force|require|want)-`)
	// filePath is what stands for a key when it is in a file.
	filePath = regexp.MustCompile(`^(?:/[\w.@+-]+)+\.(?:pem|key|crt|cer|pub|p12|pfx|jks|json|ya?ml|txt|conf|cnf|env)$`)
)

// ordinary are words that end in pass and name no secret.
var ordinary = map[string]bool{
	"bypass": true, "compass": true, "surpass": true, "trespass": true, "encompass": true, "overpass": true, "underpass": true,
	"bandpass": true, "lowpass": true, "highpass": true, "multipass": true, "singlepass": true, "firstpass": true, "keepass": true,
	"lastpass": true, "gopass": true, "subpass": true, "renderpass": true,
}

// secretName says whether what has this name is a secret: DB_PASSWORD, apiKey, x-functions-key, requirepass. It goes by
// what the name ends in, so that password_file and max_tokens are none.
func secretName(name string) bool {
	name = name[max(0, len(name)-maxName):]
	lower := strings.ToLower(name)
	stem := false
	for _, s := range nameStems {
		stem = stem || strings.Contains(lower, s)
	}
	switch {
	case !stem:
		return false
	case secretNames.MatchString(lower), camelPw.MatchString(name):
		return true
	}
	last := lower[strings.LastIndexAny(lower, "_.-")+1:]
	return gluedPass.MatchString(last) && !ordinary[last]
}

// secretOption says the same of an option whose value is the next word.
func secretOption(option string) bool {
	return !asksFor.MatchString(option) && secretName(option)
}

// named is a name as it stands before a value.
type named struct {
	name string
	// from is where it begins, its quote not counted.
	from int
	// quoted says that it is in quotes of its own: "name": value.
	quoted bool
}

// nameBefore is the name that ends at i, which is where a separator begins.
func nameBefore(s string, i int) (named, bool) {
	end := i
	for end > 0 && i-end < 8 && (s[end-1] == ' ' || s[end-1] == '\t') {
		end--
	}
	var n named
	for { // 'name'] and [name], also percent-encoded
		before := end
		switch {
		case strings.HasSuffix(s[:end], "%22"), strings.HasSuffix(s[:end], "%27"), strings.HasSuffix(s[:end], "%5D"), strings.HasSuffix(s[:end], "%5d"):
			end -= 3
		case end > 0 && strings.IndexByte("\"'`]\\", s[end-1]) >= 0:
			end--
		}
		if before == end || i-end > 16 {
			break
		}
		n.quoted = true
	}
	n.from = end
	for n.from > 0 && end-n.from < maxName && isName(s[n.from-1]) {
		n.from--
	}
	n.name = s[n.from:end]
	return n, n.name != ""
}

func isName(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-' || c == '.'
}

// separator is what stands between name and value at i, and how long it is: = : => := and those percent-encoded, however
// often. Neither :: nor :// are any.
func separator(s string, i int) (kind byte, length int) {
	rest := s[i:]
	switch {
	case strings.HasPrefix(rest, "=>"), strings.HasPrefix(rest, ":="), strings.HasPrefix(rest, "=="):
		return '=', 2
	case strings.HasPrefix(rest, "::"), strings.HasPrefix(rest, "://"):
		return 0, 2
	case rest[0] == '=' || rest[0] == ':':
		return rest[0], 1
	case rest[0] != '%':
		return 0, 0
	}
	n := 1
	for strings.HasPrefix(rest[n:], "25") && n < 9 {
		n += 2
	}
	if len(rest) < n+2 || rest[n] != '3' || rest[n+1]|0x20 != 'd' && rest[n+1]|0x20 != 'a' {
		return 0, 0
	}
	return '%', n + 2
}
