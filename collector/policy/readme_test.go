package policy

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/watchbill/watchbill/collector/ticket"
)

// The reference names every key, fact, kind of need and placeholder that there is.
func TestReferenceIsComplete(t *testing.T) {
	content, err := os.ReadFile("../../rules/policies/README.md")
	if err != nil {
		t.Fatal(err)
	}
	names := func(word string) {
		for _, form := range []string{"`" + word + "`", "`" + word + ":", "`{{" + word + "}}`"} {
			if strings.Contains(string(content), form) {
				return
			}
		}
		t.Errorf("rules/policies/README.md does not tell of %q", word)
	}
	var keys func(of reflect.Type)
	keys = func(of reflect.Type) {
		switch of.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			keys(of.Elem())
		case reflect.Struct:
			for i := range of.NumField() {
				if key := of.Field(i).Tag.Get("yaml"); key != "" && key != "-" {
					names(key)
					keys(of.Field(i).Type)
				}
			}
		}
	}
	keys(reflect.TypeFor[Set]())
	for _, f := range Facts() {
		names(f.Name)
	}
	for _, n := range ticket.Needs() {
		names(n.Kind)
	}
	for word := range ticket.Placeholders() {
		names(word)
	}
}
