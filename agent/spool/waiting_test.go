package spool

import (
	"slices"
	"testing"
)

func TestWaiting(t *testing.T) {
	m, d := newMaker(), newPowerDisk()
	s := openOn(t, d, Options{SegmentBytes: 1300, MaxBytes: 1 << 20})
	m.append(t, s, 1, upTo(12)...)
	done(t, s, 1, 2, 3, 12)
	var got []uint64
	for item, err := range s.Waiting() {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, item.Sequence)
		if item.Sequence == 5 { // what happens meanwhile
			done(t, s, 1, 6)
			m.append(t, s, 1, 13)
		}
	}
	if !slices.Equal(got, []uint64{1, 4, 5, 7, 8, 9, 10, 11}) {
		t.Errorf("waiting are %v", got)
	}
	oldest, ok, err := s.Oldest()
	if err != nil || !ok || oldest.Sequence != 1 {
		t.Errorf("the oldest is %d, %v, %v", oldest.Sequence, ok, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, err := range s.Waiting() {
		if err == nil {
			t.Error("a closed spool gives reports")
		}
	}
}
