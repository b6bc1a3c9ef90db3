package sample

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// LogsConfig says which log files are followed and which of their lines are told.
type LogsConfig struct {
	// Files are absolute paths, in which * ? [] stand for parts of a name.
	Files []string `yaml:"files"`
	// Exclude is a regular expression over paths that Files lead to.
	Exclude string `yaml:"exclude"`
	// Patterns are regular expressions; a line that one of them matches is told, unless one of Ignore matches it too.
	Patterns []string `yaml:"patterns"`
	Ignore   []string `yaml:"ignore"`
}

// BundlesConfig says which evidence the collector may ask for.
type BundlesConfig struct {
	// Disabled names bundles that are not made, whoever asks.
	Disabled []string `yaml:"disabled"`
}

// BundleNames is every bundle there is.
var BundleNames = []string{"disk_usage", "processes", "deleted_files", "sockets", "kernel", "logs"}

// maxLogPatterns bounds each list of LogsConfig.
const maxLogPatterns = 100

// DefaultLogs follows the system's log and the error logs of well-known servers, as far as the agent may read them: no
// distribution lets an ordinary user read most of these, so what it follows is what it was given.
func DefaultLogs() LogsConfig {
	return LogsConfig{
		Files: []string{
			"/var/log/syslog", "/var/log/messages",
			"/var/log/nginx/*error.log", "/var/log/apache2/*error.log", "/var/log/httpd/*error_log",
			"/var/log/mysql/error.log", "/var/log/mysqld.log", "/var/log/mariadb/mariadb.log", "/var/log/postgresql/*.log",
			"/var/log/php*-fpm.log", "/var/log/redis/redis-server.log", "/var/log/haproxy.log", "/var/log/mail.err",
		},
		Exclude: `\.(gz|xz|bz2|zst|lz4|\d+|old)$`,
		Patterns: []string{
			`(?i)\b(emerg|alert|crit|critical|fatal|panic|error|err|exception|traceback|failed|failure|segfault|corrupt(ed|ion)?)\b`,
			`(?i)\b(out of memory|no space left|too many open files|read-only file system|i/o error|connection refused|timed out)\b`,
		},
		// The agent's own lines would tell of themselves; the others say that there is no error.
		Ignore: []string{`\bwatchbill(-agent)?\[\d+\]`, `(?i)\b(no|0|without|zero) (errors?|failures?)\b`, `(?i)\berrors?[=:] ?0\b`},
	}
}

func (c LogsConfig) validate() []error {
	var errs []error
	for name, list := range map[string][]string{"files": c.Files, "patterns": c.Patterns, "ignore": c.Ignore} {
		if len(list) > maxLogPatterns {
			errs = append(errs, fmt.Errorf("logs.%s: %d entries, at most %d are taken", name, len(list), maxLogPatterns))
		}
	}
	for i, p := range c.Files {
		field := fmt.Sprintf("logs.files[%d]", i)
		_, err := path.Match(p, "")
		switch {
		case !path.IsAbs(p) || path.Clean(p) != p || p == "/":
			errs = append(errs, fmt.Errorf("%s: want an absolute path without . and .., got %q", field, p))
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %q: %w; * ? [] stand for parts of a name", field, p, err))
		case strings.Contains(p, "**"):
			errs = append(errs, fmt.Errorf("%s: ** is not known; name each level: /srv/*/log/*.log", field))
		}
	}
	for name, list := range map[string][]string{"patterns": c.Patterns, "ignore": c.Ignore, "exclude": {c.Exclude}} {
		for i, p := range list {
			if _, err := regexp.Compile(p); err != nil {
				errs = append(errs, fmt.Errorf("logs.%s[%d]: want a regular expression (RE2), got %q: %w", name, i, p, err))
			}
		}
	}
	return errs
}

func (c BundlesConfig) validate() []error {
	var errs []error
	for i, n := range c.Disabled {
		if !slices.Contains(BundleNames, n) {
			errs = append(errs, fmt.Errorf("bundles.disabled[%d]: no bundle is called %q; there are %s", i, n, strings.Join(BundleNames, ", ")))
		}
	}
	return errs
}
