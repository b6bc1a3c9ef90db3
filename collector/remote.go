package collector

import (
	"path/filepath"

	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/history/remote"
)

// openRemote makes what writes samples on to engines elsewhere. It is there without a target, too, for a reload may bring one.
func (c *Collector) openRemote() (err error) {
	c.remote, err = remote.New(filepath.Join(c.cfg.Storage.Path, "remote_write"), remote.Options{
		Logger: c.log.With("part", "remote write"), Registerer: c.reg, Version: api.ReadBuild().Version,
	})
	if err != nil {
		return err
	}
	plan, err := c.remote.Plan(c.cfg.Remote)
	if err != nil {
		return err
	}
	c.remote.Adopt(plan)
	return nil
}
