package sample

import (
	"encoding/json"
	"html"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// quotations write a secret, whatever is in it, as the language has it in which it stands; what they make must show none of
// it. They get the redactor for what is redacted before it is text.
var quotations = map[string]func(r *Redactor, secret string) string{
	"json":         func(_ *Redactor, s string) string { return `{"user":"bob","password":` + inJSON(s) + `,"n":1}` },
	"json in json": func(_ *Redactor, s string) string { return `{"body":` + inJSON(`{"api_key":`+inJSON(s)+`}`) + `}` },
	"sql": func(_ *Redactor, s string) string {
		return "ALTER ROLE app PASSWORD '" + strings.ReplaceAll(s, "'", "''") + "';"
	},
	"create user": func(_ *Redactor, s string) string {
		return "CREATE USER a IDENTIFIED BY '" + strings.ReplaceAll(s, "'", "''") + "'"
	},
	"yaml": func(_ *Redactor, s string) string { return "db_pass: '" + strings.ReplaceAll(s, "'", "''") + "'" },
	"ado.net": func(_ *Redactor, s string) string {
		return `Server=db;Password="` + strings.ReplaceAll(s, `"`, `""`) + `";Encrypt=True`
	},
	"odbc": func(_ *Redactor, s string) string {
		return "Driver=x;PWD={" + strings.ReplaceAll(s, "}", "}}") + "};UID=sa"
	},
	"url": func(_ *Redactor, s string) string {
		return (&url.URL{Scheme: "https", User: url.UserPassword("bob", s), Host: "h"}).String()
	},
	"url parameter": func(_ *Redactor, s string) string {
		return "GET /?" + url.Values{"access_token": {s}, "n": {"1"}}.Encode()
	},
	"encoded twice": func(_ *Redactor, s string) string {
		return "to=" + url.QueryEscape("/?password="+url.QueryEscape(s)+"&n=1")
	},
	"xml": func(_ *Redactor, s string) string { return "<password>" + html.EscapeString(s) + "</password>" },
	"--password=": func(r *Redactor, s string) string {
		return r.Command([]string{"/usr/bin/tool", "--password=" + s, "-v"})
	},
	"--password": func(r *Redactor, s string) string { return r.Command([]string{"tool", "--db-password", s, "-v"}) },
	"-Dpassword=": func(r *Redactor, s string) string {
		return r.Command([]string{"java", "-Ddb.password=" + s, "-jar", "x.jar"})
	},
	"PGPASSWORD=": func(r *Redactor, s string) string { return r.Command([]string{"env", "PGPASSWORD=" + s, "psql"}) },
	"mysql -p": func(r *Redactor, s string) string {
		return r.Command([]string{"/usr/bin/mysqldump", "-u", "root", "-p" + s, "shop"})
	},
	"sshpass -p": func(r *Redactor, s string) string { return r.Command([]string{"sshpass", "-p", s, "ssh", "bob@h"}) },
	"curl -u": func(r *Redactor, s string) string {
		return r.Command([]string{"curl", "-sku", "bob:" + s, "https://h/"})
	},
	"redis-cli -a": func(r *Redactor, s string) string { return r.Command([]string{"redis-cli", "-a", s, "ping"}) },
	"docker login": func(r *Redactor, s string) string {
		return r.Command([]string{"docker", "login", "-u", "bob", "-p", s, "h"})
	},
	"mysqladmin": func(r *Redactor, s string) string {
		return r.Command([]string{"mysqladmin", "-u", "root", "password", s})
	},
	"header": func(r *Redactor, s string) string {
		return r.Command([]string{"curl", "-H", "X-Api-Key: " + s, "https://h/"})
	},
	"one word, asked": func(r *Redactor, s string) string {
		return `exec "--token=` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `" -v`
	},
}

func inJSON(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string can always be written
	}
	return string(b)
}

// FuzzRedactQuoted hides secrets that hold anything: blanks, quotes, semicolons, braces.
func FuzzRedactQuoted(f *testing.F) {
	names := slices.Sorted(maps.Keys(quotations))
	for i := range names {
		for _, within := range []string{" ", "'", `"`, ";", `\`, "&", "=", "}", "@", "%", " --x ", "; x=", `"; `, "' ", `\" `, "''", `""`, ":", "{", "]"} {
			f.Add(uint(i), within, within)
		}
	}
	const one, two, three = "Zq8uno", "Wv7dos", "Xy6tres"
	r := redactor(f, RedactConfig{})
	f.Fuzz(func(t *testing.T, form uint, a, b string) {
		if len(a)+len(b) > 200 || !utf8.ValidString(a+b) || strings.ContainsFunc(a+b, unicode.IsControl) {
			t.Skip("longer than a secret, or no text")
		}
		name := names[form%uint(len(names))]
		in := quotations[name](r, one+a+two+b+three)
		out := r.Text(in)
		for _, part := range []string{one, two, three} {
			if strings.Contains(out, part) {
				t.Errorf("%s: %s survives\n in %s\nout %s", name, part, in, out)
			}
		}
	})
}

// Arguments are looked at before they are joined, and those that are none stay as they are.
func TestRedactCommand(t *testing.T) {
	r := redactor(t, RedactConfig{})
	for name, c := range map[string]struct {
		in   []string
		want string
	}{
		"nothing":                 {nil, ""},
		"blanks and quotes":       {[]string{"tool", "a b", `say "x"`, `it's "y"`, "", "a;b"}, `tool "a b" 'say "x"' "it's \"y\"" "" "a;b"`},
		"option with a value":     {[]string{"tool", "--password=my Zq8 x", "-v"}, "tool --password=[redacted] -v"},
		"value begins with -":     {[]string{"tool", "--password", "-Zq8", "--verbose"}, "tool --password [redacted] --verbose"},
		"option without a value":  {[]string{"tool", "--password", "--verbose", "x"}, "tool --password --verbose x"},
		"a shell":                 {[]string{"sh", "-c", "mysql -u root -p'a Zq8' shop"}, `sh -c "mysql -u root -p[redacted] shop"`},
		"a connection string":     {[]string{"app", "--dsn=Server=db;Password=a Zq8;Encrypt=True"}, `app "--dsn=Server=db;Password=[redacted];Encrypt=True"`},
		"libpq":                   {[]string{"psql", "host=db password=a Zq8 dbname=shop"}, `psql "host=db password=[redacted] dbname=shop"`},
		"libpq, last":             {[]string{"psql", "host=db password=a Zq8; x"}, `psql "host=db password=[redacted]"`},
		"one that begins with it": {[]string{"psql", "password=a Zq8 host=db"}, `psql "password=[redacted] host=db"`},
		"environment":             {[]string{"env", "DBPASS=a; Zq8 'x", "tool"}, "env DBPASS=[redacted] tool"},
		"config set":              {[]string{"redis-cli", "config", "set", "requirepass", "a Zq8"}, "redis-cli config set requirepass [redacted]"},
		"a title in one argument": {[]string{"mysql -u root -px host=h"}, `"mysql -u root -p[redacted] host=h"`},
		"percent":                 {[]string{"smbclient", "//h/s", "-U", "bob%a Zq8"}, "smbclient //h/s -U bob%[redacted]"},
		"nothing to take out":     {[]string{"/usr/sbin/nginx", "-g", "daemon off;", "-c", "/etc/nginx.conf"}, `/usr/sbin/nginx -g "daemon off;" -c /etc/nginx.conf`},
		"file":                    {[]string{"tool", "--password-file=/run/secrets/db", "--port", "8080"}, "tool --password-file=/run/secrets/db --port 8080"},
	} {
		t.Run(name, func(t *testing.T) {
			got := r.Command(c.in)
			if got != c.want {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
			if again := r.Text(got); again != got {
				t.Errorf("as a text it becomes\n%s", again)
			}
		})
	}
}
