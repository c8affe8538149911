package queue

import (
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// duplicateWindow is how long JetStream remembers a Nats-Msg-Id. It makes
	// "the publish timed out, do it again" safe; it is not our deduplication.
	duplicateWindow = 2 * time.Minute

	// maxEventBytes is what one event with its headers may weigh: the API takes
	// bodies of 64 KiB. A copy gains headers on its way, hence the second one.
	maxEventBytes = 256 * kib
	maxCopyBytes  = 384 * kib

	// maxAckPending is what all workers together may hold of one lane. It is more
	// than a few dozen workers can hold: were it reached first, the events of one
	// slow tenant would stop their lane before any worker is full enough to park
	// them.
	maxAckPending = 1_000_000

	deadBytes = 1 * gib
	deadAge   = 30 * day

	consumerClicks = "clicks"

	// metaShards is written into the metadata of HOMING_EVENTS when it is made:
	// every process must agree on the lanes, whatever it is configured with.
	metaShards = "homing-shards"
)

// Streams returns the six streams as cfg wants them.
func Streams(cfg Config) []jetstream.StreamConfig {
	streams := []jetstream.StreamConfig{
		{
			// The backlog. No MaxAge: it would drop unacked events in silence.
			Name:       StreamEvents,
			Subjects:   []string{"homing.ev.*.*"},
			Retention:  jetstream.WorkQueuePolicy,
			Discard:    jetstream.DiscardNew,
			MaxBytes:   cfg.MaxBytes,
			MaxMsgSize: maxEventBytes,
			Metadata:   map[string]string{metaShards: strconv.Itoa(cfg.Shards)},
		},
		{
			// No limits: they would drop the oldest, and schedules exclude
			// DiscardNew (error 10052). The worker parks instead of filling it.
			Name:              StreamRetry,
			Subjects:          []string{"homing.sched.*.*", "homing.rt.*.*"},
			Retention:         jetstream.WorkQueuePolicy,
			Discard:           jetstream.DiscardOld,
			MaxBytes:          -1,
			MaxMsgSize:        maxCopyBytes,
			AllowMsgSchedules: true,
		},
		{
			Name:       StreamParked,
			Subjects:   []string{"homing.parked.*"},
			Retention:  jetstream.LimitsPolicy,
			Discard:    jetstream.DiscardNew,
			MaxBytes:   cfg.MaxBytes,
			MaxMsgSize: -1,
		},
		{
			Name:       StreamClicks,
			Subjects:   []string{"homing.click.*"},
			Retention:  jetstream.LimitsPolicy,
			Discard:    jetstream.DiscardOld,
			MaxBytes:   -1,
			MaxMsgSize: -1,
			MaxAge:     cfg.ClickTTL,
		},
		{
			Name:       StreamOutcomes,
			Subjects:   []string{"homing.outcome.*"},
			Retention:  jetstream.LimitsPolicy,
			Discard:    jetstream.DiscardOld,
			MaxBytes:   -1,
			MaxMsgSize: -1,
			MaxAge:     max(8*day, cfg.DedupTTL+day),
		},
		{
			Name:       StreamDead,
			Subjects:   []string{"homing.dead.*"},
			Retention:  jetstream.LimitsPolicy,
			Discard:    jetstream.DiscardNew,
			MaxBytes:   deadBytes,
			MaxMsgSize: -1,
			MaxAge:     deadAge,
		},
	}
	for i := range streams {
		s := &streams[i]
		s.Storage = jetstream.FileStorage
		s.Replicas = cfg.Replicas
		s.MaxMsgs = -1
		s.MaxMsgsPerSubject = -1
		s.MaxConsumers = -1
		s.AllowDirect = true
		s.Duplicates = duplicateWindow
		if s.MaxAge > 0 {
			s.Duplicates = min(s.Duplicates, s.MaxAge) // the server wants it so
		}
	}
	return streams
}

// durable is a consumer and the stream it reads.
type durable struct {
	Stream string
	Config jetstream.ConsumerConfig
}

// consumers returns every durable consumer of the given number of lanes.
func consumers(cfg Config, shards int) []durable {
	all := make([]durable, 0, 2*shards+1)
	for i := range shards {
		all = append(all, lane(cfg, StreamEvents, i), lane(cfg, StreamRetry, i))
	}
	return append(all, clickConsumer(cfg))
}

func lane(cfg Config, stream string, shard int) durable {
	kind := "ev"
	if stream == StreamRetry {
		kind = "rt"
	}
	n := strconv.Itoa(shard)
	return durable{stream, consumerConfig(cfg, kind+"-"+n, "homing."+kind+"."+n+".>")}
}

func clickConsumer(cfg Config) durable {
	return durable{StreamClicks, consumerConfig(cfg, consumerClicks, "homing.click.>")}
}

// consumerConfig has no BackOff: it ignores naks and overwrites AckWait. Without
// MaxDeliver nothing is left behind in a work queue that nobody is handed.
func consumerConfig(cfg Config, name, filter string) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:       name,
		FilterSubject: filter,
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       cfg.AckWait,
		MaxDeliver:    -1,
		MaxAckPending: maxAckPending,
	}
}
