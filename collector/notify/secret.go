package notify

import (
	"fmt"
	"os"
	"strings"

	promconfig "github.com/prometheus/common/config"
)

// maxSecret bounds a secret's file, in bytes.
const maxSecret = 4096

// secretOf is a secret of the configuration, or the content of the file that key names, without the last line break;
// empty when there is neither. The file is read every time, so that a new secret needs no reload.
func secretOf(receiver, key string, secret promconfig.Secret, file string) ([]byte, error) {
	if file == "" {
		return []byte(secret), nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("%s: read %s; nothing is sent without it: %w", receiver, key, err)
	}
	defer f.Close()
	b := make([]byte, maxSecret+1)
	n, err := readFull(f, b)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: read %s %s: %w", receiver, key, file, err)
	case n > maxSecret:
		return nil, fmt.Errorf("%s: %s %s is longer than %d bytes; want one line", receiver, key, file, maxSecret)
	}
	s := strings.TrimRight(string(b[:n]), "\r\n")
	if s == "" {
		return nil, fmt.Errorf("%s: %s %s is empty; nothing is sent without it: put the secret into it, or take %s out of "+
			"the configuration", receiver, key, file, key)
	}
	return []byte(s), nil
}
