package dashboards

import (
	"encoding/json"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// board is a dashboard as Grafana reads it, as far as tests look.
type board struct {
	UID         string   `json:"uid"`
	Title       string   `json:"title"`
	Description string   `json:"description"`
	Refresh     string   `json:"refresh"`
	Tags        []string `json:"tags"`
	Time        struct{ From, To string }
	Panels      []panel `json:"panels"`
	Templating  struct {
		List []variable `json:"list"`
	} `json:"templating"`
	Annotations struct {
		List []annotation `json:"list"`
	} `json:"annotations"`
	Links []link `json:"links"`

	file string
}

type variable struct {
	Name       string `json:"name"`
	Type       string `json:"type"`
	Query      string `json:"query"`
	Multi      bool   `json:"multi"`
	IncludeAll bool   `json:"includeAll"`
	AllValue   string `json:"allValue"`
	Refresh    int    `json:"refresh"`
	Datasource source `json:"datasource"`
}

type annotation struct {
	Name        string `json:"name"`
	Expr        string `json:"expr"`
	Enable      bool   `json:"enable"`
	TitleFormat string `json:"titleFormat"`
	Datasource  source `json:"datasource"`
}

type source struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

type link struct {
	Title       string   `json:"title"`
	URL         string   `json:"url"`
	Type        string   `json:"type"`
	Tags        []string `json:"tags"`
	IncludeVars bool     `json:"includeVars"`
	KeepTime    bool     `json:"keepTime"`
}

type panel struct {
	ID          int    `json:"id"`
	Type        string `json:"type"`
	Title       string `json:"title"`
	Description string `json:"description"`
	Interval    string `json:"interval"`
	Datasource  source `json:"datasource"`
	GridPos     struct{ X, Y, W, H int }
	Targets     []target `json:"targets"`
	FieldConfig struct {
		Defaults struct {
			Unit       string `json:"unit"`
			Links      []link `json:"links"`
			NoValue    string `json:"noValue"`
			Thresholds struct {
				Mode  string
				Steps []struct {
					Value *float64
					Color string
				}
			} `json:"thresholds"`
		} `json:"defaults"`
	} `json:"fieldConfig"`
	Transformations []struct {
		ID      string         `json:"id"`
		Options map[string]any `json:"options"`
	} `json:"transformations"`
}

type target struct {
	RefID        string `json:"refId"`
	Expr         string `json:"expr"`
	LegendFormat string `json:"legendFormat"`
	Instant      bool   `json:"instant"`
	Range        bool   `json:"range"`
	Format       string `json:"format"`
	Datasource   source `json:"datasource"`
}

// shown are the labels that a table shows, in no order.
func (p panel) shown() []string {
	for _, tr := range p.Transformations {
		include, _ := tr.Options["include"].(map[string]any)
		if pattern, ok := include["pattern"].(string); ok {
			return strings.Split(strings.Trim(pattern, "^()$"), "|")
		}
	}
	return nil
}

// isRow tells a row's title from a panel.
func (p panel) isRow() bool { return p.Type == "row" }

// load reads every dashboard that ships.
func load(t testing.TB) []board {
	t.Helper()
	names, err := fs.Glob(Files(), "*.json")
	if err != nil || len(names) < 11 {
		t.Fatalf("dashboards: %v, %v", names, err)
	}
	var out []board
	for _, name := range names {
		body, err := fs.ReadFile(Files(), name)
		if err != nil {
			t.Fatal(err)
		}
		b := board{file: name}
		if err := json.Unmarshal(body, &b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out = append(out, b)
	}
	return out
}

// chosen are the values of variables, each a list as Grafana keeps them.
type chosen map[string][]string

// reference is a variable in a text: $name, ${name} or ${name:format}.
var reference = regexp.MustCompile(`\$(?:(\w+)|\{(\w+)(?::(\w+))?\})`)

// fill puts values into an expression as Grafana's Prometheus data source does: one value with what regular expressions
// mean escaped, several as alternatives, all as the variable's own word for it.
func (c chosen) fill(expr string) string {
	return reference.ReplaceAllStringFunc(expr, func(ref string) string {
		m := reference.FindStringSubmatch(ref)
		values, known := c[m[1]+m[2]]
		switch {
		case !known:
			return ref
		case len(values) == 1:
			return escape(values[0])
		}
		var all []string
		for _, v := range values {
			all = append(all, escape(v))
		}
		return "(" + strings.Join(all, "|") + ")"
	})
}

// escape is what the data source does to a value of a variable of which several can be chosen; all (.*) stays.
func escape(v string) string {
	if v == ".*" || strings.HasPrefix(v, "\x00") {
		return strings.TrimPrefix(v, "\x00")
	}
	return strings.ReplaceAll(regexp.QuoteMeta(v), `\`, `\\`)
}

// builtIn are Grafana's own variables for a range of three hours, a step of a minute and a scrape every minute. A NUL before
// a value says that nothing in it is escaped.
func builtIn() chosen {
	return chosen{"__rate_interval": {"\x004m"}, "__interval": {"\x001m"}, "__range": {"\x0010800s"}}
}

// references are the names of the variables that a text refers to.
func references(text string) []string {
	var out []string
	for _, m := range reference.FindAllStringSubmatch(text, -1) {
		if name := m[1] + m[2]; !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}
