//go:build race

package queue_test

// manyLanes are fewer under the race detector, which makes them ten times as slow.
const manyLanes = 500
