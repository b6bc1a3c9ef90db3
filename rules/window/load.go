package window

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// What Load refuses a snapshot for.
var (
	ErrDamaged = errors.New("it is damaged: agents have to send again what was in it")
	ErrNewer   = errors.New("it is of a newer release: agents have to send again what was in it")
)

// Load takes up a snapshot as of now: what the window's demand still looks back on then, so tell it what rules look back
// on first. Assets that are here already stay as they are. An asset is complete since when it was at the snapshot until
// its next live report: what was reported in between is not here, and SetCompleteSince says when it is. It returns how
// many assets it took up. The error wraps ErrDamaged or ErrNewer, or is the reader's; then nothing was taken up.
func (w *Window) Load(from io.Reader, now time.Time) (assets int, err error) {
	l := load{w: w, now: now.UnixMilli()}
	if err := l.all(from); err != nil {
		return 0, fmt.Errorf("load the window's snapshot: %w", err)
	}
	for _, as := range l.assets {
		if w.adopt(as, bytes.Equal(l.demand, w.demand.Load().bytes())) {
			assets++
		}
	}
	return assets, nil
}

// adopt takes in an asset that was made apart; same says that what is demanded is what it was made under.
func (w *Window) adopt(as *asset, same bool) bool {
	as.mu.Lock()
	defer as.mu.Unlock()
	if w.series.Load()+int64(as.series) > int64(w.opts.MaxSeries) {
		w.refuse("MaxSeries")
		return false
	}
	x := w.shard(as.Name)
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.assets[as.Name] != nil {
		return false
	}
	x.assets[as.Name] = as
	for _, s := range as.all() {
		w.index.add(s)
		floor := s.floor
		if s.replan(w); same {
			s.floor = floor
		}
	}
	w.series.Add(int64(as.series))
	as.arrange()
	return true
}

// load is a Load under way.
type load struct {
	w      *Window
	now    int64
	shapes []*Part
	assets []*asset
	seen   int
	in     []byte // what is left of a payload
	demand []byte // which demand the snapshot was made under
}

func (l *load) all(from io.Reader) error {
	head := make([]byte, len(snapshotMagic)+2)
	if _, err := io.ReadFull(from, head); err != nil {
		return fmt.Errorf("%w (it ends before it begins: %w)", ErrDamaged, err)
	}
	if string(head[:len(snapshotMagic)]) != snapshotMagic {
		return fmt.Errorf("%w (it is none: it begins with %q)", ErrDamaged, head[:len(snapshotMagic)])
	}
	if v := binary.BigEndian.Uint16(head[len(snapshotMagic):]); v != snapshotVersion {
		return fmt.Errorf("%w (it is of version %d, known is %d)", ErrNewer, v, snapshotVersion)
	}
	for n := 0; ; n++ {
		kind, err := l.piece(from)
		if err == nil {
			err = l.take(kind)
		}
		if err != nil {
			return fmt.Errorf("%w (piece %d: %w)", ErrDamaged, n, err)
		}
		if kind == pieceEnd {
			return nil
		}
	}
}

// piece reads the next piece.
func (l *load) piece(from io.Reader) (kind byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		return 0, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > maxPiece {
		return 0, fmt.Errorf("it is %d bytes long, want %d at most", n, maxPiece)
	}
	// A length that is damaged must not cost its memory.
	body, err := io.ReadAll(io.LimitReader(from, int64(n)+4))
	if err != nil {
		return 0, err
	}
	if len(body) != int(n)+4 {
		return 0, io.ErrUnexpectedEOF
	}
	sum := crc32.Update(crc32.Checksum(head[:], castagnoli), castagnoli, body[:n])
	if binary.BigEndian.Uint32(body[n:]) != sum {
		return 0, errors.New("its checksum is not that of what is in it")
	}
	l.in = body[:n:n]
	return head[0], nil
}

// errShort says that a payload is not what its kind wants.
var errShort = errors.New("what is in it makes no sense")

func (l *load) take(kind byte) error {
	switch kind {
	case pieceDemand:
		l.demand = l.bytes(len(l.in))
		return nil
	case pieceShape:
		return l.shape()
	case pieceAsset:
		l.seen++
		return l.asset()
	case pieceEnd:
		if shapes, assets := l.count(math.MaxInt32), l.count(math.MaxInt32); shapes != len(l.shapes) || assets != l.seen || len(l.in) > 0 {
			return fmt.Errorf("it has %d shapes and %d assets, want %d and %d", len(l.shapes), l.seen, shapes, assets)
		}
		return nil
	}
	return fmt.Errorf("it is of no known kind: %q", kind)
}

func (l *load) shape() error {
	p := &Part{Name: l.text(), kind: l.text()}
	p.Live = l.count(math.MaxInt32)
	n := l.count(len(l.in))
	var sb labels.ScratchBuilder
	for range n {
		sb.Reset()
		for range l.count(len(l.in)) {
			sb.Add(l.text(), l.text())
		}
		p.Series = append(p.Series, sb.Labels())
	}
	if l.in == nil || len(l.in) > 0 || p.Live > n {
		return errShort
	}
	if p = l.w.parts.one(p); p.twice {
		return errShort
	}
	l.shapes = append(l.shapes, p)
	return nil
}

func (l *load) asset() error {
	as := &asset{Asset: Asset{Name: l.text(), Customer: l.text(), Site: l.text()}, resumed: true}
	as.first, as.received, as.complete = l.time(), l.time(), l.number()
	as.known, as.down = l.flag(), l.flag()
	name := ""
	for range l.count(len(l.in)) {
		s := l.source(as)
		if s == nil || s.part.Name <= name {
			return errShort
		}
		name = s.part.Name
		if s.newest() == never { // all of it is too old
			continue
		}
		as.series += len(s.part.Series)
		if s.part.Written() {
			as.ups = append(as.ups, s)
		} else {
			as.sources = append(as.sources, s)
		}
	}
	if l.in == nil || len(l.in) > 0 || as.Name == "" {
		return errShort
	}
	if len(as.sources) > 0 {
		l.assets = append(l.assets, as)
	}
	return nil
}

// source is nil when it makes no sense.
func (l *load) source(as *asset) *source {
	at := l.count(math.MaxInt32)
	if at >= len(l.shapes) {
		return nil
	}
	p := l.shapes[at]
	s := &source{asset: as, part: p, status: Status(l.number()), statusAt: l.number(), floor: never}
	s.interval, s.lost = time.Duration(l.number()), l.number()
	m := more{reason: l.text()}
	for range len(p.Series) - p.Live {
		m.left = append(m.left, l.number())
	}
	if n := l.count(len(l.in)); n > 0 {
		if n != len(p.Series) {
			return nil
		}
		m.since = l.numbers(n)
	}
	s.t = l.ascending(l.count(maxRows))
	s.rows = l.values(len(s.t) * len(p.Series))
	if !l.bands(s) || !l.moved(s, &m) || l.in == nil {
		return nil
	}
	if m.reason != "" || m.left != nil || m.since != nil || m.moved != nil || s.status == Failed {
		s.more = &m
	}
	for len(s.t) > 0 && s.t[0] < l.now-rawFor {
		s.drop(0)
	}
	return s
}

// bands reads the columns of a source, into the plan that they were made by.
func (l *load) bands(s *source) bool {
	s.plan = &plan{at: make([]place, len(s.part.Series))}
	for i := range s.plan.at {
		s.plan.at[i].lane = -1
	}
	for n := range l.count(len(s.part.Series)) {
		lane := &lane{keep: l.number()}
		for range l.count(len(s.part.Series)) {
			slot := l.count(math.MaxInt32)
			if slot >= len(s.part.Series) || s.plan.at[slot].lane >= 0 {
				return false
			}
			s.plan.at[slot] = place{int32(n), int32(len(lane.slots))}
			lane.slots, lane.ids = append(lane.slots, int32(slot)), append(lane.ids, s.part.ids[slot])
		}
		lane.order = orderOf(lane.ids)
		s.plan.lanes = append(s.plan.lanes, lane)
		b, ok := l.band(lane)
		if !ok {
			return false
		}
		s.bands = append(s.bands, b)
	}
	return true
}

// band reads columns, but for what is too old.
func (l *load) band(of *lane) (band, bool) {
	b := band{lane: of}
	last := int64(never)
	for range l.count(len(l.in)) {
		s := slab{first: l.number(), last: l.number(), n: l.count(math.MaxUint16), lane: of}
		n := l.count(len(l.in))
		s.data = l.bytes(n)
		if !s.sound() || s.first <= last {
			return b, false
		}
		if last = s.last; s.last >= l.now-of.keep {
			b.slabs = append(b.slabs, s)
		}
	}
	t, v := b.decode(b.slabs)
	old := 0
	for old < len(t)-1 && t[old+1] <= l.now-of.keep {
		old++
	}
	left := len(t) - old
	columns := make([]float64, 0, left*len(of.ids))
	for p := range of.ids {
		columns = append(columns, v[p*len(t)+old:(p+1)*len(t)]...)
	}
	b.slabs = nil
	b.fill(t[old:], columns)
	return b, true
}

// sound tells whether a slab can be read, and is what it says.
func (s *slab) sound() bool {
	head := 4 * (1 + len(s.lane.ids))
	if s.n <= 0 || s.n > len(s.data) || len(s.data) < head {
		return false
	}
	from := uint32(head)
	for i := range 1 + len(s.lane.ids) {
		to := binary.LittleEndian.Uint32(s.data[4*i:])
		if to < from+2 && i > 0 || to < from || int64(to) > int64(len(s.data)) {
			return false
		}
		if i > 0 && int(binary.BigEndian.Uint16(s.data[from:])) != s.n {
			return false
		}
		from = to
	}
	for b := s.piece(0); ; {
		if _, n := binary.Varint(b); n > 0 {
			b = b[n:]
		} else if len(b) > 0 || n < 0 {
			return false
		} else {
			break
		}
	}
	return s.soundTimes() && s.soundValues()
}

func (s *slab) soundTimes() bool {
	varints := 0
	for b := s.piece(0); len(b) > 0; varints++ {
		_, n := binary.Varint(b)
		b = b[n:]
	}
	if varints != s.n {
		return false
	}
	t := s.times(nil)
	for i := 1; i < len(t); i++ {
		if t[i] <= t[i-1] {
			return false
		}
	}
	return t[0] == s.first && t[len(t)-1] == s.last
}

func (s *slab) soundValues() bool {
	var c decoder
	for _, id := range s.lane.ids {
		if len(s.values(id, &c, nil)) != s.n {
			return false
		}
	}
	return true
}

func (l *load) moved(s *source, m *more) bool {
	for range l.count(len(s.part.Series)) {
		slot := l.count(math.MaxInt32)
		if slot >= len(s.part.Series) {
			return false
		}
		t := l.ascending(l.count(len(l.in)))
		if v := l.values(len(t)); len(t) > 0 && v != nil {
			m.moved = append(m.moved, moved{s.part.ids[slot], t, v})
		}
	}
	return true
}
