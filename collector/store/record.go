package store

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// A record is its kind (the table's letter), the version of its encoding, a CRC-32C (RFC 3720, appendix B.4) over key,
// kind, version and payload, and the payload. The key is under the sum, so a record that turns up under another key is
// noticed too.
const (
	headerSize    = 6
	recordVersion = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(k, head, payload []byte) uint32 {
	sum := crc32.Update(0, castagnoli, k)
	sum = crc32.Update(sum, castagnoli, head)
	return crc32.Update(sum, castagnoli, payload)
}

func seal(k key, payload []byte) []byte {
	v := make([]byte, headerSize, headerSize+len(payload))
	v[0], v[1] = k[0], recordVersion
	binary.BigEndian.PutUint32(v[2:], checksum(k, v[:2], payload))
	return append(v, payload...)
}

// CheckRecord tells whether value is what this package once stored under key; the error says which record it is and
// what is wrong with it. Engines use it to name the culprit when they check all they have.
func CheckRecord(key, value []byte) error {
	_, err := open(key, value)
	return err
}

// open returns the payload of a record, or what is wrong with it.
func open(k, v []byte) ([]byte, error) {
	switch {
	case len(v) < headerSize:
		return nil, fmt.Errorf("%s is cut short: %d bytes of at least %d", describe(k), len(v), headerSize)
	case checksum(k, v[:2], v[headerSize:]) != binary.BigEndian.Uint32(v[2:]):
		return nil, fmt.Errorf("%s does not match its checksum", describe(k))
	case len(k) == 0 || v[0] != k[0]:
		return nil, fmt.Errorf("%s holds a record of kind %q", describe(k), v[0])
	case v[1] != recordVersion:
		return nil, fmt.Errorf("%s has record version %d, and this release reads %d", describe(k), v[1], recordVersion)
	}
	return v[headerSize:], nil
}
