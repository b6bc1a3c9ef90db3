package push

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// media is the versions in which reports went out, in order.
func (l *line) media() (all []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, x := range l.seen {
		all = append(all, x.media)
	}
	return all
}

// An older collector says which version it reads; that is remembered until it starts anew, for it may have been updated.
func TestOlderCollectorGetsVersion0(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(int, ...func(*Options)) *rig) {
		r := start(0)
		incarnation, reads := uint64(1), wire.TypeReport
		r.line.answer = func(_ int, x *wire.Report, req *http.Request) (*http.Response, error) {
			if got := req.Header.Get(wire.HeaderType); got != reads && got != wire.TypeReport {
				return status(req, http.StatusUnsupportedMediaType, []byte("this collector reads version 0")), nil
			}
			a := accept(x)
			a.Incarnation = incarnation
			return reply(req, a), nil
		}
		one := func() {
			r.append(t, 1)
			synctest.Wait()
		}
		one()
		one()
		incarnation = 2
		one()
		reads = wire.TypeReportV1
		one()
		one()
		const v0, v1 = wire.TypeReport, wire.TypeReportV1
		want := []string{v1, v0, v0, v0, v1, v1}
		if got := r.line.media(); len(got) != len(want) {
			t.Errorf("sent as %q, want %q", got, want)
		} else {
			for i := range got {
				if got[i] != want[i] {
					t.Errorf("request %d went out as %q, want %q", i+1, got[i], want[i])
				}
			}
		}
		if s := r.Stats(); s.Acknowledged != 5 || s.Failures != 0 || r.waiting() != 0 {
			t.Errorf("stats %+v, %d wait", s, r.waiting())
		}
	})
}

// A collector that has forgotten asks for the report in full and gets it at once.
func TestCollectorThatForgot(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(int, ...func(*Options)) *rig) {
		r := start(0)
		forgot := false
		r.line.answer = func(_ int, x *wire.Report, req *http.Request) (*http.Response, error) {
			if forgot {
				forgot = false
				return reply(req, &wire.Ack{Result: wire.Ack_RESULT_NEED_SHAPES, InFull: true, Incarnation: 2}), nil
			}
			return reply(req, accept(x)), nil
		}
		for n := range 4 {
			forgot = n == 2
			x := r.report(t)
			constant, err := r.builder.Block("node", "constant", time.Now(), 10*time.Second, []wire.Sample{{Name: "pi", Value: 3.14159265358979}})
			if err != nil {
				t.Fatal(err)
			}
			x.Blocks = append(x.Blocks, constant)
			if err := r.spool.Append(x, r.builder.Shape); err != nil {
				t.Fatal(err)
			}
			r.Wake()
			time.Sleep(15 * time.Second)
			synctest.Wait()
		}
		r.line.expect(1, 2, 3, 3, 4)
		for i, want := range []int{0, 1, 1, 0, 1} {
			if got := r.line.seen[i].same; got != want {
				t.Errorf("request %d has %d blocks as before, want %d", i+1, got, want)
			}
		}
	})
}
