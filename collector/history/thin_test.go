package history

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestThinKeepsPeaks(t *testing.T) {
	var points []Point
	for i := range 3600 {
		points = append(points, Point{noon.Add(time.Duration(i) * time.Second), 50})
	}
	points[1234].V, points[2345].V = 100, 0
	got := Thin(points, 60)
	if len(got) > 60 || len(got) < 30 { // a slice where nothing happens needs one point
		t.Errorf("%d points, want 30 to 60", len(got))
	}
	for _, want := range []Point{points[0], points[1234], points[2345], points[3599]} {
		if !slices.Contains(got, want) {
			t.Errorf("%v at %v was lost", want.V, want.T)
		}
	}
}

func TestThinLeavesShortCurvesAlone(t *testing.T) {
	points := []Point{{noon, 1}, {noon.Add(1), 2}, {noon.Add(2), 3}, {noon.Add(3), 4}}
	for _, n := range []int{-1, 0, 3, 4, 5} {
		if got := Thin(points, n); !slices.Equal(got, points) {
			t.Errorf("to %d: %v", n, got)
		}
	}
	if got := Thin(nil, 10); len(got) != 0 {
		t.Errorf("nothing became %v", got)
	}
}

func TestThinProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := noon
		var points []Point
		for range rapid.IntRange(0, 300).Draw(t, "length") {
			at = at.Add(time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "gap")))
			points = append(points, Point{at, float64(rapid.IntRange(-5, 5).Draw(t, "value"))})
		}
		n := rapid.IntRange(-2, 350).Draw(t, "n")
		got := Thin(slices.Clone(points), n)
		if len(got) > max(n, 4) && len(got) > 0 {
			t.Fatalf("%d points, want at most %d", len(got), max(n, 4))
		}
		if !slices.IsSortedFunc(got, func(a, b Point) int { return a.T.Compare(b.T) }) {
			t.Fatal("out of order")
		}
		for _, p := range got {
			if !slices.Contains(points, p) {
				t.Fatalf("%v was made up", p)
			}
		}
		if len(points) == 0 {
			return
		}
		byValue := func(a, b Point) int { return int(a.V - b.V) }
		if slices.MinFunc(got, byValue).V != slices.MinFunc(points, byValue).V ||
			slices.MaxFunc(got, byValue).V != slices.MaxFunc(points, byValue).V {
			t.Fatal("the lowest or highest value was lost")
		}
		if got[0] != points[0] || got[len(got)-1] != points[len(points)-1] {
			t.Fatal("an end was lost")
		}
	})
}
