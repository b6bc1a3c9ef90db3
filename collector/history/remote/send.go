package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	promconfig "github.com/prometheus/common/config"
)

// The bounds of one request.
const (
	// drain is how long a request under way may take to end when its target is stopped: cut off, it would be sent again.
	drain = 2 * time.Second
	// maxAnswer is how much of an answer is read, maxShown how much of it is told.
	maxAnswer = 64 << 10
	maxShown  = 200
	// maxRetryAfter bounds what a target may ask for.
	maxRetryAfter = 10 * time.Minute
	// maxSplits bounds the requests in which a batch that was refused is tried again in parts.
	maxSplits = 64
)

// The headers of the remote-write specifications 1.0 and 2.0.
const (
	versionHeader = "X-Prometheus-Remote-Write-Version"
	writtenHeader = "X-Prometheus-Remote-Write-Samples-Written"
)

// answer is what became of one request.
type answer struct {
	// code is the HTTP status, 0 when there was none.
	code int
	// text says why it was not a success.
	text string
	// wait is what the target asked to wait before the next one.
	wait time.Duration
	// written is how many samples the target says that it took; told is false when it does not say.
	written int
	told    bool
}

// again tells whether the same request may be taken later.
func (a answer) again() bool {
	return a.code < 200 || a.code/100 == 3 || a.code/100 == 5 || a.code == http.StatusTooManyRequests
}

// newTransport is how a target is reached.
func (r *Remote) newTransport(c Target) (http.RoundTripper, error) {
	// The client's own metrics and traces of this name stay out of the collector's.
	return promconfig.NewRoundTripperFromConfig(c.HTTP, "remote_write")
}

// deliver sends batch until it is settled: taken, or given up and counted. It is false when ctx ended before.
func (t *target) deliver(ctx context.Context, e *encoder, batch []sample) bool {
	splits := 0
	return t.settle(ctx, e, batch, &splits)
}

func (t *target) settle(ctx context.Context, e *encoder, batch []sample, splits *int) bool {
	var payload []byte
	for attempt := 0; ; attempt++ {
		n := len(batch)
		if batch = t.young(batch); len(batch) == 0 {
			return true
		}
		if payload == nil || len(batch) < n {
			payload = e.encode(batch)
		}
		if !t.hold(ctx) {
			return false
		}
		began := time.Now()
		a := t.post(ctx, payload, attempt)
		t.metrics.batch.Observe(time.Since(began).Seconds())
		t.metrics.bytes.Add(float64(len(payload)))
		if a.code/100 == 2 {
			t.taken(batch, a)
			return true
		}
		t.troubled.Add(1)
		if ctx.Err() != nil && a.code == 0 {
			return false
		}
		if !a.again() {
			return t.refused(ctx, e, batch, a, splits)
		}
		t.metrics.retried.Add(float64(len(batch)))
		t.failed("remote write's target does not take samples; they wait and are sent again", a.text)
		t.putOff(a.wait)
		pause := t.backoff(attempt)
		wait(ctx, nil, time.Now().Add(pause))
		if ctx.Err() != nil {
			return false
		}
	}
}

// backoff is how long to wait before attempt+1: twice as long each time, up to max_backoff, of which chance takes up to a half.
func (t *target) backoff(attempt int) time.Duration {
	least, most := time.Duration(t.c.Queue.MinBackoff), time.Duration(t.c.Queue.MaxBackoff)
	pause := most
	if attempt < 30 && least<<attempt < most && least<<attempt > 0 {
		pause = least << attempt
	}
	return pause - rand.N(pause/2+1)
}

// hold waits until the target wants to be written to; false when ctx ended before.
func (t *target) hold(ctx context.Context) bool {
	for ctx.Err() == nil {
		until := time.Unix(0, t.notBefore.Load())
		if !until.After(time.Now()) {
			return true
		}
		wait(ctx, nil, until)
	}
	return false
}

// putOff has all shards wait for as long as the target asked one of them to.
func (t *target) putOff(asked time.Duration) {
	if asked <= 0 {
		return
	}
	until := time.Now().Add(min(asked, maxRetryAfter)).UnixNano()
	for {
		was := t.notBefore.Load()
		if until <= was || t.notBefore.CompareAndSwap(was, until) {
			return
		}
	}
}

// young is batch without samples that have become too old while they waited.
func (t *target) young(batch []sample) []sample {
	oldest := t.oldest()
	kept := batch
	for i, s := range batch {
		if s.t >= oldest {
			continue
		}
		kept = append([]sample(nil), batch[:i]...)
		for _, s := range batch[i:] {
			if s.t >= oldest {
				kept = append(kept, s)
			}
		}
		break
	}
	t.metrics.drop("too_old", len(batch)-len(kept))
	return kept
}

// taken counts a batch of which the target says that it was a success.
func (t *target) taken(batch []sample, a answer) {
	written := len(batch)
	if t.c.Message == remoteapi.WriteV2MessageType {
		switch {
		case !a.told:
			// "If the header is missing, the Sender SHOULD assume that nothing was written" (specification 2.0): a receiver of
			// 1.0 that does not look at the content type answers so.
			written = 0
			t.failed("remote write's target answers with success and does not say how many samples it wrote, as remote write "+
				"2.0 has it: it seems to know 1.0 alone; set protobuf_message: "+string(remoteapi.WriteV1MessageType), "samples are dropped")
		case a.written < written:
			written = max(a.written, 0)
			t.failed("remote write's target wrote only part of what it was sent", fmt.Sprintf("%d of %d samples", written, len(batch)))
		}
	}
	t.metrics.sent.Add(float64(written))
	t.metrics.failed.Add(float64(len(batch) - written))
	if written == 0 {
		return
	}
	newest := batch[0].t
	for _, s := range batch {
		newest = max(newest, s.t)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.state.sent = time.Now()
	t.state.highestSent = max(t.state.highestSent, newest)
}

// refused gives up a batch that the target will never take. One that may have been sent before is tried in parts first: a target
// that takes samples in order only refuses all of a batch that begins with what it has.
func (t *target) refused(ctx context.Context, e *encoder, batch []sample, a answer, splits *int) bool {
	if t.again && a.code == http.StatusBadRequest && len(batch) > 1 && *splits < maxSplits {
		*splits += 2
		half := len(batch) / 2
		return t.settle(ctx, e, batch[:half], splits) && t.settle(ctx, e, batch[half:], splits)
	}
	written := 0
	if a.told {
		written = min(max(a.written, 0), len(batch))
	}
	t.metrics.sent.Add(float64(written))
	t.metrics.failed.Add(float64(len(batch) - written))
	what := "remote write's target refuses samples for good; they are dropped"
	if a.code == http.StatusUnsupportedMediaType {
		other := remoteapi.WriteV1MessageType
		if t.c.Message == other {
			other = remoteapi.WriteV2MessageType
		}
		what = fmt.Sprintf("remote write's target does not know the message %s; samples are dropped: set protobuf_message: %s", t.c.Message, other)
	}
	t.failed(what, a.text)
	return true
}

// post makes one request. A stop of the target does not cut it off at once.
func (t *target) post(ctx context.Context, payload []byte, attempt int) answer {
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Duration(t.c.RemoteTimeout))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		wait(limit, nil, time.Now().Add(drain))
		cancel()
	})()
	req, err := http.NewRequestWithContext(limit, http.MethodPost, t.c.URL, bytes.NewReader(payload))
	if err != nil {
		return answer{text: "make a request: " + plain(err)}
	}
	for name, value := range t.c.Headers {
		req.Header.Set(name, string(value))
	}
	req.Header.Set("Content-Encoding", "snappy")
	req.Header.Set("User-Agent", "Watchbill/"+t.version)
	if t.c.Message == remoteapi.WriteV2MessageType {
		req.Header.Set("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request")
		req.Header.Set(versionHeader, "2.0.0")
	} else {
		req.Header.Set("Content-Type", "application/x-protobuf")
		req.Header.Set(versionHeader, "0.1.0")
	}
	if attempt > 0 {
		req.Header.Set("Retry-Attempt", strconv.Itoa(attempt))
	}
	resp, err := t.client.Do(req)
	if err != nil {
		if limit.Err() == context.DeadlineExceeded {
			return answer{text: fmt.Sprintf("no answer within remote_timeout (%v)", t.c.RemoteTimeout)}
		}
		return answer{text: plain(err)}
	}
	return read(resp)
}

// plain is an error without the URL that net/http puts in front: its query may hold a secret.
func plain(err error) string {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return err.Error()
}

// read is what a response says. Its body is read so that the connection can be used again.
func read(resp *http.Response) answer {
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // what it says does not decide anything
	a := answer{code: resp.StatusCode}
	if v := resp.Header.Get(writtenHeader); v != "" {
		n, err := strconv.Atoi(v)
		a.written, a.told = n, err == nil
	}
	if a.code/100 == 2 {
		return a
	}
	a.wait = retryAfter(resp.Header.Get("Retry-After"), time.Now())
	a.text = fmt.Sprintf("HTTP status %d", a.code)
	if a.code/100 == 3 {
		a.text += ", a redirect, which is not followed: set url to where the target is"
	} else if shown := printable(body); shown != "" {
		a.text += ": " + shown
	}
	return a
}

// retryAfter is the duration that a Retry-After header asks for (RFC 9110, 10.2.3), 0 when it is none.
func retryAfter(text string, now time.Time) time.Duration {
	if s, err := strconv.Atoi(text); err == nil {
		return time.Duration(min(max(s, 0), int(maxRetryAfter/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// printable is the beginning of an answer, fit for a log.
func printable(body []byte) string {
	text := strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || c == '\uFFFD' {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(string(body[:min(len(body), maxShown)]), ""))
	return strings.TrimSpace(text)
}
