package ingest

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/rules/window"
)

// why is why a series is not taken; without a text it is left out, and only counted.
type why struct{ reason, text string }

const (
	instanceLabel = "instance"
	customerLabel = "customer"
	siteLabel     = "site"
	exported      = "exported_"
	// RemotePrefix begins the name of the asset that a sender's series without an instance belong to.
	RemotePrefix = "remote-write/"
	// maxAssetSeries is how many series of one asset a window keeps: window.Options.
	maxAssetSeries = 20_000
)

// admit makes a series known that this sender has not written so far.
func (j *remoteJob) admit(key uint64, s *wireSeries) (*alias, why) {
	lbls, no := j.check(s.labels)
	if no.reason != "" {
		if no.text == "" {
			j.r.metrics.refused.WithLabelValues(no.reason).Add(float64(len(s.points)))
		}
		return nil, no
	}
	if j.v2 && len(s.meta.help)+len(s.meta.unit) > 0 || s.meta.kind != 0 {
		s.meta.name = []byte(lbls.Get(model.MetricNameLabel))
		j.r.about.learn(s.meta)
	}
	if no := j.sender.room(j, key); no.reason != "" {
		return nil, no
	}
	var replica strings.Builder
	lb := labels.NewBuilder(lbls)
	for _, name := range j.keying.DropLabels {
		replica.WriteString(lbls.Get(name))
		replica.WriteByte(0xff)
		lb.Del(name)
	}
	a, instance, no := j.r.assetFor(j, lbls)
	if a == nil {
		return nil, no
	}
	t := j.r.target(a, targetKey{lbls.Get(jobLabel), instance}, j.now)
	lb.Del(j.keying.InstanceLabel)
	if t.apart {
		exportAs(lb, instanceLabel, instance)
	}
	for _, own := range []labels.Label{{Name: instanceLabel, Value: a.Name}, {Name: customerLabel, Value: a.Customer},
		{Name: siteLabel, Value: a.Site}} {
		export(lb, own)
	}
	series, no := j.r.series(a, lb.Labels(), t, j.now)
	if series == nil {
		return nil, no
	}
	return j.sender.call(key, series, replica.String()), why{}
}

// export makes room for a label of the house as Prometheus does for a target's (scrape, resolveConflictingExposedLabels):
// what the sender means by the name goes on as exported_NAME. What is the same already is not said twice.
func export(lb *labels.Builder, own labels.Label) {
	said := lb.Get(own.Name)
	lb.Del(own.Name)
	if said == "" || said == own.Value {
		return
	}
	exportAs(lb, own.Name, said)
}

// exportAs sets exported_NAME, or as many exported_ before it as it takes for nobody to have it.
func exportAs(lb *labels.Builder, name, said string) {
	as := exported + name
	for lb.Get(as) != "" {
		as = exported + as
	}
	lb.Set(as, said)
}

// check makes labels of what came, sorted; it names what is wrong with them and which bound they exceed.
func (j *remoteJob) check(in []pair) (labels.Labels, why) {
	none, l := labels.EmptyLabels(), j.conf.Limits
	if len(in) > l.Labels {
		return none, why{reasonLabels, fmt.Sprintf("%d labels, at most %d are taken: drop some by write_relabel_configs, or raise "+
			"remote_write_in.limits.labels", len(in), l.Labels)}
	}
	j.unsorted = j.unsorted[:0]
	for _, p := range in {
		switch {
		case len(p.name) == 0:
			return none, why{reasonSeries, "a label has no name"}
		case len(p.name) > l.LabelNameBytes || len(p.value) > l.LabelValueBytes:
			return none, why{reasonLabels, fmt.Sprintf("label %s has a name or value of %d and %d bytes, at most %d and %d are taken: "+
				"drop it by write_relabel_configs, or raise remote_write_in.limits.label_name_bytes or label_value_bytes",
				clean(string(p.name[:min(len(p.name), 64)])), len(p.name), len(p.value), l.LabelNameBytes, l.LabelValueBytes)}
		case !utf8.Valid(p.name) || !utf8.Valid(p.value):
			return none, why{reasonSeries, "a label is not UTF-8"}
		}
		name := string(p.name)
		if strings.HasPrefix(name, "__") && name != model.MetricNameLabel && !slices.Contains(j.keying.DropLabels, name) {
			return none, why{reasonSeries, fmt.Sprintf("label %s is for the sender's own use: drop it there, or name it in "+
				"remote_write_in.keying.drop_labels if it tells replicas apart", clean(name))}
		}
		if len(p.value) > 0 { // an empty one is none
			j.unsorted = append(j.unsorted, p)
		}
	}
	var sb labels.ScratchBuilder
	for _, p := range j.unsorted {
		sb.Add(string(p.name), string(p.value))
	}
	sb.Sort()
	lbls := sb.Labels()
	if name, twice := lbls.HasDuplicateLabelNames(); twice {
		return none, why{reasonSeries, fmt.Sprintf("label %s is there twice", clean(name))}
	}
	switch name := lbls.Get(model.MetricNameLabel); {
	case name == "":
		return none, why{reasonSeries, "it has no __name__"}
	case !model.UTF8Validation.IsValidMetricName(name):
		return none, why{reasonSeries, "its __name__ is none"}
	case name == "ALERTS" || name == "ALERTS_FOR_STATE":
		return none, why{reason: reasonAlerts}
	case lbls.Has(labels.AlertName):
		return none, why{reasonSeries, "label alertname is for the collector's own alerts: rename it by write_relabel_configs"}
	}
	return lbls, why{}
}

// assetFor finds or makes the asset that a series belongs to, and what its sender calls it. The fleet says whose an asset
// is that it declares; what a sender says counts for others alone, and only as far as its keying allows.
func (r *Remote) assetFor(j *remoteJob, lbls labels.Labels) (*remoteAsset, string, why) {
	own := RemotePrefix + j.sender.name
	instance := cmp.Or(lbls.Get(j.keying.InstanceLabel), own)
	who, declared := r.declared(instance)
	if !declared {
		if instance == own {
			who.Name = own
		}
		if strings.HasPrefix(who.Name, RemotePrefix) && who.Name != own {
			return nil, "", why{reasonSeries, fmt.Sprintf("instance %s is another sender's: name it otherwise", clean(instance))}
		}
		who.Customer = r.customer(j.keying, lbls)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.assets[who.Name]
	if a != nil {
		return a, instance, why{}
	}
	if !declared {
		if n := r.undeclared(j.sender.name); n >= j.quotas.Assets {
			return nil, "", why{reasonAssets, fmt.Sprintf("%s brings %d assets that the fleet does not declare, at most %d are taken: declare "+
				"them, or raise %squotas.assets", j.sender.name, n+1, j.quotas.Assets, j.prefix)}
		}
	}
	a = r.newAsset(who, declared, RemoteAssetState{Instance: instance})
	a.by[j.sender.name], a.brought = j.now, j.sender.name
	r.unsaved = true
	return a, instance, why{}
}

// declared is the asset that an instance names, and whether the fleet declares it.
func (r *Remote) declared(instance string) (window.Asset, bool) {
	a, declared := instanceAsset(instance, r.o.Fleet.Asset)
	return window.Asset{Name: a.Name, Customer: a.Customer, Site: a.Site}, declared
}

// target finds or makes the target that a series is of. Which came first is kept: after a restart it is the same.
func (r *Remote) target(a *remoteAsset, key targetKey, now time.Time) *remoteTarget {
	a.mu.Lock()
	t, fresh := a.target(key, now)
	a.mu.Unlock()
	if fresh {
		r.mu.Lock()
		r.unsaved = true
		r.mu.Unlock()
	}
	return t
}

// customer is whose an asset is that the fleet does not declare.
func (r *Remote) customer(k RemoteKeying, lbls labels.Labels) string {
	if k.CustomerLabel != "" {
		if c, ok := r.o.Fleet.Customer(lbls.Get(k.CustomerLabel)); ok {
			return c.ID
		}
	}
	if c, ok := r.o.Fleet.Customer(k.Customer); ok {
		return c.ID
	}
	return OperatorsOwn
}

// OperatorsOwn is the customer of what belongs to no other: incident.OwnCustomer.
const OperatorsOwn = "operator"

// series finds or makes a series of an asset.
func (r *Remote) series(a *remoteAsset, lbls labels.Labels, t *remoteTarget, now time.Time) (*remoteSeries, why) {
	hash := sum(r.seed, lbls)
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.series[hash]; s != nil {
		return s, why{}
	}
	if job := lbls.Get(jobLabel); slices.Contains(r.kindsOf(a, now), job) {
		return nil, why{reasonOwnAgent, fmt.Sprintf("%s has an agent of its own that reports job %q, and one kind of series of one asset has "+
			"one writer: drop that job by write_relabel_configs, or revoke the agent (watchbill agent revoke)", clean(a.Name), clean(job))}
	}
	if len(a.series) >= maxAssetSeries {
		return nil, why{reasonAssetSeries, fmt.Sprintf("%s has %d series already, which is as many as one asset may have: drop some by "+
			"write_relabel_configs, or give them an instance of their own", clean(a.Name), maxAssetSeries)}
	}
	return a.know(lbls, t, hash), why{}
}

// know makes a series of the asset; the caller holds it.
func (a *remoteAsset) know(lbls labels.Labels, t *remoteTarget, hash uint64) *remoteSeries {
	lb := labels.NewBuilder(lbls).Set(instanceLabel, a.Name).Set(customerLabel, a.Customer).Set(siteLabel, a.Site)
	s := &remoteSeries{asset: a, labels: lbls, whole: lb.Labels(), target: t, hash: hash, newest: never, rowAt: never}
	a.series[hash] = s
	return s
}

// kindsEvery is for how long it is known which jobs an asset's agent reports.
const kindsEvery = 10 * time.Second

// kindsOf are the jobs that the asset's agent reports; the caller holds the asset.
func (r *Remote) kindsOf(a *remoteAsset, now time.Time) []string {
	if now.Sub(a.looked).Abs() < kindsEvery {
		return a.kinds
	}
	a.looked, a.kinds = now, nil
	if f, ok := r.o.Fleet.Asset(a.Name); !ok || f.Agent == "" {
		return nil
	}
	st, _ := r.o.Window.Asset(a.Name)
	for _, b := range st.Blocks {
		if b.Kind != "" && !slices.Contains(a.kinds, b.Kind) {
			a.kinds = append(a.kinds, b.Kind)
		}
	}
	return a.kinds
}

// tokenOf is the token of a request: as bearer, or as the password of basic authentication.
func tokenOf(req *http.Request) string {
	scheme, token, ok := strings.Cut(req.Header.Get("Authorization"), " ")
	if ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	_, password, _ := req.BasicAuth()
	return password
}
