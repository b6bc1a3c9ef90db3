package fleet

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// errNotLoaded: a method that needs what Load reads was called before it.
var errNotLoaded = errors.New("fleet registry is not loaded")

// Options say what a Registry needs from outside; each has a default.
type Options struct {
	// Now is the clock; time.Now by default.
	Now func() time.Time
	// Logger gets what a person should look at; nothing is logged by default.
	Logger *slog.Logger
	// AgentAddress is the host:port of the agents' listener that tokens carry, unless a TokenRequest names another.
	AgentAddress string
}

// Registry is the fleet as it is now: what the directory declares and what the Keeper holds, in memory. Reading never
// waits for the Keeper; a change is durable before it is seen. Safe for concurrent use.
type Registry struct {
	keeper  Keeper
	now     func() time.Time
	log     *slog.Logger
	address string

	// change is held from the beginning of a transaction until memory shows it, so that two changes of one record
	// reach memory in the order in which they were committed.
	change sync.Mutex
	// stale is set while memory may lack what the Keeper has. It belongs to change.
	stale bool

	mu sync.RWMutex
	// files is what the directory's files declare, made what commands did, the picture is of both. They change while change
	// is held, too.
	files Directory
	made  madeRecords
	picture
	enrolled  map[string]Asset // as the Keeper holds them
	assets    map[string]Asset // what was declared and what enrolled make together
	agents    map[string]Agent
	tokens    map[string]Token
	operators map[string]Operator // by digest
	trust     *trust              // nil before Load
	// changed counts changes of what is declared.
	changed uint64
	// watched counts changes of which agents there are.
	watched uint64
	// proven is the fingerprint of the newer authority that an agent has shown a certificate of, where its record does not
	// say so yet.
	proven map[string]string
}

// NewRegistry makes an empty registry; Load fills it.
func NewRegistry(k Keeper, o Options) *Registry {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	g := &Registry{keeper: k, now: o.Now, log: o.Logger, address: o.AgentAddress, proven: map[string]string{}}
	g.forget()
	g.picture = newPicture(Directory{})
	g.mergeAll()
	return g
}

func (g *Registry) forget() {
	g.enrolled, g.agents = map[string]Asset{}, map[string]Agent{}
	g.tokens, g.operators = map[string]Token{}, map[string]Operator{}
}

// Load reads agents, tokens and operators from the Keeper, and the authorities, the first of which it makes at the first start; of
// two starts at once one authority wins and both use it. Calling it again reads everything anew.
func (g *Registry) Load(ctx context.Context) error {
	g.change.Lock()
	defer g.change.Unlock()
	if err := g.load(ctx); err != nil {
		return err
	}
	g.sayMade()
	return nil
}

// reloadTimeout bounds reading everything anew after a change that failed.
const reloadTimeout = 10 * time.Second

// update is every change's way to the Keeper. The caller holds change. A change that failed may have been committed all
// the same, or another collector on the same store may have been faster: either way memory is read anew.
func (g *Registry) update(ctx context.Context, kind string, fn func(Records) error) error {
	if g.stale {
		if err := g.load(ctx); err != nil {
			return err
		}
	}
	err := g.keeper.UpdateFleet(ctx, newDecision(kind), fn)
	if err == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reloadTimeout)
	defer cancel()
	if again := g.load(ctx); again != nil {
		g.stale = true
		g.log.Error("the fleet in memory may be behind the store; it will be read anew before the next change", "error", again)
	}
	return err
}

// load reads everything. The caller holds change.
func (g *Registry) load(ctx context.Context) error {
	trust, err := g.loadTrust(ctx)
	if err != nil {
		return fmt.Errorf("load fleet: %w", err)
	}
	var kept kept
	if err := g.keeper.ViewFleet(ctx, kept.read); err != nil {
		return fmt.Errorf("load fleet: %w", err)
	}
	p := newPicture(g.files.with(kept.made))
	g.mu.Lock()
	defer g.mu.Unlock()
	g.forget()
	g.made, g.picture = kept.made, p
	g.changed++
	g.trust = trust
	for _, a := range kept.assets {
		g.enrolled[a.Name] = a
	}
	for _, a := range kept.agents {
		g.agents[a.ID] = a
	}
	for _, t := range kept.tokens {
		g.tokens[t.ID] = t
	}
	for _, o := range kept.operators {
		o.Roles = o.Held()
		g.operators[o.Digest] = o
	}
	g.mergeAll()
	g.watched++
	g.stale = false
	return nil
}

// kept is what the Keeper has, but for the authorities.
type kept struct {
	assets    []Asset
	agents    []Agent
	tokens    []Token
	operators []Operator
	made      madeRecords
}

func (k *kept) read(r Records) (err error) {
	if k.assets, err = r.Assets(); err != nil {
		return err
	}
	if k.agents, err = r.Agents(); err != nil {
		return err
	}
	if k.tokens, err = r.Tokens(); err != nil {
		return err
	}
	if k.operators, err = r.Operators(); err != nil {
		return err
	}
	k.made, err = readMade(r)
	return err
}

func (g *Registry) loadTrust(ctx context.Context) (*trust, error) {
	var certPEM, keyPEM []byte
	var there bool
	err := g.keeper.ViewFleet(ctx, func(r Records) (err error) {
		certPEM, keyPEM, there, err = r.Authority()
		return err
	})
	if err != nil {
		return nil, err
	}
	if there {
		return parseTrust(certPEM, keyPEM)
	}
	made, err := NewAuthority(g.now())
	if err != nil {
		return nil, err
	}
	madeCert, madeKey, err := made.PEM()
	if err != nil {
		return nil, err
	}
	err = g.keeper.UpdateFleet(ctx, newDecision("authority"), func(r Records) (err error) {
		certPEM, keyPEM, there, err = r.Authority()
		if err != nil || there {
			return err
		}
		certPEM, keyPEM = madeCert, madeKey
		return r.PutAuthority(madeCert, madeKey)
	})
	if err != nil {
		return nil, err
	}
	return parseTrust(certPEM, keyPEM)
}

// SetDirectory puts another directory in place of the present one, at once and whole. One that is invalid, by itself or
// together with what commands declared, changes nothing and its error names every fault. An agent that has enrolled keeps
// its customer and site whatever the directory says: where the two disagree a warning is logged and the declaration waits
// until the agent is revoked.
func (g *Registry) SetDirectory(d Directory) error {
	g.change.Lock()
	defer g.change.Unlock()
	whole := d.with(g.made)
	if err := whole.Validate(); err != nil {
		return fmt.Errorf("set fleet directory: %w", err)
	}
	g.show(d, g.made, newPicture(whole))
	g.sayMade()
	return nil
}

// show puts another picture in place of the present one. The caller holds change.
func (g *Registry) show(files Directory, made madeRecords, p picture) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.files, g.made, g.picture = files, made, p
	g.changed++
	g.mergeAll()
}

func (g *Registry) mergeAll() {
	g.assets = map[string]Asset{}
	for name := range g.declared {
		g.merge(name)
	}
	for name := range g.enrolled {
		g.merge(name)
	}
}

// merge makes one asset of what was declared and what enrolled: an agent that was not revoked keeps its customer and
// site; an asset that nobody declares and whose agent is revoked is watched no longer.
func (g *Registry) merge(name string) {
	declared, isDeclared := g.declared[name]
	enrolled, isEnrolled := g.enrolled[name]
	same := declared.Customer == enrolled.Customer && declared.Site == enrolled.Site
	speaks := isEnrolled && enrolled.Agent != "" && g.agents[enrolled.Agent].RevokedAt.IsZero()
	switch {
	case isDeclared && (same || !speaks):
		if same {
			declared.Agent = enrolled.Agent
		}
		g.assets[name] = declared
	case speaks:
		if isDeclared {
			g.log.Warn("asset is declared for one site, but its agent enrolled for another; the agent's stays in force: "+
				"revoke the agent with `watchbill agent revoke "+name+"` and enrol it again, or correct the directory",
				"asset", name, "declared", declared.Customer+"/"+declared.Site,
				"enrolled", enrolled.Customer+"/"+enrolled.Site)
		}
		g.assets[name] = enrolled
	default:
		delete(g.assets, name)
	}
}

// Asset finds what is watched under a name: declared, enrolled, or both.
func (g *Registry) Asset(name string) (Asset, bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	a, ok := g.assets[name]
	return a, ok
}

// Assets is everything that is watched, by name. An asset that enrolment alone made is not Declared; one whose agent is
// revoked and that nobody declares is not among them.
func (g *Registry) Assets() []Asset {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return slices.SortedFunc(maps.Values(g.assets), func(a, b Asset) int { return strings.Compare(a.Name, b.Name) })
}

// Fingerprint is that of the authority which vouches for the agents' listener, empty before Load.
func (g *Registry) Fingerprint() string {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.trust == nil {
		return ""
	}
	return g.trust.listener().Fingerprint()
}

// ClientCAs are the authorities whose agents are listened to, now: the same pool until one comes or goes. Do not change
// it. Nil before Load.
func (g *Registry) ClientCAs() *x509.CertPool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.trust == nil {
		return nil
	}
	return g.trust.pool
}

// newSecret is 130 random bits as a lower-case word.
func newSecret() string { return strings.ToLower(rand.Text()) }

// newDecision names one change for good: made once, before its transaction, it stays the same however often the
// Keeper runs it.
func newDecision(kind string) string { return "fleet/" + kind + "/" + newSecret() }

func digestOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return fmt.Sprintf("%x", sum)
}
