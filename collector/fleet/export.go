package fleet

import (
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// exportHead begins what Export writes.
const exportHead = "# The fleet, as files and commands declare it. Put this file in place of the directory's to declare it all in files.\n"

// Export writes everything that files and commands declare as one YAML file, from which LoadDirectory reads the same
// directory. Exporting what an export was read into gives the same bytes.
func (g *Registry) Export(w io.Writer) error { return g.Directory().Export(w) }

// Export is as Registry.Export, of one directory.
func (d Directory) Export(w io.Writer) error {
	var node yaml.Node
	if err := node.Encode(d.settled().brief()); err != nil {
		return fmt.Errorf("export fleet: %w", err)
	}
	plain(&node)
	var b strings.Builder
	b.WriteString(exportHead)
	if len(node.Content) > 0 {
		enc := yaml.NewEncoder(&b)
		enc.SetIndent(2)
		if err := enc.Encode(&node); err != nil {
			return fmt.Errorf("export fleet: %w", err)
		}
		if err := enc.Close(); err != nil {
			return fmt.Errorf("export fleet: %w", err)
		}
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("export fleet: %w", err)
	}
	return nil
}

// brief leaves out what reading puts in again. d is settled and may be changed.
func (d Directory) brief() Directory {
	for i := range d.ApprovedSoftware {
		if d.ApprovedSoftware[i].Kind == KindSoftware {
			d.ApprovedSoftware[i].Kind = ""
		}
	}
	for _, c := range d.Customers {
		for _, s := range c.Sites {
			for i := range s.Assets {
				if s.Assets[i].Kind == Host {
					s.Assets[i].Kind = ""
				}
			}
		}
	}
	return d
}

// plain writes text for people: days without quotes, and in quotes what some style would lose.
func plain(n *yaml.Node) {
	for _, c := range n.Content {
		plain(c)
	}
	switch {
	case n.Kind != yaml.ScalarNode || n.Tag != "!!str":
	case Date(n.Value).Valid():
		n.Tag, n.Style = "!!timestamp", 0
	case !strings.Contains(n.Value, "\n") && strings.ContainsFunc(n.Value, func(r rune) bool { return !safe(r) }):
		n.Style = yaml.DoubleQuotedStyle
	}
}

// MarshalYAML writes several lines as a block where that keeps them as they are, otherwise in quotes.
func (p Prose) MarshalYAML() (any, error) {
	s := string(p)
	if !strings.Contains(s, "\n") || blockSafe(s) {
		return s, nil
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s, Style: yaml.DoubleQuotedStyle}, nil
}

// blockSafe: text whose lines begin and end with something visible, with at most one line end after the last.
func blockSafe(s string) bool {
	for line := range strings.SplitSeq(strings.TrimSuffix(s, "\n"), "\n") {
		if line == "" || strings.TrimSpace(line) != line || strings.ContainsFunc(line, func(r rune) bool { return !safe(r) }) {
			return false
		}
	}
	return true
}

// safe: a character that every YAML style leaves alone.
func safe(r rune) bool {
	return r >= 0x20 && r <= 0x7e || r >= 0xa0 && r <= 0xd7ff && r != '\u2028' && r != '\u2029' ||
		r >= 0xe000 && r <= 0xfffd && r != '\ufeff' || r >= 0x10000
}

// MarshalYAML writes one span without a list.
func (s Spans) MarshalYAML() (any, error) {
	if len(s) == 1 {
		return s[0], nil
	}
	return []string(s), nil
}
