package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/model/labels"
)

// remoteJob is the work on one request. Its memory is used again.
type remoteJob struct {
	r        *Remote
	sender   *remoteSender
	conf     *RemoteWriteIn
	quotas   RemoteQuotas
	keying   RemoteKeying
	prefix   string
	v2       bool
	now      time.Time
	packed   bytes.Buffer
	body     []byte
	wire     wireRequest
	batch    []sent
	history  []RemoteSample
	touched  []*remoteAsset
	written  int
	exempl   int
	again    bool
	counts   [isAnother + 1]int
	refused  map[string]*refusedSeries
	unsorted []pair
}

// sent is one sample of a request.
type sent struct {
	alias *alias
	point
}

// refusedSeries is what was not taken for one reason: how many samples or histograms, and of the first series why.
type refusedSeries struct {
	n    int
	text string
}

func (j *remoteJob) begin(r *Remote, sender string, v2 bool, now time.Time) {
	j.r, j.v2, j.now, j.conf = r, v2, now, r.conf.Load()
	j.quotas, j.keying, j.prefix = j.conf.of(sender)
	j.sender = r.sender(sender, now)
	j.batch, j.history, j.touched = j.batch[:0], j.history[:0], j.touched[:0]
	j.written, j.exempl, j.again = 0, 0, false
	j.counts = [isAnother + 1]int{}
	clear(j.refused)
	j.packed.Reset()
}

// free gives the memory back, unless one large request made too much of it to keep.
func (j *remoteJob) free(to *sync.Pool) {
	const keep = 4 << 20
	clear(j.batch)
	clear(j.touched)
	clear(j.history)
	j.sender = nil
	if j.packed.Cap()+cap(j.body) <= keep && cap(j.batch) <= keep/32 {
		to.Put(j)
	}
}

// unpack reads the body. How large it becomes is known, and refused, before there is memory for it.
func (j *remoteJob) unpack(req *http.Request) (status int, reason string, err error) {
	if _, err := j.packed.ReadFrom(req.Body); err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return http.StatusRequestEntityTooLarge, reasonRequestBytes, fmt.Errorf("the body is larger than %d bytes: send less at "+
				"once (max_samples_per_send), or raise remote_write_in.limits.body_bytes", large.Limit)
		}
		return http.StatusBadRequest, reasonBody, fmt.Errorf("the body could not be read: %w", err)
	}
	n, err := snappy.DecodedLen(j.packed.Bytes())
	if err != nil {
		return http.StatusBadRequest, reasonBody, fmt.Errorf("the body is not compressed with snappy, in the block format: %w", err)
	}
	if limit := j.conf.Limits.DecodedBytes; n > limit {
		return http.StatusRequestEntityTooLarge, reasonRequestBytes, fmt.Errorf("the body has %d bytes when it is unpacked, at most %d "+
			"are taken: send less at once (max_samples_per_send), or raise remote_write_in.limits.decoded_bytes", n, limit)
	}
	// A body that is not what its length says costs no more than that, either.
	if j.body, err = snappy.Decode(j.body[:cap(j.body)], j.packed.Bytes()); err != nil {
		return http.StatusBadRequest, reasonBody, fmt.Errorf("the body is not compressed with snappy, in the block format: %w", err)
	}
	return 0, "", nil
}

// read unpacks a request's body and finds what is in it. An error comes with its status and reason.
func (j *remoteJob) read(req *http.Request) (status int, reason string, err error) {
	if status, reason, err = j.unpack(req); err != nil {
		return status, reason, err
	}
	var many overLimit
	switch err = j.collect(); {
	case errors.As(err, &many):
		return http.StatusRequestEntityTooLarge, reasonRequestSeries, err
	case err != nil:
		return http.StatusBadRequest, reasonBody, err
	}
	return 0, "", nil
}

// remoteAhead is how far in the future a sample may be: senders' clocks are not corrected as agents' are.
const remoteAhead = time.Minute

// collect finds the series of the request, and notes their samples. Nothing takes effect yet: of a body that turns out to
// be malformed nothing does.
func (j *remoteJob) collect() error {
	back := j.r.o.KeepsBack()
	ahead, oldest := j.now.Add(remoteAhead).UnixMilli(), j.now.Add(-back).UnixMilli()
	return j.wire.read(j.v2, j.body, j.conf.Limits.Series, func(s *wireSeries) error {
		j.exempl += s.exemplars
		if s.histograms > 0 {
			j.refuse(reasonHistograms, s.histograms, s.labels, "native histograms are not taken: have the target show classic "+
				"ones (scrape_classic_histograms, or scrape without native-histograms), or leave them out by write_relabel_configs")
		}
		if len(s.points) == 0 && s.histograms+s.exemplars > 0 {
			return nil
		}
		a := j.find(s)
		if a == nil {
			return nil
		}
		for _, p := range s.points {
			switch {
			case p.t > ahead:
				j.refuse(reasonAhead, 1, s.labels, fmt.Sprintf("a sample of %s is more than %v ahead of the collector's clock: set "+
					"the clocks of both hosts right", time.UnixMilli(p.t).UTC().Format(time.RFC3339), remoteAhead))
			case back > 0 && p.t < oldest:
				j.refuse(reasonTooOld, 1, s.labels, fmt.Sprintf("too old sample: it is of %s, and the history takes what is up to %v old: "+
					"leave it out (sample_age_limit of the sender's queue_config)", time.UnixMilli(p.t).UTC().Format(time.RFC3339), back))
			default:
				j.batch = append(j.batch, sent{a, p})
			}
		}
		return nil
	}, j.r.about.learn)
}

// find is the series as this sender names it; nil when it is refused.
func (j *remoteJob) find(s *wireSeries) *alias {
	var h maphash.Hash
	h.SetSeed(j.r.seed)
	for _, l := range s.labels {
		h.Write(l.name)
		h.WriteByte(0xff)
		h.Write(l.value)
		h.WriteByte(0xff)
	}
	key := h.Sum64()
	if a := j.sender.alias(key); a != nil {
		return a
	}
	a, why := j.admit(key, s)
	if a == nil && why.text != "" {
		j.refuse(why.reason, max(len(s.points), 1), s.labels, why.text)
	}
	return a
}

// apply puts the samples into their places, has what came of them judged, and hands them to the history.
func (j *remoteJob) apply(ctx context.Context) error {
	j.sender.heardOf(j.now)
	j.place()
	j.r.o.Keep(j.history)
	var errs []error
	for _, a := range j.touched {
		j.r.write(a, j.now)
		// What came twice is judged again, too: it may be the first time that could not be committed.
		errs = append(errs, j.r.o.Judge(ctx, a.Name))
	}
	j.r.metrics.count(j)
	if j.again {
		errs = append(errs, errors.New("the fleet has changed meanwhile"))
	}
	return errors.Join(append(errs, j.r.remember(ctx))...)
}

// place puts the samples into rows, asset by asset.
func (j *remoteJob) place() {
	var at *remoteAsset
	leave := func() {
		if at != nil {
			at.mu.Unlock()
		}
	}
	for i := range j.batch {
		s := j.batch[i].alias.series
		if s.asset != at {
			leave()
			at = s.asset
			at.mu.Lock()
			at.by[j.sender.name] = j.now
			if !slices.Contains(j.touched, at) {
				j.touched = append(j.touched, at)
			}
		}
		if s.dead.Load() {
			j.again = true
			continue
		}
		v := at.put(s, j.batch[i].alias.by, j.batch[i].point, j.now)
		if v == isConflict {
			j.conflict(s, j.batch[i].point)
			continue
		}
		j.counts[v]++
		j.written++
		if v != isDuplicate && v != isAnother {
			j.history = append(j.history, RemoteSample{s.whole, j.batch[i].t, j.batch[i].v})
		}
	}
	leave()
}

// conflict refuses a sample of a time of which another value is here, as Prometheus does.
func (j *remoteJob) conflict(s *remoteSeries, p point) {
	var lbls []pair
	s.whole.Range(func(l labels.Label) { lbls = append(lbls, pair{[]byte(l.Name), []byte(l.Value)}) })
	j.refuse(reasonConflict, 1, lbls, fmt.Sprintf("duplicate sample for timestamp %s: %v came, and %v is here already. Do two targets or "+
		"two senders have the same labels? Give each a job or instance of its own, or have remote_write_in.keying.drop_labels tell "+
		"a pair apart", time.UnixMilli(p.t).UTC().Format(time.RFC3339Nano), p.v, s.last))
}

// refuse notes what is not taken.
func (j *remoteJob) refuse(reason string, n int, lbls []pair, text string) {
	if j.refused == nil {
		j.refused = map[string]*refusedSeries{}
	}
	one := j.refused[reason]
	if one == nil {
		one = &refusedSeries{text: nameOf(lbls) + ": " + text}
		j.refused[reason] = one
	}
	one.n += n
	j.r.metrics.refused.WithLabelValues(reason).Add(float64(n))
}

// refusals is what a sender is told of what was not taken; nil when all was.
func (j *remoteJob) refusals() error {
	if len(j.refused) == 0 {
		return nil
	}
	var all []string
	for reason, one := range j.refused {
		all = append(all, fmt.Sprintf("%d (%s), the first of them %s", one.n, reason, one.text))
	}
	slices.Sort(all)
	return fmt.Errorf("%d samples were taken, these were not: %s", j.written, strings.Join(all, "; "))
}

// nameOf shows a series to a person.
func nameOf(lbls []pair) string {
	const most = 300
	var b strings.Builder
	b.WriteByte('{')
	for i, l := range lbls {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s=%q", clean(string(l.name[:min(len(l.name), most)])), clean(string(l.value[:min(len(l.value), most)])))
		if b.Len() > most {
			b.WriteString(", …")
			break
		}
	}
	b.WriteByte('}')
	return b.String()
}
