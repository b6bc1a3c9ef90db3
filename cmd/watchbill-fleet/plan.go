package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// planFile lists the agents of a fleet; agentsDir holds their identities, a directory each as an agent has it.
const (
	planFile  = "fleet.json"
	agentsDir = "agents"
)

// Bounds of a fleet.
const (
	maxAgents  = 50_000
	planFormat = 1
)

// plan is who is in a fleet: what prepare enrols and run simulates.
type plan struct {
	Format int       `json:"format"`
	Agents []planned `json:"agents"`
}

// planned is one agent to be.
type planned struct {
	Name     string `json:"name"`
	Customer string `json:"customer"`
	Site     string `json:"site"`
	OS       string `json:"os"`
}

// place is a customer's site.
type place struct{ customer, site string }

// places names customers × sites places, those that the directory command declares.
func places(customers, sites int) []place {
	var all []place
	for c := range customers {
		for s := range sites {
			all = append(all, place{fmt.Sprintf("simulated-%03d", c+1), fmt.Sprintf("site-%02d", s+1)})
		}
	}
	return all
}

// parsePlace reads CUSTOMER/SITE.
func parsePlace(text string) (place, error) {
	customer, site, ok := strings.Cut(text, "/")
	if !ok || customer == "" || site == "" || strings.Contains(site, "/") {
		return place{}, fmt.Errorf("place %q: want CUSTOMER/SITE, as in acme/london", text)
	}
	return place{customer, site}, nil
}

// newPlan spreads n agents over places, a share of them Windows servers, evenly among the others.
func newPlan(n int, at []place, windows float64, prefix string) plan {
	p := plan{Format: planFormat, Agents: make([]planned, n)}
	made := 0.0
	for i := range n {
		os := osLinux
		if next := math.Floor(windows * float64(i+1)); next > made {
			made, os = next, osWindows
		}
		// Blocks of neighbours share a site, as in life; which place is whose changes slowly.
		where := at[i*len(at)/n]
		p.Agents[i] = planned{Name: fmt.Sprintf("%s-%05d", prefix, i+1), Customer: where.customer, Site: where.site, OS: os}
	}
	return p
}

// dirOf is where an agent's identity lies.
func dirOf(dir, name string) string { return filepath.Join(dir, agentsDir, name) }

// errNoPlan: there is no fleet in the directory.
var errNoPlan = errors.New("no fleet is prepared there")

// readPlan reads the plan in dir. It wraps errNoPlan when there is none.
func readPlan(dir string) (plan, error) {
	file := filepath.Join(dir, planFile)
	raw, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return plan{}, fmt.Errorf("%w (no %s): run `watchbill-fleet prepare --dir %s` first", errNoPlan, file, dir)
	}
	if err != nil {
		return plan{}, fmt.Errorf("read the fleet's plan: %w", err)
	}
	p, err := decodePlan(raw)
	if err != nil {
		return plan{}, fmt.Errorf("read the fleet's plan in %s: %w: prepare a fleet in another directory", file, err)
	}
	return p, nil
}

// decodePlan reads a plan that somebody may have edited.
func decodePlan(raw []byte) (plan, error) {
	var p plan
	if err := json.Unmarshal(raw, &p); err != nil {
		return plan{}, err
	}
	switch {
	case p.Format != planFormat:
		return plan{}, fmt.Errorf("it has format %d, this release reads %d", p.Format, planFormat)
	case len(p.Agents) == 0 || len(p.Agents) > maxAgents:
		return plan{}, fmt.Errorf("it has %d agents, want 1 to %d", len(p.Agents), maxAgents)
	}
	seen := map[string]bool{}
	for i, a := range p.Agents {
		switch {
		// The name is a directory's.
		case a.Name == "" || a.Name != filepath.Base(a.Name) || strings.HasPrefix(a.Name, ".") || strings.ContainsAny(a.Name, `/\`):
			return plan{}, fmt.Errorf("agent %d: %q is no name", i+1, a.Name)
		case seen[a.Name]:
			return plan{}, fmt.Errorf("agent %s is there twice", a.Name)
		case a.OS != osLinux && a.OS != osWindows:
			return plan{}, fmt.Errorf("agent %s: system %q is neither %s nor %s", a.Name, a.OS, osLinux, osWindows)
		}
		seen[a.Name] = true
	}
	return p, nil
}

// write keeps the plan in dir, for its owner only.
func (p plan) write(dir string) error {
	raw, err := json.MarshalIndent(p, "", " ")
	if err != nil {
		return fmt.Errorf("encode the fleet's plan: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the fleet's directory: %w", err)
	}
	file := filepath.Join(dir, planFile)
	if err := os.WriteFile(file+".new", append(raw, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the fleet's plan: %w", err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		return fmt.Errorf("write the fleet's plan: %w", err)
	}
	return nil
}
