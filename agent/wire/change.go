package wire

import (
	"bytes"
	"slices"
)

// ChangeShape writes the shape to as the difference to the shape from; ok is false when that is no shorter than the
// shape itself, or one of them is not a shape (see ReadShape).
func ChangeShape(from, to *Shape, max Limits) (*ShapeChange, bool) {
	base, err := ReadShape(from, max)
	if err != nil {
		return nil, false
	}
	next, err := ReadShape(to, max)
	if err != nil {
		return nil, false
	}
	c := &ShapeChange{Base: base.ID[:]}
	var added Layout
	i := 0
	for _, labels := range next.Series {
		for i < len(base.Series) && compareSeries(base.Series[i], labels) < 0 {
			c.Removed = append(c.Removed, uint32(i)) //nolint:gosec // within SeriesPerBlock
			i++
		}
		if i < len(base.Series) && compareSeries(base.Series[i], labels) == 0 {
			i++
			continue
		}
		added.Series = append(added.Series, labels)
	}
	for ; i < len(base.Series); i++ {
		c.Removed = append(c.Removed, uint32(i)) //nolint:gosec // within SeriesPerBlock
	}
	c.Added = added.Shape()
	return c, 2*(len(c.Removed)+len(added.Series)) < len(next.Series)
}

// ReadShapeChange returns what c makes of base, which the caller has looked up by c's base among the shapes that this
// customer's agents have reported, and no others. The result is held to everything that ReadShape holds a shape to, and
// its ID is computed here. Errors are *Error.
func ReadShapeChange(c *ShapeChange, base [][]Label, max Limits) (Layout, error) {
	added, err := ReadShape(c.GetAdded(), max)
	if err != nil {
		return Layout{}, err
	}
	n := len(base) - len(c.GetRemoved()) + len(added.Series)
	if err := over("series of a shape", n, max.SeriesPerBlock, "series_per_block"); err != nil {
		return Layout{}, err
	}
	series := make([][]Label, 0, len(base)+len(added.Series))
	gone, new := c.GetRemoved(), added.Series
	for i, labels := range base {
		if len(gone) > 0 && uint64(gone[0]) == uint64(i) { //nolint:gosec // an index
			gone = gone[1:]
			continue
		}
		for len(new) > 0 && compareSeries(new[0], labels) < 0 {
			series, new = append(series, new[0]), new[1:]
		}
		if len(new) > 0 && compareSeries(new[0], labels) == 0 {
			return Layout{}, refuse(ReasonDuplicateSeries, "series %s is added to a shape that has it", text(labels))
		}
		series = append(series, labels)
	}
	if len(gone) > 0 {
		return Layout{}, refuse(ReasonMalformed, "shape change removes series %d of a base of %d, or not in ascending order",
			gone[0], len(base))
	}
	l := Layout{Series: append(series, new...)}
	if err := checkSpelledOut(l.Series, max); err != nil {
		return Layout{}, err
	}
	l.ID = ShapeID(l.Series)
	return l, nil
}

// checkSpelledOut holds to the limits what is only known once a change is applied.
func checkSpelledOut(series [][]Label, max Limits) error {
	labels, size := 0, len(canonicalHead)+uvarintLen(len(series))
	for _, s := range series {
		labels += len(s)
		size += uvarintLen(len(s))
		for _, l := range s {
			size += uvarintLen(len(l.Name)) + len(l.Name) + uvarintLen(len(l.Value)) + len(l.Value)
		}
	}
	if err := over("bytes of a shape spelled out", size, max.ShapeBytes, "shape_bytes"); err != nil {
		return err
	}
	return over("labels of a shape", labels, max.LabelsPerShape, "labels_per_shape")
}

// AddShapes puts the shapes with these IDs into r, which must not be shared: as a change to the shape that the collector
// has from the same source where that is shorter, otherwise in full. find finds shapes (Builder.Shape, Spool.Shape). It
// returns the first ID that find does not know, nil when it knows all. What was asked for twice is sent in full: the
// collector may not have what the change leans on.
func (e *Encoder) AddShapes(r *Report, ids [][]byte, find func(id []byte) (*Shape, bool)) (missing []byte) {
	for _, id := range ids {
		shape, ok := find(id)
		if !ok {
			return id
		}
		if c, ok := e.change(r, id, shape, find); ok {
			r.ShapeChanges = append(r.ShapeChanges, c)
			e.changed = append(e.changed, id)
			continue
		}
		r.Shapes = append(r.Shapes, shape)
	}
	return nil
}

func (e *Encoder) change(r *Report, id []byte, shape *Shape, find func(id []byte) (*Shape, bool)) (*ShapeChange, bool) {
	if slices.ContainsFunc(e.changed, func(x []byte) bool { return bytes.Equal(x, id) }) {
		return nil, false
	}
	for _, b := range r.GetBlocks() {
		if !bytes.Equal(b.GetShapeId(), id) {
			continue
		}
		t, ok := e.taken[blockKey{b.GetSource(), b.GetDevice()}]
		if !ok {
			continue
		}
		if old, ok := find(t.shape); ok {
			return ChangeShape(old, shape, e.max)
		}
	}
	return nil, false
}
