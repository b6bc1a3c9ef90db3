package main

import (
	"context"
	"errors"
	"net/http"
	"os"
)

// meter follows what a process uses, across its restarts: by its number, or by what it says of itself on /metrics.
// One goroutine uses it.
type meter struct {
	pid    int
	url    string
	client *http.Client

	first, last usage
	// used is processor time since the first reading, seconds; most is the largest resident memory.
	used  float64
	most  uint64
	reads int
	// began and now are what the process said of itself first and last; refused adds up over restarts.
	began, now told
	asked      int
	refused    map[string]float64
	tickets    float64
	lastErr    error
}

func newMeter(pid int, url string) *meter {
	return &meter{pid: pid, url: url, client: &http.Client{}, refused: map[string]float64{}}
}

// wanted tells whether there is anything to read.
func (m *meter) wanted() bool { return m.pid != 0 || m.url != "" }

// read takes a reading. Its failure is kept in lastErr and is no more than a reading that is missing.
func (m *meter) read(ctx context.Context) {
	m.lastErr = nil
	if m.url != "" {
		if t, err := scrape(ctx, m.client, m.url); err != nil {
			m.lastErr = err
		} else {
			m.listen(t)
		}
	}
	if m.pid == 0 {
		if m.url != "" && m.lastErr == nil {
			m.note(m.now.usage)
		}
		return
	}
	u, err := usageOf(m.pid)
	switch {
	case err == nil:
		m.note(u)
	case errors.Is(err, errGone) && m.url != "":
		// Started anew under another number: from now on it is its own witness.
		m.pid, m.last = 0, usage{}
	default:
		m.lastErr = errors.Join(m.lastErr, err)
	}
}

// note adds up processor time; a process that has used less than before is another one.
func (m *meter) note(u usage) {
	if m.reads == 0 {
		m.first = u
	} else if u.cpu >= m.last.cpu {
		m.used += u.cpu - m.last.cpu
	} else {
		m.used += u.cpu
	}
	m.reads++
	m.last = u
	m.most = max(m.most, u.rss)
}

// listen adds up counters in the same way.
func (m *meter) listen(t told) {
	add := func(now, before float64) float64 {
		if now < before {
			return now
		}
		return now - before
	}
	if m.asked == 0 {
		m.began = t
	} else {
		for reason, n := range t.refusals {
			if d := add(n, m.now.refusals[reason]); d > 0 {
				m.refused[reason] += d
			}
		}
		m.tickets += add(t.tickets, m.now.tickets)
	}
	m.asked++
	m.now = t
}

// own is what this process uses.
func own() *meter { return newMeter(os.Getpid(), "") }
