//go:build tools

// Package tools makes krew's commands dependencies, so that go.mod pins their
// version and go.sum everything they are built from.
package tools

import (
	_ "sigs.k8s.io/krew/cmd/krew"
	_ "sigs.k8s.io/krew/cmd/validate-krew-manifest"
)
