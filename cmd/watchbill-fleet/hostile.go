package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/watchbill/watchbill/agent/wire"
)

// attack is one thing a hostile agent does, over a connection of its own; it tells how the collector answered.
type attack struct {
	name string
	run  func(ctx context.Context, a *hostile, l *line) (answer string)
}

// attacks are all there are, in the order in which every hostile agent goes through them.
func attacks() []attack {
	return []attack{
		{"bomb", bomb},
		{"slow_body", slowBody},
		{"shape_flood", shapeFlood},
		{"label_explosion", labelExplosion},
		{"reconnect", reconnect},
		{"no_certificate", noCertificate},
	}
}

// Sizes of attacks.
const (
	// bombBytes is what a bomb unpacks to, slowBodies how long a slow body would take.
	bombBytes = 64 << 20
	slowBytes = 300
	slowPace  = time.Second
	// floodSeries and explodedSeries are how many series a new shape has.
	floodSeries    = 20
	explodedSeries = 5000
	// maxAttacks is how many are under way at a time: a slow one takes as long as the collector lets it.
	maxAttacks = 64
)

// hostile is an agent with a certificate and bad intent. Attacks of one agent may run at the same time.
type hostile struct {
	*shared
	line line // a template for the lines of its attacks
	bomb []byte
	// sequence is that of its last report.
	sequence atomic.Uint64
}

// raid lets hostile agents attack in turn, perSecond in all, from since on until ctx ends or the fault's time is up.
func raid(ctx context.Context, all []*hostile, f fault, perSecond float64) error {
	start := all[0].start
	if !wait(ctx, start.Add(f.after)) {
		return nil
	}
	if f.lasts > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, start.Add(f.after+f.lasts))
		defer cancel()
	}
	packed, err := newBomb()
	if err != nil {
		return err
	}
	for _, a := range all {
		a.bomb = packed
	}
	pace := rate.NewLimiter(rate.Limit(perSecond), 1)
	g := errgroup.Group{}
	g.SetLimit(maxAttacks)
	ways := attacks()
	for n := 0; pace.Wait(ctx) == nil; n++ {
		who, what := turn(n, len(all))
		a, way := all[who], ways[what]
		g.Go(func() error {
			a.attack(ctx, way)
			return nil
		})
	}
	return g.Wait()
}

// turn is who attacks as the n-th, and how: every agent goes through all ways, neighbours a step apart.
func turn(n, agents int) (who, way int) {
	who = n % agents
	return who, (n/agents + who) % len(attacks())
}

// attack runs one attack and counts its answer.
func (a *hostile) attack(ctx context.Context, way attack) {
	l := a.line
	defer l.drop()
	answer := way.run(ctx, a, &l)
	if ctx.Err() == nil {
		a.stats.attack(way.name + ": " + answer)
	}
}

// answerOf is the word for what an attack met.
func answerOf(ack *wire.Ack, err error) string {
	var status *statusError
	switch {
	case errors.As(err, &status):
		return strconv.Itoa(status.code)
	case err != nil:
		return failure(err)
	case ack.Result == wire.Ack_RESULT_ACCEPTED && len(ack.Refusals) > 0:
		return ack.Refusals[0].Reason
	case ack.Result == wire.Ack_RESULT_ACCEPTED:
		return "taken"
	case ack.Result == wire.Ack_RESULT_LATER:
		return "later"
	case ack.Result == wire.Ack_RESULT_NEED_SHAPES:
		return "need_shapes"
	}
	return "refused"
}

// newBomb is 64 MiB of nothing, in a few kilobytes.
func newBomb() ([]byte, error) {
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, zstd.WithWindowSize(wire.ZstdWindow), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("make a bomb: %w", err)
	}
	zeros := make([]byte, 1<<20)
	for range bombBytes / len(zeros) {
		if _, err := w.Write(zeros); err != nil {
			return nil, fmt.Errorf("make a bomb: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("make a bomb: %w", err)
	}
	return b.Bytes(), nil
}

// bomb sends a body that unpacks to a thousand times its size.
func bomb(ctx context.Context, a *hostile, l *line) string {
	if err := l.dial(ctx); err != nil {
		return failure(err)
	}
	return answerOf(l.try(ctx, request{path: wire.PathReport, media: wire.TypeReport, coding: wire.CodingZstd, body: a.bomb}))
}

// slowBody announces a body and sends a byte of it now and then.
func slowBody(ctx context.Context, _ *hostile, l *line) string {
	if err := l.dial(ctx); err != nil {
		return failure(err)
	}
	var head bytes.Buffer
	l.head(&head, request{path: wire.PathReport, media: wire.TypeReport}, slowBytes)
	if _, err := l.conn.Write(head.Bytes()); err != nil {
		return failure(err)
	}
	if err := l.conn.SetDeadline(time.Now().Add(2 * requestTimeout)); err != nil {
		return failure(err)
	}
	answered := make(chan string, 1)
	go func() { answered <- answerOf(l.answer(wire.TypeReport)) }()
	tick := time.NewTicker(slowPace)
	defer tick.Stop()
	conn := l.conn
	for {
		select {
		case answer := <-answered:
			return answer
		case <-ctx.Done():
			_ = conn.NetConn().Close()
			<-answered
			return "given up"
		case <-tick.C:
			// Its failure shows in the answer.
			_, _ = conn.Write([]byte{0})
		}
	}
}

// shapeFlood reports a block whose shape nobody has seen.
func shapeFlood(ctx context.Context, a *hostile, l *line) string {
	return a.invent(ctx, l, floodSeries)
}

// labelExplosion reports a block of thousands of series, each with a value that never comes again.
func labelExplosion(ctx context.Context, a *hostile, l *line) string {
	return a.invent(ctx, l, explodedSeries)
}

// invent sends a block of new series together with its shape.
func (a *hostile) invent(ctx context.Context, l *line, n int) string {
	samples := make([]wire.Sample, n)
	for i := range samples {
		samples[i] = wire.Sample{Name: "hostile", Labels: []wire.Label{{Name: "value", Value: rand.Text()}}}
	}
	w := wire.NewBuilder(wire.DefaultLimits())
	b, err := w.Block("node", "hostile", time.Now(), time.Minute, samples)
	if err != nil {
		return "not made"
	}
	m := &wire.Report{
		Epoch: uint64(a.start.UnixNano()), Sequence: a.sequence.Add(1), MadeAtMs: time.Now().UnixMilli(), //nolint:gosec // after 1970
		Blocks: []*wire.Block{b},
	}
	if shape, ok := w.Shape(b.ShapeId); ok {
		m.Shapes = []*wire.Shape{shape}
	}
	return send(ctx, l, m)
}

// send sends a report as it is.
func send(ctx context.Context, l *line, m *wire.Report) string {
	q, err := plain(wire.PathReport, wire.TypeReport, m)
	if err != nil {
		return "not made"
	}
	return answerOf(l.post(ctx, q))
}

// reconnect shakes hands and goes away.
func reconnect(ctx context.Context, _ *hostile, l *line) string {
	if err := l.dial(ctx); err != nil {
		return failure(err)
	}
	return "let in"
}

// noCertificate asks to be heard without one.
func noCertificate(ctx context.Context, _ *hostile, l *line) string {
	l.certificate = nil
	return send(ctx, l, &wire.Report{Epoch: 1, Sequence: 1, MadeAtMs: time.Now().UnixMilli()})
}
