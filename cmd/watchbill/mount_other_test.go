//go:build !linux

package main

func mountNamespaceChild() bool { return false }
