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
	assets map[where][]neighbour
	sites  map[where][]neighbour
}

// where is an asset or a site of a customer.
type where struct{ customer, name string }

type neighbour struct{ id, name, asset string }

// newNearby sorts what fires, seen as incidents see it.
func newNearby(standing []rules.Transition, alert func(rules.Transition) incident.Alert) nearby {
	n := nearby{assets: map[where][]neighbour{}, sites: map[where][]neighbour{}}
	for _, t := range standing {
		a := alert(t)
		one := neighbour{a.ID, a.Name, a.Asset}
		if a.Asset != "" {
			n.assets[where{a.Customer, a.Asset}] = append(n.assets[where{a.Customer, a.Asset}], one)
		}
		if a.Site != "" {
			n.sites[where{a.Customer, a.Site}] = append(n.sites[where{a.Customer, a.Site}], one)
		}
	}
	return n
}

// said is what else fires on a's asset and at its site, in words; empty when nothing does.
func (n nearby) said(a incident.Alert) string {
	var said []string
	here, total := []string(nil), 0
	if a.Asset != "" {
		for _, o := range n.assets[where{a.Customer, a.Asset}] {
			if o.id != a.ID {
				here, total = some(here, total, o.name)
			}
		}
	}
	if total > 0 {
		said = append(said, "on this asset: "+listed(here, total))
	}
	near, total := []string(nil), 0
	if a.Site != "" {
		for _, o := range n.sites[where{a.Customer, a.Site}] {
			switch {
			case o.id == a.ID, a.Asset != "" && o.asset == a.Asset:
			case total < maxElse:
				near, total = some(near, total, or(o.asset, "the site")+" "+o.name)
			default:
				total++
			}
		}
	}
	if total > 0 {
		said = append(said, "at this site: "+listed(near, total))
	}
	return strings.Join(said, "; ")
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
