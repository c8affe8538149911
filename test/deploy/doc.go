// Package deploy tests what lies in deploy/ as those who apply it would: built,
// held against the schemas of Kubernetes and against the code, and run.
package deploy
