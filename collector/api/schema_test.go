package api

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/sla"
	"github.com/watchbill/watchbill/rules"
)

// schemas makes JSON schemas of the read models: their form by reflection, what they mean from the comments in their
// source, what a word can be from the constants of its type.
type schemas struct {
	t    *testing.T
	made map[string]any
	// comments by "package.Type" and "package.Type.Field"; words by "package.Type".
	comments map[string]string
	words    map[string][]string
}

// openWords are types whose constants are not all there is: rule files may say something else.
var openWords = map[string]bool{"incident.Severity": true}

func newSchemas(t *testing.T) *schemas {
	t.Helper()
	s := &schemas{t: t, made: map[string]any{}, comments: map[string]string{}, words: map[string][]string{}}
	for _, dir := range []string{".", "../ticket", "../incident", "../fleet", "../outbox", "../sla", "../policy", "../route", "../../rules"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no source in %s (%v)", dir, err)
		}
		for _, name := range files {
			f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls {
				if g, ok := d.(*ast.GenDecl); ok {
					s.read(f.Name.Name, g)
				}
			}
		}
	}
	return s
}

// read takes in one declaration's comments and constants.
func (s *schemas) read(pkg string, g *ast.GenDecl) {
	for _, spec := range g.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			name := pkg + "." + spec.Name.Name
			s.comment(name, g.Doc, spec.Doc)
			if st, ok := spec.Type.(*ast.StructType); ok {
				for _, field := range st.Fields.List {
					for _, n := range field.Names {
						s.comment(name+"."+n.Name, field.Doc, field.Comment)
					}
				}
			}
		case *ast.ValueSpec:
			kind, ok := spec.Type.(*ast.Ident)
			if g.Tok != token.CONST || !ok {
				continue
			}
			for _, v := range spec.Values {
				lit, ok := v.(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING {
					continue
				}
				if word, err := strconv.Unquote(lit.Value); err == nil {
					s.words[pkg+"."+kind.Name] = append(s.words[pkg+"."+kind.Name], word)
				}
			}
		}
	}
}

func (s *schemas) comment(name string, groups ...*ast.CommentGroup) {
	for _, g := range groups {
		if text := strings.Join(strings.Fields(g.Text()), " "); text != "" {
			s.comments[name] = text
		}
	}
}

// of is the schema of v's type.
func (s *schemas) of(v any) map[string]any { return s.schema(reflect.TypeOf(v)) }

var (
	timeType     = reflect.TypeFor[time.Time]()
	durationType = reflect.TypeFor[time.Duration]()
	rawType      = reflect.TypeFor[json.RawMessage]()
	targetType   = reflect.TypeFor[sla.Target]()
	valueType    = reflect.TypeFor[rules.Value]()
)

func (s *schemas) schema(t reflect.Type) map[string]any {
	switch t {
	case targetType:
		return map[string]any{"type": "object", "description": "a target: clock, mode, within or days, inform", "additionalProperties": true}
	case timeType:
		return map[string]any{"type": "string", "format": "date-time"}
	case durationType:
		return map[string]any{"type": "integer", "description": "nanoseconds"}
	case rawType:
		return map[string]any{"description": "any JSON"}
	case valueType:
		return map[string]any{"type": "string", "description": "a decimal, NaN, +Inf or -Inf"}
	}
	switch t.Kind() {
	case reflect.String:
		out := map[string]any{"type": "string"}
		name := typeName(t)
		if words := s.words[name]; len(words) > 0 && !openWords[name] {
			out["enum"] = words
		}
		return out
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint32, reflect.Uint64:
		return map[string]any{"type": "integer"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": s.schema(t.Elem())}
	case reflect.Array:
		return map[string]any{"type": "array", "items": s.schema(t.Elem()), "minItems": t.Len(), "maxItems": t.Len()}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": s.schema(t.Elem())}
	case reflect.Pointer:
		return map[string]any{"anyOf": []any{s.schema(t.Elem()), map[string]any{"type": "null"}}}
	case reflect.Struct:
		return s.reference(t)
	}
	s.t.Fatalf("%v has no schema yet", t)
	return nil
}

// typeName is a type as comments and words are filed under.
func typeName(t reflect.Type) string { return path.Base(t.PkgPath()) + "." + t.Name() }

// reference is where a struct's schema stands among the components, which it is added to.
func (s *schemas) reference(t reflect.Type) map[string]any {
	if t.NumField() == 0 {
		return map[string]any{"type": "object"}
	}
	name := t.Name()
	if pkg := path.Base(t.PkgPath()); pkg != "api" {
		name = strings.ToUpper(pkg[:1]) + pkg[1:] + name
	}
	name = strings.ToUpper(name[:1]) + name[1:]
	if _, ok := s.made[name]; !ok {
		s.made[name] = nil // a type may hold itself
		out := map[string]any{"type": "object"}
		if c := s.comments[typeName(t)]; c != "" {
			out["description"] = c
		}
		properties, required := map[string]any{}, []string{}
		s.fields(t, properties, &required)
		out["properties"], out["required"] = properties, required
		s.made[name] = out
	}
	return map[string]any{"$ref": "#/components/schemas/" + name}
}

// fields adds a struct's fields as encoding/json names them, those of embedded structs among them.
func (s *schemas) fields(t reflect.Type, properties map[string]any, required *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, hasTag := f.Tag.Lookup("json")
		name, options, _ := strings.Cut(tag, ",")
		switch {
		case f.Anonymous && !hasTag:
			s.fields(f.Type, properties, required)
			continue
		case name == "-" || !f.IsExported():
			continue
		case name == "":
			s.t.Errorf("%v.%s has no name in JSON", t, f.Name)
		}
		kind := f.Type
		if optional := strings.Contains(options, "omit"); !optional {
			*required = append(*required, name)
		} else if kind.Kind() == reflect.Pointer {
			kind = kind.Elem() // it is left out, never null
		}
		schema := s.schema(kind)
		if c := s.comments[typeName(t)+"."+f.Name]; c != "" {
			if own, ok := schema["description"]; ok {
				c += " (" + own.(string) + ")"
			}
			schema["description"] = c
		}
		properties[name] = schema
	}
}
