package wire

// Media types. The version in them is the version of the encoding. An answer carries the media type of its request; a
// collector that does not read a request's type answers 415 and lists in Accept the types it does (RFC 9110, 12.5.1).
const (
	TypeReport   = "application/vnd.watchbill.report.v0+protobuf"
	TypeReportV1 = "application/vnd.watchbill.report.v1+protobuf"
	TypeBulkV1   = "application/vnd.watchbill.bulk.v1+protobuf"
	TypeHello    = "application/vnd.watchbill.hello.v0+protobuf"
	TypeEnrol    = "application/vnd.watchbill.enrol.v0+protobuf"
)

// Paths on the collector's listener for agents; all are POST.
const (
	PathReport = "/agent/v0/report" // Report -> Ack
	PathBulk   = "/agent/v0/bulk"   // Bulk   -> Ack
	PathHello  = "/agent/v0/hello"  // Hello  -> Ack
	PathEnrol  = "/agent/v0/enrol"  // Enrol  -> Enrolled, with a token
	PathRenew  = "/agent/v0/renew"  // Enrol  -> Enrolled, with the present certificate
)

// Headers that the protocol uses.
const (
	HeaderType   = "Content-Type"
	HeaderCoding = "Content-Encoding"
	HeaderAccept = "Accept"
)

// CodingZstd is the one content coding (RFC 8878) a body may have; without one it is plain. Its window is at most
// ZstdWindow bytes, so that reading a body costs a bounded buffer whatever the frame claims.
const (
	CodingZstd = "zstd"
	ZstdWindow = 128 << 10
)

// NameLabel is the label that holds a series' metric name.
const NameLabel = "__name__"
