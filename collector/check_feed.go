package collector

import (
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/policy"
)

// checkPlaces warns of customers and sites that mappings of the feed name and the fleet's directory does not. It is no fault: who
// may declares customers while a collector runs.
func checkPlaces(c Config, written form, d fleet.Directory) (out []policy.Finding) {
	customers, sites := map[string]bool{}, map[string]bool{}
	for _, one := range d.Customers {
		customers[one.ID] = true
		for _, s := range one.Sites {
			sites[s.ID] = true
		}
	}
	for i, m := range c.Feed.Mappings {
		for _, look := range []struct {
			field, what string
			said        []string
			known       map[string]bool
		}{
			{"customer", "customer", said(m.Set.Customer.Value, m.Set.Customer.Map), customers},
			{"site", "site of any customer", said(m.Set.Site.Value, m.Set.Site.Map), sites},
		} {
			for _, name := range look.said {
				if !look.known[name] {
					at := fmt.Errorf("feed.mappings[%d].set.%s: %q is no %s in fleet.directory", i, look.field, name, look.what)
					out = append(out, policy.Finding{Text: written.place(at).Error(),
						Fix: "correct it, or declare it: until then such alerts are " + map[string]string{"customer": "the operator's", "site": "of no site"}[look.field]})
				}
			}
		}
	}
	return out
}

// said are the words that a mapping's value can be made of, as far as the mapping itself names them.
func said(value string, words map[string]string) []string {
	all := slices.Sorted(maps.Values(words))
	if value != "" {
		all = append(all, value)
	}
	return slices.Compact(all)
}

// checkCredentials names files with credentials of remote-write targets that cannot be read: they are read when samples are sent,
// and again when they changed.
func checkCredentials(c Config) (errs []error) {
	for i, t := range c.Remote.Targets {
		files := map[string]string{}
		if a := t.HTTP.Authorization; a != nil {
			files["authorization.credentials_file"] = a.CredentialsFile
		}
		if b := t.HTTP.BasicAuth; b != nil {
			files["basic_auth.password_file"], files["basic_auth.username_file"] = b.PasswordFile, b.UsernameFile
		}
		if o := t.HTTP.OAuth2; o != nil {
			files["oauth2.client_secret_file"] = o.ClientSecretFile
		}
		for _, key := range slices.Sorted(maps.Keys(files)) {
			if files[key] == "" {
				continue
			}
			if _, err := os.ReadFile(files[key]); err != nil {
				errs = append(errs, fmt.Errorf("remote_write[%d].%s: %w: correct it, or put the file there", i, key, err))
			}
		}
	}
	return errs
}
