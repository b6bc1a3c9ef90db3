package fleet

import "fmt"

// SetDirectoryWith is SetDirectory where something else changes with the directory. check sees what files and commands
// declare together before anything changes, and may refuse all of it. swap is called once, when nothing can fail any more: it
// calls show, which shows the new directory, while whoever reads both waits for it. Neither may ask the registry for a
// change; swap may not ask it for anything before show returned.
func (g *Registry) SetDirectoryWith(d Directory, check func(whole Directory) error, swap func(show func())) error {
	g.change.Lock()
	defer g.change.Unlock()
	whole := d.with(g.made)
	if err := whole.Validate(); err != nil {
		return fmt.Errorf("set fleet directory: %w", err)
	}
	if err := check(whole); err != nil {
		return err
	}
	p := newPicture(whole)
	swap(func() { g.show(d, g.made, p) })
	g.sayMade()
	return nil
}
