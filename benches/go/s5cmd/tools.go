//go:build tools

// Package tools makes s5cmd a dependency, so that go.mod pins its version and
// go.sum everything it is built from.
package tools

import _ "github.com/peak/s5cmd/v2"
