package window

import (
	"strings"

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
func (p *Part) Written() bool {
	return strings.HasPrefix(p.Name, UpPart) || strings.HasPrefix(p.Name, RecordedPart)
}

// Labels puts the asset's own labels where they stand as OwnInstance, OwnCustomer and OwnSite.
func (a Asset) Labels(lbls labels.Labels) labels.Labels {
	lb := labels.NewBuilder(lbls)
	lbls.Range(func(l labels.Label) {
		switch l.Value {
		case OwnInstance:
			lb.Set(l.Name, a.Name)
		case OwnCustomer:
			lb.Set(l.Name, a.Customer)
		case OwnSite:
			lb.Set(l.Name, a.Site)
		}
	})
	return lb.Labels()
}

// owned are the labels of a block's series with the asset's own and the job added.
func owned(lbls labels.Labels, job string) labels.Labels {
	lb := labels.NewBuilder(lbls)
	lb.Set("job", job).Set(instanceLabel, OwnInstance).Set("customer", OwnCustomer).Set("site", OwnSite)
	return lb.Labels()
}

func upPart(job string) *Part {
	lbls := labels.FromStrings(model.MetricNameLabel, "up", "job", job)
	return &Part{Name: UpPart + job, Series: []labels.Labels{owned(lbls, job)}, Live: 1}
}
