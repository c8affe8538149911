//go:build !race

package events

const mutatedNumbers = 200_000
