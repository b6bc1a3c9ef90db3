package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// tx is the Tx over a KV.
type tx struct {
	kv   KV
	name string
	// now is when decisions made in it are taken.
	now time.Time
	// broken is the first failure of the engine or of a record. An Update that saw one is never committed, even when
	// its closure went on regardless: half of a method's writes may be missing.
	broken error
	// recent and row are where the ticket that was written last stands, and what lists say of it.
	recent spot
	row    summary
	// decided counts the decisions it took.
	decided int
	// json is where records are encoded.
	json bytes.Buffer
}

func newTx(kv KV, name string) *tx { return &tx{kv: kv, name: name} }

func newTxAt(kv KV, name string, now time.Time) *tx { return &tx{kv: kv, name: name, now: now} }

// end makes a transaction that escaped its closure fail instead of reading freed memory.
func (x *tx) end() { x.kv = ended{} }

func (x *tx) fail(err error) error {
	if err != nil && x.broken == nil {
		x.broken = err
	}
	return err
}

func (x *tx) damaged(what string) error { return x.fail(Damaged(x.name, what)) }

// bytes reads the payload under k, false when there is none.
func (x *tx) bytes(k key) ([]byte, bool, error) {
	v, err := x.kv.Get(k)
	if err != nil || v == nil {
		return nil, false, x.fail(err)
	}
	payload, err := open(k, v)
	if err != nil {
		return nil, false, x.damaged(err.Error())
	}
	return payload, true, nil
}

func (x *tx) putBytes(k key, payload []byte) error { return x.fail(x.kv.Put(k, seal(k, payload))) }

// put stores v as JSON, in which raw JSON stays as it is but for white space between its parts.
func (x *tx) put(k key, v any) error {
	payload, err := x.encode(v)
	if err != nil {
		return x.fail(fmt.Errorf("encode %s: %w", describe(k), err))
	}
	return x.putBytes(k, payload)
}

// encode is v as JSON, until the next call.
func (x *tx) encode(v any) ([]byte, error) {
	x.json.Reset()
	err := encodeJSON(&x.json, v)
	return bytes.TrimSuffix(x.json.Bytes(), []byte("\n")), err
}

// encodeJSON writes v with a line end.
func encodeJSON(to *bytes.Buffer, v any) error {
	e := json.NewEncoder(to)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// mark stores an index entry that says everything with its key.
func (x *tx) mark(k key) error { return x.putBytes(k, nil) }

func (x *tx) remove(k key) error { return x.fail(x.kv.Delete(k)) }

// scan calls fn for the records in [from, to), checked. An error of fn is returned as it is.
func (x *tx) scan(from, to key, reverse bool, fn func(k key, payload []byte) (bool, error)) error {
	var own error
	err := x.kv.Scan(from, to, reverse, func(k, v []byte) (more bool, _ error) {
		payload, err := open(k, v)
		if err != nil {
			own = x.damaged(err.Error())
			return false, own
		}
		more, own = fn(k, payload)
		return more, own
	})
	if own != nil {
		return own
	}
	return x.fail(err)
}

func decode[T any](x *tx, k key, payload []byte) (T, error) {
	var v T
	if err := json.Unmarshal(payload, &v); err != nil {
		return v, x.damaged(fmt.Sprintf("%s is not readable (%v)", describe(k), err))
	}
	return v, nil
}

// load reads and decodes one record, false when there is none.
func load[T any](x *tx, k key) (T, bool, error) {
	payload, ok, err := x.bytes(k)
	if err != nil || !ok {
		var none T
		return none, false, err
	}
	v, err := decode[T](x, k, payload)
	return v, err == nil, err
}

// must reads a record that an index names: when it is missing, the store is damaged.
func must[T any](x *tx, k key) (T, error) {
	v, ok, err := load[T](x, k)
	if err == nil && !ok {
		err = x.damaged(describe(k) + " is missing although an index names it")
	}
	return v, err
}

// all reads every record of a table, in the order of their keys.
func all[T any](x *tx, t table) ([]T, error) { return under[T](x, t.key()) }

// under reads every record whose key begins with one, in the order of their keys.
func under[T any](x *tx, begin key) ([]T, error) {
	var out []T
	err := x.scan(begin, begin.after(), false, func(k key, payload []byte) (bool, error) {
		v, err := decode[T](x, k, payload)
		out = append(out, v)
		return true, err
	})
	return out, err
}

// keys collects up to limit keys of [from, to); the records they lead to are read after the scan.
func (x *tx) keys(from, to key, reverse bool, limit int) ([]key, error) {
	var out []key
	err := x.scan(from, to, reverse, func(k key, _ []byte) (bool, error) {
		out = append(out, k)
		return len(out) < limit, nil
	})
	return out, err
}

// due reads an index of (time, id): the ids not after now, earliest first, at most limit, with their times, and the
// time of the first that was left.
func (x *tx) due(t table, now time.Time, limit int) (ids []string, times []time.Time, next time.Time, err error) {
	err = x.scan(t.key(), t.key().after(), false, func(k key, _ []byte) (bool, error) {
		p := split(k)
		at, id := p.time(), p.str()
		if at.After(now) || len(ids) == limit {
			next = at
			return false, nil
		}
		ids, times = append(ids, id), append(times, at)
		return true, nil
	})
	return ids, times, next, err
}

// atMost is the bound that a limit of 0 stands for.
func atMost(limit int) int {
	if limit <= 0 {
		return DefaultLimit
	}
	return limit
}

// The counters, by name, and what the first ticket number follows.
const (
	counterNumber      = "ticket number"
	counterIncarnation = "incarnation"
	numberStart        = 1000
)

// counted is how far a counter has come; a new one stands at start.
func (x *tx) counted(name string, start uint64) (uint64, error) {
	n, ok, err := load[uint64](x, metaKey(name))
	if err == nil && !ok {
		n = start
	}
	return n, err
}

// counter adds one to a counter and returns it; a new one begins after start.
func (x *tx) counter(name string, start uint64) (uint64, error) {
	n, err := x.counted(name, start)
	if err != nil {
		return 0, err
	}
	n++
	return n, x.put(metaKey(name), n)
}

func (x *tx) NextNumber() (int, error) {
	n, err := x.counter(counterNumber, numberStart)
	return int(n), err
}

// tallyKey is where what is counted under a name stands.
func tallyKey(name string) key { return metaKey("tally " + name) }

func (x *tx) Tally(name string) (int, error) {
	n, _, err := load[int](x, tallyKey(name))
	return n, err
}

func (x *tx) AddTally(name string, by int) error {
	n, err := x.Tally(name)
	if err != nil || by == 0 {
		return err
	}
	return x.put(tallyKey(name), max(0, n+by))
}

func (x *tx) NextIncarnation() (uint64, error) { return x.counter(counterIncarnation, 0) }

func (x *tx) Installation(fresh string) (string, error) {
	name, ok, err := load[string](x, metaKey("installation"))
	if err != nil || ok {
		return name, err
	}
	return fresh, x.put(metaKey("installation"), fresh)
}

// ended is the KV of a transaction that is over.
type ended struct{}

func (ended) Get([]byte) ([]byte, error) { return nil, errEnded }
func (ended) Put(_, _ []byte) error      { return errEnded }
func (ended) Delete([]byte) error        { return errEnded }
func (ended) Scan(_, _ []byte, _ bool, _ func(k, v []byte) (bool, error)) error {
	return errEnded
}
