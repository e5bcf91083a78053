//go:build tools

// Package kube locks the programs that tests/kubernetes runs; deploy/kubernetes/tools.py builds them.
//
// Another version: change go.mod's requirement and its replacements (the lines with v0.0.0 in that
// version's own go.mod are k8s.io/kubernetes' staging modules), then `go mod tidy`.
package kube

import (
	_ "go.etcd.io/etcd/server/v3"
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
	_ "k8s.io/kubernetes/cmd/kube-scheduler"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
