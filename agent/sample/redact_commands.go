package sample

import (
	"regexp"
	"slices"
	"strings"
)

// command is a well-known program with options that take a secret and whose names do not say so.
type command struct {
	// names are those of the program; one that ends in * begins so.
	names string
	// flags are its options of one letter that take no value: others may follow in the same word, as in -kuU:P.
	flags string
	// options take a secret: "-p" in the same word or the next, "-p+" in the same word only, "-p " in the next only.
	options []string
	// behind is the word before which the options mean something else.
	behind string
	// words are those whose next word is the secret: mysqladmin password SECRET.
	words []string
	// begins finds where the secret begins in what the option takes; nil: at its beginning. Negative: there is none.
	begins func(value string) int
	// plain finds secrets among the words that belong to no option; it gets all words behind the name.
	plain func(words []string) (which, from int)
}

// commands are the programs that are known. What an option is called (--password) is known without them.
func commands() []command {
	return []command{
		{names: "mysql* mariadb*", flags: "ABbCEfGHiIjNnoqrsStTUvVwX", options: []string{"-p+"}},
		{names: "mysqladmin mariadb-admin nmcli", words: []string{"password"}},
		{names: "sshpass", plain: beforeCommand},
		{names: "curl", flags: "#0123456aBfgGiIjJkLlMnNOpqRsSvZ", options: []string{"-u", "-U", "--user", "--proxy-user", "--oauth2-bearer"}},
		{names: "curl", flags: "#0123456aBfgGiIjJkLlMnNOpqRsSvZ", options: []string{"-b", "--cookie"}, begins: behind("=")},
		{names: "redis-cli valkey-cli keydb-cli", options: []string{"-a"}},
		{names: "mongo*", options: []string{"-p"}},
		{names: "sqlcmd bcp osql isql tsql", options: []string{"-P"}},
		{names: "ldap*", flags: "vnZxWIQNc", options: []string{"-w"}},
		{names: "ldappasswd", options: []string{"-s", "-a"}},
		{names: "smbclient smbget smbcacls rpcclient winexe wmic net", flags: "NkEgq", options: []string{"-U", "--user"}, begins: behind("%")},
		{
			names:   "snmpget snmpgetnext snmpwalk snmpbulkget snmpbulkwalk snmpset snmptable snmpstatus snmpdf snmpdelta snmpnetstat snmptrap snmpinform snmptest",
			options: []string{"-c", "-A", "-X"},
		},
		{names: "ipmitool", options: []string{"-P"}},
		{names: "plink pscp psftp putty", options: []string{"-pw"}},
		{names: "xfreerdp* wlfreerdp* sdl-freerdp* freerdp", options: []string{"/p:+"}},
		{names: "rdesktop", options: []string{"-p"}},
		{names: "docker podman nerdctl buildah skopeo helm oras crane az oc cf", behind: "login", options: []string{"-p"}},
		{names: "htpasswd", plain: afterBatch},
		{names: "sqlplus sqlldr expdp impdp rman", plain: oracleLogin},
		{names: "lftp", options: []string{"-u"}, begins: behind(",")},
		{names: "zip unzip", options: []string{"-P"}},
		{names: "7z 7za 7zr 7zz rar unrar", options: []string{"-p+", "-hp+"}},
		{names: "openssl", options: []string{"-k ", "-K "}},
		{names: "mosquitto_pub mosquitto_sub mosquitto_rr", options: []string{"-P "}},
		{names: "rabbitmqadmin cqlsh ncftpget ncftpput", options: []string{"-p "}},
		{names: "rabbitmqctl", plain: afterUser},
		{names: "useradd usermod", options: []string{"-p "}},
	}
}

// behind finds what stands behind the first of a character.
func behind(sign string) func(string) int {
	return func(value string) int {
		before, _, ok := strings.Cut(value, sign)
		if !ok {
			return -1
		}
		return len(before) + len(sign)
	}
}

// programs finds commands by the names of their programs.
type programs struct {
	exact    map[string][]*command
	prefixes map[string][]*command
	// stems are in every text that names a program, and name finds where.
	stems []string
	name  *regexp.Regexp
}

func newPrograms(all []command) programs {
	p := programs{exact: map[string][]*command{}, prefixes: map[string][]*command{}}
	for i := range all {
		for _, n := range strings.Fields(all[i].names) {
			stem, prefix := strings.CutSuffix(n, "*")
			if prefix {
				p.prefixes[stem] = append(p.prefixes[stem], &all[i])
			} else {
				p.exact[stem] = append(p.exact[stem], &all[i])
			}
			if !slices.Contains(p.stems, stem) {
				p.stems = append(p.stems, stem)
			}
		}
	}
	p.name = regexp.MustCompile(`(?i)(?:^|[^\w.-])((?:` + strings.Join(p.stems, "|") + `)[\w-]*)`)
	return p
}

// mentioned says whether a text, in lower case, may name a program.
func (p programs) mentioned(lower string) bool {
	return slices.ContainsFunc(p.stems, func(stem string) bool { return strings.Contains(lower, stem) })
}

// of is the commands that a word names: /usr/bin/mysqldump, sqlplus.exe.
func (p programs) of(word string) []*command {
	if len(word) > 4*maxName || strings.HasPrefix(word, "-") {
		return nil
	}
	name := strings.TrimSuffix(strings.ToLower(strings.TrimRight(word[nameOf(word):], "\"'`),;:")), ".exe")
	out := slices.Clone(p.exact[name])
	for prefix, all := range p.prefixes {
		if strings.HasPrefix(name, prefix) {
			out = append(out, all...)
		}
	}
	return out
}

// nameOf is where a program's name begins in a word: behind its directory, and what else may stand before it.
func nameOf(word string) int {
	return strings.LastIndexAny(strings.TrimRight(word, "\"'`),;:"), "/\\=\"'`(:") + 1
}

// hidden is a secret among the words of a command: from there to the end of the word.
type hidden struct{ word, from int }

// launched is a program that a command line names.
type launched struct {
	*command
	// listens says that the word was there behind which its options take a secret.
	listens bool
}

// secrets are those among the words of a command line, on which more than one program may be; named are the words that
// name one. Every program that was named so far counts: a user of that name must not make another's secret pass.
func (p programs) secrets(words []string) (out []hidden, named []int) {
	var all []launched
	for i, w := range words {
		if w == "|" || w == "||" || w == "&&" || w == ";" {
			all = nil
			continue
		}
		for j := range all {
			r := &all[j]
			if r.listens = r.listens || w == r.behind; r.listens {
				out = append(out, r.option(words, i)...)
			}
		}
		for _, c := range p.of(w) {
			named = append(named, i)
			if slices.ContainsFunc(all, func(r launched) bool { return r.command == c }) {
				continue
			}
			all = append(all, launched{c, c.behind == ""})
			if c.plain == nil {
				continue
			}
			if which, from := c.plain(words[i+1:]); which >= 0 {
				out = append(out, hidden{i + 1 + which, from})
			}
		}
		if strings.HasSuffix(w, ";") {
			all = nil
		}
	}
	return out, named
}

// option is the secret in the i-th word, or the one that it announces.
func (c *command) option(words []string, i int) []hidden {
	w := words[i]
	if slices.Contains(c.words, w) {
		return c.value(words, i+1, 0)
	}
	for _, o := range c.options {
		name := strings.TrimRight(o, "+ ")
		at := -1 // where the value begins
		switch {
		case strings.HasPrefix(name, "--"):
			if v, ok := strings.CutPrefix(w, name); ok && (v == "" || v[0] == '=') {
				at = min(len(w), len(name)+1)
			}
		case strings.HasPrefix(w, name):
			at = len(name)
		case len(name) == 2 && len(w) > 2 && w[0] == '-':
			if n := strings.IndexByte(w, name[1]); n > 0 && strings.Trim(w[1:n], c.flags) == "" {
				at = n + 1
			}
		}
		switch {
		case at < 0:
		case at < len(w) && !strings.HasSuffix(o, " "):
			return c.value(words, i, at)
		case at == len(w) && !strings.HasSuffix(o, "+"):
			return c.value(words, i+1, 0)
		}
	}
	return nil
}

// value is the secret in the i-th word, in which the value begins at from.
func (c *command) value(words []string, i, from int) []hidden {
	if i >= len(words) {
		return nil
	}
	if c.begins != nil {
		n := c.begins(words[i][from:])
		if n < 0 {
			return nil
		}
		from += n
	}
	return []hidden{{i, from}}
}

// beforeCommand is the password of `sshpass -p PASSWORD ssh -p 22 HOST`.
func beforeCommand(words []string) (int, int) {
	for i, w := range words {
		switch {
		case w == "-p":
			return min(i+1, len(words)-1), 0
		case strings.HasPrefix(w, "-p"):
			return i, len("-p")
		case !strings.HasPrefix(w, "-"):
			return -1, 0
		}
	}
	return -1, 0
}

// afterBatch is the password of `htpasswd -cb FILE USER PASSWORD`, or with -n of `htpasswd -nb USER PASSWORD`.
func afterBatch(words []string) (int, int) {
	batch, skip := false, 2
	for i, w := range words {
		switch {
		case strings.HasPrefix(w, "-"):
			batch = batch || strings.Contains(w, "b")
			if strings.Contains(w, "n") {
				skip = 1
			}
		case skip > 0:
			skip--
		case batch:
			return i, 0
		}
	}
	return -1, 0
}

// afterUser is the password of `rabbitmqctl add_user USER PASSWORD` and its like.
func afterUser(words []string) (int, int) {
	for i, w := range words {
		if (w == "add_user" || w == "change_password" || w == "authenticate_user") && i+2 < len(words) {
			return i + 2, 0
		}
	}
	return -1, 0
}

// oracleLogin is the password of `sqlplus USER/PASSWORD@DATABASE`.
func oracleLogin(words []string) (int, int) {
	for i, w := range words {
		user, password, ok := strings.Cut(w, "/")
		if ok && user != "" && password != "" && !strings.ContainsAny(user, `-=@\`) {
			return i, len(user) + 1
		}
	}
	return -1, 0
}

// argumentSecret is where the secret begins in the i-th argument of a command, and whether there is one that ends with
// it: the value of an option or variable that is called so, or what a known program takes for one.
func argumentSecret(arguments []string, i int, secrets []hidden) (int, bool) {
	a := arguments[i]
	for _, h := range secrets {
		if h.word == i && h.from < len(a) {
			return h.from, true
		}
	}
	if i > 0 && strings.HasPrefix(arguments[i-1], "-") && secretOption(arguments[i-1]) && !strings.HasPrefix(a, "--") {
		return 0, a != ""
	}
	if i > 1 && arguments[i-2] == "set" && secretName(arguments[i-1]) { // config set requirepass SECRET
		return 0, a != ""
	}
	n := 0
	for n < len(a) && isName(a[n]) {
		n++
	}
	if n == 0 || n+1 >= len(a) || !secretName(a[:n]) {
		return 0, false
	}
	name, value := a[:n], a[n+1:]
	variable := name == strings.ToUpper(name) && name != "PWD" // of an environment, whose value is the rest whatever it looks like
	switch {
	case strings.HasSuffix(name, "PWD") && value[0] == '/': // a directory
		return 0, false
	case a[n] == '=' && (variable || a[0] == '-' || !morePairs.MatchString(value)), a[n] == ':' && value[0] == ' ':
		return n + 1, !plainWord(found{secret: value})
	}
	return 0, false
}

// morePairs is in what follows the first value of a connection string.
var morePairs = regexp.MustCompile(`(?:;\s*[\w ]+|\s\w+)=`)

// quoteWord is a word as one writes it for a shell: in quotes if there is something in it that would part it or end it.
func quoteWord(s string) string {
	switch {
	case s != "" && !strings.ContainsAny(s, " \t\n\r;|&<>\"'`"):
		return s
	case !strings.Contains(s, `"`):
		return `"` + s + `"`
	case !strings.Contains(s, `'`):
		return `'` + s + `'`
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
