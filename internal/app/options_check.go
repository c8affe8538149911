package app

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// rule is one thing that must hold. The first variable is the one to blame; a
// rule is not asked when one of its variables is already known to be bad.
type rule struct {
	variables []string
	holds     bool
	says      string
}

// validate tells every rule that o breaks; bad are the variables whose values
// could not even be parsed.
func (o Options) validate(bad map[string]bool) []error {
	known := make(map[string]bool, len(bad))
	for variable := range bad {
		known[variable] = true
	}
	var errs []error
	for _, r := range append(o.bounds(), o.contradictions()...) {
		asked := true
		for _, v := range r.variables {
			asked = asked && !known[v]
		}
		if asked && !r.holds {
			known[r.variables[0]] = true
			errs = append(errs, fmt.Errorf("%s: %s", r.variables[0], r.says))
		}
	}
	return errs
}

// bounds are the rules over one variable.
func (o Options) bounds() []rule {
	one := func(variable string, holds bool, says string) rule {
		return rule{[]string{variable}, holds, says}
	}
	positive := func(variable string, d time.Duration) rule {
		return one(variable, d > 0, "must be a duration above 0, such as 10s")
	}
	notNegative := func(variable string, d time.Duration) rule {
		return one(variable, d >= 0, "must be a duration of 0 or more, such as 25ms")
	}
	return []rule{
		literal("HOMING_NATS_URL", o.NATS.Reveal(), checkNATS),
		literal("HOMING_REDIS_URL", o.Redis.Reveal(), func(text string) error { _, err := parseRedis(text); return err }),
		one("HOMING_TENANTS", o.Tenants != "", "must be the path of the tenants file"),
		one("HOMING_API_ADDR", isAddr(o.APIAddr), "must be host:port or :port, such as :8080"),
		one("HOMING_OPS_ADDR", isAddr(o.OpsAddr), "must be host:port or :port, such as :9090"),
		one("HOMING_GRAPH_URL", isBaseURL(o.GraphURL), "must be an http or https URL without user, query and fragment"),
		one("HOMING_GRAPH_VERSION", graphVersion.MatchString(o.GraphVersion), "must be a version such as v25.0"),
		positive("HOMING_GRAPH_TIMEOUT", o.GraphTimeout),
		one("HOMING_BATCH_SIZE", 1 <= o.BatchSize && o.BatchSize <= 1000, "must be 1 to 1000: Meta takes no more events in a call"),
		notNegative("HOMING_BATCH_LINGER", o.BatchLinger),
		positive("HOMING_BATCH_DEADLINE", o.BatchDeadline),
		positive("HOMING_ACK_WAIT", o.AckWait),
		one("HOMING_TENANT_CONCURRENCY", 1 <= o.TenantConcurrency && o.TenantConcurrency <= 1000, "must be 1 to 1000"),
		positive("HOMING_RETRY_MIN", o.RetryMin),
		positive("HOMING_RETRY_MAX", o.RetryMax),
		one("HOMING_RETRY_MAX_PENDING", o.RetryMaxPending >= 0, "must be 0 or more"),
		positive("HOMING_RETRY_FOR", o.RetryFor),
		one("HOMING_RETRY_FOR", o.RetryFor <= 167*time.Hour, "must be at most 167h: Meta refuses an event after 168h"),
		one("HOMING_DEDUP_TTL", o.DedupTTL >= 168*time.Hour, "must be at least 168h: until then Meta takes an event, so it could be sent twice"),
		positive("HOMING_CLICK_TTL", o.ClickTTL),
		notNegative("HOMING_CLICK_GRACE", o.ClickGrace),
		one("HOMING_QUEUE_MAX_BYTES", o.QueueMaxBytes >= 64<<10, "must be a size of 64KiB or more, such as 10GiB"),
		one("HOMING_TENANT_QUEUE_SHARE", 0 < o.TenantQueueShare && o.TenantQueueShare <= 1, "must be above 0 and at most 1"),
		one("HOMING_REPLICAS", o.Replicas == 1 || o.Replicas == 3 || o.Replicas == 5, "must be 1, 3 or 5"),
		one("HOMING_SHARDS", 1 <= o.Shards && o.Shards <= 256, "must be 1 to 256"),
		one("HOMING_STREAMS", o.Streams == StreamsAuto || o.Streams == StreamsExternal, "must be auto or external"),
		one("HOMING_LOG_LEVEL", o.LogLevel.known(), "must be debug, info, warn or error"),
		one("HOMING_LOG_FORMAT", o.LogFormat == LogJSON || o.LogFormat == LogText, "must be json or text"),
	}
}

// contradictions are the rules between variables.
func (o Options) contradictions() []rule {
	shorter := func(a string, da time.Duration, b string, db time.Duration) rule {
		return rule{[]string{a, b}, da < db, fmt.Sprintf("%s must be shorter than %s, which is %s", da, b, db)}
	}
	return []rule{
		shorter("HOMING_GRAPH_TIMEOUT", o.GraphTimeout, "HOMING_BATCH_DEADLINE", o.BatchDeadline),
		shorter("HOMING_BATCH_DEADLINE", o.BatchDeadline, "HOMING_ACK_WAIT", o.AckWait),
		{
			[]string{"HOMING_RETRY_MIN", "HOMING_RETRY_MAX"},
			o.RetryMin <= o.RetryMax,
			fmt.Sprintf("%s must not be longer than HOMING_RETRY_MAX, which is %s", o.RetryMin, o.RetryMax),
		},
	}
}

// literal checks a URL that is written in the variable; one in a file is checked
// when it is read.
func literal(variable, text string, check func(string) error) rule {
	if strings.HasPrefix(text, "file:") {
		return rule{[]string{variable}, text != "file:", "file: must be followed by a path"}
	}
	err := check(text)
	r := rule{variables: []string{variable}, holds: err == nil}
	if err != nil {
		r.says = err.Error()
	}
	return r
}

// checkNATS checks a list of servers. Its errors repeat none of it: a server may
// hold a password.
func checkNATS(text string) error {
	wrong := errors.New("must be comma-separated servers such as nats://127.0.0.1:4222, or file:PATH that holds them")
	for server := range strings.SplitSeq(text, ",") {
		server = strings.TrimSpace(server)
		if !strings.Contains(server, "://") {
			server = "nats://" + server
		}
		u, err := url.Parse(server)
		if err != nil || u.Hostname() == "" {
			return wrong
		}
		switch u.Scheme {
		case "nats", "tls", "ws", "wss":
		default:
			return wrong
		}
	}
	return nil
}

var graphVersion = regexp.MustCompile(`^v[0-9]{1,3}\.[0-9]{1,2}$`)

func isAddr(text string) bool {
	_, port, err := net.SplitHostPort(text)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

func isBaseURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" &&
		u.User == nil && u.RawQuery == "" && !u.ForceQuery && u.Fragment == ""
}

func (l LogLevel) known() bool {
	return l == "debug" || l == "info" || l == "warn" || l == "error"
}
