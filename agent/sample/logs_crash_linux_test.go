package sample

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// What the bound on events makes wait is not lost when the agent dies meanwhile.
func TestLogsThatWaitSurviveACrash(t *testing.T) {
	h, dir := logHost(t), t.TempDir()
	log := h.root("var/log/app.log")
	appendTo(t, log, "begin\n")
	s := logsOn(t, h, dir, "/var/log/app.log")
	readAt(t, s, noon)
	const kinds = eventsAtOnce + 10
	for i := range kinds {
		appendTo(t, log, fmt.Sprintf("error: %s failed\n", strings.Repeat("x", i+1)))
	}
	told := map[string]bool{}
	at := noon
	look := func(s *logsSampler, readings int) {
		for range readings {
			at = at.Add(time.Second)
			for _, e := range readAt(t, s, at).Events {
				told[e.Text] = true
			}
		}
	}
	if look(s, 3); len(told) != eventsAtOnce {
		t.Errorf("%d events at once, want %d", len(told), eventsAtOnce)
	}
	again := logsOn(t, h, dir, "/var/log/app.log")
	for range 12 {
		look(again, 1)
		at = at.Add(eventsEvery)
	}
	if len(told) != kinds {
		t.Errorf("%d of %d errors were told", len(told), kinds)
	}
}
