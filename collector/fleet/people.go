package fleet

// Person is somebody the directory names: the operator's own, and anybody who is named more than once.
type Person struct {
	// ID is a word of [a-z0-9-], unique in the fleet.
	ID    string `yaml:"id" json:"id"`
	Name  string `yaml:"name,omitempty" json:"name"`
	Email string `yaml:"email,omitempty" json:"email,omitempty"`
	Phone string `yaml:"phone,omitempty" json:"phone,omitempty"`
	// Receivers are the names of the notification receivers that reach this person.
	Receivers []string `yaml:"receivers,omitempty,flow" json:"receivers,omitempty"`
	// At and MadeBy are as in Customer.
	At     string `yaml:"-" json:"-"`
	MadeBy string `yaml:"-" json:"made_by,omitempty"`
}

// Contact is somebody in a role: a Person by ID, or somebody described on the spot.
type Contact struct {
	// Role is a contact role; see ContactRoles.
	Role Role `yaml:"role" json:"role"`
	// Person is the ID of a Person; empty for somebody described here.
	Person    string   `yaml:"person,omitempty" json:"person,omitempty"`
	Name      string   `yaml:"name,omitempty" json:"name,omitempty"`
	Email     string   `yaml:"email,omitempty" json:"email,omitempty"`
	Phone     string   `yaml:"phone,omitempty" json:"phone,omitempty"`
	Receivers []string `yaml:"receivers,omitempty,flow" json:"receivers,omitempty"`
	// At is as in Customer.
	At string `yaml:"-" json:"-"`
}

// Reachable tells whether there is any way to tell this contact something by machine.
func (c Contact) Reachable() bool { return c.Email != "" || len(c.Receivers) > 0 }

// Department owns customers and may be one itself.
type Department struct {
	// ID is a word of [a-z0-9-], unique among departments.
	ID   string `yaml:"id" json:"id"`
	Name string `yaml:"name,omitempty" json:"name"`
	// Zone is as in Customer; UTC when empty.
	Zone string `yaml:"zone,omitempty" json:"zone,omitempty"`
	// Customer says that it is a customer at once, with the department's ID. Where a customer of that ID is declared
	// (it has sites, contracts and so on), that one is meant; otherwise there is one with the department's name and zone.
	Customer bool      `yaml:"customer,omitempty" json:"customer,omitempty"`
	Contacts []Contact `yaml:"contacts,omitempty" json:"contacts,omitempty"`
	// At and MadeBy are as in Customer.
	At     string `yaml:"-" json:"-"`
	MadeBy string `yaml:"-" json:"made_by,omitempty"`
}

// SoftwareKind is what kind of thing is approved.
type SoftwareKind string

// The kinds of software.
const (
	KindApplication SoftwareKind = "application"
	KindConnection  SoftwareKind = "connection"
	KindSoftware    SoftwareKind = "software"
)

// SoftwareKinds lists them.
func SoftwareKinds() []SoftwareKind {
	return []SoftwareKind{KindApplication, KindConnection, KindSoftware}
}

// Software is something the operator approved and therefore supports.
type Software struct {
	// Name is unique within its kind, whatever the case of its letters.
	Name string `yaml:"name" json:"name"`
	// Versions are the approved ones; one that ends with * stands for all that begin so. None stands for all.
	Versions []string `yaml:"versions,omitempty,flow" json:"versions,omitempty"`
	// Kind is KindSoftware when the directory does not say.
	Kind SoftwareKind `yaml:"kind,omitempty" json:"kind"`
	// At is as in Customer.
	At string `yaml:"-" json:"-"`
}
