package sample

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/watchbill/watchbill/agent/wire"
)

// The secrets below were made up for this test.
const madeUp = "Zq8-tr0ub4dor"

func redactor(t testing.TB, c RedactConfig) *Redactor {
	t.Helper()
	r, err := NewRedactor(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRedactTakesSecretsOut(t *testing.T) {
	r := redactor(t, RedactConfig{})
	for name, c := range map[string]struct{ in, want string }{
		"url":                     {"connect postgres://app:Zq8-tr0ub4dor@db1:5432/shop failed", "connect postgres://app:[redacted]@db1:5432/shop failed"},
		"url, @ in password":      {"amqp://app:Zq8@tr0ub/4dor@mq1/", "amqp://app:[redacted]@mq1/"},
		"url without user":        {"redis://:Zq8-tr0ub4dor@cache:6379", "redis://:[redacted]@cache:6379"},
		"url with a token":        {"clone https://0123456789abcdef0123456789abcdef@git.example/x", "clone https://[redacted]@git.example/x"},
		"url parameter":           {"GET /cb?code=Zq8-tr0ub4dor&state=1 500", "GET /cb?code=[redacted]&state=1 500"},
		"presigned url":           {"https://s3.example/b/k?X-Amz-Signature=00ff&X-Amz-Date=1", "https://s3.example/b/k?X-Amz-Signature=[redacted]&X-Amz-Date=[redacted]"},
		"access_token parameter":  {"GET /api?access_token=Zq8-tr0ub4dor&x=1", "GET /api?access_token=[redacted]&x=1"},
		"ado.net":                 {"Server=db;User Id=sa;Password=Zq8-tr0ub4dor;Encrypt=True", "Server=db;User Id=sa;Password=[redacted];Encrypt=True"},
		"ado.net, quoted":         {`Server=db;Pwd="Zq8;tr0 ub4dor";Encrypt=True`, `Server=db;Pwd=[redacted]";Encrypt=True`},
		"libpq":                   {"could not connect: host=db user=app password=Zq8-tr0ub4dor dbname=shop", "could not connect: host=db user=app password=[redacted] dbname=shop"},
		"go mysql dsn":            {"open shop:Zq8-tr0ub4dor@tcp(db:3306)/shop", "open shop:[redacted]@tcp(db:3306)/shop"},
		"jdbc oracle":             {"jdbc:oracle:thin:scott/Zq8-tr0ub4dor@//db:1521/x", "jdbc:oracle:thin:scott/[redacted]@//db:1521/x"},
		"azure":                   {"AccountName=shop;AccountKey=Zq8tr0ub4dor==;EndpointSuffix=x", "AccountName=shop;AccountKey=[redacted];EndpointSuffix=x"},
		"json":                    {`{"user":"bob","password":"Zq8\"tr0ub4dor","n":1}`, `{"user":"bob","password":[redacted]","n":1}`},
		"json in json":            {`"body":"{\"api_key\":\"Zq8-tr0ub4dor\",\"n\":1}"`, `"body":"{\"api_key\":[redacted]\",\"n\":1}"`},
		"json, cut off":           {`{"client_secret": "Zq8-tr0u`, `{"client_secret": [redacted]`},
		"yaml":                    {"db_password: Zq8-tr0ub4dor", "db_password: [redacted]"},
		"ruby":                    {`Parameters: {"password"=>"Zq8-tr0ub4dor"}`, `Parameters: {"password"=>[redacted]"}`},
		"environment":             {"PGPASSWORD=Zq8-tr0ub4dor AWS_SECRET_ACCESS_KEY=abc/def+1 DB_PASS=x1", "PGPASSWORD=[redacted] AWS_SECRET_ACCESS_KEY=[redacted] DB_PASS=[redacted]"},
		"xml":                     {"<db><password>Zq8-tr0ub4dor</password></db>", "<db><password>[redacted]</password></db>"},
		"bearer header":           {"> Authorization: Bearer Zq8-tr0ub4dor", "> Authorization: [redacted]"},
		"header of an odd scheme": {"Authorization: Custom one two", "Authorization: [redacted]"},
		"header in json":          {`{"authorization":"Basic YTpi","host":"h"}`, `{"authorization":[redacted]","host":"h"}`},
		"digest header":           {`Authorization: Digest username="u", response="00ff"`, `Authorization: [redacted]`},
		"api key header":          {"X-Api-Key: Zq8-tr0ub4dor", "X-Api-Key: [redacted]"},
		"cookie":                  {"Cookie: sid=Zq8; theme=dark", "Cookie: [redacted]"},
		"bearer in a sentence":    {"token refused for bearer Zq8-tr0ub4dor", "token refused for bearer [redacted]"},
		"basic in a sentence":     {"got basic Ym9iOlpxOC10cjB1Yg== from 1.2.3.4", "got basic [redacted] from 1.2.3.4"},
		"aws":                     {"key AKIAIOSFODNN7EXAMPLE denied", "key [redacted] denied"},
		"github":                  {"remote: ghp_0123456789abcdefghij0123456789abcdef", "remote: [redacted]"},
		"slack":                   {"xoxb-1234567890-abcdef", "[redacted]"},
		"jwt":                     {"bad jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl x", "bad jwt [redacted] x"},
		"our tokens":              {"wb1.eyJhIjoiMTI3LjAuMC4xOjk3MjEifQ and wbo_0123456789", "[redacted] and [redacted]"},
		"private key":             {"-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- x", "-----BEGIN RSA PRIVATE KEY-----[redacted]-----END RSA PRIVATE KEY----- x"},
		"private key, cut off":    {"-----BEGIN PRIVATE KEY----- MIIE", "-----BEGIN PRIVATE KEY-----[redacted]"},
		"line of a private key":   {"MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj", "[redacted]"},
		"shadow":                  {"bob:$6$salt$hashhash:19000", "bob:[redacted]:19000"},
		"bcrypt":                  {"hash $2y$10$abcdefghijklmnopqrstuv x", "hash [redacted] x"},
		"php trace":               {"#0 db.php(3): PDO->__construct('mysql:host=db', 'shop', 'Zq8...') #1", "#0 db.php(3): PDO->__construct([redacted]) #1"},
		"create user":             {"CREATE USER 'a'@'%' IDENTIFIED BY 'Zq8-tr0ub4dor'", "CREATE USER 'a'@'%' IDENTIFIED BY [redacted]'"},
		"alter role":              {"ALTER ROLE app WITH ENCRYPTED PASSWORD 'Zq8-''tr0ub4dor';", "ALTER ROLE app WITH ENCRYPTED PASSWORD [redacted]';"},
		"set password":            {"SET PASSWORD FOR 'a'@'h' = PASSWORD('Zq8-tr0ub4dor')", "SET PASSWORD FOR 'a'@'h' = PASSWORD([redacted]')"},
		"--password=":             {"mysqldump --user=root --password=Zq8-tr0ub4dor shop", "mysqldump --user=root --password=[redacted] shop"},
		"--password value":        {"tool --db-password Zq8-tr0ub4dor --verbose", "tool --db-password [redacted] --verbose"},
		"-Dkey=":                  {"java -Ddb.password=Zq8-tr0ub4dor -jar x.jar", "java -Ddb.password=[redacted] -jar x.jar"},
		"mysql -p":                {"/usr/bin/mysqldump -u root -pZq8-tr0ub4dor shop", "/usr/bin/mysqldump -u root -p[redacted] shop"},
		"mariadb -p":              {"mariadb-dump -uroot -pZq8-tr0ub4dor", "mariadb-dump -uroot -p[redacted]"},
		"sshpass":                 {"sshpass -p Zq8-tr0ub4dor ssh bob@h", "sshpass -p [redacted] ssh bob@h"},
		"curl -u":                 {"curl -s -u bob:Zq8-tr0ub4dor https://h/", "curl -s -u [redacted] https://h/"},
		"redis-cli":               {"redis-cli -h c -a Zq8-tr0ub4dor ping", "redis-cli -h c -a [redacted] ping"},
		"sqlcmd":                  {"sqlcmd -S db -U sa -P Zq8-tr0ub4dor -Q x", "sqlcmd -S db -U sa -P [redacted] -Q x"},
		"ldapsearch":              {"ldapsearch -D cn=x -w Zq8-tr0ub4dor -b dc=y", "ldapsearch -D cn=x -w [redacted] -b dc=y"},
		"snmp":                    {"snmpwalk -v2c -c Zq8-tr0ub4dor 10.0.0.1", "snmpwalk -v2c -c [redacted] 10.0.0.1"},
		"smbclient":               {"smbclient //h/s -U bob%Zq8-tr0ub4dor", "smbclient //h/s -U bob%[redacted]"},
		"openssl":                 {"openssl rsa -passin pass:Zq8-tr0ub4dor -in k", "openssl rsa -passin pass:[redacted] -in k"},
		"sqlplus":                 {"sqlplus -S scott/Zq8-tr0ub4dor@db", "sqlplus -S scott/[redacted]"},
	} {
		t.Run(name, func(t *testing.T) {
			got := r.Text(c.in)
			if got != c.want {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
			if again := r.Text(got); again != got {
				t.Errorf("a second time it becomes\n%s", again)
			}
		})
	}
}

// What a person needs to see stays.
func TestRedactLeavesTheRest(t *testing.T) {
	r := redactor(t, RedactConfig{})
	for _, s := range []string{
		"Failed password for root from 192.0.2.7 port 4711 ssh2",
		"Access denied for user 'root'@'localhost' (using password: YES)",
		`FATAL: password authentication failed for user "app"`,
		"pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.7",
		"SyntaxError: Unexpected token: } in JSON at position 5",
		"token expired", "invalid token", "max_tokens=4096", "tokens: 12", "the secretary said: no", "password_file=/etc/x",
		"connect to http://app:8080/users/bob@example.com failed", "proxy http://[::1]:3128/a@b",
		"GET https://shop.example:443/cart?id=7 502", "upstream: fastcgi://unix:/run/php.sock",
		"basic authentication required", "bearer authentication required", "Bearer realm=",
		"PWD=/srv/shop OLDPWD=/root", "password: ********", `{"password":null}`,
		"/var/lib/docker/overlay2/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef/merged",
		"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"mysqld: ready for connections. Version: '8.0.36' socket: '/run/mysqld.sock' port: 3306",
		"/usr/sbin/mysqld --pid-file=/run/mysqld.pid --port=3306 -p", "mysql -u root -p shop",
		"ps -p 123", "mkdir -p /srv/x", "curl -sS https://h/health", "EXT4-fs error (device sda1): ext4_find_entry:1455: inode #2: comm ls",
		"Out of memory: Killed process 4711 (java) total-vm:8000kB, anon-rss:7000kB, file-rss:0kB, UID:1000",
		"mail from bob@example.com refused", "compass: north, bypass=1 pass: 12 fail: 0", "key=value sort=key",
		"commit 2fd4e1c67a2d28fced849ee1bb76e7391b93eb12", "550e8400-e29b-41d4-a716-446655440000",
		"/Users/Bob/Projects/App1/Very/Long/Path/To/Some/Source/File/Which/Is/Deep2/x",
	} {
		if got := r.Text(s); got != s {
			t.Errorf("\n got %s\nfrom %s", got, s)
		}
	}
}

func TestRedactConfigured(t *testing.T) {
	r := redactor(t, RedactConfig{Email: true, Patterns: []string{`customer no\. (\d+)`, `K-\d+`}})
	in := "bob@example.com, customer no. 4711, contract K-12"
	if got, want := r.Text(in), "[redacted], customer no. [redacted], contract [redacted]"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for pattern, want := range map[string]string{`(`: "redact.patterns[0]", `x*`: "matches nothing at all"} {
		if _, err := NewRedactor(RedactConfig{Patterns: []string{pattern}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("pattern %q: %v, want an error that says %q", pattern, err, want)
		}
	}
}

// Every cell and text of a reading is looked at, and what comes out fits the wire.
func TestRedactReading(t *testing.T) {
	r := redactor(t, RedactConfig{})
	in := Reading{
		Tables: []*wire.Table{{NoneBecause: "password=" + madeUp, Rows: []*wire.Row{{Cells: []string{"a", "tool --token " + madeUp}}}}},
		Events: []*wire.Event{{Text: "secret: " + madeUp, Fields: map[string]string{"line": "api_key=" + madeUp}}},
	}
	r.reading(in)
	for _, s := range []string{in.Tables[0].NoneBecause, in.Tables[0].Rows[0].Cells[1], in.Events[0].Text, in.Events[0].Fields["line"]} {
		if strings.Contains(s, madeUp) || !strings.Contains(s, redacted) {
			t.Errorf("still says %q", s)
		}
	}
}

// The worst that a hostile line can do is bounded: no expression is worse than linear.
func TestRedactTakesLinearTime(t *testing.T) {
	r := redactor(t, RedactConfig{Email: true})
	for _, unit := range []string{"password", "a:b@", "://a:", `\"`, "mysql -", "eyJaaaaaaaa.", "Authorization: ", "-----BEGIN PRIVATE KEY-----", "'", "$6$", "A1b"} {
		start := time.Now()
		out := r.Text(strings.Repeat(unit, 1<<20/len(unit)))
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%q repeated takes %v", unit, took)
		}
		if len(out) > 4*maxRedact {
			t.Errorf("%q repeated grows to %d bytes", unit, len(out))
		}
	}
}

// forms are the ways in which a secret stands in a text; %s is the secret.
var forms = []string{
	"password=%s", "PASSWORD: %s", `"password":"%s"`, `'secret' => '%s'`, `{\"token\":\"%s\"}`, "https://user:%s@host/path",
	"Authorization: Bearer %s", "X-Api-Key: %s", "--password=%s", "--db-password %s", "mysqldump -u root -p%s", "PGPASSWORD=%s psql",
	"Pwd=%s;", "IDENTIFIED BY '%s'", "<password>%s</password>", "GET /?access_token=%s&a=b", "curl -u bob:%s", "Cookie: sid=%s",
	"-----BEGIN PRIVATE KEY----- %s", "redis://:%s@cache", "AccountKey=%s;", "client_secret=%s&grant_type=x",
}

func FuzzRedact(f *testing.F) {
	for i := range forms {
		f.Add("2026-11-21 error ", " at line 3", uint(i))
	}
	f.Add(`"`, `"`, uint(2))
	f.Add("http://a:80/", "@x", uint(5))
	r := redactor(f, RedactConfig{Email: true})
	f.Fuzz(func(t *testing.T, before, after string, form uint) {
		in := before + " " + strings.Replace(forms[form%uint(len(forms))], "%s", madeUp, 1) + " " + after
		if strings.Contains(before+after, madeUp) || len(in) > maxRedact {
			t.Skip("not ours to take out")
		}
		out := r.Text(in)
		if strings.Contains(out, madeUp) {
			t.Errorf("the secret survives\n in %q\nout %q", in, out)
		}
		if !utf8.ValidString(out) {
			t.Errorf("not UTF-8: %q", out)
		}
	})
}

func BenchmarkRedact(b *testing.B) {
	r := redactor(b, RedactConfig{})
	for name, s := range map[string]string{
		"plain":  "Nov 21 10:00:00 web1 nginx[812]: 2026/11/21 10:00:00 [error] 812#812: *7 connect() failed (111: Connection refused) while connecting to upstream",
		"secret": "Nov 21 10:00:00 web1 shop[99]: error: connect postgres://app:Zq8-tr0ub4dor@db1:5432/shop: timeout",
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				r.Text(s)
			}
		})
	}
}
