//go:build !race

package queue_test

const manyLanes = 10_000
