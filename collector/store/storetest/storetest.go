// Package storetest is the suite that every store.Store passes, and the wrapper that shows whether a caller's closures
// bear what a store may do with them.
package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// Run runs the suite. open makes an empty store, which it closes and removes when its test ends.
func Run(t *testing.T, open func(t testing.TB) store.Store) {
	for name, test := range map[string]func(*testing.T, store.Store){
		"update":                    testUpdate,
		"update undoes errors":      testUpdateError,
		"update undoes panics":      testUpdatePanic,
		"decisions":                 testDecisions,
		"decisions together":        testDecisionsTogether,
		"storms":                    testStorms,
		"members of storms":         testStormMembers,
		"tickets of storms":         testStormTickets,
		"contexts":                  testContext,
		"views":                     testView,
		"transactions end":          testEscape,
		"counters":                  testCounters,
		"installation":              testInstallation,
		"tallies":                   testTallies,
		"alerts":                    testAlerts,
		"tickets":                   testTickets,
		"tickets refuse":            testTicketRefusals,
		"a ticket's title":          testTicketTitle,
		"ticket lists":              testTicketLists,
		"tickets by key":            testTicketsByKey,
		"the queue":                 testQueueOrder,
		"pages of lists":            testPages,
		"tickets without a place":   testUnplaced,
		"tickets of some":           testScopes,
		"each ticket":               testEach,
		"reported tickets":          testReported,
		"clocks are counted":        testCountClocks,
		"held notices":              testHeld,
		"silences":                  testSilences,
		"muted alerts":              testMuted,
		"fed alerts":                testFed,
		"counted alerts":            testCounted,
		"terms":                     testTerms,
		"overrides":                 testOverrides,
		"recurrences":               testRecurrences,
		"evidence":                  testEvidence,
		"deadlines":                 testDeadlines,
		"events":                    testEvents,
		"messages":                  testMessages,
		"queue":                     testQueue,
		"restored":                  testReincarnate,
		"fleet":                     testFleet,
		"strange names":             testNames,
		"closed":                    testClosed,
		"one open ticket per key":   testRace,
		"concurrent updates":        testConcurrent,
		"failures beside successes": testMixed,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
		t.Run(name+", closures run again", func(t *testing.T) { test(t, Rerun(open(t))) })
	}
	t.Run("as the model", func(t *testing.T) { testModel(t, open) })
}

// day is when the suite's stories happen.
var day = time.Date(2026, 3, 29, 0, 30, 0, 5, time.UTC)

var errTest = errors.New("the closure's own error")

func update(t *testing.T, s store.Store, fn func(store.Tx) error) {
	t.Helper()
	if err := s.Update(context.Background(), "", fn); err != nil {
		t.Fatalf("Update: %v", err)
	}
}

func view(t *testing.T, s store.Store, fn func(store.Tx) error) {
	t.Helper()
	if err := s.View(context.Background(), fn); err != nil {
		t.Fatalf("View: %v", err)
	}
}

var equal = cmp.Options{
	cmpopts.EquateEmpty(), cmp.Comparer(labels.Equal), cmpopts.EquateNaNs(),
	cmpopts.IgnoreUnexported(ticket.Event{}, store.AlertState{}),
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got, equal); d != "" {
		t.Errorf("%s: wanted -, got +\n%s", what, d)
	}
}
