// Package observe looks at Homing as its operator does: by metrics, traces and
// logs, with a real Prometheus and a real OTLP receiver, and holds the dashboard,
// the rules and their documentation against what a run really shows.
package observe
