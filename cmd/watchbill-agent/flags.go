package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/watchbill/watchbill/agent"
)

// flags are those every command has; what is given here goes before the configuration file.
type flags struct {
	// usualFile is read when it exists and configFile names no other.
	usualFile               string
	configFile, storagePath string
	logLevel, logFormat     string
	logFile                 string
	interval                time.Duration
	// given tells whether a flag was on the command line; nil when there is none.
	given func(name string) bool
}

func (f *flags) register(set *pflag.FlagSet) {
	f.given = set.Changed
	set.StringVar(&f.configFile, "config.file", "", "configuration file (YAML); without it "+f.usualFile+" if it exists, else all defaults")
	set.StringVar(&f.storagePath, "storage.path", "", "directory for identity, spool and state (overrides data_dir)")
	set.DurationVar(&f.interval, "interval", 0, "how often to look and report (overrides interval)")
	set.StringVar(&f.logLevel, "log.level", "", "one of "+strings.Join(agent.Levels(), ", ")+" (overrides log.level)")
	set.StringVar(&f.logFormat, "log.format", "", "one of "+strings.Join(agent.Formats(), ", ")+" (overrides log.format)")
	set.StringVar(&f.logFile, "log.file", "", "file for the log, rotated, instead of standard error (overrides log.file)")
}

// config is the file's configuration with the flags over it.
func (f *flags) config() (agent.Config, error) {
	c, err := f.fromFile()
	if err != nil {
		return agent.Config{}, err
	}
	if f.storagePath != "" {
		path, err := filepath.Abs(f.storagePath)
		if err != nil {
			return agent.Config{}, fmt.Errorf("--storage.path %s: %w", f.storagePath, err)
		}
		c.DataDir = path
	}
	if f.given != nil && f.given("interval") {
		c.Interval = f.interval
	}
	if f.logLevel != "" {
		c.Log.Level = f.logLevel
	}
	if f.logFormat != "" {
		c.Log.Format = f.logFormat
	}
	if f.logFile != "" {
		path, err := filepath.Abs(f.logFile)
		if err != nil {
			return agent.Config{}, fmt.Errorf("--log.file %s: %w", f.logFile, err)
		}
		c.Log.File = path
	}
	return c, c.Validate()
}

func (f *flags) fromFile() (agent.Config, error) {
	if f.configFile != "" {
		return agent.LoadConfig(f.configFile)
	}
	c, err := agent.LoadConfig(f.usualFile)
	if errors.Is(err, fs.ErrNotExist) {
		return agent.DefaultConfig(), nil
	}
	return c, err
}

// command is how this program is called with the configuration and the directory that f names.
func (f *flags) command(path string) string {
	for _, flag := range []struct{ name, value string }{{"config.file", f.configFile}, {"storage.path", f.storagePath}} {
		if flag.value != "" {
			path += " --" + flag.name + "=" + quote(flag.value)
		}
	}
	return path
}

// quote makes one word of s for a POSIX shell.
func quote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:,@%", r)
	}
	if strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// usualFile is where the configuration of a service lies on this system.
func usualFile() string {
	if runtime.GOOS == "windows" {
		return filepath.Join(os.Getenv("ProgramData"), "watchbill", "agent.yml")
	}
	return "/etc/watchbill/agent.yml"
}

// logger writes as c says, to its file or to w; c was validated.
func logger(c agent.LogConfig, w io.Writer) (*slog.Logger, error) {
	if c.File != "" {
		file, err := agent.OpenLogFile(c.File, int64(c.MaxSize), c.Keep, w)
		if err != nil {
			return nil, err
		}
		w = file // left open: the last words come after everything else has ended
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		return nil, fmt.Errorf("log.level %q: %w", c.Level, err)
	}
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return slog.New(slog.NewTextHandler(w, o)), nil
}
