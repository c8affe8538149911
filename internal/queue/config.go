package queue

import (
	"errors"
	"fmt"
	"time"
)

// Config says how the streams are made and how much of them one process holds.
type Config struct {
	// Shards is HOMING_SHARDS: the lanes of the backlog. 0 takes what is there,
	// and 8 where nothing is.
	Shards int
	// Replicas is HOMING_REPLICAS; 0 is 1.
	Replicas int
	// MaxBytes is HOMING_QUEUE_MAX_BYTES: the size of the backlog, and of the
	// parked events; 0 is 10 GiB.
	MaxBytes int64
	// ClickTTL is HOMING_CLICK_TTL; 0 is 90 days.
	ClickTTL time.Duration
	// DedupTTL is HOMING_DEDUP_TTL: the ledger is kept a day longer; 0 is 7 days.
	DedupTTL time.Duration
	// AckWait is HOMING_ACK_WAIT; 0 is 90 s.
	AckWait time.Duration
	// External is HOMING_STREAMS=external: a consumer that has gone is waited
	// for, not made again.
	External bool

	// MaxInFlight and MaxInFlightBytes bound what Consume holds until it is
	// settled; 0 is 20,000 messages and 64 MiB.
	MaxInFlight      int
	MaxInFlightBytes int64
}

const (
	day = 24 * time.Hour
	gib = 1 << 30
	mib = 1 << 20
	kib = 1 << 10

	maxShards = 256
)

// WithDefaults returns c with its zero values replaced, Shards excepted.
func (c Config) WithDefaults() Config {
	setDefault(&c.Replicas, 1)
	setDefault(&c.MaxBytes, 10*gib)
	setDefault(&c.ClickTTL, 90*day)
	setDefault(&c.DedupTTL, 7*day)
	setDefault(&c.AckWait, 90*time.Second)
	setDefault(&c.MaxInFlight, 20_000)
	setDefault(&c.MaxInFlightBytes, 64*mib)
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c Config) validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("queue: "+format, args...))
		}
	}
	check(c.Shards >= 0 && c.Shards <= maxShards, "HOMING_SHARDS is %d; it must be from 1 to %d", c.Shards, maxShards)
	check(c.Replicas == 1 || c.Replicas == 3 || c.Replicas == 5, "HOMING_REPLICAS is %d; it must be 1, 3 or 5", c.Replicas)
	check(c.MaxBytes >= 64*kib, "HOMING_QUEUE_MAX_BYTES is %d; it must be at least 64KiB", c.MaxBytes)
	check(c.ClickTTL >= time.Second, "HOMING_CLICK_TTL is %v; it must be at least 1s", c.ClickTTL)
	check(c.DedupTTL >= time.Second, "HOMING_DEDUP_TTL is %v; it must be at least 1s", c.DedupTTL)
	check(c.AckWait >= time.Second, "HOMING_ACK_WAIT is %v; it must be at least 1s", c.AckWait)
	check(c.MaxInFlight > 0, "the limit of messages in flight is %d; it must be above 0", c.MaxInFlight)
	check(c.MaxInFlightBytes >= laneBytes, "the limit of bytes in flight is %d; it must be at least %d", c.MaxInFlightBytes, laneBytes)
	return errors.Join(errs...)
}
