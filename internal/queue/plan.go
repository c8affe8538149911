package queue

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Plan is what Apply changed, or would change.
type Plan struct {
	Shards  int // the lanes there are afterwards
	Changes []Change
}

// Change is one stream or consumer that was not as it should be.
type Change struct {
	Stream   string
	Consumer string // empty when the stream itself changes
	Create   bool
	Fields   []Field // what changes in one that exists
}

// Field is one setting that changes.
type Field struct{ Name, From, To string }

func (c Change) String() string {
	name := "stream " + c.Stream
	if c.Consumer != "" {
		name = "consumer " + c.Consumer + " of " + c.Stream
	}
	if c.Create {
		return "create " + name
	}
	parts := make([]string, len(c.Fields))
	for i, f := range c.Fields {
		parts[i] = f.Name + " " + f.From + " -> " + f.To
	}
	return "update " + name + ": " + strings.Join(parts, ", ")
}

// compareStream returns what of have differs from want, or why it must stay.
// Settings that Homing has no opinion on are an operator's to keep.
func compareStream(have *jetstream.StreamInfo, want jetstream.StreamConfig) ([]Field, error) {
	h := have.Config
	var fields []Field
	differ := func(name string, same bool, from, to string) {
		if !same {
			fields = append(fields, Field{name, from, to})
		}
	}
	differ("subjects", sameSet(h.Subjects, want.Subjects), strings.Join(h.Subjects, " "), strings.Join(want.Subjects, " "))
	differ("retention", h.Retention == want.Retention, h.Retention.String(), want.Retention.String())
	differ("storage", h.Storage == want.Storage, h.Storage.String(), want.Storage.String())
	differ("discard", h.Discard == want.Discard, h.Discard.String(), want.Discard.String())
	differ("max_bytes", h.MaxBytes == want.MaxBytes, bytesString(h.MaxBytes), bytesString(want.MaxBytes))
	differ("max_msgs", h.MaxMsgs == want.MaxMsgs, strconv.FormatInt(h.MaxMsgs, 10), strconv.FormatInt(want.MaxMsgs, 10))
	differ("max_msg_size", h.MaxMsgSize == want.MaxMsgSize, bytesString(int64(h.MaxMsgSize)), bytesString(int64(want.MaxMsgSize)))
	differ("max_age", h.MaxAge == want.MaxAge, ageString(h.MaxAge), ageString(want.MaxAge))
	differ("duplicate_window", h.Duplicates == want.Duplicates, h.Duplicates.String(), want.Duplicates.String())
	differ("replicas", h.Replicas == want.Replicas, strconv.Itoa(h.Replicas), strconv.Itoa(want.Replicas))
	differ("allow_direct", h.AllowDirect == want.AllowDirect, strconv.FormatBool(h.AllowDirect), strconv.FormatBool(want.AllowDirect))
	if want.AllowMsgSchedules { // can't be taken away, so only its absence differs
		differ("allow_msg_schedules", h.AllowMsgSchedules, strconv.FormatBool(h.AllowMsgSchedules), "true")
	}
	if shards, ok := want.Metadata[metaShards]; ok {
		differ("shards", h.Metadata[metaShards] == shards, h.Metadata[metaShards], shards)
	}
	return fields, refuseLoss(have, want)
}

// refuseLoss says which changes would lose what the stream holds, and what to do
// instead.
func refuseLoss(have *jetstream.StreamInfo, want jetstream.StreamConfig) error {
	var errs []error
	refuse := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("queue: stream "+want.Name+": "+format, args...))
	}
	h, held := have.Config, have.State
	if h.Retention != want.Retention {
		refuse("its retention is %v and must be %v: JetStream would drop what it holds; drain it, delete it and apply again", h.Retention, want.Retention)
	}
	if h.Storage != want.Storage {
		refuse("it is kept in %v and must be kept in %v: drain it, delete it and apply again", h.Storage, want.Storage)
	}
	if gone := missing(h.Subjects, want.Subjects); len(gone) > 0 {
		refuse("it also stores %s, which would have no home: if nothing is published there, remove them with the NATS CLI and apply again", strings.Join(gone, ", "))
	}
	if want.MaxBytes > 0 && held.Bytes > uint64(want.MaxBytes) {
		refuse("it holds %s, more than the %s asked for: set HOMING_QUEUE_MAX_BYTES to at least what it holds, or let it drain first",
			bytesString(int64(held.Bytes)), bytesString(want.MaxBytes))
	}
	if want.MaxAge > 0 && (h.MaxAge == 0 || want.MaxAge < h.MaxAge) && held.Msgs > 0 {
		refuse("it keeps messages for %s and would drop them after %s: raise %s again, or shorten the stream's age with the NATS CLI if that loss is meant",
			ageString(h.MaxAge), ageString(want.MaxAge), ageVariable(want.Name))
	}
	return errors.Join(errs...)
}

func ageVariable(stream string) string {
	switch stream {
	case StreamClicks:
		return "HOMING_CLICK_TTL"
	case StreamOutcomes:
		return "HOMING_DEDUP_TTL"
	default:
		return "its age"
	}
}

// mergeStream is have with what Homing decides taken from want.
func mergeStream(have, want jetstream.StreamConfig) jetstream.StreamConfig {
	m := have
	m.Subjects = want.Subjects
	m.Discard = want.Discard
	m.MaxBytes = want.MaxBytes
	m.MaxMsgs = want.MaxMsgs
	m.MaxMsgSize = want.MaxMsgSize
	m.MaxAge = want.MaxAge
	m.Duplicates = want.Duplicates
	m.Replicas = want.Replicas
	m.AllowDirect = want.AllowDirect
	m.AllowMsgSchedules = have.AllowMsgSchedules || want.AllowMsgSchedules
	m.Metadata = maps.Clone(have.Metadata)
	if m.Metadata == nil {
		m.Metadata = make(map[string]string)
	}
	maps.Copy(m.Metadata, want.Metadata)
	return m
}

func compareConsumer(h, want jetstream.ConsumerConfig) []Field {
	var fields []Field
	differ := func(name string, from, to any) {
		if f, t := fmt.Sprint(from), fmt.Sprint(to); f != t {
			fields = append(fields, Field{name, f, t})
		}
	}
	differ("filter_subject", h.FilterSubject, want.FilterSubject)
	differ("filter_subjects", h.FilterSubjects, want.FilterSubjects)
	differ("ack_policy", h.AckPolicy, want.AckPolicy)
	differ("ack_wait", h.AckWait, want.AckWait)
	differ("max_deliver", h.MaxDeliver, want.MaxDeliver)
	differ("backoff", h.BackOff, want.BackOff)
	differ("max_ack_pending", h.MaxAckPending, want.MaxAckPending)
	return fields
}

func mergeConsumer(have, want jetstream.ConsumerConfig) jetstream.ConsumerConfig {
	m := have
	m.FilterSubject = want.FilterSubject
	m.FilterSubjects = want.FilterSubjects
	m.AckPolicy = want.AckPolicy
	m.AckWait = want.AckWait
	m.MaxDeliver = want.MaxDeliver
	m.BackOff = want.BackOff
	m.MaxAckPending = want.MaxAckPending
	return m
}

// shardsIn reads the number of lanes from a stream's metadata.
func shardsIn(metadata map[string]string) (int, bool) {
	n, err := strconv.Atoi(metadata[metaShards])
	if err != nil || n < 1 || n > maxShards {
		return 0, false
	}
	return n, true
}

func sameSet(a, b []string) bool {
	return len(missing(a, b)) == 0 && len(missing(b, a)) == 0
}

// missing returns what of a is not in b.
func missing(a, b []string) []string {
	var gone []string
	for _, s := range a {
		if !slices.Contains(b, s) {
			gone = append(gone, s)
		}
	}
	return gone
}

func bytesString(n int64) string {
	switch {
	case n < 0:
		return "unlimited"
	case n >= gib && n%gib == 0:
		return fmt.Sprintf("%dGiB", n/gib)
	case n >= mib && n%mib == 0:
		return fmt.Sprintf("%dMiB", n/mib)
	case n >= gib:
		return fmt.Sprintf("%.1fGiB", float64(n)/gib)
	case n >= mib:
		return fmt.Sprintf("%.1fMiB", float64(n)/mib)
	default:
		return fmt.Sprintf("%d bytes", n)
	}
}

func ageString(d time.Duration) string {
	if d == 0 {
		return "ever"
	}
	return d.String()
}
