// Package harness starts Homing as it runs in production, every process by
// itself and on real ports, for tests that look at it from outside.
//
// A Stack is one Homing: nats-server and redis-server with their data on disk,
// the api, workers, and the sandbox as the judge of what Meta was sent. All of it
// ends with its test, which also looks for leaked secrets wherever a Stack writes.
package harness
