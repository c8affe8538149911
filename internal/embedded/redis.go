package embedded

import (
	"fmt"
	"sync"

	"github.com/alicebob/miniredis/v2"
)

// RedisServer is a stand-in for Redis on a loopback port. It keeps nothing on
// disk and is no place for data that matters.
type RedisServer struct {
	mini *miniredis.Miniredis
	once sync.Once
}

// Redis starts a stand-in on a free port.
func Redis() (*RedisServer, error) {
	mini := miniredis.NewMiniRedis()
	mini.ClockTTL(true) // without it keys never expire by themselves
	if err := mini.Start(); err != nil {
		return nil, fmt.Errorf("embedded: redis: %w", err)
	}
	return &RedisServer{mini: mini}, nil
}

// Addr is the host:port to connect to.
func (r *RedisServer) Addr() string { return r.mini.Addr() }

// URL is the address in the form that HOMING_REDIS_URL takes.
func (r *RedisServer) URL() string { return "redis://" + r.mini.Addr() + "/0" }

// FlushAll forgets everything, as a restarted Redis without persistence would.
func (r *RedisServer) FlushAll() { r.mini.FlushAll() }

// Stop ends the server and its connections; it keeps what it holds in memory.
func (r *RedisServer) Stop() { r.mini.Close() }

// Start starts a stopped server again, on the port that it had.
func (r *RedisServer) Start() error {
	if err := r.mini.Restart(); err != nil {
		return fmt.Errorf("embedded: redis: %w", err)
	}
	return nil
}

// Close stops the stand-in; a second call does nothing.
func (r *RedisServer) Close() error {
	r.once.Do(r.mini.Close)
	return nil
}
