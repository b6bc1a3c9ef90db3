package sample

import (
	"fmt"
	"regexp"
)

// vendorTokens have a form of their own. wb1 and wbo are our own.
const vendorTokens = `(?:A[KS]IA)[A-Z0-9]{16}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|` +
	`xox[abeoprs]-[\w-]{10,}|[srp]k_(?:live|test)_\w{10,}|sk-[\w-]{20,}|AIza[\w-]{35}|ya29\.[\w-]{20,}|npm_\w{30,}|` +
	`SG\.[\w-]{16,}\.[\w-]{16,}|hv[sb]\.[\w-]{20,}|dop_v1_[a-f0-9]{32,}|wb1\.[\w-]{20,}|wbo_[\w-]{10,}|` +
	`eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?|xoxe\.xox[bp]-[\w-]{10,}|xapp-\d-[\w-]{10,}|\d{8,10}:AA[\w-]{32,}|` +
	`glrt-[\w-]{16,}|pypi-[\w-]{16,}|dckr_pat_[\w-]{16,}|shp(?:at|ss|ca|pa)_[a-fA-F0-9]{32}`

// builtin are the redactions that always apply, in their order: what has a form of its own before what is known by the
// name before it.
func builtin() []redaction {
	return []redaction{
		{ // a private key, also one that is cut off
			hints: []string{"private key"},
			match: regexp.MustCompile(`(?s)-----BEGIN[A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(.*?)(?:-----END|$)`), group: 1,
		},
		{ // the same, percent-encoded
			hints: []string{"%3a%2f%2f"}, match: regexp.MustCompile(`(?i)%3A%2F%2F[\w.+-]*%3A([^\s"'&]*?)%40`), group: 1,
		},
		{ // addresses of webhooks and bots, which nothing but a token in them keeps
			hints: []string{"/services/t", "/bot", "/webhook"},
			match: regexp.MustCompile(`(?i)\bhooks\.slack\.com/(?:services|workflows|triggers)/([^\s"'?#<>]+)|` +
				`/bot(\d{5,}:[\w-]{20,})|/api/(?:v\d+/)?webhooks/\d+/([\w-]{20,})|\bwebhook\.office\.com/([^\s"'?#<>]+)`),
			group: anyGroup,
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
				"ya29", "npm_", "sg.", "hvs.", "hvb.", "dop_v1", "wb1.", "wbo_", "eyj", "xapp-", ":aa", "glrt-", "pypi-", "dckr_pat", "shp",
			},
			match: regexp.MustCompile(`\b(` + vendorTokens + `)`), group: 1,
		},
		{hints: []string{"s."}, match: regexp.MustCompile(`\bs\.([A-Za-z0-9]{24})\b`), group: 1, spare: notRandom}, // Vault's before 1.10
		{ // hashes as crypt(5) writes them: they can be guessed at leisure
			hints: []string{"$"},
			match: regexp.MustCompile(`(\$(?:1|2[abxy]?|5|6|7|y|gy|sha1|apr1|scrypt|argon2(?:id|i|d))\$[^\s:"',]+)`), group: 1,
		},
		{ // PHP prints the arguments of the functions on its stack
			hints: []string{"__construct(", "connect(", "_bind(", "_login(", "imap_open("},
			match: regexp.MustCompile(`(?i)\b(?:(?:PDO|mysqli)->__construct|mysqli?_(?:p|real_)?connect|pg_p?connect|ldap_bind|ftp_login|imap_open)\(([^)]*)`),
			group: 1,
		},
		{ // IDENTIFIED BY without quotes
			hints: []string{"identified"},
			match: regexp.MustCompile(`(?i)\bidentified\s+(?:with\s+\S+\s+)?(?:by|as)\s+(?:password\s+)?([^\s"'\x60;,)]+)`), group: 1, spare: notSQL,
		},
		{ // <password>…</password>
			hints: []string{"</"}, match: regexp.MustCompile(`(?s)<[\w:.-]+(?:\s[^<>]*)?>\s*(?:<!\[CDATA\[(.*?)(?:\]\]>|$)|([^<]+))`),
			group: anyGroup, spare: notSecretElement,
		},
		{ // parameters of URLs that are harmless words elsewhere
			hints: []string{"?", "&"}, match: regexp.MustCompile(`(?i)[?&](?:key|code|sig|auth|sid|sv|X-Amz-[\w-]+|X-Goog-[\w-]+)=([^&\s"'#]+)`), group: 1,
		},
		{hints: []string{"pass:"}, match: regexp.MustCompile(`\bpass:(\S+)`), group: 1}, // openssl -passin
		{ // a long run of letters of all sorts: keys without a name, lines of a private key
			try:   hasLongRun,
			match: regexp.MustCompile(fmt.Sprintf(`([A-Za-z0-9+/_-]{%d,}={0,2})`, longRun)), group: 1, spare: notRandom,
		},
	}
}
