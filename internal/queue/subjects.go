package queue

import (
	"hash/fnv"
	"strconv"
	"strings"
)

// The streams.
const (
	StreamEvents   = "HOMING_EVENTS"
	StreamRetry    = "HOMING_RETRY"
	StreamParked   = "HOMING_PARKED"
	StreamClicks   = "HOMING_CLICKS"
	StreamOutcomes = "HOMING_OUTCOMES"
	StreamDead     = "HOMING_DEAD"
)

// strayTenant stands for a tenant that a subject doesn't tell. Tenant ids are
// made of [a-z0-9_-], so it is nobody's.
const strayTenant = "UNKNOWN"

func subjectEvent(shard int, tenant string) string {
	return "homing.ev." + strconv.Itoa(shard) + "." + tenant
}

func subjectRetry(shard int, tenant string) string {
	return "homing.rt." + strconv.Itoa(shard) + "." + tenant
}

// subjectSchedule is where a retry waits: one subject per acceptance and round, so
// a second schedule replaces the first, which folds copies. A replay has a subject
// of its own (no id holds a ~): what is left of an older round must not replace
// its schedule, since it ends in silence when it meets the replay's record.
func subjectSchedule(shard int, accept string, round int) string {
	subject := "homing.sched." + strconv.Itoa(shard) + "." + accept
	if round > 0 {
		subject += "~" + strconv.Itoa(round)
	}
	return subject
}

func subjectParked(tenant string) string  { return "homing.parked." + tenant }
func subjectClick(tenant string) string   { return "homing.click." + tenant }
func subjectOutcome(tenant string) string { return "homing.outcome." + tenant }
func subjectDead(tenant string) string    { return "homing.dead." + tenant }

// tenantOf returns the tenant that a subject ends in.
func tenantOf(subject string) (string, bool) {
	parts := strings.Split(subject, ".")
	want := 3 // homing.dead.<tenant>
	if len(parts) > 1 && (parts[1] == "ev" || parts[1] == "rt") {
		want = 4 // homing.ev.<shard>.<tenant>
	}
	if len(parts) != want || !isToken(parts[want-1]) {
		return strayTenant, false
	}
	return parts[want-1], true
}

// shardOf returns the lane of a tenant. It must never change: FNV-1a, 32 bits.
func shardOf(tenant string, shards int) int {
	h := fnv.New32a()
	h.Write([]byte(tenant))
	return int(h.Sum32() % uint32(shards))
}

// isToken reports whether s can stand as one token of a subject.
func isToken(s string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-', c == ':':
		default:
			return false
		}
	}
	return true
}

// covers reports whether every subject that matches the second pattern matches
// the first.
func covers(pattern, subject string) bool {
	p, s := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, token := range p {
		switch {
		case i >= len(s):
			return false
		case token == ">":
			return true
		case s[i] == ">", token != "*" && token != s[i]:
			return false
		}
	}
	return len(p) == len(s)
}
