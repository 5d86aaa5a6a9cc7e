//go:build tools

// Package tools makes the etcd server's command a dependency, so that go.mod pins
// its version and go.sum everything it is built from. Tags of 3.4 are no module
// versions, so it is named by a commit: v3.4.13's.
package tools

import _ "go.etcd.io/etcd"
