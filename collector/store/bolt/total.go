package bolt

import "hash/crc32"

// A page that is sound by itself may still not be the newest: a write was lost, or the page above leads to a free page
// that once was this one. Checksums of single records do not tell, nor that some are missing. So every transaction also
// writes a total over all records there are, and opening the file adds them up.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// share is what a record adds to the total: the sum of all shares, modulo 2^64, is the same whatever the order in which
// the records came, and changes when one is missing, old or altered. It is SplitMix64's finaliser (Steele, Lea, Flood:
// "Fast splittable pseudorandom number generators", 2014) over the CRC-32C of length of key, key and value. It guards
// against accidents, not against someone who can write the file. An absent record's share is 0.
func share(key, value []byte) uint64 {
	if value == nil {
		return 0
	}
	n := uint32(len(key))
	sum := crc32.Update(0, castagnoli, []byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
	sum = crc32.Update(crc32.Update(sum, castagnoli, key), castagnoli, value)
	z := uint64(sum) + 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
