package sample

import (
	"fmt"
	"strings"
	"testing"
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
		"ado.net, quoted":         {`Server=db;Pwd="Zq8;tr0 ub4dor";Encrypt=True`, `Server=db;Pwd="[redacted]";Encrypt=True`},
		"libpq":                   {"could not connect: host=db user=app password=Zq8-tr0ub4dor dbname=shop", "could not connect: host=db user=app password=[redacted] dbname=shop"},
		"go mysql dsn":            {"open shop:Zq8-tr0ub4dor@tcp(db:3306)/shop", "open shop:[redacted]@tcp(db:3306)/shop"},
		"jdbc oracle":             {"jdbc:oracle:thin:scott/Zq8-tr0ub4dor@//db:1521/x", "jdbc:oracle:thin:scott/[redacted]@//db:1521/x"},
		"azure":                   {"AccountName=shop;AccountKey=Zq8tr0ub4dor==;EndpointSuffix=x", "AccountName=shop;AccountKey=[redacted];EndpointSuffix=x"},
		"json":                    {`{"user":"bob","password":"Zq8\"tr0ub4dor","n":1}`, `{"user":"bob","password":"[redacted]","n":1}`},
		"json in json":            {`"body":"{\"api_key\":\"Zq8-tr0ub4dor\",\"n\":1}"`, `"body":"{\"api_key\":\"[redacted]\",\"n\":1}"`},
		"json, cut off":           {`{"client_secret": "Zq8-tr0u`, `{"client_secret": "[redacted]`},
		"yaml":                    {"db_password: Zq8-tr0ub4dor", "db_password: [redacted]"},
		"ruby":                    {`Parameters: {"password"=>"Zq8-tr0ub4dor"}`, `Parameters: {"password"=>"[redacted]"}`},
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
		"create user":             {"CREATE USER 'a'@'%' IDENTIFIED BY 'Zq8-tr0ub4dor'", "CREATE USER 'a'@'%' IDENTIFIED BY '[redacted]'"},
		"alter role":              {"ALTER ROLE app WITH ENCRYPTED PASSWORD 'Zq8-''tr0ub4dor';", "ALTER ROLE app WITH ENCRYPTED PASSWORD '[redacted]';"},
		"set password":            {"SET PASSWORD FOR 'a'@'h' = PASSWORD('Zq8-tr0ub4dor')", "SET PASSWORD FOR 'a'@'h' = PASSWORD('[redacted]')"},
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
		"words in an argument":    {`run "--password=my Zq8 x" --verbose`, `run "--password=[redacted]" --verbose`},
		"words up to a semicolon": {"Server=db;Password=a Zq8;", "Server=db;Password=[redacted];"},
		"words, first of a list":  {"Password=a Zq8;Encrypt=True", "Password=[redacted];Encrypt=True"},
		"words, alone":            {"Password=a Zq8;", "Password=[redacted];"},
		"words, last of a list":   {`dial "Server=db;Password=a Zq8"`, `dial "Server=db;Password=[redacted]"`},
		"a semicolon within":      {"password=Zq8;x", "password=[redacted]"},
		"semicolons within":       {"Password=a;Zq8;b;Encrypt=True", "Password=[redacted];Encrypt=True"},
		"an ampersand within":     {"Password=a&Zq8;Encrypt=True", "Password=[redacted];Encrypt=True"},
		"a quote within":          {`password=a"Zq8'b next`, `password=[redacted] next`},
		"odbc":                    {"Driver=x;PWD={a;Zq8 }}b};UID=sa", "Driver=x;PWD=[redacted];UID=sa"},
		"ado.net, doubled quotes": {`Password="a""Zq8;b";Encrypt=True`, `Password="[redacted]";Encrypt=True`},
		"nested object":           {`{"credentials": {"a": "Zq8"}, "n": 1}`, `{"credentials": [redacted], "n": 1}`},
		"list":                    {`{"secret": ["Zq8", "b"], "n": 1}`, `{"secret": [redacted], "n": 1}`},
		"json thrice":             {`"{\\"a\\":\\"{\\\\\"token\\\\\":\\\\\"Zq8 b\\\\\"}\\"}"`, `"{\\"a\\":\\"{\\\\\"token\\\\\":\\\\\"[redacted]\\\\\"}\\"}"`},
		"json, ends in backslash": {`{"token":"Zq8\\\\","n":"1"}`, `{"token":"[redacted]","n":"1"}`},
		"name and value in json":  {`{"name":"DB_PASSWORD","value":"Zq8 b"}`, `{"name":"DB_PASSWORD","value":"[redacted]"}`},
		"name and value in xml":   {`<add key="ApiToken" value="Zq8" />`, `<add key="ApiToken" value="[redacted]" />`},
		"php array":               {`$c['password'] = 'Zq8'; $x = 1`, `$c['password'] = '[redacted]'; $x = 1`},
		"form field":              {"user[password]=Zq8&user[name]=b", "user[password]=[redacted]&user[name]=b"},
		"SSHPASS":                 {"SSHPASS=Zq8 sshpass -e ssh bob@h", "SSHPASS=[redacted] sshpass -e ssh bob@h"},
		"DBPASS":                  {"DBPASS=Zq8", "DBPASS=[redacted]"},
		"pass in json":            {`{"pass":"Zq8"}`, `{"pass":"[redacted]"}`},
		"db_pass in yaml":         {"db_pass: Zq8", "db_pass: [redacted]"},
		"pass in yaml":            {"pass: Zq8", "pass: [redacted]"},
		"userPw":                  {"userPw=Zq8 db_pw=Zq8", "userPw=[redacted] db_pw=[redacted]"},
		"--pass":                  {"tool --pass Zq8 run", "tool --pass [redacted] run"},
		"--requirepass":           {"redis-server --requirepass Zq8 --port 6379", "redis-server --requirepass [redacted] --port 6379"},
		"redis configuration":     {"masterauth=Zq8", "masterauth=[redacted]"},
		"-storepass":              {"keytool -list -storepass Zq8 -keystore k.jks", "keytool -list -storepass [redacted] -keystore k.jks"},
		"SECRET_KEY_BASE":         {"SECRET_KEY_BASE=Zq8", "SECRET_KEY_BASE=[redacted]"},
		"x-functions-key":         {"x-functions-key: Zq8", "x-functions-key: [redacted]"},
		"subscription key":        {"Ocp-Apim-Subscription-Key: Zq8", "Ocp-Apim-Subscription-Key: [redacted]"},
		"laravel":                 {"APP_KEY=base64:Zq8", "APP_KEY=[redacted]"},
		"npmrc":                   {"//registry.example/:_authToken=Zq8", "//registry.example/:_authToken=[redacted]"},
		"docker configuration":    {`{"auth":"Ym9iOlpxOA=="}`, `{"auth":"[redacted]"}`},
		"printed list":            {`exec ["tool", "--password", "Zq8 b", "-v"]`, `exec ["tool", "--password", "[redacted]", "-v"]`},
		"cdata":                   {"<token><![CDATA[Zq8<b>]]></token>", "<token><![CDATA[[redacted]]]></token>"},
		"docker login":            {"docker login -u bob -p Zq8 registry.example", "docker login -u bob -p [redacted] registry.example"},
		"mysql, quoted":           {"mysql -u root '-pa Zq8' shop", "mysql -u root '-p[redacted]' shop"},
		"mysql, quoted within":    {`mysql -u root -p'a Zq8' shop`, `mysql -u root -p[redacted] shop`},
		"mysql, after flags":      {"mysql -NBpZq8 shop", "mysql -NBp[redacted] shop"},
		"mysql in json":           {`{"cmd":"mysql -u root -pZq8"}`, `{"cmd":"mysql -u root -p[redacted]`},
		"curl, after flags":       {"curl -kuU:Zq8 https://h/", "curl -ku[redacted] https://h/"},
		"curl, of the proxy":      {"curl --proxy-user bob:Zq8 -U bob:Zq8 https://h/", "curl --proxy-user [redacted] -U [redacted] https://h/"},
		"curl, cookie":            {"curl -b sid=Zq8 https://h/", "curl -b sid=[redacted] https://h/"},
		"redis-cli, in one word":  {"redis-cli -aZq8 ping", "redis-cli -a[redacted] ping"},
		"redis-cli, config set":   {"redis-cli -h c -a Zq8 ping; redis-cli -a Zq9 ping", "redis-cli -h c -a [redacted] ping; redis-cli -a [redacted] ping"},
		"snmp, in one word":       {"snmpget -v2c -cZq8 10.0.0.1", "snmpget -v2c -c[redacted] 10.0.0.1"},
		"snmp, both of version 3": {"snmpwalk -v3 -l authPriv -u bob -a SHA -A Zq8 -x AES -X Zq9 10.0.0.1", "snmpwalk -v3 -l authPriv -u bob -a SHA -A [redacted] -x AES -X [redacted] 10.0.0.1"},
		"mysqladmin":              {"mysqladmin -u root password Zq8", "mysqladmin -u root password [redacted]"},
		"nmcli":                   {"nmcli dev wifi connect home password Zq8", "nmcli dev wifi connect home password [redacted]"},
		"sudo in the journal":     {"bob : TTY=pts/0 ; PWD=/root ; USER=root ; COMMAND=/usr/bin/mysql -pZq8 -e x", "bob : TTY=pts/0 ; PWD=/root ; USER=root ; COMMAND=/usr/bin/mysql -p[redacted] -e x"},
		"two programs":            {"sshpass -p Zq8 mysql -h db -pZq9", "sshpass -p [redacted] mysql -h db -p[redacted]"},
		"a user of that name":     {"mysql -u curl -pZq8", "mysql -u curl -p[redacted]"},
		"ldap, in one word":       {"ldapsearch -x -wZq8 -b dc=y", "ldapsearch -x -w[redacted] -b dc=y"},
		"htpasswd":                {"htpasswd -cb /etc/x bob Zq8", "htpasswd -cb /etc/x bob [redacted]"},
		"rabbitmqctl":             {"rabbitmqctl add_user bob Zq8", "rabbitmqctl add_user bob [redacted]"},
		"zip":                     {"zip -r -P Zq8 a.zip dir", "zip -r -P [redacted] a.zip dir"},
		"identified by, unquoted": {"alter user bob identified by Zq8 account unlock", "alter user bob identified by [redacted] account unlock"},
		"IDENTIFIED BY, unquoted": {"IDENTIFIED BY Zq8;", "IDENTIFIED BY [redacted];"},
		"encoded pair":            {"GET /go?to=%2Flogin%3Fpassword%3DZq8%26x%3D1 200", "GET /go?to=%2Flogin%3Fpassword%3D[redacted]%26x%3D1 200"},
		"encoded twice":           {"u=a%2526password%253DZq8", "u=a%2526password%253D[redacted]"},
		"encoded json":            {"q=%7B%22password%22%3A%22Zq8%20b%22%7D", "q=%7B%22password%22%3A%22[redacted]%22%7D"},
		"encoded url":             {"u=postgres%3A%2F%2Fbob%3AZq8%40db%2Fx", "u=postgres%3A%2F%2Fbob%3A[redacted]%40db%2Fx"},
		"digits in a url":         {"ftp://bob:12345@h/x", "ftp://bob:[redacted]@h/x"},
		"quote in a url":          {"postgres://bob:Zq8'b@db/x", "postgres://bob:[redacted]@db/x"},
		"two urls, one with port": {"http://app:80/,postgres://bob:Zq8@db/x", "http://app:80/,postgres://bob:[redacted]@db/x"},
		"slack webhook":           {"POST https://hooks.slack.com/services/T00/B00/XXXX failed", "POST https://hooks.slack.com/services/[redacted] failed"},
		"slack, rotated token":    {"xoxe.xoxp-1-Mi0yLTEyMzQ1 and xapp-1-A0-12345-abc", "[redacted] and [redacted]"},
		"telegram":                {"https://api.telegram.org/bot110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw/getMe", "https://api.telegram.org/bot[redacted]/getMe"},
		"telegram token":          {"bot 110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsawZ is back", "bot [redacted] is back"},
		"discord webhook":         {"https://discord.com/api/webhooks/123456/abcdefghijklmnopqrstuvwx", "https://discord.com/api/webhooks/123456/[redacted]"},
		"key of another, then":    {"secret='password='Zq8 b' x", "secret='[redacted]'[redacted]' x"},
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
		"docker run -p 8080:80 nginx", "docker ps -a; ssh -p 2222 bob@h", "sshpass -e ssh -p 22 bob@h", "tar -xpf x.tar", "cp -p a b",
		"curl -k -o /tmp/x https://h/ --user-agent probe", "curl -sSL https://h/x | tar xz", "redis-cli -h c -p 6379 -n 2 ping",
		"mysql -P 3306 -h db -u root shop", "mysqldump --single-transaction --port=3306 shop", "snmpwalk -v2c 10.0.0.1 1.3.6.1.2",
		"snmpd -c /etc/snmp/snmpd.conf", "psql --no-password -h db shop", "tool --ask-password shop", "tool --token-file /run/x --verbose",
		"mongod --port 27017 --dbpath /srv/db", "7z x a.7z -o/srv/x", "unzip -o a.zip", "openssl req -new -key k.pem", "ldapsearch -x -b dc=y",
		"redis cluster 10.0.0.1:6379@16379 master", "http://app:8080/", "http://app:8080", "dial tcp 10.0.0.1:5432: connect: connection refused",
		"--- PASS: TestRedact (0.00s)", "PASS: TestRedact", "pass: 12 fail: 0", "sshpass: command not found", "trespass: none, compass: 12",
		"primary_key=id", "cache_key: user:12", "Duplicate entry 'x' for key 'PRIMARY'", "token_type=code", "size=12 MB, free: 3 GB",
		"author: bob", "authority=x", "ssl_private_key=/etc/ssl/private/shop.key;", "PasswordAuthentication no", "std::secret::Box", "secret://vault",
		"the device was identified by its serial number", "it is identified as user 12", "keyboard=us monkey=1", "count=12;size=3;path=/srv/x",
		"<title>password reset</title>", "<tokens>12</tokens>", "read/write error", "it's /usr/bin/mysql -u root shop that doesn't answer",
		"GET /search?q=a%3Db%26page%3D2 200", "https://hooks.example.com/services/T1", "the bot says hi", "exit code=1 signal=9",
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

// hostile are texts that make a careless expression slow.
var hostile = []string{
	"password", "password=", "password='", `password=\"`, "password={", "password=a b ", "password=a;", "password=a&", "name=\"", "a:b@", "://a:",
	"://a:b@", `\"`, `"--pass `, "mysql -", "mysql '-p", "mysql", "eyJaaaaaaaa.", "Authorization: ", "-----BEGIN PRIVATE KEY-----", "'", "$6$",
	"A1b", "--token ", "set password ", "identified by ", "<a ", "%3A%2F%2Fa%3A", "%253D", "''password=",
}

// Whatever the text, what is made of it is bounded; how long it takes is measured by BenchmarkRedactHostile.
func TestRedactIsBounded(t *testing.T) {
	r := redactor(t, RedactConfig{Email: true})
	for _, unit := range hostile {
		if out := r.Text(strings.Repeat(unit, 1<<20/len(unit))); len(out) > 4*maxRedact {
			t.Errorf("%q repeated grows to %d bytes", unit, len(out))
		}
	}
}

// When a text is made to take long, the rest of it is taken out, not let through.
func TestRedactGivesUpSafely(t *testing.T) {
	f := newFinder(strings.Repeat("password='", 5)+" "+madeUp, false)
	f.work = 10
	f.pairs()
	if out := f.without(); strings.Contains(out, madeUp) || !strings.Contains(out, redacted) {
		t.Errorf("got %q", out)
	}
}

func BenchmarkRedactHostile(b *testing.B) {
	r := redactor(b, RedactConfig{Email: true})
	for _, unit := range hostile {
		for _, size := range []int{4 << 10, maxRedact} {
			s := strings.Repeat(unit, size/len(unit))
			b.Run(fmt.Sprintf("%.16s/%d", strings.ReplaceAll(unit, "/", "|"), size), func(b *testing.B) {
				b.SetBytes(int64(len(s)))
				for b.Loop() {
					r.Text(s)
				}
			})
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
