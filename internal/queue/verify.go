package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrNotMade says that all is well with the streams but that some of them, or of
// their consumers, are still to be made.
var ErrNotMade = errors.New("not all of them are there yet")

// Verify is for HOMING_STREAMS=external: it changes nothing and says what is
// missing or would break Homing's promises; ErrNotMade when things are missing
// and nothing else is wrong. Settings that merely differ, such as a larger
// MaxBytes, are the operator's.
func Verify(ctx context.Context, js jetstream.JetStream, cfg Config) error {
	cfg = cfg.WithDefaults()
	if err := cfg.validate(); err != nil {
		return err
	}
	found, err := inspect(ctx, js)
	if err != nil {
		return err
	}
	var errs, absent []error
	there := found[StreamEvents].shards()
	if there == 0 && found[StreamEvents].info != nil {
		errs = append(errs, fmt.Errorf("stream %s: its metadata has no %s", StreamEvents, metaShards))
	}
	if cfg.Shards, err = settleShards(there, cfg.Shards, false); err != nil {
		return err
	}
	for _, want := range Streams(cfg) {
		have := found[want.Name].info
		if have == nil {
			absent = append(absent, fmt.Errorf("stream %s: it does not exist", want.Name))
			continue
		}
		for _, fault := range streamFaults(have.Config, want) {
			errs = append(errs, fmt.Errorf("stream %s: %s", want.Name, fault))
		}
	}
	for _, want := range consumers(cfg, cfg.Shards) {
		if found[want.Stream].info == nil {
			continue // told above
		}
		have := found[want.Stream].consumers[want.Config.Durable]
		if have == nil {
			absent = append(absent, fmt.Errorf("consumer %s of %s: it does not exist", want.Config.Durable, want.Stream))
			continue
		}
		for _, fault := range consumerFaults(have.Config, want.Config) {
			errs = append(errs, fmt.Errorf("consumer %s of %s: %s", want.Config.Durable, want.Stream, fault))
		}
	}
	if len(errs) == 0 && len(absent) > 0 {
		errs = append(errs, ErrNotMade)
	}
	if err := errors.Join(append(errs, absent...)...); err != nil {
		return fmt.Errorf("queue: HOMING_STREAMS=external, but the streams don't fit (run: homing streams apply):\n%w", err)
	}
	return nil
}

func streamFaults(h, want jetstream.StreamConfig) []string {
	var faults []string
	expect := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Sprintf(format, args...))
		}
	}
	gone := slices.DeleteFunc(slices.Clone(want.Subjects), func(subject string) bool {
		return slices.ContainsFunc(h.Subjects, func(pattern string) bool { return covers(pattern, subject) })
	})
	expect(len(gone) == 0, "it does not store %s", strings.Join(gone, ", "))
	expect(h.Retention == want.Retention, "its retention is %v, not %v", h.Retention, want.Retention)
	expect(h.Storage == want.Storage, "it is kept in %v, not in %v", h.Storage, want.Storage)
	expect(h.Discard == want.Discard, "when full it discards %v, not %v", h.Discard, want.Discard)
	expect(h.AllowMsgSchedules || !want.AllowMsgSchedules, "message schedules are off")
	expect(h.Duplicates >= want.Duplicates, "its duplicate window is %v, less than %v", h.Duplicates, want.Duplicates)
	if want.MaxAge == 0 {
		expect(h.MaxAge == 0, "it drops messages after %v; it must keep them", h.MaxAge)
	} else {
		expect(h.MaxAge == 0 || h.MaxAge >= want.MaxAge, "it drops messages after %v, before %v", h.MaxAge, want.MaxAge)
	}
	if want.Name == StreamRetry {
		expect(h.MaxBytes <= 0 && h.MaxMsgs <= 0 && h.MaxMsgsPerSubject <= 0, "it has limits, and would drop the oldest retries")
	}
	return faults
}

func consumerFaults(h, want jetstream.ConsumerConfig) []string {
	var faults []string
	expect := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Sprintf(format, args...))
		}
	}
	expect(h.FilterSubject == want.FilterSubject && len(h.FilterSubjects) == 0, "it does not filter on %s", want.FilterSubject)
	expect(h.AckPolicy == want.AckPolicy, "its ack policy is %v, not %v", h.AckPolicy, want.AckPolicy)
	expect(h.MaxDeliver == -1, "it gives up after %d deliveries; max_deliver must be -1", h.MaxDeliver)
	expect(len(h.BackOff) == 0, "it has a backoff, which overwrites the ack wait")
	expect(h.AckWait >= want.AckWait, "its ack wait is %v, less than HOMING_ACK_WAIT=%v", h.AckWait, want.AckWait)
	return faults
}
