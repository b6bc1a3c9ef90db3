package program

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
)

func TestServerExprs(t *testing.T) {
	f, err := os.Open("/work/shared/rules/server-expressions.jsonl")
	if err != nil {
		t.Skip()
	}
	sc := bufio.NewScanner(f)
	p := parser.NewParser(parser.Options{})
	n, local, ok := 0, 0, 0
	for sc.Scan() {
		var x struct {
			Expr       string
			AssetLocal bool `json:"asset_local"`
		}
		if err := json.Unmarshal(sc.Bytes(), &x); err != nil {
			t.Fatal(err)
		}
		e, err := p.ParseExpr(x.Expr)
		if err != nil {
			t.Fatal(err)
		}
		_, tm := Prepare(e)
		n++
		if x.AssetLocal {
			local++
			if tm == nil {
				ok++
			}
		}
		if tm != nil || !x.AssetLocal {
			fmt.Println(x.AssetLocal, tm == nil, x.Expr)
			if tm != nil {
				fmt.Println("    ", tm.Why)
			}
		}
	}
	fmt.Println(n, local, ok)
}
