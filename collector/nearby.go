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
	// here counts those of an asset at a site.
	here  map[spot]int
	count int
}

// where is an asset or a site of a customer.
type where struct{ customer, name string }

type spot struct{ customer, site, asset string }

type neighbour struct{ id, name, asset string }

// newNearby sorts what fires, seen as incidents see it.
func newNearby(standing []rules.Transition, alert func(rules.Transition) incident.Alert) nearby {
	n := nearby{assets: map[where][]neighbour{}, sites: map[where][]neighbour{}, here: map[spot]int{}}
	for _, t := range standing {
		n.add(alert(t))
	}
	return n
}

// add is for the maker of n: others may be reading it.
func (n *nearby) add(a incident.Alert) {
	one := neighbour{a.ID, a.Name, a.Asset}
	n.count++
	if a.Asset != "" {
		n.assets[where{a.Customer, a.Asset}] = append(n.assets[where{a.Customer, a.Asset}], one)
	}
	if a.Site != "" {
		n.sites[where{a.Customer, a.Site}] = append(n.sites[where{a.Customer, a.Site}], one)
		n.here[spot{a.Customer, a.Site, a.Asset}]++
	}
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
	near, total := n.near(a)
	if total > 0 {
		said = append(said, "at this site: "+listed(near, total))
	}
	return strings.Join(said, "; ")
}

// near is what fires at a's site on others than a's asset: some of it, and how much it is.
func (n nearby) near(a incident.Alert) (some []string, total int) {
	if a.Site == "" {
		return nil, 0
	}
	list := n.sites[where{a.Customer, a.Site}]
	if a.Asset != "" {
		total = len(list) - n.here[spot{a.Customer, a.Site, a.Asset}]
	} else {
		for _, o := range list {
			if o.id != a.ID {
				total++
			}
		}
	}
	for _, o := range list {
		if len(some) == maxElse {
			break
		}
		if o.id != a.ID && (a.Asset == "" || o.asset != a.Asset) {
			some = append(some, or(o.asset, "the site")+" "+o.name)
		}
	}
	return some, total
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
