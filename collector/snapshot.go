package collector

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// windowSnapshot is where an orderly stop leaves the window for the next start: its samples, and then which reports they
// are of. Only together do they tell whether anything is missing, so a start that finds no or not all of it begins anew.
const windowSnapshot = "window.snapshot"

// savedSpan is a span as it is in the snapshot.
type savedSpan struct {
	First, Last savedMark
	From        time.Time
}

type savedMark struct {
	Epoch, Sequence uint64
	At              time.Time
	Linked          bool `json:",omitempty"`
}

// saveWindow writes the snapshot. Nothing may come in any more.
func (c *Collector) saveWindow() error {
	path := filepath.Join(c.cfg.Storage.Path, windowSnapshot)
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("save the window: %w", err)
	}
	b := bufio.NewWriterSize(f, 1<<20)
	err = c.window.Snapshot(b)
	if err == nil {
		err = c.saveSpans(b)
	}
	err = errors.Join(err, b.Flush(), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("save the window: %w", err), os.Remove(tmp))
	}
	return nil
}

// saveSpans writes which reports are in the window, of assets of which nothing waits beside it.
func (c *Collector) saveSpans(w io.Writer) error {
	all := c.facts.spans()
	for asset := range all {
		st, ok := c.window.Asset(asset)
		for _, b := range st.Blocks {
			ok = ok && b.Held == 0
		}
		if !ok {
			delete(all, asset)
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	for _, b := range [][]byte{binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(text)), text} {
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// loadWindow takes up the snapshot of the last orderly stop, if there is one, and removes it: it is not what a later stop
// would leave. What cannot be taken up is said and left to the agents, who send again what rules look back on.
func (c *Collector) loadWindow() {
	path := filepath.Join(c.cfg.Storage.Path, windowSnapshot)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	assets := 0
	if err == nil {
		assets, err = c.readWindow(f)
		err = errors.Join(err, f.Close())
	}
	err = errors.Join(err, os.Remove(path))
	if err != nil {
		c.log.Warn("the window that the last stop left was not taken up whole; until agents have sent again what rules look back on, such rules say unknown",
			"path", path, "assets", assets, "err", err)
		return
	}
	c.log.Info("took up the window that the last stop left", "assets", assets)
}

func (c *Collector) readWindow(f io.Reader) (assets int, err error) {
	b := bufio.NewReaderSize(f, 1<<20)
	if assets, err = c.window.Load(b, c.now()); err != nil {
		return 0, err
	}
	rest, err := io.ReadAll(b)
	if err != nil {
		return assets, err
	}
	if len(rest) < 4 || crc32.ChecksumIEEE(rest[4:]) != binary.BigEndian.Uint32(rest) {
		return assets, errors.New("which reports the window is of is damaged: it is complete only since the next ones")
	}
	var all map[string][]savedSpan
	d := json.NewDecoder(bytes.NewReader(rest[4:]))
	d.DisallowUnknownFields()
	if err := d.Decode(&all); err != nil {
		return assets, fmt.Errorf("read which reports the window is of: %w", err)
	}
	for asset := range all {
		if _, ok := c.window.Asset(asset); !ok {
			delete(all, asset)
		}
	}
	c.facts.resume(all)
	return assets, nil
}

// spans are the reports that are here, by asset.
func (f *facts) spans() map[string][]savedSpan {
	f.mu.RLock()
	defer f.mu.RUnlock()
	out := make(map[string][]savedSpan, len(f.hosts))
	for asset, h := range f.hosts {
		for _, s := range h.reports {
			out[asset] = append(out[asset], savedSpan{saved(s.first), saved(s.last), s.from})
		}
	}
	for asset, s := range f.before {
		for _, s := range s {
			out[asset] = append(out[asset], savedSpan{saved(s.first), saved(s.last), s.from})
		}
	}
	return out
}

func saved(m mark) savedMark { return savedMark{m.epoch, m.sequence, m.at, m.linked} }

// resume says which reports of hosts that were not heard yet are here already.
func (f *facts) resume(all map[string][]savedSpan) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before = make(map[string]spans, len(all))
	for asset, list := range all {
		for _, s := range list {
			f.before[asset] = append(f.before[asset], span{s.First.mark(), s.Last.mark(), s.From})
		}
	}
}

func (m savedMark) mark() mark { return mark{m.Epoch, m.Sequence, m.At, m.Linked} }
