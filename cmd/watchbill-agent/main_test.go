package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/watchbill/watchbill/agent/enroll"
)

// call runs the command as a shell would.
func call(t *testing.T, stdin string, args ...string) (stdout string, code int, err error) {
	t.Helper()
	root := newRoot()
	var out, log bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&log)
	root.SetIn(strings.NewReader(stdin))
	root.SetArgs(args)
	if err = root.ExecuteContext(t.Context()); err != nil {
		code = exitCode(err)
	}
	return out.String(), code, err
}

func TestCommandLine(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.yml"), filepath.Join(dir, "bad.yml")
	for path, text := range map[string]string{good: "interval: 30s\n", bad: "intervall: 30s\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	token := enroll.Token{Address: "127.0.0.1:1", Fingerprint: strings.Repeat("ab", 32), ID: "i", Secret: "s"}.String()
	for _, tt := range []struct {
		name, stdin string
		args        []string
		code        int
		says        string // on standard output, or in the error
	}{
		{"help", "", []string{"--help"}, 0, "watchbill-agent enroll --token-file"},
		{"nothing", "", nil, 0, "Usage:"},
		{"version", "", []string{"version"}, 0, "watchbill-agent "},
		{"completion", "", []string{"completion", "bash"}, 0, "bash completion"},
		{"unknown command", "", []string{"walk"}, 2, "--help"},
		{"unknown flag", "", []string{"run", "--walk"}, 2, "watchbill-agent run --help"},
		{"nearly a command", "", []string{"enrol"}, 2, `watchbill-agent has no command "enrol"; did you mean "enroll"?`},
		{"nearly a subcommand", "", []string{"check", "confg"}, 2, `watchbill-agent check has no command "confg"; did you mean "config"?`},
		{"argument too many", "", []string{"run", "now"}, 2, "--help"},
		{"argument of once", "", []string{"once", "extra"}, 2, `"extra" is one argument too many: watchbill-agent once takes no arguments`},
		{"version as a flag", "", []string{"--version"}, 0, "watchbill-agent "},
		{"no interval", "", []string{"check", "config", "--interval", "0s"}, 1, "interval: must be between 100ms and 2m0s, got 0s"},
		{"no interval to run with", "", []string{"run", "--interval=0s", "--storage.path", dir}, 1, "interval: must be between"},
		{"flag of the wrong type", "", []string{"run", "--interval=often"}, 2, "often"},
		{"check good", "", []string{"check", "config", good}, 0, "ok: reports every 30s"},
		{"check with flags over it", "", []string{"check", "config", good, "--interval=5s"}, 0, "ok: reports every 5s"},
		{"check bad", "", []string{"check", "config", bad}, 1, "line 1"},
		{"check missing", "", []string{"check", "config", filepath.Join(dir, "none.yml")}, 1, "none.yml"},
		{"flag out of bounds", "", []string{"check", "config", "--interval=1h", "--log.level=loud"}, 1, "interval: must be between"},
		{"run before enrolment", "", []string{"run", "--storage.path", dir}, 1, "watchbill token create"},
		{"enroll without a token", "", []string{"enroll"}, 2, "--token or --token-file"},
		{"enroll with two", "", []string{"enroll", "--token=x", "--token-file=y"}, 2, "either"},
		{"enroll with a bad one", "", []string{"enroll", "--token=x", "--storage.path", dir}, 1, "wb1."},
		{"enroll from a missing file", "", []string{"enroll", "--token-file", filepath.Join(dir, "none"), "--storage.path", dir}, 1, "read token"},
		{"enroll where nobody listens", token, []string{"enroll", "--token-file=-", "--storage.path", filepath.Join(dir, "x")}, 1, "nothing listens at 127.0.0.1:1"},
		{"once", "", []string{"once"}, 0, "node_cpu_seconds_total"},
		{"once with tables", "", []string{"once", "--tables"}, 0, "# table processes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, code, err := call(t, tt.stdin, tt.args...)
			if code != tt.code {
				t.Errorf("exit code %d, want %d: %v", code, tt.code, err)
			}
			text := out
			if err != nil {
				text = err.Error()
			}
			if !strings.Contains(text, tt.says) {
				t.Errorf("does not say %q: %s", tt.says, text)
			}
			if err != nil && out != "" {
				t.Errorf("standard output of a failure: %s", out)
			}
		})
	}
}

func TestCommandAfterEnrolment(t *testing.T) {
	for _, tt := range []struct {
		f    flags
		want string
	}{
		{flags{}, "watchbill-agent run"},
		{flags{usualFile: "/etc/x"}, "watchbill-agent run"},
		{flags{configFile: "/etc/a.yml", storagePath: "/tmp/agent"}, "watchbill-agent run --config.file=/etc/a.yml --storage.path=/tmp/agent"},
		{flags{storagePath: "/tmp/it's here"}, `watchbill-agent run --storage.path='/tmp/it'\''s here'`},
	} {
		if got := tt.f.command("watchbill-agent run"); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

func TestUsualFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.yml")
	f := &flags{usualFile: path}
	if c, err := f.config(); err != nil || c.Interval.Seconds() != 10 {
		t.Errorf("without it: %v, %v", c.Interval, err)
	}
	if err := os.WriteFile(path, []byte("interval: 20s"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := f.config(); err != nil || c.Interval.Seconds() != 20 {
		t.Errorf("with it: %v, %v", c.Interval, err)
	}
	if err := os.WriteFile(path, []byte("x: 1"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.config(); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("broken: %v", err)
	}
}

func TestLifeSign(t *testing.T) {
	var got []string
	var log bytes.Buffer
	l := &lifeSign{log: slog.New(slog.NewTextHandler(&log, nil)), notify: func(s string) error {
		got = append(got, s)
		return errors.New("no such socket")
	}}
	l.report()
	l.report()
	l.stopping()
	if want := "READY=1\nWATCHDOG=1|WATCHDOG=1|STOPPING=1"; strings.Join(got, "|") != want {
		t.Errorf("told %q, want %q", got, want)
	}
	if strings.Count(log.String(), "no such socket") != 1 {
		t.Errorf("log:\n%s", log.String())
	}
}

// A context that has ended already still gives an orderly start and end of the whole command.
func TestRunNeedsItsDirectory(t *testing.T) {
	root := newRoot()
	root.SetErr(&bytes.Buffer{})
	root.SetArgs([]string{"run", "--storage.path", filepath.Join(t.TempDir(), "none")})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := root.ExecuteContext(ctx); !errors.Is(err, enroll.ErrNotEnrolled) {
		t.Errorf("error %v", err)
	}
}
