package window

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// busy is a window that was fed, and its demand.
func busy(t testing.TB, seed uint64) (*Window, []Selector) {
	chance := rand.New(rand.NewPCG(seed, 5))
	w := New(Options{})
	sels := selectors(t, "a[30s]", "b[1h]", `c{disk="sda"}[6m]`, "up[5m]")
	w.SetDemand(sels)
	full := []string{`a{disk="sda"}`, `b`, `c{disk="sda"}`, `c`, `d`}
	for i := range 400 {
		for _, name := range []string{"web1", "web2", "db1"} {
			s := float64(10*i) + chance.Float64()
			used := slices.DeleteFunc(slices.Clone(full), func(string) bool { return chance.IntN(60) == 0 })
			b := ok(layout(t, used...), s)
			for range used {
				b.Values = append(b.Values, chance.NormFloat64())
			}
			switch chance.IntN(20) {
			case 0:
				b = failed(s, "bad luck")
			case 1:
				b.Source = "other" // a series moves there and back
			case 2:
				b = late(ok(b.Layout, s-200, b.Values...))
			}
			w.Apply(Asset{Name: name, Customer: "acme"}, at(s), []Block{b})
		}
	}
	w.SetDown(Asset{Name: "db1", Customer: "acme"}, at(4000))
	return w, sels
}

// bits are the samples of a window, by series and time, but for what rules recorded.
func bits(t testing.TB, w *Window) map[string]uint64 {
	out := map[string]uint64{}
	eachSample(t, w, func(l labels.Labels, at int64, v float64) {
		if n := l.Get("__name__"); n != "r" && n != "q" {
			out[fmt.Sprintf("%v %d", l, at)] = math.Float64bits(v)
		}
	})
	return out
}

// A window that was loaded holds what the one held that was saved, as far as it is looked back on, and knows as much.
func TestASnapshotIsTheWindow(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			w, sels := busy(t, seed)
			w.Record("web1", "id", &Layout{Series: []labels.Labels{labels.FromStrings("__name__", "r", "instance", OwnInstance)}}, at(3999), []float64{1}, false)
			w.AppendRecorded(labels.FromStrings("__name__", "q"), at(3999), 1)
			var b bytes.Buffer
			if err := w.Snapshot(&b); err != nil {
				t.Fatal(err)
			}
			made := New(Options{})
			made.SetDemand(sels)
			if n, err := made.Load(&b, at(4000)); err != nil || n != 3 {
				t.Fatalf("%d assets, %v", n, err)
			}
			checkBooks(t, made)
			want, got := bits(t, w), bits(t, made)
			for key, v := range got {
				if x, is := want[key]; !is && v != math.Float64bits(staleMarker()) || is && x != v {
					t.Errorf("%s is %x, it was %x, %v", key, v, x, is)
				}
			}
			eachSample(t, w, func(l labels.Labels, ms int64, _ float64) {
				key, keep := fmt.Sprintf("%v %d", l, ms), w.demand.Load().keep(l)
				if _, is := got[key]; !is && want[key] != 0 && want[key] != math.Float64bits(staleMarker()) && ms >= at(4000).UnixMilli()-cmp.Or(keep, rawFor) {
					t.Errorf("%s is lost", key)
				}
			})
			was, is := w.Assets(), made.Assets()
			for i := range was {
				g, w := is[i], was[i]
				if g.Asset != w.Asset || !g.Received.Equal(w.Received.Truncate(time.Millisecond)) || g.Down != w.Down ||
					!g.CompleteSince.Equal(w.CompleteSince) || g.Blocks[0].Status != w.Blocks[0].Status || g.Blocks[0].Reason != w.Blocks[0].Reason {
					t.Errorf("the status is\n%+v\nwant\n%+v", g, w)
				}
			}
			l := layout(t, `a{disk="sda"}`, `b`)
			made.Apply(Asset{Name: "web1", Customer: "acme"}, at(4010), []Block{ok(l, 4010, 1, 2)})
			if since, _ := made.CompleteSince("web1"); !since.Equal(at(4010)) {
				t.Errorf("after its next report it is complete since %v: nobody knows what came in between", since)
			}
			checkBooks(t, made)
		})
	}
}

// What is too old is not loaded; what is looked back on further than it was is not complete.
func TestLoadIsAsOfNow(t *testing.T) {
	w, l := New(Options{}), layout(t, "a", "b")
	w.SetDemand(selectors(t, "a[30s]", "b[20m]"))
	for s := 0.0; s <= 4000; s += 10 {
		w.Apply(web1, at(s), []Block{ok(l, s, s, s)})
	}
	var b bytes.Buffer
	if err := w.Snapshot(&b); err != nil {
		t.Fatal(err)
	}
	made := New(Options{})
	made.SetDemand(selectors(t, "a[20m]", "b[20m]"))
	if _, err := made.Load(bytes.NewReader(b.Bytes()), at(4010)); err != nil {
		t.Fatal(err)
	}
	made.View("web1", func(v View) {
		now := at(4010).UnixMilli()
		if v.KnownSlot(0, 0, now, 20*time.Minute) || !v.KnownSlot(0, 0, now, time.Minute) || !v.KnownSlot(0, 1, now, 20*time.Minute) {
			t.Error("thirty seconds and slack were kept of a, twenty minutes of b")
		}
	})
	made = New(Options{})
	made.SetDemand(nil)
	if n, err := made.Load(bytes.NewReader(b.Bytes()), at(40_000)); err != nil || n != 0 || made.Stats().Series != 0 {
		t.Errorf("%d assets, %v, %+v: all of it is ten hours old", n, err, made.Stats())
	}
}

func TestADamagedSnapshotIsRefused(t *testing.T) {
	w, sels := busy(t, 2)
	var b bytes.Buffer
	if err := w.Snapshot(&b); err != nil {
		t.Fatal(err)
	}
	refuse := func(what string, in []byte, why error) {
		t.Helper()
		made := New(Options{})
		made.SetDemand(sels)
		if n, err := made.Load(bytes.NewReader(in), at(4000)); !errors.Is(err, why) || n != 0 || made.Stats().Assets != 0 {
			t.Fatalf("%s: %d assets are here, %v", what, made.Stats().Assets, err)
		}
	}
	newer := bytes.Clone(b.Bytes())
	newer[len(snapshotMagic)+1]++
	refuse("of a newer release", newer, ErrNewer)
	chance := rand.New(rand.NewPCG(3, 3))
	for range 200 {
		n := chance.IntN(b.Len())
		refuse(fmt.Sprint("cut at ", n), b.Bytes()[:n], ErrDamaged)
		if n >= len(snapshotMagic)+2 {
			flipped := bytes.Clone(b.Bytes())
			flipped[n] ^= 1 << chance.IntN(8)
			refuse(fmt.Sprint("a bit flipped in byte ", n), flipped, ErrDamaged)
		}
	}
}

// FuzzLoad: whatever is in a piece whose checksum is good, Load takes it up or refuses it, and what it takes up can be
// read and written.
func FuzzLoad(f *testing.F) {
	w, sels := busy(f, 4)
	var b bytes.Buffer
	if err := w.Snapshot(&b); err != nil {
		f.Fatal(err)
	}
	head := len(snapshotMagic) + 2
	for at := head; at < b.Len(); {
		n := int(binary.BigEndian.Uint32(b.Bytes()[at+1:]))
		f.Add(b.Bytes()[at], b.Bytes()[at+5:at+5+n])
		at += 9 + n
	}
	f.Fuzz(func(t *testing.T, kind byte, payload []byte) {
		in := bytes.Clone(b.Bytes()[:head])
		put := func(kind byte, payload []byte) {
			piece := append(binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(payload))), payload...)
			in = append(in, binary.BigEndian.AppendUint32(piece, crc32.Checksum(piece, castagnoli))...)
		}
		shapes, assets := uint64(0), uint64(0)
		for at := head; at < b.Len(); { // the shapes of a good one, so that assets have some
			n := int(binary.BigEndian.Uint32(b.Bytes()[at+1:]))
			if b.Bytes()[at] == pieceShape {
				put(pieceShape, b.Bytes()[at+5:at+5+n])
				shapes++
			}
			at += 9 + n
		}
		put(kind, payload)
		if kind == pieceShape {
			shapes++
		}
		if kind == pieceAsset {
			assets++
		}
		put(pieceEnd, binary.AppendUvarint(binary.AppendUvarint(nil, shapes), assets))
		made := New(Options{})
		made.SetDemand(sels)
		if _, err := made.Load(bytes.NewReader(in), at(4000)); err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		eachSample(t, made, func(labels.Labels, int64, float64) {})
		for _, as := range made.Assets() {
			made.Apply(as.Asset, at(5000), []Block{ok(layout(t, "a", "x"), 5000, 1, 2), late(ok(layout(t, "b"), 4990, 1))})
		}
		made.Stats()
	})
}
