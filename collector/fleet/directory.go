package fleet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Directory is what people declare about the fleet: customers, their sites and assets.
type Directory struct {
	Customers []Customer
	// where says in which file and line an entry stands; empty for a directory made in code.
	where map[spot]string
}

// spot names an entry of a directory by its indices; -1 for the levels below it.
type spot struct{ customer, site, asset int }

// LoadDirectory reads every *.yml and *.yaml below dir (files and directories whose name begins with a dot are left
// alone) and checks the whole. The error names every fault at once, each with file and line.
func LoadDirectory(dir string) (Directory, error) {
	d := Directory{where: map[spot]string{}}
	var errs []error
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path != dir && strings.HasPrefix(e.Name(), "."):
			if e.IsDir() {
				return filepath.SkipDir
			}
			return nil
		case e.IsDir() || !isYAML(path):
			return nil
		}
		body, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		errs = append(errs, d.read(name, body)...)
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return Directory{}, fmt.Errorf("read fleet directory %s: it does not exist: create it and declare customers "+
			"in *.yml files there, or name another: %w", dir, err)
	}
	if err != nil {
		return Directory{}, fmt.Errorf("read fleet directory %s: %w", dir, err)
	}
	if err := errors.Join(append(errs, d.faults()...)...); err != nil {
		return Directory{}, fmt.Errorf("fleet directory %s:\n%w", dir, err)
	}
	return d, nil
}

func isYAML(path string) bool {
	ext := filepath.Ext(path)
	return ext == ".yml" || ext == ".yaml"
}

// Validate names every fault at once; it changes nothing. Identifiers are words of [a-z0-9-]; customers are unique,
// sites are unique within their customer, and asset names are unique in the whole fleet, because they become the
// `instance` label.
func (d Directory) Validate() error { return errors.Join(d.faults()...) }

func (d Directory) faults() []error {
	v := validation{d: d, customers: map[string]spot{}, assets: map[string]spot{}}
	for i, c := range d.Customers {
		v.customer(i, c)
	}
	return v.errs
}

// validation collects faults on the way through a directory.
type validation struct {
	d                 Directory
	customers, assets map[string]spot
	errs              []error
}

// fault adds one; the entry is named by file and line where they are known, otherwise by its path.
func (v *validation) fault(at spot, format string, args ...any) {
	v.errs = append(v.errs, fmt.Errorf("%s: %w", v.place(at), fmt.Errorf(format, args...)))
}

func (v *validation) place(at spot) string {
	if w, ok := v.d.where[at]; ok {
		return w
	}
	c := v.d.Customers[at.customer]
	switch {
	case at.site < 0:
		return fmt.Sprintf("customer %q", c.ID)
	case at.asset < 0:
		return fmt.Sprintf("customer %q, site %q", c.ID, c.Sites[at.site].ID)
	}
	s := c.Sites[at.site]
	return fmt.Sprintf("customer %q, site %q, asset %q", c.ID, s.ID, s.Assets[at.asset].Name)
}

const idHint = "must be a word of a-z, 0-9 and -, at most 63 long, that begins and ends with a letter or digit"

func (v *validation) customer(i int, c Customer) {
	at := spot{i, -1, -1}
	if !validID(c.ID) {
		v.fault(at, "customer id %q: %s", c.ID, idHint)
	} else if first, ok := v.customers[c.ID]; ok {
		v.fault(at, "customer %q is already declared at %s: one customer stands in one place, put its sites there",
			c.ID, v.place(first))
	} else {
		v.customers[c.ID] = at
	}
	if c.Department != "" && !validID(c.Department) {
		v.fault(at, "customer %q: department %q: %s", c.ID, c.Department, idHint)
	}
	if _, err := loadZone(c.Zone); err != nil {
		v.fault(at, "customer %q: zone %q is no IANA time zone: write one like Europe/London, or leave it out for UTC",
			c.ID, c.Zone)
	}
	v.text(at, fmt.Sprintf("customer %q: name", c.ID), c.Name)
	sites := map[string]spot{}
	for j, s := range c.Sites {
		v.site(spot{i, j, -1}, c, s, sites)
	}
}

func (v *validation) site(at spot, c Customer, s Site, sites map[string]spot) {
	if !validID(s.ID) {
		v.fault(at, "customer %q: site id %q: %s", c.ID, s.ID, idHint)
	} else if first, ok := sites[s.ID]; ok {
		v.fault(at, "customer %q: site %q is already declared at %s", c.ID, s.ID, v.place(first))
	} else {
		sites[s.ID] = at
	}
	v.text(at, fmt.Sprintf("site %q: name", s.ID), s.Name)
	for k, a := range s.Assets {
		v.asset(spot{at.customer, at.site, k}, a)
	}
}

func (v *validation) asset(at spot, a Asset) {
	if !validName(a.Name) {
		v.fault(at, "asset name %q: must be of a-z, 0-9, '.', '_', ':' and '-', at most %d long, and begin and end with "+
			"a letter or digit", a.Name, maxName)
	} else if first, ok := v.assets[a.Name]; ok {
		v.fault(at, "asset %q is already declared at %s: names are unique in the whole fleet, because they become the "+
			"label `instance`; call one of them by its full host name", a.Name, v.place(first))
	} else {
		v.assets[a.Name] = at
	}
	if a.Kind != "" && a.Kind != Host && a.Kind != Device {
		v.fault(at, "asset %q: kind %q: must be %s or %s", a.Name, a.Kind, Host, Device)
	}
	if a.Users < 0 {
		v.fault(at, "asset %q: users: must not be negative, got %d", a.Name, a.Users)
	}
	v.text(at, fmt.Sprintf("asset %q: role", a.Name), a.Role)
}

func (v *validation) text(at spot, what, s string) {
	if !validText(s) {
		v.fault(at, "%s: must be one line of printable text, at most %d bytes", what, maxText)
	}
}

// loadZone refuses "Local", which the standard library takes for the collector's own zone.
func loadZone(name string) (*time.Location, error) {
	if name == "Local" {
		return nil, errors.New("not an IANA zone")
	}
	return time.LoadLocation(name)
}

// Location is the customer's time zone; UTC when none is declared. The zone of a valid directory always loads.
func (c Customer) Location() *time.Location {
	if l, err := loadZone(c.Zone); err == nil {
		return l
	}
	return time.UTC
}
