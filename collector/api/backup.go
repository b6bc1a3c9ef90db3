package api

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
)

// Download is an answer that is a file and no JSON object.
type Download struct {
	// Name is what a browser would call it.
	Name string
	// Size in bytes.
	Size int64
	// Media is its media type; MediaBackup when empty.
	Media string
	Body  io.ReadCloser
}

// MediaBackup is the media type of a backup.
const MediaBackup = "application/vnd.watchbill.backup"

func (a *API) backup(r *http.Request, who fleet.Operator) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	d, err := a.o.Backup(r.Context())
	if err != nil {
		return nil, fmt.Errorf("back up the store: %w", err)
	}
	a.o.Logger.Info("backup handed out", "by", who.Name, "bytes", d.Size)
	return d, nil
}

// chunk is how much of a download must be taken within chunkTimeout.
const chunk = 1 << 20

// stream hands out a download for as long as the client takes it. One that breaks off is shorter than its
// Content-Length, which every client notices, and lacks its trailer.
func (a *API) stream(w http.ResponseWriter, r *http.Request, d Download) {
	h := w.Header()
	h.Set("Content-Type", cmp.Or(d.Media, MediaBackup))
	h.Set("Content-Length", strconv.FormatInt(d.Size, 10))
	h.Set("Content-Disposition", `attachment; filename="`+d.Name+`"`)
	w.WriteHeader(http.StatusOK)
	rc := http.NewResponseController(w)
	var err error
	for left := d.Size; err == nil && left > 0; {
		_ = rc.SetWriteDeadline(time.Now().Add(chunkTimeout)) // tests' recorders have none
		var n int64
		n, err = io.CopyN(w, d.Body, min(left, chunk))
		left -= n
	}
	if err = errors.Join(err, d.Body.Close()); err != nil {
		a.o.Logger.Warn("a download broke off", "path", r.URL.Path, "file", d.Name, "err", err)
	}
}
