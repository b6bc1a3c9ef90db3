package sample

import (
	"fmt"
	"regexp"
)

// Pieces of the expressions below.
const (
	// quoted is a value in quotes, escaped ones too, to its end or to that of the text; the closing quote stays.
	quoted = `\\+"(?:[^"\\]|\\+[^"\\])*|"(?:[^"\\]|\\.)*|'(?:[^'\\]|\\.|'')*`
	// bare is a value without quotes in a list of key=value.
	bare = `[^\s;&"'\\][^\s;&"']*`
	// argument is a word of a command line.
	argument = `"(?:[^"\\]|\\.)*"?|'[^']*'?|[^\s"'-]\S*`

	// secretKeys are names of values that nobody else should see, whatever stands before them.
	secretKeys = `password|passwd|passwort|passphrase|passcode|kennwort|pwd|secret|token|api[_.-]?key|access[_.-]?key|` +
		`account[_.-]?key|shared[_.-]?access[_.-]?(?:key|signature)|private[_.-]?key|encryption[_.-]?key|signing[_.-]?key|` +
		`master[_.-]?key|auth[_.-]?key|secret[_.-]?id|credentials?|session[_.-]?(?:id|key)|sessid|jsessionid`
	keySuffix = `(?:[_.-]?(?:key|value|hash|base64|b64|\d+))?`

	// vendorTokens have a form of their own. wb1 and wbo are our own.
	vendorTokens = `(?:A[KS]IA)[A-Z0-9]{16}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|` +
		`xox[abeoprs]-[\w-]{10,}|[srp]k_(?:live|test)_\w{10,}|sk-[\w-]{20,}|AIza[\w-]{35}|ya29\.[\w-]{20,}|npm_\w{30,}|` +
		`SG\.[\w-]{16,}\.[\w-]{16,}|hv[sb]\.[\w-]{20,}|dop_v1_[a-f0-9]{32,}|wb1\.[\w-]{20,}|wbo_[\w-]{10,}|` +
		`eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?`
)

// builtin are the redactions that always apply, in their order: what has a form of its own before what is known by the
// name before it.
func builtin() []redaction {
	key := []string{
		"passw", "passp", "passc", "kennwort", "pwd", "secret", "token", "key", "signature", "credential", "sess",
	}
	return append([]redaction{
		{ // a private key, also one that is cut off
			hints: []string{"private key"},
			match: regexp.MustCompile(`(?s)-----BEGIN[A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(.*?)(?:-----END|$)`), group: 1,
		},
		{ // scheme://user:password@host; a password may hold @ and even /
			hints: []string{"://"},
			match: regexp.MustCompile(`://[^\s:/@"'\[]*:([^\s"'<>]*)@`), group: 1, spare: notAPort,
		},
		{ // scheme://token@host
			hints: []string{"://"}, match: regexp.MustCompile(`://([^\s:/@"']{20,})@`), group: 1,
		},
		{ // Go's DSN of MySQL: user:password@tcp(host)
			hints: []string{"@tcp(", "@unix("}, match: regexp.MustCompile(`\b[\w.-]+:([^\s"']+)@(?:tcp|unix)\(`), group: 1,
		},
		{hints: []string{"jdbc:oracle"}, match: regexp.MustCompile(`(?i)\bjdbc:oracle:\w+:[^/\s]*/([^@\s]+)@`), group: 1},
		{ // headers that list parameters, and any other to the end of its line or quotes
			hints: []string{"authorization"},
			match: regexp.MustCompile(`(?i)\b(?:proxy-)?authorization\\*["']?\s*[:=]\s*(\\*["']?(?:(?:digest|aws4-\S+|hmac\S*|oauth|signature)\s[^\r\n]+|[^\r\n"'\\]+))`),
			group: 1,
		},
		{hints: []string{"cookie"}, match: regexp.MustCompile(`(?i)\b(?:set-)?cookie["']?\s*[:=]\s*(\\*["']?[^\r\n"'\\]+)`), group: 1},
		{hints: []string{"bearer"}, match: regexp.MustCompile(`(?i)\bbearer\s+([\w.~+/=-]{8,})`), group: 1, spare: shortWord},
		{hints: []string{"basic"}, match: regexp.MustCompile(`(?i)\bbasic\s+([A-Za-z0-9+/]{6,}={0,2})`), group: 1, spare: notBasic},
		{
			hints: []string{
				"akia", "asia", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat", "glpat", "xox", "k_live", "k_test", "sk-", "aiza",
				"ya29", "npm_", "sg.", "hvs.", "hvb.", "dop_v1", "wb1.", "wbo_", "eyj",
			},
			match: regexp.MustCompile(`\b(` + vendorTokens + `)`), group: 1,
		},
		{ // hashes as crypt(5) writes them: they can be guessed at leisure
			hints: []string{"$"},
			match: regexp.MustCompile(`(\$(?:1|2[abxy]?|5|6|7|y|gy|sha1|apr1|scrypt|argon2(?:id|i|d))\$[^\s:"',]+)`), group: 1,
		},
		{ // PHP prints the arguments of the functions on its stack
			hints: []string{"__construct(", "connect(", "_bind(", "_login(", "imap_open("},
			match: regexp.MustCompile(`(?i)\b(?:(?:PDO|mysqli)->__construct|mysqli?_(?:p|real_)?connect|pg_p?connect|ldap_bind|ftp_login|imap_open)\(([^)]*)`),
			group: 1,
		},
		{ // SQL
			hints: []string{"identified", "password"},
			match: regexp.MustCompile(`(?i)\b(?:identified\s+(?:with\s+\S+\s+)?(?:by|as)(?:\s+password)?|password)\s+(` + quoted + `)`), group: 1,
			spare: plainWord,
		},
		{
			hints: []string{"set password"},
			match: regexp.MustCompile(`(?i)\bset\s+password\b[^=]*=\s*(?:password\s*\(\s*)?(` + quoted + `)`), group: 1,
		},
		{ // <password>…</password>
			hints: []string{"</"}, match: regexp.MustCompile(`(?i)<[\w:.-]*(?:` + secretKeys + `)` + keySuffix + `(?:\s[^>]*)?>([^<]+)`), group: 1,
			spare: plainWord,
		},
		{ // key=value, "key": "value", key => value
			hints: key,
			match: regexp.MustCompile(`(?i)[\w.-]*?(?:` + secretKeys + `)` + keySuffix + `\\*["']?\s*(?::=|=>|[:=])\s*(` + quoted + `|` + bare + `)`),
			group: 1, spare: keyed,
		},
		{ // short names, which prose uses too, only with an equals sign
			hints: []string{"pass=", "auth=", "psk="},
			match: regexp.MustCompile(`(?i)(?:\b|_)(?:pass|auth|psk)=(` + quoted + `|` + bare + `)`), group: 1, spare: plainWord,
		},
		{ // parameters of URLs that are harmless words elsewhere
			hints: []string{"?", "&"}, match: regexp.MustCompile(`(?i)[?&](?:key|code|sig|auth|sid|sv|X-Amz-[\w-]+|X-Goog-[\w-]+)=([^&\s"'#]+)`), group: 1,
		},
		{ // --password VALUE
			hints: key,
			match: regexp.MustCompile(`(?i)(?:^|\s)--?[\w-]*(?:` + secretKeys + `)\s+(` + argument + `)`), group: 1, spare: plainWord,
		},
		{hints: []string{"pass:"}, match: regexp.MustCompile(`\bpass:(\S+)`), group: 1}, // openssl -passin
		{ // a long run of letters of all sorts: keys without a name, lines of a private key
			try:   hasLongRun,
			match: regexp.MustCompile(fmt.Sprintf(`([A-Za-z0-9+/_-]{%d,}={0,2})`, longRun)), group: 1, spare: notRandom,
		},
	}, ofCommands()...)
}

// ofCommands are options of well-known commands that take a secret and whose names say nothing.
func ofCommands() []redaction {
	var out []redaction
	for _, c := range []struct{ hint, command, option string }{
		{"mysql", `mysql[\w-]*`, `-p`},
		{"maria", `mariadb[\w-]*`, `-p`},
		{"sshpass", `sshpass`, `-p\s*`},
		{"curl", `curl`, `(?:-u|--user|-U|--proxy-user)[\s=]*`},
		{"redis-cli", `redis-cli`, `-a\s+`},
		{"mongo", `mongo\w*`, `-p\s+`},
		{"sqlcmd", `sqlcmd`, `-P\s*`},
		{"bcp", `bcp`, `-P\s*`},
		{"ldap", `ldap\w+`, `-w\s*`},
		{"smbclient", `smbclient`, `-U\s*[^\s%]+%`},
		{"snmp", `snmp\w+`, `-[cAX]\s+`},
		{"ipmitool", `ipmitool`, `-P\s*`},
		{"plink", `plink|pscp`, `-pw\s+`},
		{"freerdp", `x?freerdp`, `/p:`},
		{"htpasswd", `htpasswd`, `-\w*b\w*\s+(?:-\w+\s+)*\S+\s+\S+\s+`},
		{"sqlplus", `sqlplus|sqlldr|expdp|impdp|rman`, `(?:target\s+)?[\w.]+/`},
	} {
		out = append(out, redaction{
			hints: []string{c.hint}, group: 1,
			match: regexp.MustCompile(`\b(?:` + c.command + `)(?:\.exe)?\b(?:[^|;\n]*?)\s` + c.option + `("[^"]*"?|'[^']*'?|[^\s"']\S*)`),
		})
	}
	return out
}
