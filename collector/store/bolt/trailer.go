package bolt

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/store"
)

// BackupInfo is what a backup tells of itself.
type BackupInfo struct {
	store.Facts
	// TakenAt is the moment whose state it holds.
	TakenAt time.Time `json:"taken_at"`
	// Release is the version of the program that wrote it.
	Release string `json:"release,omitempty"`
	// Size is how many bytes of the file are the store; the trailer follows.
	Size int64 `json:"size"`
	// SHA256 is of those bytes, in hexadecimal; empty for a plain copy of a store file.
	SHA256 string `json:"sha256,omitempty"`
}

// Sealed tells whether the file carries a trailer, which was found right.
func (i BackupInfo) Sealed() bool { return i.SHA256 != "" }

// The trailer of a backup: this line, the BackupInfo as JSON on a second, zeros, and in the last four bytes a CRC-32C
// (RFC 3720, appendix B.4) of the rest, big-endian. The store before it opens with the trailer or without.
const (
	trailerSize = 512
	trailerHead = "watchbill backup 1\n"
	maxRelease  = 64
)

// trailer is the info as it stands at the end of a backup.
func (i BackupInfo) trailer() ([]byte, error) {
	i.Release = strings.ToValidUTF8(i.Release[:min(len(i.Release), maxRelease)], "")
	body, err := json.Marshal(i)
	if err != nil {
		return nil, err
	}
	b := make([]byte, trailerSize)
	n := copy(b, trailerHead)
	if n += copy(b[n:], append(body, '\n')); n > trailerSize-4 {
		return nil, fmt.Errorf("trailer of %d bytes, room for %d", n, trailerSize-4)
	}
	binary.BigEndian.PutUint32(b[trailerSize-4:], crc32.Checksum(b[:trailerSize-4], castagnoli))
	return b, nil
}

// errTrailer: there is a trailer and it is not as it was written.
var errTrailer = errors.New("the trailer is damaged")

// readTrailer reads a trailer; false when b is none.
func readTrailer(b []byte) (info BackupInfo, ok bool, err error) {
	if len(b) != trailerSize || !bytes.HasPrefix(b, []byte(trailerHead)) {
		return info, false, nil
	}
	if crc32.Checksum(b[:trailerSize-4], castagnoli) != binary.BigEndian.Uint32(b[trailerSize-4:]) {
		return info, false, fmt.Errorf("%w: it does not match its checksum", errTrailer)
	}
	line, _, _ := bytes.Cut(b[len(trailerHead):trailerSize-4], []byte("\n"))
	if err := json.Unmarshal(line, &info); err != nil {
		return BackupInfo{}, false, fmt.Errorf("%w: %w", errTrailer, err)
	}
	if sum, err := hex.DecodeString(info.SHA256); err != nil || len(sum) != sha256.Size || info.Size <= 0 || info.TakenAt.IsZero() {
		return BackupInfo{}, false, fmt.Errorf("%w: it lacks size, time or digest", errTrailer)
	}
	return info, true, nil
}

// readInfo reads a file's trailer, if it has one, and compares the digest. Without one, the info is what the file system
// says of it.
func readInfo(path string) (BackupInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return BackupInfo{}, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return BackupInfo{}, err
	}
	if !st.Mode().IsRegular() {
		return BackupInfo{}, fmt.Errorf("it is no file (%v)", st.Mode().Type())
	}
	tail := make([]byte, trailerSize)
	if _, err := f.ReadAt(tail, st.Size()-trailerSize); err != nil && st.Size() >= trailerSize {
		return BackupInfo{}, err
	}
	info, ok, err := readTrailer(tail)
	switch {
	case err != nil:
		return info, store.Damaged(path, err.Error())
	case !ok:
		return BackupInfo{TakenAt: st.ModTime().UTC(), Size: st.Size()}, nil
	case info.Size != st.Size()-trailerSize:
		return info, store.Damaged(path, fmt.Sprintf("%d bytes where its trailer says %d", st.Size()-trailerSize, info.Size))
	}
	sum := sha256.New()
	if _, err := io.CopyN(sum, f, info.Size); err != nil {
		return info, err
	}
	if hex.EncodeToString(sum.Sum(nil)) != info.SHA256 {
		return info, store.Damaged(path, "the content does not match the digest in its trailer")
	}
	return info, nil
}
