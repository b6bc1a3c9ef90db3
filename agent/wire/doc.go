// Package wire is what an agent and a collector say to each other: messages, their limits and their identity.
// It is the one room both sides share and knows neither.
package wire

//go:generate protoc --plugin=protoc-gen-go=protoc-gen-go.sh --go_out=. --go_opt=paths=source_relative wire.proto
