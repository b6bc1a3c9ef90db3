package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/watchbill/watchbill/agent/wire"
)

// Bounds of one connection and one request, as an agent's own transport has them.
const (
	dialTimeout    = 10 * time.Second
	requestTimeout = 30 * time.Second
)

// statusError is an answer that is not an Ack.
type statusError struct {
	code  int
	text  string
	after time.Duration // for which to wait; 0 when it does not say
}

func (e *statusError) Error() string {
	return fmt.Sprintf("the collector answered %d %q", e.code, e.text)
}

// road is what all agents of a fleet share of their way to the collector.
type road struct {
	address string
	config  *tls.Config
	limits  wire.Limits
	stats   *stats
	// doors bounds handshakes under way in this process: two processors cannot make ten thousand at once, and who waits
	// here does not stand at the collector's door.
	doors chan struct{}
}

// maxHandshakes is how many handshakes are under way at a time.
const maxHandshakes = 256

func newRoad(address string, authorities []*x509.Certificate, s *stats) (*road, error) {
	name, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("collector address %q: %w", address, err)
	}
	pool := x509.NewCertPool()
	for _, c := range authorities {
		pool.AddCert(c)
	}
	return &road{
		address: address, limits: wire.DefaultLimits(), stats: s, doors: make(chan struct{}, maxHandshakes),
		config: &tls.Config{
			MinVersion: tls.VersionTLS13, RootCAs: pool, ServerName: name,
			// One configuration for all: whose certificate it is comes along with the handshake.
			GetClientCertificate: func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if c, ok := r.Context().Value(certificateKey{}).(*tls.Certificate); ok {
					return c, nil
				}
				return &tls.Certificate{}, nil // none
			},
		},
	}, nil
}

type certificateKey struct{}

// line is one agent's kept-alive connection: HTTP/1.1 over mutual TLS without a goroutine of its own, so that ten
// thousand of them fit into one process. One goroutine uses it.
type line struct {
	x *road
	// certificate is the agent's; nil shows none.
	certificate *tls.Certificate
	source      net.Addr // the address it comes from; nil leaves that to the system
	conn        *tls.Conn
	// used counts requests over conn.
	used int
}

// dial connects and shakes hands.
func (l *line) dial(ctx context.Context) error {
	select {
	case l.x.doors <- struct{}{}:
		defer func() { <-l.x.doors }()
	case <-ctx.Done():
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	d := net.Dialer{LocalAddr: l.source, KeepAlive: -1}
	raw, err := d.DialContext(ctx, "tcp", l.x.address)
	if err != nil {
		return err
	}
	if l.certificate != nil {
		ctx = context.WithValue(ctx, certificateKey{}, l.certificate)
	}
	conn := tls.Client(raw, l.x.config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return errors.Join(err, raw.Close())
	}
	l.conn, l.used = conn, 0
	l.x.stats.connects.Add(1)
	l.x.stats.connected.Add(1)
	return nil
}

// drop closes the connection, if there is one.
func (l *line) drop() {
	if l.conn == nil {
		return
	}
	// Not Close: that would wait for a collector that does not read any more.
	_ = l.conn.NetConn().Close()
	l.conn = nil
	l.x.stats.connected.Add(-1)
}

// request is a message as it goes over the line.
type request struct {
	path, media, coding string
	body                []byte
}

// plain is a message in version 0 of its encoding.
func plain(path, media string, m proto.Message) (request, error) {
	body, coding, err := wire.Encode(m)
	return request{path: path, media: media, coding: coding, body: body}, err
}

// post sends one message and reads the Ack. A connection that turns out to have died while it lay idle is replaced once;
// a report that arrives twice takes effect once.
func (l *line) post(ctx context.Context, q request) (*wire.Ack, error) {
	for {
		if l.conn == nil {
			if err := l.dial(ctx); err != nil {
				return nil, err
			}
		}
		idle := l.used > 0
		ack, err := l.try(ctx, q)
		var status *statusError
		if err == nil || errors.As(err, &status) {
			return ack, err
		}
		l.drop()
		var late net.Error
		if !idle || ctx.Err() != nil || errors.As(err, &late) && late.Timeout() {
			return nil, err
		}
	}
}

// Buffers that are needed while a request is under way and not while the line lies idle.
var (
	readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 4096) }}
	writers = sync.Pool{New: func() any { return new(bytes.Buffer) }}
)

// try is one request over the present connection. After an error that is no *statusError the connection is of no use.
func (l *line) try(ctx context.Context, q request) (*wire.Ack, error) {
	conn := l.conn.NetConn()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := conn.SetDeadline(time.Now().Add(requestTimeout)); err != nil {
		return nil, err
	}
	w, ok := writers.Get().(*bytes.Buffer)
	if !ok {
		w = new(bytes.Buffer)
	}
	defer writers.Put(w)
	w.Reset()
	l.head(w, q, len(q.body))
	w.Write(q.body)
	l.used++
	if n, err := l.conn.Write(w.Bytes()); err != nil {
		return nil, fmt.Errorf("send (%d of %d bytes went): %w", n, w.Len(), err)
	}
	l.x.stats.sentBytes.Add(uint64(len(q.body))) //nolint:gosec // a length
	return l.answer(q.media)
}

// head is a request's header, for a body of n bytes.
func (l *line) head(w *bytes.Buffer, q request, n int) {
	w.WriteString("POST ")
	w.WriteString(q.path)
	w.WriteString(" HTTP/1.1\r\nHost: ")
	w.WriteString(l.x.address)
	w.WriteString("\r\nUser-Agent: watchbill-fleet\r\n" + wire.HeaderType + ": ")
	w.WriteString(q.media)
	w.WriteString("\r\n")
	if q.coding != "" {
		w.WriteString(wire.HeaderCoding + ": ")
		w.WriteString(q.coding)
		w.WriteString("\r\n")
	}
	w.WriteString("Content-Length: ")
	w.WriteString(strconv.Itoa(n))
	w.WriteString("\r\n\r\n")
}

// answer reads an Ack, which carries the media type of its request.
func (l *line) answer(media string) (*wire.Ack, error) {
	r, ok := readers.Get().(*bufio.Reader)
	if !ok {
		r = bufio.NewReader(nil)
	}
	defer readers.Put(r)
	defer r.Reset(nil)
	r.Reset(l.conn)
	resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodPost})
	if err != nil {
		return nil, fmt.Errorf("read the collector's answer: %w", err)
	}
	defer resp.Body.Close()
	ack, err := l.readAck(resp, media)
	if resp.Close || r.Buffered() > 0 {
		l.drop()
	}
	return ack, err
}

func (l *line) readAck(resp *http.Response, media string) (*wire.Ack, error) {
	ack := &wire.Ack{}
	if strings.HasPrefix(resp.Header.Get(wire.HeaderType), media) {
		if err := wire.Decode(resp.Body, resp.Header.Get(wire.HeaderCoding), l.x.limits, ack); err != nil {
			return nil, fmt.Errorf("read the collector's answer (%s): %w", resp.Status, err)
		}
	}
	// The rest is drained, so that the next answer begins where this one ends.
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return nil, fmt.Errorf("read the collector's answer (%s): %w", resp.Status, err)
	}
	if resp.StatusCode == http.StatusOK && ack.Result != wire.Ack_RESULT_UNSPECIFIED {
		return ack, nil
	}
	e := &statusError{code: resp.StatusCode, text: strings.TrimSpace(string(text))}
	if ack.Error != "" {
		e.text = ack.Error
	}
	if s, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 16); err == nil {
		e.after = time.Duration(s) * time.Second
	}
	return nil, e
}
