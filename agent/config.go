package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/watchbill/watchbill/agent/enroll"
	"github.com/watchbill/watchbill/agent/sample"
)

// Bounds of what may be configured. The longest interval is what slow samplers' `unchanged` blocks promise at least
// (DESIGN D2); the shortest keeps an agent from being its host's load.
const (
	minInterval = 100 * time.Millisecond
	maxInterval = 2 * time.Minute
	minSpool    = 16 << 20 // a segment is an eighth of it and must hold any report
	minMemory   = 24 << 20 // what a usual host's agent takes, and half again
)

// Config is what an operator may set; every field has a default.
type Config struct {
	// DataDir holds identity, spool and what the agent must remember; nobody else needs to read it.
	DataDir string `yaml:"data_dir"`
	// Interval is how often the host is looked at and reported.
	Interval time.Duration `yaml:"interval"`
	// Proxy is the way to the collector: http://[user:password@]host:port, "none" for none whatever the environment says,
	// and what the environment says (HTTPS_PROXY, NO_PROXY) when empty.
	Proxy string `yaml:"proxy"`
	// MemoryLimit is what the agent keeps below, if need be by looking at less; 0 sets no limit.
	MemoryLimit Bytes         `yaml:"memory_limit"`
	Spool       SpoolConfig   `yaml:"spool"`
	Samplers    sample.Config `yaml:"samplers"`
	Log         LogConfig     `yaml:"log"`
}

// SpoolConfig bounds what waits on disk.
type SpoolConfig struct {
	// MaxBytes is the most the spool takes; the oldest reports go first.
	MaxBytes Bytes `yaml:"max_bytes"`
	// Keep is how long acknowledged reports stay for a collector that has to rebuild its windows, until the collector
	// says what its rules need.
	Keep time.Duration `yaml:"keep"`
}

// LogConfig says what is logged and how.
type LogConfig struct {
	Level  string `yaml:"level"`  // debug, info, warn, error
	Format string `yaml:"format"` // logfmt, json
	// File is where the log goes instead of standard error; empty: standard error.
	File string `yaml:"file"`
	// MaxSize is how large File gets before it is put aside, Keep how many of those are kept.
	MaxSize Bytes `yaml:"max_size"`
	Keep    int   `yaml:"keep"`
}

// Levels are what LogConfig.Level may be.
func Levels() []string { return []string{"debug", "info", "warn", "error"} }

// Formats are what LogConfig.Format may be.
func Formats() []string { return []string{"logfmt", "json"} }

// DefaultConfig reports every ten seconds and spools 256 MiB, which holds three days of a usual host.
func DefaultConfig() Config {
	return Config{
		DataDir:     defaultDataDir(),
		Interval:    10 * time.Second,
		MemoryLimit: 64 << 20,
		Spool:       SpoolConfig{MaxBytes: 256 << 20, Keep: 24 * time.Hour},
		Samplers:    sample.DefaultConfig(),
		Log:         LogConfig{Level: "info", Format: "logfmt", MaxSize: 10 << 20, Keep: 3},
	}
}

func defaultDataDir() string {
	if runtime.GOOS == "windows" {
		return filepath.Join(os.Getenv("ProgramData"), "watchbill-agent")
	}
	return "/var/lib/watchbill-agent"
}

// IdentityDir is where enroll keeps this agent's identity.
func (c Config) IdentityDir() string { return filepath.Join(c.DataDir, "identity") }

func (c Config) spoolDir() string { return filepath.Join(c.DataDir, "spool") }

func (c Config) stateDir() string { return filepath.Join(c.DataDir, "state") }

// LoadConfig reads a YAML file over the defaults. Unknown keys and wrong types are errors with their line; so is
// everything Validate finds, all at once.
func LoadConfig(path string) (Config, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("read configuration: %w", err)
	}
	c, err := ParseConfig(raw)
	if err != nil {
		return Config{}, fmt.Errorf("configuration %s: %w", path, err)
	}
	return c, nil
}

// ParseConfig is LoadConfig for what was read already.
func ParseConfig(raw []byte) (Config, error) {
	c := DefaultConfig()
	d := yaml.NewDecoder(bytes.NewReader(raw))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil && !errors.Is(err, io.EOF) { // an empty file means: all defaults
		return Config{}, inWords(err)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return Config{}, errors.New("there is a second document after `---`: keep everything in one")
	}
	return c, c.Validate()
}

// How the YAML package tells of a key that a Go type lacks, and of a value of another type. Should it change its words, a
// person reads those.
var (
	unknownKey = regexp.MustCompile(`^line (\d+): field (.+) not found in type .+$`)
	wrongType  = regexp.MustCompile("^line (\\d+): cannot unmarshal (!!\\w+)(?: `(.*)`)? into (.+)$")
)

// inWords puts the YAML package's faults into words for somebody who does not know Go.
func inWords(err error) error {
	var bad *yaml.TypeError
	if !errors.As(err, &bad) {
		return err
	}
	var errs []error
	for _, e := range bad.Errors {
		if m := unknownKey.FindStringSubmatch(e); m != nil {
			e = fmt.Sprintf("line %s: unknown key %q", m[1], m[2])
		} else if m := wrongType.FindStringSubmatch(e); m != nil {
			e = fmt.Sprintf("line %s: want %s, got %s", m[1], wanted(m[4]), found(m[2], m[3]))
		}
		errs = append(errs, errors.New(e))
	}
	return errors.Join(errs...)
}

// wanted says what a value of a Go type looks like in YAML.
func wanted(goType string) string {
	switch {
	case goType == "time.Duration" || goType == "model.Duration":
		return "a duration like 30s"
	case goType == "bool":
		return "true or false"
	case goType == "string":
		return "text"
	case strings.HasPrefix(goType, "int") || strings.HasPrefix(goType, "uint") || strings.HasPrefix(goType, "float"):
		return "a number"
	case strings.HasPrefix(goType, "[]"):
		return "a list"
	}
	return "keys with values"
}

// found says what stands there instead.
func found(tag, text string) string {
	switch tag {
	case "!!seq":
		return "a list"
	case "!!map":
		return "keys with values"
	case "!!null":
		return "nothing"
	}
	return strconv.Quote(text)
}

// Validate names every bad field at once; it changes nothing and touches no file.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !filepath.IsAbs(c.DataDir) {
		bad("data_dir: must be an absolute path, got %q", c.DataDir)
	}
	if c.Interval < minInterval || c.Interval > maxInterval {
		bad("interval: must be between %v and %v, got %v", minInterval, maxInterval, c.Interval)
	}
	if _, err := enroll.ParseProxy(c.Proxy); err != nil {
		errs = append(errs, err)
	}
	if c.Spool.MaxBytes < minSpool {
		bad("spool.max_bytes: must be at least 16MiB, got %s", c.Spool.MaxBytes)
	}
	if c.MemoryLimit != 0 && c.MemoryLimit < minMemory {
		bad("memory_limit: must be 0 (none) or at least 24MiB, got %s", c.MemoryLimit)
	}
	if c.Spool.Keep < 0 {
		bad("spool.keep: must not be negative, got %v", c.Spool.Keep)
	}
	if !slices.Contains(Levels(), c.Log.Level) {
		bad("log.level: must be one of %s, got %q", strings.Join(Levels(), ", "), c.Log.Level)
	}
	if !slices.Contains(Formats(), c.Log.Format) {
		bad("log.format: must be one of %s, got %q", strings.Join(Formats(), ", "), c.Log.Format)
	}
	if c.Log.File != "" && !filepath.IsAbs(c.Log.File) {
		bad("log.file: must be an absolute path, got %q", c.Log.File)
	}
	if c.Log.MaxSize < minLogSize {
		bad("log.max_size: must be at least 1MiB, got %s", c.Log.MaxSize)
	}
	if c.Log.Keep < 1 {
		bad("log.keep: must be at least 1, got %d", c.Log.Keep)
	}
	if err := c.Samplers.Validate(); err != nil {
		for line := range strings.Lines(err.Error()) {
			bad("samplers.%s", strings.TrimSuffix(line, "\n"))
		}
	}
	return errors.Join(errs...)
}

// Bytes is a number of bytes, written as 4096, 64KiB, 256MiB or 2GiB.
type Bytes int64

var byteUnits = []struct {
	name string
	size int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// UnmarshalYAML reads a Bytes.
func (b *Bytes) UnmarshalYAML(n *yaml.Node) error {
	number, factor := n.Value, int64(1)
	for _, u := range byteUnits {
		if rest, ok := strings.CutSuffix(n.Value, u.name); ok {
			number, factor = strings.TrimSpace(rest), u.size
			break
		}
	}
	v, err := strconv.ParseInt(number, 10, 64)
	if err != nil || v < 0 || v > (1<<62)/factor {
		return fmt.Errorf("line %d: %q is not a number of bytes such as 4096, 64KiB, 256MiB or 2GiB", n.Line, n.Value)
	}
	*b = Bytes(v * factor)
	return nil
}

// String is the shortest way to write it.
func (b Bytes) String() string {
	for _, u := range byteUnits {
		if b != 0 && int64(b)%u.size == 0 {
			return strconv.FormatInt(int64(b)/u.size, 10) + u.name
		}
	}
	return "0B"
}
