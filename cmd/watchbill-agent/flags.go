package main

import (
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/watchbill/watchbill/agent"
)

// flags are those every command has; what is given here goes before the configuration file.
type flags struct {
	configFile, storagePath string
	logLevel, logFormat     string
	interval                time.Duration
}

func (f *flags) register(set *pflag.FlagSet) {
	set.StringVar(&f.configFile, "config.file", "", "configuration file (YAML); all defaults without one")
	set.StringVar(&f.storagePath, "storage.path", "", "directory for identity, spool and state (overrides data_dir)")
	set.DurationVar(&f.interval, "interval", 0, "how often to look and report (overrides interval)")
	set.StringVar(&f.logLevel, "log.level", "", "one of "+strings.Join(agent.Levels(), ", ")+" (overrides log.level)")
	set.StringVar(&f.logFormat, "log.format", "", "one of "+strings.Join(agent.Formats(), ", ")+" (overrides log.format)")
}

// config is the file's configuration with the flags over it.
func (f *flags) config() (agent.Config, error) {
	c := agent.DefaultConfig()
	if f.configFile != "" {
		var err error
		if c, err = agent.LoadConfig(f.configFile); err != nil {
			return agent.Config{}, err
		}
	}
	if f.storagePath != "" {
		path, err := filepath.Abs(f.storagePath)
		if err != nil {
			return agent.Config{}, fmt.Errorf("--storage.path %s: %w", f.storagePath, err)
		}
		c.DataDir = path
	}
	if f.interval != 0 {
		c.Interval = f.interval
	}
	if f.logLevel != "" {
		c.Log.Level = f.logLevel
	}
	if f.logFormat != "" {
		c.Log.Format = f.logFormat
	}
	return c, c.Validate()
}

// logger writes to w as c says; c was validated.
func logger(c agent.LogConfig, w io.Writer) (*slog.Logger, error) {
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
