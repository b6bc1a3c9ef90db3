package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchbill/watchbill/collector"
	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/store/bolt"
)

// downloadTimeout bounds a whole backup over the line.
const downloadTimeout = 2 * time.Hour

func newBackupCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup [FILE]",
		Short: "Copy a collector's store into a file",
		Long: `Copies the store into FILE: tickets, alert states, messages, fleet, operators and the agents' certificate authority. The
collector goes on meanwhile; with none running at the default --url, the store in --storage.path is copied itself. FILE
is complete and verified by opening it, or it is not there; it is readable by its owner alone (it holds private keys) and
an existing file is never overwritten. Graphs (history) are not in it.

The collector also makes backups by itself: see "backup" in its configuration. One on another disk, in another place, is
the one that helps when this disk is lost.`,
		Example: `  watchbill backup
  watchbill backup /mnt/safe/watchbill.backup
  watchbill backup --url https://watch.example:9720 tonight.backup
  watchbill restore /mnt/safe/watchbill.backup      # puts it back`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("%q is one argument too many", args[1])
			}
			return nil
		},
	}
	c := connect(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := c.checkOutput(); err != nil {
			return err
		}
		file := collector.BackupName(time.Now())
		if len(args) == 1 {
			file = args[0]
		}
		info, err := c.backup(cmd.Context(), file)
		if errors.Is(err, errUnreachable) && !cmd.Flags().Changed("url") {
			var offline error
			if info, offline = backupLocally(cmd.Context(), c.storage, file); offline != nil {
				return fmt.Errorf("%w; and the store cannot be copied directly: %w", err, offline)
			}
			err = nil
		}
		if err != nil {
			return err
		}
		return printBackup(cmd, c, file, info)
	}
	return cmd
}

// backup fetches a backup from the collector. What stands in the way of the file is told before one is made.
func (c *connection) backup(ctx context.Context, file string) (bolt.BackupInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, downloadTimeout)
	defer cancel()
	f, err := bolt.CreateBackup(file)
	if err != nil {
		return bolt.BackupInfo{}, err
	}
	if err := c.download(ctx, f); err != nil {
		return bolt.BackupInfo{}, errors.Join(err, f.Discard())
	}
	return f.Keep()
}

func (c *connection) download(ctx context.Context, to io.Writer) error {
	resp, as, err := c.send(ctx, http.MethodGet, "/backup", nil, nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.Header.Get("Content-Type") != api.MediaBackup {
		if _, err := c.answer(resp, as); err != nil {
			return err
		}
		return fmt.Errorf("%s answered %q, but with no backup: check --url", c.url, resp.Status)
	}
	if _, err := io.Copy(to, resp.Body); err != nil {
		return fmt.Errorf("the backup from the collector at %s broke off, nothing is kept of it: %w", c.url, err)
	}
	return nil
}

// backupLocally copies the store of a collector that does not run.
func backupLocally(ctx context.Context, storage, file string) (bolt.BackupInfo, error) {
	return bolt.BackupOffline(ctx, filepath.Join(storage, collector.StoreName), file, api.ReadBuild().Version)
}

func printBackup(cmd *cobra.Command, c *connection, file string, info bolt.BackupInfo) error {
	if c.output == "json" {
		raw, err := json.Marshal(struct {
			File string `json:"file"`
			bolt.BackupInfo
		}{file, info})
		if err != nil {
			return fmt.Errorf("print the backup: %w", err)
		}
		return printJSON(cmd.OutOrStdout(), raw)
	}
	s := screenOf(cmd)
	fmt.Fprintf(s.w, "Backed up to %s and verified: %d bytes, the state of %s, up to ticket WB-%d.\n", clean(file), info.Size,
		s.stamp(info.TakenAt), info.TicketNumber)
	fmt.Fprintln(s.w, "It holds private keys: keep it as you would a password.")
	return nil
}

func newRestoreCmd() *cobra.Command {
	var storage string
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a backup in the place of the store",
		Long: `Puts a backup in the place of the store in --storage.path. The backup is verified first and stays as it is; the store
that was there is kept aside. No collector may run on it.

What the world saw since the backup cannot be taken back, so the restored store goes on as another incarnation: ticket
numbers continue after a gap, so that none is given twice; messages that were queued are parked and none is sent by
itself ("watchbill outbox list --state parked"); unused enrolment tokens are void; agents are asked to send again what
they still have. What was decided since is gone: look at "watchbill agent list" and "watchbill operator list" for those
who were revoked or removed, and have agents that were enrolled since enrol again.`,
		Example: `  systemctl stop watchbill
  watchbill restore /var/lib/watchbill/backups/` + collector.BackupName(time.Date(2026, 11, 21, 18, 0, 0, 0, time.UTC)) + ` --storage.path /var/lib/watchbill
  systemctl start watchbill`,
		Args: takes("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if storage == "" {
				return usagef("--storage.path is missing: there is no usual place for this user")
			}
			did, err := collector.Restore(storage, args[0])
			if err != nil && !errors.Is(err, collector.ErrNotRecorded) {
				return err
			}
			printRestored(screenOf(cmd), args[0], storage, did)
			return err
		},
	}
	cmd.Flags().StringVar(&storage, "storage.path", collector.DefaultStoragePath(), "directory of the collector's store")
	return cmd
}

func printRestored(s screen, file, storage string, did bolt.Restored) {
	fmt.Fprintf(s.w, "Restored %s: the state of %s.\n\n", clean(file), s.stamp(did.TakenAt))
	fmt.Fprintf(s.w, "  ticket numbers  continue at WB-%d; WB-%d to WB-%d may have been given to tickets that are not in it\n",
		did.TicketNumber+1, did.LastTicketNumber+1, did.TicketNumber)
	fmt.Fprintf(s.w, "  messages        %d parked, none is sent by itself: watchbill outbox list --state parked\n", did.Parked)
	fmt.Fprintf(s.w, "  tokens          %d unused enrolment tokens are void: watchbill token create\n", did.Tokens)
	if did.Aside != "" {
		fmt.Fprintf(s.w, "  the old store   is kept as %s\n", clean(did.Aside))
	}
	fmt.Fprintf(s.w, "\nStart the collector again. Then look at `watchbill agent list` and `watchbill operator list`: whoever was revoked\n"+
		"or removed since the backup is back, whoever was added since is gone. This is recorded in %s.\n",
		clean(filepath.Join(storage, collector.RestoresName)))
}
