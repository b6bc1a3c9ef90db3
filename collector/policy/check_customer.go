package policy

import (
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
)

// CheckCustomer is what Check finds in the contracts of one customer that are in force or to come, in the order of files and
// lines; d says who can be reached for it: its people, departments and operator's contacts.
func (b *Book) CheckCustomer(d fleet.Directory, c fleet.Customer, now time.Time) []Finding {
	var found []Finding
	people := peopleOf(d)
	for _, k := range c.Contracts {
		if !Over(k, now) {
			k.Customer = c.ID
			found = append(found, b.checkContract(people, c, k, now)...)
		}
	}
	return sorted(found)
}
