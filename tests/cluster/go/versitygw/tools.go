//go:build tools

// Package tools makes the gateway's command a dependency, so that go.mod pins
// its version and go.sum everything it is built from.
package tools

import _ "github.com/versity/versitygw/cmd/versitygw"
