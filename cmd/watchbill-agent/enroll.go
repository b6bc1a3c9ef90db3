package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchbill/watchbill/agent/enroll"
	"github.com/watchbill/watchbill/agent/sample"
)

// maxTokenFile is many tokens' size.
const maxTokenFile = 64 << 10

func newEnroll(f *flags) *cobra.Command {
	var token, tokenFile string
	var replace bool
	cmd := &cobra.Command{
		Use:   "enroll",
		Short: "Turn a one-time token into this host's identity",
		Long: `Turns a one-time token, made by "watchbill token create" at the collector, into this host's identity: a key that never
leaves the host and a certificate for it, kept in the directory "identity" of the data directory. The token names the
collector and the fingerprint of its authority; no other is trusted.

Run it as the user the agent runs as, so that the agent can read the key. A token on the command line can be seen by
other users of this host while the command runs; --token-file, or "-" for standard input, avoids that.`,
		Example: `  watchbill-agent enroll --token-file=/root/token
  sudo -u watchbill-agent watchbill-agent enroll --token-file=- < token
  watchbill-agent enroll --token=wb1.eyJhIjoi… --replace`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (token == "") == (tokenFile == "") {
				return usageError{errors.New("give either --token or --token-file"), cmd.CommandPath()}
			}
			cfg, err := f.config()
			if err != nil {
				return err
			}
			if tokenFile != "" {
				if token, err = readToken(tokenFile, cmd.InOrStdin()); err != nil {
					return err
				}
			}
			parsed, err := enroll.ParseToken(token)
			if err != nil {
				return err
			}
			proxy, err := enroll.ParseProxy(cfg.Proxy)
			if err != nil {
				return err
			}
			cfg.Samplers.Version = version()
			inventory, err := sample.Inventory(cmd.Context(), cfg.Samplers)
			if err != nil {
				return fmt.Errorf("describe this host: %w", err)
			}
			id, err := enroll.Enroll(cmd.Context(), enroll.Options{Token: parsed, Dir: cfg.IdentityDir(), Inventory: inventory, Replace: replace, Proxy: proxy})
			if err != nil {
				return explainStart(cfg, err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "Enrolled as %s (customer %s, site %s) with the collector at %s.\nThe certificate is valid until %s and renews itself. Now start the agent:\n\n  %s\n",
				id.Asset, id.Customer, id.Site, id.Collector, id.Certificate.Leaf.NotAfter.UTC().Format(time.RFC3339),
				f.command(cmd.Root().CommandPath()+" run"))
			return err
		},
	}
	cmd.Flags().StringVar(&token, "token", "", "the token")
	cmd.Flags().StringVar(&tokenFile, "token-file", "", "file that holds the token; - for standard input")
	cmd.Flags().BoolVar(&replace, "replace", false, "replace the identity this host has")
	return cmd
}

// readToken reads a bounded file, or standard input.
func readToken(path string, stdin io.Reader) (string, error) {
	from := stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return "", fmt.Errorf("read token: %w", err)
		}
		defer file.Close()
		from = file
	}
	raw, err := io.ReadAll(io.LimitReader(from, maxTokenFile))
	if err != nil {
		return "", fmt.Errorf("read token from %s: %w", path, err)
	}
	return string(raw), nil
}
