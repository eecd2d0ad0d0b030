//go:build tools

// Pins the real Argo workflow-controller. Argo 3.7 carries a replace directive,
// so `go install pkg@version` refuses it and a wrapper module is needed.
package argo

import _ "github.com/argoproj/argo-workflows/v3/cmd/workflow-controller"
