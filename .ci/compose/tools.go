//go:build tools

// Package tools names what is built from here: Docker Compose, which reads the Compose file.
package tools

import _ "github.com/docker/compose/v5/cmd"
