package collector

import (
	"fmt"
	"strings"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/rules"
)

// nearby is what fires, by where. It is made once for a commit: when thousands of hosts fall silent at once, every one
// of their alerts asks what else fires, and what fires is all of them.
type nearby struct {
	assets map[where]*roll
	sites  map[where]*roll
	// known are the IDs of the alerts.
	known map[string]bool
	count int
}

// where is an asset or a site of a customer.
type where struct{ customer, name string }

// roll counts alerts of one asset or one site.
type roll struct {
	// kinds are in the order in which each came first.
	kinds []kind
	count map[kind]int
	// of counts by asset, which is empty for what is the site's own.
	of    map[string]int
	total int
}

// kind is what people tell alerts of one place apart by: those of a kind differ in other labels.
type kind struct{ asset, text string }

// onAsset is a's kind among those of its asset.
func onAsset(a incident.Alert) kind { return kind{a.Asset, a.Name} }

// atSite is a's kind among those of its site.
func atSite(a incident.Alert) kind { return kind{a.Asset, or(a.Asset, "the site") + " " + a.Name} }

// newNearby sorts what fires, seen as incidents see it.
func newNearby(standing []rules.Transition, alert func(rules.Transition) incident.Alert) nearby {
	n := nearby{assets: map[where]*roll{}, sites: map[where]*roll{}, known: map[string]bool{}}
	for _, t := range standing {
		n.add(alert(t))
	}
	return n
}

// add is for the maker of n: others may be reading it. What is there already is not added again.
func (n *nearby) add(a incident.Alert) {
	if n.known[a.ID] {
		return
	}
	n.count++
	n.known[a.ID] = true
	if a.Asset != "" {
		enter(n.assets, where{a.Customer, a.Asset}, onAsset(a))
	}
	if a.Site != "" {
		enter(n.sites, where{a.Customer, a.Site}, atSite(a))
	}
}

func enter(rolls map[where]*roll, at where, k kind) {
	r := rolls[at]
	if r == nil {
		r = &roll{count: map[kind]int{}, of: map[string]int{}}
		rolls[at] = r
	}
	if r.count[k] == 0 {
		r.kinds = append(r.kinds, k)
	}
	r.count[k]++
	r.of[k.asset]++
	r.total++
}

// said is what else fires on a's asset and at its site, in words; empty when nothing does.
func (n nearby) said(a incident.Alert) string {
	itself := 0
	if n.known[a.ID] {
		itself = 1
	}
	var said []string
	if r := n.assets[where{a.Customer, a.Asset}]; r != nil {
		if here := r.others(onAsset(a), itself, false); here != "" {
			said = append(said, "on this asset: "+here)
		}
	}
	if r := n.sites[where{a.Customer, a.Site}]; r != nil {
		if near := r.others(atSite(a), itself, a.Asset != ""); near != "" {
			said = append(said, "at this site: "+near)
		}
	}
	return strings.Join(said, "; ")
}

// others names the first of r's kinds and counts the rest, without itself alerts of the kind own or, where apart says
// so, without all of its asset.
func (r *roll) others(own kind, itself int, apart bool) string {
	total := r.total - itself
	if apart {
		total = r.total - r.of[own.asset]
	}
	var names []string
	for _, k := range r.kinds {
		if total == 0 || len(names) == maxElse {
			break
		}
		count := r.count[k]
		if k == own {
			count -= itself
		}
		if count == 0 || apart && k.asset == own.asset {
			continue
		}
		total -= count
		if count > 1 {
			k.text += fmt.Sprintf(" (%d)", count)
		}
		names = append(names, k.text)
	}
	return listed(names, len(names)+total)
}

// some keeps the first maxElse names and counts all.
func some(names []string, total int, name string) ([]string, int) {
	if total < maxElse {
		names = append(names, name)
	}
	return names, total + 1
}

// listed joins names, counting those that are not among them.
func listed(names []string, total int) string {
	s := strings.Join(names, ", ")
	if more := total - len(names); more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}
