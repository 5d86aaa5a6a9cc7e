//go:build tools

// Package tools makes the etcd server's command a dependency, so that go.mod pins
// its version and go.sum everything it is built from.
package tools

import _ "go.etcd.io/etcd/server/v3"
