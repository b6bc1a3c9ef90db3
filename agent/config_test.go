package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParseConfig(t *testing.T) {
	c, err := ParseConfig([]byte(`
data_dir: /srv/agent
interval: 30s
spool: {max_bytes: 1GiB, keep: 48h}
samplers:
  disabled: [sessions]
  watch:
    - {name: shop, cmdline: shopd}
log: {level: debug, format: json, file: /var/log/agent.log, max_size: 2MiB, keep: 9}
memory_limit: 48MiB
`))
	if err != nil {
		t.Fatal(err)
	}
	if c.DataDir != "/srv/agent" || c.Interval != 30*time.Second || c.Spool.MaxBytes != 1<<30 || c.Spool.Keep != 48*time.Hour ||
		c.Log != (LogConfig{"debug", "json", "/var/log/agent.log", 2 << 20, 9}) || c.MemoryLimit != 48<<20 || len(c.Samplers.Watch) != 1 || c.Samplers.Path.Procfs != "/proc" {
		t.Errorf("got %+v", c)
	}
	if empty, err := ParseConfig(nil); err != nil || empty.Interval != DefaultConfig().Interval {
		t.Errorf("empty: %+v, %v", empty, err)
	}
}

func TestConfigFaults(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		says       []string
	}{
		{"unknown key", "interval: 10s\nspool:\n  maxbytes: 1GiB\n", []string{`line 3: unknown key "maxbytes"`}},
		{"unknown sampler key", "samplers:\n  filesystem:\n    exclude: x\n", []string{`line 3: unknown key "exclude"`}},
		{"two at once", "intervall: 10s\nspol: {}\n", []string{`line 1: unknown key "intervall"`, `line 2: unknown key "spol"`}},
		{"wrong type", "\ninterval: [1]\n", []string{"line 2: want a duration like 30s, got a list"}},
		{"no duration", "interval: often\n", []string{`line 1: want a duration like 30s, got "often"`}},
		{"text where keys belong", "spool: big\n", []string{`line 1: want keys with values, got "big"`}},
		{"keys where a list belongs", "samplers:\n  enabled: {a: b}\n", []string{"line 2: want a list, got keys with values"}},
		{"not a size", "spool:\n  max_bytes: lots\n", []string{"line 2", `"lots"`, "256MiB"}},
		{"negative size", "spool:\n  max_bytes: -1\n", []string{"line 2"}},
		{"size too large", "spool:\n  max_bytes: 9999999999GiB\n", []string{"line 2"}},
		{"not YAML", "interval: {", []string{"line 1"}},
		{"second document", "interval: 10s\n---\ninterval: 5s\n", []string{"second document"}},
		{"proxy", "proxy: proxy.example:3128\n", []string{"want http://host:port"}},
		{"everything at once", "data_dir: x\ninterval: 1ms\nspool: {max_bytes: 1KiB, keep: -1s}\nlog: {level: loud, format: xml, file: a.log, max_size: 1KiB, keep: 0}\nmemory_limit: 1MiB\nsamplers:\n  watch: [{name: a, cmdline: '('}]\n  enabled: [nope]\n",
			[]string{"data_dir: must be an absolute path", "interval: must be between 100ms and 2m0s, got 1ms", "spool.max_bytes: must be at least 16MiB, got 1KiB",
				"spool.keep:", `log.level: must be one of debug, info, warn, error, got "loud"`, "log.format:", "log.file: must be an absolute path",
				"log.max_size: must be at least 1MiB, got 1KiB", "log.keep:", "memory_limit: must be 0 (none) or at least 24MiB, got 1MiB", "samplers.watch[0].cmdline", "samplers.enabled[0]"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseConfig([]byte(tt.text))
			if err == nil {
				t.Fatal("accepted")
			}
			for _, s := range tt.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("error does not say %q:\n%v", s, err)
				}
			}
		})
	}
}

func TestLoadConfigNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.yml")
	if _, err := LoadConfig(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("missing: %v", err)
	}
	if err := os.WriteFile(path, []byte("x: 1"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadConfig(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("wrong: %v", err)
	}
}

// The README shows a configuration with every key at its default.
func TestReadmeShowsTheDefaults(t *testing.T) {
	raw, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(raw), "```yaml\n")
	text, _, closed := strings.Cut(rest, "```")
	if !ok || !closed {
		t.Fatal("README.md has no yaml block")
	}
	got, err := ParseConfig([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultConfig()
	if got.DataDir != want.DataDir || got.Interval != want.Interval || got.Spool != want.Spool || got.MemoryLimit != want.MemoryLimit || got.Log != want.Log ||
		got.Samplers.Filesystem != want.Samplers.Filesystem || got.Samplers.Path != want.Samplers.Path {
		t.Errorf("README shows %+v, the defaults are %+v", got, want)
	}
}

func TestBytesString(t *testing.T) {
	for b, want := range map[Bytes]string{0: "0B", 1: "1B", 1536: "1536B", 2048: "2KiB", 256 << 20: "256MiB", 3 << 30: "3GiB"} {
		if got := b.String(); got != want {
			t.Errorf("%d is written %s, want %s", int64(b), got, want)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte("interval: 10s\nspool: {max_bytes: 1GiB}\n"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if c, err := ParseConfig(raw); err == nil && c.Validate() != nil {
			t.Errorf("accepted what does not validate: %+v", c)
		}
	})
}
