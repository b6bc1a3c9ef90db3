package collector

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/watchbill/watchbill/collector/policy"
)

// fields compares fields of what v is as JSON.
func (l looking) fields(of string, want map[string]string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		l.fail(of, "JSON", err.Error())
		return
	}
	var doc any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber() // durations are whole nanoseconds
	if err := d.Decode(&doc); err != nil {
		l.fail(of, "JSON", err.Error())
		return
	}
	for _, path := range slices.Sorted(maps.Keys(want)) {
		if got := fieldAt(doc, path); !policy.Like(want[path], got) {
			l.fail(of+path, inQuotes(want[path]), inQuotes(got))
		}
	}
}

// fieldAt is what stands at a path of a JSON document, as text; # counts what a list or an object has. Of a list of objects
// an element may be named by its name instead of its place, and * stands for all of them. A \ stands for a / in a key.
func fieldAt(doc any, path string) string {
	for path != "" {
		step, rest, _ := strings.Cut(path, "/")
		path, step = rest, strings.ReplaceAll(step, `\`, "/")
		if step == "*" {
			return column(doc, path)
		}
		switch v := doc.(type) {
		case map[string]any:
			if step == "#" {
				return strconv.Itoa(len(v))
			}
			doc = v[step]
		case []any:
			if step == "#" {
				return strconv.Itoa(len(v))
			}
			doc = element(v, step)
		case nil:
			if step == "#" {
				return "0"
			}
		default:
			return ""
		}
	}
	switch v := doc.(type) {
	case nil:
		return ""
	case string:
		return v
	case []any:
		words := make([]string, len(v))
		for i := range v {
			words[i] = fieldAt(v, strconv.Itoa(i))
		}
		return strings.Join(words, " ")
	case map[string]any:
		return strings.Join(slices.Sorted(maps.Keys(v)), " ")
	default:
		return fmt.Sprint(v)
	}
}

// column is what stands at a path of each element of a list, or of each value of an object in the order of its keys.
func column(doc any, path string) string {
	var all []any
	switch v := doc.(type) {
	case []any:
		all = v
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			all = append(all, v[key])
		}
	}
	cells := make([]string, len(all))
	for i := range all {
		cells[i] = fieldAt(all[i], path)
	}
	return strings.Join(cells, " | ")
}

// element is an element of a list, by place or by name.
func element(list []any, step string) any {
	if i, err := strconv.Atoi(step); err == nil {
		if i < len(list) && i >= 0 {
			return list[i]
		}
		return nil
	}
	for _, e := range list {
		if m, ok := e.(map[string]any); ok && m["name"] == step {
			return e
		}
	}
	return nil
}
