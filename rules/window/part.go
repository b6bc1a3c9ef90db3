package window

import (
	"strings"
	"sync/atomic"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// Part is the series of one source of an asset, as programs are compiled for them. It is never changed, and shared by all
// assets whose series are the same but for the asset's own labels: the same pointer means the same series, and as long as
// somebody holds it, the same series mean the same pointer.
type Part struct {
	// Name is the source's: cpu, filesystem; that of what the house writes begins with one of the prefixes below.
	Name string
	// Series are whole label sets, in the order of slots; the asset's own labels stand in them as OwnInstance,
	// OwnCustomer and OwnSite.
	Series []labels.Labels
	// Live is how many of them are in the newest block. Those behind it left; what they were is still looked back on.
	Live int

	kind string
	// ids tell series apart without their labels; order are the slots by id; twice says that two of them are one series.
	ids   []uint64
	order []int32
	twice bool
	bytes int64
	// plans are what the windows that it is in keep of its series.
	plans atomic.Pointer[[]*plan]
}

// What parts are called that the house writes: `up` of one job, and what a recording rule made.
const (
	UpPart       = "up "
	RecordedPart = "rule "
)

// The asset's own labels as they stand in Part.Series and in what is made of it. No label that comes from outside has
// such a value: it is not UTF-8.
const (
	OwnInstance = "\xffinstance"
	OwnCustomer = "\xffcustomer"
	OwnSite     = "\xffsite"
)

// Written tells whether the house writes it.
func (p *Part) Written() bool { return strings.HasPrefix(p.Name, UpPart) || p.house() }

// house tells whether it is what a recording rule of an asset made.
func (p *Part) house() bool { return strings.HasPrefix(p.Name, RecordedPart) }

// find is the slot of a series; ok is false when it is not in the part.
func (p *Part) find(id uint64) (slot int32, ok bool) { return findID(p.ids, p.order, id) }

// Labels puts the asset's own labels where they stand as OwnInstance, OwnCustomer and OwnSite.
func (a Asset) Labels(lbls labels.Labels) labels.Labels {
	var sb labels.ScratchBuilder
	return a.build(&sb, lbls)
}

// build is Labels with memory that can be used again.
func (a *Asset) build(sb *labels.ScratchBuilder, lbls labels.Labels) labels.Labels {
	sb.Reset()
	lbls.Range(func(l labels.Label) {
		if v := a.own(l.Value); v != "" {
			sb.Add(l.Name, v)
		}
	})
	return sb.Labels()
}

// own is what a label's value stands for.
func (a *Asset) own(v string) string {
	if len(v) == 0 || v[0] != '\xff' {
		return v
	}
	switch v {
	case OwnInstance:
		return a.Name
	case OwnCustomer:
		return a.Customer
	case OwnSite:
		return a.Site
	}
	return v
}

// owned are the labels of a block's series with the asset's own and the job added; without a kind the job is the series' own.
func owned(lb *labels.Builder, lbls labels.Labels, job string) labels.Labels {
	lb.Reset(lbls)
	if job != "" {
		lb.Set("job", job)
	}
	lb.Set(instanceLabel, OwnInstance).Set("customer", OwnCustomer).Set("site", OwnSite)
	return lb.Labels()
}

// job is the label job of the part's series, which are all of one where they bring it themselves.
func (p *Part) job() string {
	if p.kind != "" || len(p.Series) == 0 {
		return p.kind
	}
	return p.Series[0].Get("job")
}

// up is the part of `up` of one job.
func (x *parts) up(job string) *Part {
	lb := labels.NewBuilder(labels.EmptyLabels())
	return x.one(&Part{
		Name: UpPart + job, kind: job, Live: 1,
		Series: []labels.Labels{owned(lb, labels.FromStrings(model.MetricNameLabel, "up"), job)},
	})
}
