#!/bin/sh
# Runs the generator at the version go.mod names.
exec go tool protoc-gen-go "$@"
