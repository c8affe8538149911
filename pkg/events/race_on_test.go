//go:build race

package events

// mutatedNumbers are fewer under the race detector, which makes the library
// twenty times as slow and has nothing to find in one goroutine.
const mutatedNumbers = 10_000
