// Package embedded runs the services Homing leans on inside this process: a
// nats-server with JetStream on disk, and a stand-in for Redis. It is for the
// laptop (cmd/dev) and for tests; nothing that is deployed imports it.
package embedded
