package sample

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// logHost is a host with nothing but a directory for logs.
func logHost(t *testing.T) host {
	t.Helper()
	h := host{Path{Rootfs: t.TempDir()}}
	if err := os.MkdirAll(h.root("var/log"), 0o755); err != nil {
		t.Fatal(err)
	}
	return h
}

// appendTo adds to a log as a program does.
func appendTo(t *testing.T, path, s string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(s); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func logsOn(t *testing.T, h host, dir string, files ...string) *logsSampler {
	t.Helper()
	c := DefaultLogs()
	c.Files = files
	return newLogs(h, dir, c, redactor(t, RedactConfig{}))
}

// clock steps on with every reading.
type stepping struct {
	t  *testing.T
	at time.Time
}

// tells reads after d and compares what is told.
func (c *stepping) tells(s Sampler, d time.Duration, want string) Reading {
	c.t.Helper()
	c.at = c.at.Add(d)
	r := readAt(c.t, s, c.at)
	if got := texts(r.Events); got != want {
		c.t.Errorf("\ntold %q\nwant %q", got, want)
	}
	return r
}

func TestLogsFollowsAFile(t *testing.T) {
	h := logHost(t)
	log := h.root("var/log/app.log")
	appendTo(t, log, "error: from before\n")
	s := logsOn(t, h, t.TempDir(), "/var/log/app.log")
	c := &stepping{t, noon}
	c.tells(s, 0, "")
	appendTo(t, log, "all is well\nerror: disk 7 is gone\nerr")
	c.tells(s, time.Second, "/var/log/app.log: error: disk 7 is gone")
	appendTo(t, log, "or: half a line\n0 errors found\n")
	r := c.tells(s, time.Second, "/var/log/app.log: error: half a line")
	if e := r.Events[0]; e.Kind != "log_error" || e.Fields["file"] != "/var/log/app.log" || e.Fields["count"] != "1" {
		t.Errorf("event %v", e)
	}
	appendTo(t, log, "error: disk 8 is gone\nerror: disk 9 is gone\n")
	c.tells(s, time.Second, "")
	c.tells(s, 2*time.Minute, "/var/log/app.log: error: disk 9 is gone (2 times)")
	appendTo(t, log, "\x1b[31mFATAL\x1b[0m \xff\x00 password=Zq8-tr0ub4dor\n")
	c.tells(s, time.Second, "/var/log/app.log: FATAL \uFFFD  password=[redacted]")
}

func TestLogsRotation(t *testing.T) {
	for name, rotate := range map[string]func(t *testing.T, log string){
		"renamed and made anew": func(t *testing.T, log string) {
			appendTo(t, log, "error: last words\n")
			rename(t, log, log+".1")
			appendTo(t, log+".1", "error: of a writer that has not noticed\n")
			appendTo(t, log, "error: new file\n")
		},
		"copied and truncated": func(t *testing.T, log string) {
			truncate(t, log)
			appendTo(t, log, "error: last words\nerror: of a writer that has not noticed\nerror: new file\n")
		},
		"truncated and longer than before": func(t *testing.T, log string) {
			truncate(t, log)
			appendTo(t, log, "error: last words\nerror: of a writer that has not noticed\nerror: new file\n"+strings.Repeat("filled up\n", 2000))
		},
		"replaced by another": func(t *testing.T, log string) {
			appendTo(t, log+".new", "error: last words\nerror: of a writer that has not noticed\nerror: new file\n")
			rename(t, log+".new", log)
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := logHost(t)
			log := h.root("var/log/app.log")
			appendTo(t, log, "begin "+strings.Repeat("x", 300)+"\n"+strings.Repeat("all is well\n", 100))
			s := logsOn(t, h, t.TempDir(), "/var/log/app.log")
			c := &stepping{t, noon}
			c.tells(s, 0, "")
			rotate(t, log)
			c.tells(s, time.Second, "/var/log/app.log: error: last words; /var/log/app.log: error: of a writer that has not noticed; /var/log/app.log: error: new file")
			appendTo(t, log, "error: and on\n")
			c.tells(s, time.Second, "/var/log/app.log: error: and on")
			if name == "renamed and made anew" {
				appendTo(t, log+".1", "error: still the old one\n")
				c.tells(s, time.Second, "/var/log/app.log: error: still the old one")
			}
		})
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func truncate(t *testing.T, path string) {
	t.Helper()
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
}

// A name that is gone for a moment is a rotation; one that stays away is let go of, and taken up when it is back.
func TestLogsGoneAndBack(t *testing.T) {
	h := logHost(t)
	log := h.root("var/log/app.log")
	appendTo(t, log, "begin\n")
	s := logsOn(t, h, "", "/var/log/app.log")
	c := &stepping{t, noon}
	c.tells(s, 0, "")
	rename(t, log, log+".1")
	appendTo(t, log+".1", "error: one\n")
	c.tells(s, time.Second, "/var/log/app.log: error: one")
	appendTo(t, log, "error: two\n")
	c.tells(s, time.Second, "/var/log/app.log: error: two")
	rename(t, log, log+".2")
	c.tells(s, time.Second, "")
	c.tells(s, 2*tailRotated, "")
	if len(s.tails) != 0 {
		t.Error("a file that is gone is still followed")
	}
	appendTo(t, log, "error: three\n")
	c.tells(s, 2*logsFindEvery, "/var/log/app.log: error: three")
}

func TestLogsGoOnAfterARestart(t *testing.T) {
	h, dir := logHost(t), t.TempDir()
	log := h.root("var/log/app.log")
	appendTo(t, log, "begin\n")
	appendTo(t, h.root("var/log/other.log"), "begin\n")
	s := logsOn(t, h, dir, "/var/log/app.log")
	c := &stepping{t, noon}
	c.tells(s, 0, "")
	appendTo(t, log, "error: one\n")
	c.tells(s, time.Second, "/var/log/app.log: error: one")

	crashed := logsOn(t, h, dir, "/var/log/app.log")
	c.tells(crashed, time.Second, "/var/log/app.log: error: one") // told twice rather than never
	c.tells(crashed, time.Second, "")

	appendTo(t, log, "error: two, while nobody looked\n")
	rename(t, log, log+".1")
	appendTo(t, log, "error: three, after a rotation\n")
	appendTo(t, h.root("var/log/other.log"), "error: of a file that was not followed\n")
	back := logsOn(t, h, dir, "/var/log/app.log", "/var/log/other.log")
	c.tells(back, time.Second, "/var/log/app.log: error: two, while nobody looked; /var/log/app.log: error: three, after a rotation")

	write(t, filepath.Join(dir, logsStateName), "{")
	damaged := logsOn(t, h, dir, "/var/log/app.log")
	if _, err := damaged.Read(t.Context(), noon); err == nil || !strings.Contains(err.Error(), "begins anew") {
		t.Errorf("with damaged places: %v", err)
	}
	appendTo(t, log, "error: four\n")
	c.tells(damaged, time.Second, "/var/log/app.log: error: four")
}

func TestLogsAppearLater(t *testing.T) {
	h := logHost(t)
	s := logsOn(t, h, "", "/var/log/app/*.log")
	c := &stepping{t, noon}
	r := c.tells(s, 0, "")
	if why := r.Tables[0].NoneBecause; !strings.Contains(why, "none of the configured") {
		t.Errorf("none because %q", why)
	}
	write(t, h.root("var/log/app/a.log"), "error: in a new file\n")
	write(t, h.root("var/log/app/a.log.1.gz"), "error: in an archive\n")
	c.tells(s, logsFindEvery, "/var/log/app/a.log: error: in a new file")
}

func TestLogsAreBounded(t *testing.T) {
	h := logHost(t)
	log := h.root("var/log/app.log")
	appendTo(t, log, "begin\n")
	s := logsOn(t, h, "", "/var/log/*.log")
	c := &stepping{t, noon}
	c.tells(s, 0, "")

	appendTo(t, log, "error: "+strings.Repeat("x", 3*tailLine))
	c.tells(s, time.Second, "/var/log/app.log: error: "+strings.Repeat("x", maxLogText-7))
	appendTo(t, log, "error: the rest of that line\nerror: the next\n")
	c.tells(s, time.Second, "/var/log/app.log: error: the next")

	appendTo(t, log, strings.Repeat("error: much "+strings.Repeat("y", 1000)+"\n", (tailBehind+2<<20)/1000))
	appendTo(t, log, "error: the newest\n")
	c.tells(s, time.Second, "/var/log/app.log: error: much "+strings.Repeat("y", maxLogText-12)+
		fmt.Sprintf(" (%d times)", (tailAtOnce-18)/1013)+"; /var/log/app.log: error: the newest")
	if s.tails["/var/log/app.log"].skipped == 0 {
		t.Error("what was not looked at is not counted")
	}
	for i := range 2 * maxLogFiles {
		write(t, h.root(fmt.Sprintf("var/log/%03d.log", i)), "")
	}
	r := c.tells(s, 10*time.Minute, "")
	if len(s.tails) > maxLogFiles || !strings.Contains(fmt.Sprint(r.Tables), "more") {
		t.Errorf("%d files are followed", len(s.tails))
	}
}

// What a hostile owner of a directory puts there leads to no other file and stops nothing.
func TestLogsDoNotFollowLinksOut(t *testing.T) {
	h := logHost(t)
	write(t, h.root("etc/shadow"), "root:error\n")
	write(t, h.root("var/log/app/real.log"), "begin\n")
	for name, to := range map[string]string{"out.log": h.root("etc/shadow"), "up.log": "../../../etc/shadow", "in.log": "real.log"} {
		if err := os.Symlink(to, h.root("var/log/app", name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(h.root("etc"), h.root("var/log/app/dir")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(h.root("var/log/app/pipe.log"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := logsOn(t, h, "", "/var/log/app/*.log", "/var/log/app/*/shadow")
	c := &stepping{t, noon}
	r := c.tells(s, 0, "")
	appendTo(t, h.root("etc/shadow"), "error: secret\n")
	appendTo(t, h.root("var/log/app/real.log"), "error: real\n")
	c.tells(s, time.Second, "/var/log/app/in.log: error: real; /var/log/app/real.log: error: real")
	state := map[string]string{}
	for _, row := range r.Tables[0].Rows {
		state[row.Cells[0]] = row.Cells[1]
	}
	for name, want := range map[string]string{"in.log": "followed", "real.log": "followed", "out.log": "not followed", "up.log": "not followed", "pipe.log": "not a regular file", "dir/shadow": "not followed"} {
		if got := state["/var/log/app/"+name]; !strings.Contains(got, want) || want == "followed" && got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestLogsWithoutTheRight(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may read everything: run as another user to see what is said then")
	}
	h := logHost(t)
	log := h.root("var/log/app.log")
	appendTo(t, log, "error: old\n")
	if err := os.Chmod(log, 0); err != nil {
		t.Fatal(err)
	}
	s := logsOn(t, h, "", "/var/log/app.log")
	c := &stepping{t, noon}
	if r := c.tells(s, 0, ""); !strings.Contains(fmt.Sprint(r.Tables), "adm") {
		t.Errorf("table %v, want the right that is missing", r.Tables)
	}
	if err := os.Chmod(log, 0o644); err != nil {
		t.Fatal(err)
	}
	c.tells(s, 2*logsFindEvery, "") // what was there before is old
	appendTo(t, log, "error: new\n")
	c.tells(s, time.Second, "/var/log/app.log: error: new")
}

func TestSplitPattern(t *testing.T) {
	for in, want := range map[string]string{
		"/var/log/syslog":        "/var/log [syslog]",
		"/var/log/*.log":         "/var/log [*.log]",
		"/srv/*/log/error-?.log": "/srv [* log error-?.log]",
		"/x":                     "/ [x]",
	} {
		dir, elements := splitPattern(in)
		if got := fmt.Sprint(dir, " ", elements); got != want {
			t.Errorf("%s is %s, want %s", in, got, want)
		}
	}
}

func TestLogsBundle(t *testing.T) {
	h := logHost(t)
	write(t, h.root("var/log/syslog"), strings.Repeat("filler\n", 100_000)+"web1 shop[7]: order 12 taken\nweb1 cron[1]: error: token=Zq8-tr0ub4dor\nweb1 other[1]: fine\n")
	c := DefaultLogs()
	make := logsBundle(h, c, redactor(t, RedactConfig{}))
	for _, step := range []struct{ unit, want string }{
		{"shop@1.service", "web1 shop[7]: order 12 taken|web1 cron[1]: error: token=[redacted]"},
		{"", "web1 cron[1]: error: token=[redacted]"},
		{"ab.service", "web1 cron[1]: error: token=[redacted]"},
	} {
		table, err := make(t.Context(), noon, step.unit)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, row := range table.Rows {
			got = append(got, row.Cells[2])
		}
		if strings.Join(got, "|") != step.want {
			t.Errorf("%q: %q, want %q", step.unit, got, step.want)
		}
	}
	none, err := logsBundle(logHost(t), c, redactor(t, RedactConfig{}))(t.Context(), noon, "nginx.service")
	if err != nil || !strings.Contains(none.NoneBecause, "journal") {
		t.Errorf("without files: %v, %v", none, err)
	}
}

func TestCleanLine(t *testing.T) {
	for in, want := range map[string]string{
		"\x1b[1;31merror\x1b[0m\tx\r": "error x", "\x00\x00a": "a", "a\xffb": "a\uFFFDb",
		"\x1b]0;title\x07x": "x", "a\x1b": "a ", "  padded \n": "padded",
	} {
		if got := cleanLine(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

// However a file grows, the same lines are told.
func FuzzTail(f *testing.F) {
	f.Add([]byte("a\nb\n\nc"), uint8(1))
	f.Add([]byte(strings.Repeat("x", 3*tailLine)+"\ny\n"), uint8(200))
	f.Fuzz(func(t *testing.T, content []byte, step uint8) {
		h := host{Path{Rootfs: t.TempDir()}}
		path := h.root("log")
		appendTo(t, path, "")
		tail, err := openTail(h, logFile{"/", "log"}, true)
		if err != nil {
			t.Fatal(err)
		}
		defer tail.close()
		var got, want []string
		size := 1 + len(content)/200 + len(content)*int(step)/2550
		for rest := content; len(rest) > 0; rest = rest[min(size, len(rest)):] {
			appendTo(t, path, string(rest[:min(size, len(rest))]))
			if err := tail.read(noon, func(line string) { got = append(got, line) }); err != nil {
				t.Fatal(err)
			}
		}
		for line := range strings.Lines(string(content)) {
			whole := strings.HasSuffix(line, "\n")
			if line = strings.TrimSuffix(line, "\n"); whole || len(line) >= tailLine {
				want = append(want, line[:min(len(line), tailLine)])
			}
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%d lines %.200q, want %d: %.200q", len(got), got, len(want), want)
		}
	})
}
