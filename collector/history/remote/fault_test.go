package remote

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	remoteapi "github.com/prometheus/client_golang/exp/api/remote"

	"github.com/watchbill/watchbill/collector/policy"
)

// one is a rig with one target, a.
func one(t *testing.T, r http.RoundTripper) rig {
	return rig{dir: t.TempDir(), receivers: map[string]http.RoundTripper{"a": r}}
}

func TestWhatATargetAnswers(t *testing.T) {
	retryAfter := func(v string) http.Header { return http.Header{"Retry-After": {v}} }
	written := func(n string) http.Header { return http.Header{writtenHeader: {n}} }
	for name, c := range map[string]struct {
		v2     bool
		first  int // the first request's answer
		header http.Header
		// sent, failed and retried are the samples that are counted so, of ten.
		sent, failed, retried float64
		// after is how long the second request waits at least.
		after time.Duration
		says  string
	}{
		"network error":                     {first: 0, sent: 10, retried: 10},
		"500":                               {first: 500, sent: 10, retried: 10, says: "HTTP status 500: the answer"},
		"503 with seconds":                  {first: 503, header: retryAfter("90"), sent: 10, retried: 10, after: 90 * time.Second},
		"429":                               {first: 429, sent: 10, retried: 10},
		"429 with seconds":                  {first: 429, header: retryAfter("120"), sent: 10, retried: 10, after: 2 * time.Minute},
		"429 with a date":                   {first: 429, header: retryAfter("Sat, 01 Jan 2000 00:03:00 GMT"), sent: 10, retried: 10, after: 2 * time.Minute},
		"429 that wants a year":             {first: 429, header: retryAfter("31536000"), sent: 10, retried: 10, after: maxRetryAfter},
		"a redirect":                        {first: 307, sent: 10, retried: 10, says: "set url"},
		"404":                               {first: 404, failed: 10, says: "HTTP status 404"},
		"401":                               {first: 401, failed: 10, says: "refuses samples for good"},
		"415 to 1.0":                        {first: 415, failed: 10, says: "set protobuf_message: io.prometheus.write.v2.Request"},
		"415 to 2.0":                        {v2: true, first: 415, failed: 10, says: "set protobuf_message: prometheus.WriteRequest"},
		"2.0 written in part":               {v2: true, first: 200, header: written("7"), sent: 7, failed: 3, says: "7 of 10 samples"},
		"2.0 refused in part":               {v2: true, first: 422, header: written("4"), sent: 4, failed: 6},
		"2.0 to one that does not know it":  {v2: true, first: 200, header: written("none"), failed: 10, says: "seems to know 1.0 alone"},
		"2.0 that claims more than it sent": {v2: true, first: 200, header: written("99"), sent: 10},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newReceiver()
				var first, second time.Time
				r.answer = func(n int, req *http.Request) (int, http.Header) {
					if n == 1 {
						first = time.Now()
						return c.first, c.header
					}
					if second.IsZero() {
						second = time.Now()
						if req.Header.Get("Retry-Attempt") != "1" && c.retried > 0 {
							t.Errorf("Retry-Attempt is %q", req.Header.Get("Retry-Attempt"))
						}
					}
					return http.StatusOK, nil
				}
				conf := to("a")
				conf.Targets[0].Queue.SampleAgeLimit = 0
				if c.v2 {
					conf.Targets[0].Message = remoteapi.WriteV2MessageType
				}
				b := one(t, r).begin(t, conf)
				synctest.Wait()
				feed(b, 10, 1, maxRetryAfter+time.Minute)
				b.want(`watchbill_remote_write_samples_total{target="a"}`, c.sent)
				b.want(`watchbill_remote_write_samples_failed_total{target="a"}`, c.failed)
				b.want(`watchbill_remote_write_samples_retried_total{target="a"}`, c.retried)
				b.want(`watchbill_remote_write_samples_pending{target="a"}`, 0)
				if c.retried > 0 && second.Sub(first) < c.after {
					t.Errorf("it was asked again after %v, want %v", second.Sub(first), c.after)
				}
				if !strings.Contains(b.log.String(), c.says) {
					t.Errorf("the log says %s\nwant %q", b.log, c.says)
				}
			})
		})
	}
}

func TestAllShardsWaitForAsLongAsOneIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReceiver()
		began := time.Now()
		var early atomic.Int64
		r.answer = func(int, *http.Request) (int, http.Header) {
			if at := time.Since(began); at < time.Minute {
				early.Add(1)
				return http.StatusTooManyRequests, http.Header{"Retry-After": {"60"}}
			}
			return http.StatusOK, nil
		}
		c := to("a")
		c.Targets[0].Queue.MinShards = 8
		b := one(t, r).begin(t, c)
		synctest.Wait()
		feed(b, 100, 1, 2*time.Minute)
		inOrder(t, r, 100, 1)
		if n := early.Load(); n > 8 {
			t.Errorf("%d requests while it was asked for peace, want one of each shard at most", n)
		}
	})
}

// copySpool copies what lies in the spool now, as a kill would leave it.
func copySpool(t *testing.T, from string) string {
	t.Helper()
	synctest.Wait() // the tidying of this very second is over: it renames and removes files
	to := t.TempDir()
	if err := os.CopyFS(filepath.Join(to, "spool"), os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(to, "spool")
}

func TestKilledInTheMiddleLosesNothingThatWasSpooled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReceiver()
		r.answer = func(n int, _ *http.Request) (int, http.Header) {
			time.Sleep(300 * time.Millisecond)
			if n%7 == 0 {
				return http.StatusInternalServerError, nil
			}
			return http.StatusOK, nil
		}
		c := to("a")
		c.Targets[0].Queue.MaxSamplesPerSend, c.Targets[0].Queue.MaxShards = 40, 2
		g := one(t, r)
		g.options.segmentBytes = 8 << 10
		b := g.begin(t, c)
		synctest.Wait()
		feed(b, 50, 100, time.Second)
		// Killed: what lies on disk is all that the next one has, and the receiver keeps what it got.
		next := g
		next.dir = copySpool(t, g.dir)
		r.mu.Lock()
		spooled, before := int(b.metric("watchbill_remote_write_spooled_samples_total")), map[string]int{}
		for name, points := range r.got {
			before[name] = len(points)
		}
		r.mu.Unlock()
		if spooled != 5000 {
			t.Fatalf("%d samples are in the spool, want 5000", spooled)
		}
		b.stop()
		r.mu.Lock()
		for name, points := range r.got { // what came while it was stopped had not come when it was killed
			r.got[name] = points[:before[name]]
		}
		r.mu.Unlock()
		b = next.begin(t, c)
		synctest.Wait()
		feed(b, 50, 10, time.Second)
		time.Sleep(5 * time.Minute)
		doubled := 0
		for name, points := range r.all() {
			seen := map[int64]bool{}
			for _, p := range points {
				if seen[p.t] {
					doubled++
				}
				seen[p.t] = true
			}
			if len(seen) != 110 {
				t.Errorf("%s: %d samples came, want 110", name, len(seen))
			}
		}
		// At least once: a round and what a second took may come again, not all.
		if most := 2 * 2 * batchesPerShard * 40; doubled > most {
			t.Errorf("%d samples came twice, want %d at most", doubled, most)
		}
	})
}

func TestAnOrderlyStopSendsNothingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReceiver()
		g := one(t, r)
		b := g.begin(t, to("a"))
		synctest.Wait()
		feed(b, 5, 30, time.Second)
		time.Sleep(10 * time.Second)
		b.stop()
		b = g.begin(t, to("a"))
		synctest.Wait()
		feed(b, 5, 30, time.Second)
		time.Sleep(10 * time.Second)
		inOrder(t, r, 5, 60)
	})
}

func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReceiver()
		g := one(t, r)
		var full atomic.Bool
		g.options.free = func(string) (uint64, uint64, error) {
			if full.Load() {
				return 1 << 20, 1 << 40, nil
			}
			return 1 << 39, 1 << 40, nil
		}
		b := g.begin(t, to("a"))
		synctest.Wait()
		feed(b, 5, 10, time.Second)
		full.Store(true)
		time.Sleep(time.Second)
		feed(b, 5, 10, time.Second)
		b.want(`watchbill_remote_write_unspooled_samples_total{reason="disk_full"}`, 50)
		full.Store(false)
		time.Sleep(time.Second)
		feed(b, 5, 10, time.Second)
		time.Sleep(10 * time.Second)
		inOrder(t, r, 5, 20)
		if n := strings.Count(b.log.String(), "drops samples"); n != 1 {
			t.Errorf("the log tells %d times that samples are dropped, want once:\n%s", n, b.log)
		}
		if !strings.Contains(b.log.String(), "spools again") {
			t.Errorf("the log does not tell that it goes on:\n%s", b.log)
		}
	})
}

func TestWriteThatFailsHarmsNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReceiver()
		b := one(t, r).begin(t, to("a"))
		synctest.Wait()
		feed(b, 5, 10, time.Second)
		b.spool.mu.Lock()
		b.spool.active.Close() // as if the disk were gone
		b.spool.mu.Unlock()
		feed(b, 5, 1, time.Second)
		b.want(`watchbill_remote_write_unspooled_samples_total{reason="write_failed"}`, 5)
		feed(b, 5, 10, time.Second)
		time.Sleep(10 * time.Second)
		inOrder(t, r, 5, 20)
	})
}

func TestSpoolKeepsToItsBounds(t *testing.T) {
	for name, c := range map[string]struct {
		size    Bytes
		age     time.Duration
		because string
	}{
		"size": {24 << 10, 48 * time.Hour, "remote_write_spool.size"},
		"age":  {4 << 30, 6 * time.Hour, "remote_write_spool.age"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newReceiver()
				back := time.Now().Add(23 * time.Hour)
				r.answer = func(int, *http.Request) (int, http.Header) {
					if time.Now().Before(back) {
						return 0, nil
					}
					return http.StatusOK, nil
				}
				conf := to("a")
				conf.Spool.Age = policy.Duration(c.age)
				g := one(t, r)
				g.options.segmentBytes, g.options.tidyEvery = 4<<10, time.Minute
				b := g.begin(t, conf)
				synctest.Wait()
				if name == "size" { // smaller than a configuration may say, so that the test is quick
					p := *b.planned()
					p.config.Spool.Size = c.size
					b.Adopt(&p)
				}
				feed(b, 100, 22*12, 5*time.Minute)
				if n := b.metric("watchbill_remote_write_spool_bytes"); name == "size" && n > 32<<10 {
					t.Errorf("the spool has %v bytes", n)
				}
				time.Sleep(2 * time.Hour)
				sent := b.metric(`watchbill_remote_write_samples_total{target="a"}`)
				lost := b.metric(`watchbill_remote_write_samples_dropped_total{reason="spool_full",target="a"}`)
				if lost == 0 || sent < 1000 || sent+lost != 100*22*12 {
					t.Errorf("%v samples were sent and %v counted as lost, want %d together", sent, lost, 100*22*12)
				}
				b.want(`watchbill_remote_write_samples_pending{target="a"}`, 0)
				if !strings.Contains(b.log.String(), c.because) {
					t.Errorf("the log does not say that %s was why:\n%s", c.because, b.log)
				}
				// The newest are those that are kept.
				for name, points := range r.all() {
					if last := time.UnixMilli(points[len(points)-1].t); time.Since(last) > 4*time.Hour {
						t.Fatalf("%s ends at %v", name, last)
					}
				}
			})
		})
	}
}

func TestDamageIsSkippedAndCounted(t *testing.T) {
	for name, harm := range map[string]func(b []byte) []byte{
		"a torn end":        func(b []byte) []byte { return b[:len(b)-7] },
		"half a header":     func(b []byte) []byte { return append(b, samplesFrame, 0, 0) },
		"zeros at the end":  func(b []byte) []byte { return append(b, make([]byte, 4096)...) },
		"a bit turned":      func(b []byte) []byte { b[len(b)/2] ^= 4; return b },
		"nothing is there":  func([]byte) []byte { return nil },
		"another beginning": func(b []byte) []byte { b[0] = 'X'; return b },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newReceiver()
				var up atomic.Bool
				r.answer = func(int, *http.Request) (int, http.Header) {
					if up.Load() {
						return http.StatusOK, nil
					}
					return 0, nil
				}
				g := one(t, r)
				b := g.begin(t, to("a"))
				synctest.Wait()
				feed(b, 5, 100, time.Second)
				b.stop()
				files, err := filepath.Glob(filepath.Join(g.dir, "*"+segmentSuffix))
				if err != nil || len(files) != 1 {
					t.Fatal(files, err)
				}
				content, err := os.ReadFile(files[0])
				if err == nil {
					err = os.WriteFile(files[0], harm(content), 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
				up.Store(true)
				b = g.begin(t, to("a"))
				synctest.Wait()
				feed(b, 5, 50, time.Second)
				time.Sleep(time.Minute)
				for name, points := range r.all() {
					last := points[max(0, len(points)-50):]
					if len(points) < 50 || last[49].t-last[0].t != 49_000 {
						t.Errorf("%s: not all that came after the damage was sent: %d samples", name, len(points))
					}
				}
				if len(r.all()) != 5 {
					t.Errorf("%d series came, want 5", len(r.all()))
				}
				before := b.metric(`watchbill_remote_write_samples_total{target="a"}`) - 250
				switch name {
				case "a torn end", "half a header", "zeros at the end":
					if before < 490 {
						t.Errorf("%v samples from before the damage were sent, want nearly all of 500", before)
					}
				case "a bit turned":
					if lost := b.metric(`watchbill_remote_write_samples_dropped_total{reason="damaged",target="a"}`); before == 0 ||
						before+lost != 500 && !strings.Contains(b.log.String(), "torn, as by a crash, or damaged") {
						t.Errorf("%v samples were sent and %v counted as damaged, want 500 together or a word in the log", before, lost)
					}
				}
				b.want(`watchbill_remote_write_samples_pending{target="a"}`, 0)
			})
		})
	}
}

func TestCursorsThatCannotBeReadSendAllAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReceiver()
		g := one(t, r)
		b := g.begin(t, to("a"))
		synctest.Wait()
		feed(b, 5, 30, time.Second)
		time.Sleep(10 * time.Second)
		b.stop()
		if err := os.WriteFile(filepath.Join(g.dir, "cursors.json"), []byte(`{"a":{"segm`), 0o600); err != nil {
			t.Fatal(err)
		}
		r.forget()
		b = g.begin(t, to("a"))
		time.Sleep(10 * time.Second)
		inOrder(t, r, 5, 30)
		if !strings.Contains(b.log.String(), "sent again") {
			t.Errorf("the log does not say so:\n%s", b.log)
		}
	})
}

func TestWhatWasSentBeforeDoesNotTakeOthersWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReceiver()
		began := time.Now()
		strict := &strictReceiver{receiver: r}
		g := one(t, strict)
		b := g.begin(t, to("a"))
		synctest.Wait()
		feed(b, 5, 18, time.Second)
		next := g
		next.dir = copySpool(t, g.dir)
		feed(b, 5, 4, time.Second) // these are sent and their cursor is not known to the next one
		time.Sleep(10 * time.Second)
		b.stop()
		r.forget()
		// Half of the first round behind the cursor came already.
		strict.newest = began.Add(16 * time.Second).UnixMilli()
		b = next.begin(t, to("a"))
		synctest.Wait()
		feed(b, 5, 20, time.Second)
		time.Sleep(10 * time.Second)
		// The one sample of each series that the first round had and the receiver had not, and all that came later.
		inOrder(t, r, 5, 1+20)
		if strict.refused == 0 {
			t.Error("nothing was refused: nothing was sent again")
		}
	})
}

// strictReceiver refuses requests that hold a sample that is not newer than newest, as Prometheus does without an out-of-order
// window: all of a request or nothing.
type strictReceiver struct {
	*receiver
	newest  int64
	refused int
}

func (s *strictReceiver) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := req.GetBody()
	if err != nil {
		return nil, err
	}
	probe := newReceiver()
	again := req.Clone(req.Context())
	again.Body = body
	if _, err := probe.RoundTrip(again); err != nil {
		return nil, err
	}
	for _, points := range probe.got {
		for _, p := range points {
			if p.t <= s.newest {
				s.refused++
				return &http.Response{StatusCode: http.StatusBadRequest, Body: http.NoBody, Request: req}, nil
			}
		}
	}
	return s.receiver.RoundTrip(req)
}

func TestReloadLosesNothingThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, moved, fresh := newReceiver(), newReceiver(), newReceiver()
		old.answer = func(int, *http.Request) (int, http.Header) { return 0, nil }
		g := rig{dir: t.TempDir(), receivers: map[string]http.RoundTripper{"a": old, "moved": moved, "fresh": fresh, "gone": old}}
		b := g.begin(t, to("a", "gone"))
		synctest.Wait()
		feed(b, 5, 30, time.Second)
		same := to("a", "gone")
		requests := old.asked()
		b.adopt(same) // nothing changes: nothing is begun anew
		synctest.Wait()
		if old.asked() != requests {
			t.Error("a reload without a change made a target begin anew")
		}
		c := to("a", "fresh")
		c.Targets[0].URL = "http://moved/write"
		b.adopt(c)
		synctest.Wait()
		feed(b, 5, 30, time.Second)
		time.Sleep(10 * time.Second)
		inOrder(t, moved, 5, 60)
		inOrder(t, fresh, 5, 30)
		if !strings.Contains(b.log.String(), "target=gone samples_let_go=150") {
			t.Errorf("the log does not say what was let go of:\n%s", b.log)
		}
		if n := b.metric(`watchbill_remote_write_samples_retried_total{target="gone"}`); n != 0 {
			t.Errorf("a target that is gone has metrics still")
		}
		// Without a target there is no spool, and with one again it begins anew.
		b.adopt(DefaultConfig())
		synctest.Wait()
		feed(b, 5, 5, time.Second)
		if left, err := filepath.Glob(filepath.Join(g.dir, "*")); err != nil || len(left) > 0 {
			t.Errorf("left of the spool: %v %v", left, err)
		}
		b.adopt(to("fresh"))
		synctest.Wait()
		feed(b, 5, 5, time.Second)
		time.Sleep(10 * time.Second)
		inOrder(t, fresh, 5, 35)
	})
}

func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReceiver()
		r.answer = func(int, *http.Request) (int, http.Header) { return 503, nil }
		c := to("a")
		c.Targets[0].URL = "http://a/write?token=secret"
		b := one(t, r).begin(t, c)
		synctest.Wait()
		feed(b, 5, 30, time.Second)
		got := fmt.Sprintf("%+v", b.Status())
		for _, want := range []string{"Name:a URL:http://a/write Shards:1 PendingSamples:150 LagSeconds:30", "LastError:remote write's target does not take samples", "HTTP status 503"} {
			if !strings.Contains(got, want) {
				t.Errorf("status is %s\nwant %s", got, want)
			}
		}
		if strings.Contains(got+b.log.String(), "secret") {
			t.Error("a secret of the URL is told")
		}
	})
}

func TestNetworkErrorsTellNoSecret(t *testing.T) {
	_, err := http.Get("http://127.0.0.1:1/write?token=secret")
	if err == nil || !strings.Contains(err.Error(), "secret") {
		t.Fatalf("net/http does not tell the URL any more: %v", err)
	}
	if got := plain(err); strings.Contains(got, "secret") || got == "" {
		t.Errorf("told: %s", got)
	}
	if got := plain(errors.New("x")); got != "x" {
		t.Errorf("told: %s", got)
	}
}
