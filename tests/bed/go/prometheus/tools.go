//go:build tools

// Pins the two checkers of alerts/: promtool (rules and their tests) and amtool (Alertmanager configuration and routes).
// Prometheus carries replace directives in its go.mod, so `go install pkg@version` refuses it and a wrapper module is needed;
// amtool rides along because Prometheus already depends on most of Alertmanager.
package prometheus

import (
	_ "github.com/prometheus/alertmanager/cmd/amtool"
	_ "github.com/prometheus/prometheus/cmd/promtool"
)
