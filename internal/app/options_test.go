package app

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/homing-dev/homing/internal/tenants"
)

func TestDefaults(t *testing.T) {
	want := Options{
		NATS: tenants.NewSecret("nats://127.0.0.1:4222"), Redis: tenants.NewSecret("redis://127.0.0.1:6379/0"),
		Tenants: "tenants.yaml", APIAddr: ":8080", OpsAddr: ":9090",
		GraphURL: "https://graph.facebook.com", GraphVersion: "v25.0", GraphTimeout: 10 * time.Second,
		BatchSize: 200, BatchLinger: 25 * time.Millisecond, BatchDeadline: time.Minute, AckWait: 90 * time.Second,
		TenantConcurrency: 8, RetryMin: time.Second, RetryMax: 15 * time.Minute, RetryMaxPending: 100_000, RetryFor: 144 * time.Hour,
		DedupTTL: 168 * time.Hour, ClickTTL: 2160 * time.Hour, ClickGrace: 0,
		QueueMaxBytes: 10 << 30, TenantQueueShare: 0.25,
		Replicas: 1, Shards: 8, Streams: StreamsAuto, LogLevel: "info", LogFormat: LogJSON,
	}
	got, err := DefaultOptions()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, revealed()); diff != "" {
		t.Errorf("no environment (-want +got):\n%s", diff)
	}
	var empty []string
	for _, v := range Variables() {
		empty = append(empty, v.Name+"=")
	}
	got, err = FromEnviron(empty)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, revealed()); diff != "" {
		t.Errorf("empty variables (-want +got):\n%s", diff)
	}
}

func TestEveryVariableIsRead(t *testing.T) {
	environ := []string{
		"HOMING_NATS_URL=nats://u:p@n1:4222,tls://n2", "HOMING_NATS_CREDS=/c", "HOMING_NATS_CA=/na",
		"HOMING_REDIS_URL=rediss://:p@r:6380/3", "HOMING_REDIS_CA=/ra", "HOMING_TENANTS=/t.yaml",
		"HOMING_API_ADDR=127.0.0.1:0", "HOMING_OPS_ADDR=[::1]:9",
		"HOMING_GRAPH_URL=http://sandbox:8081/base", "HOMING_GRAPH_VERSION=v26.0", "HOMING_GRAPH_TIMEOUT=1500ms",
		"HOMING_BATCH_SIZE=1000", "HOMING_BATCH_LINGER=0s", "HOMING_BATCH_DEADLINE=20s", "HOMING_ACK_WAIT=30s",
		"HOMING_TENANT_CONCURRENCY=16", "HOMING_RETRY_MIN=2s", "HOMING_RETRY_MAX=2s", "HOMING_RETRY_MAX_PENDING=0", "HOMING_RETRY_FOR=167h",
		"HOMING_DEDUP_TTL=200h", "HOMING_CLICK_TTL=1h", "HOMING_CLICK_GRACE=5m",
		"HOMING_QUEUE_MAX_BYTES=256MiB", "HOMING_TENANT_QUEUE_SHARE=1",
		"HOMING_REPLICAS=3", "HOMING_SHARDS=256", "HOMING_STREAMS=external", "HOMING_LOG_LEVEL=debug", "HOMING_LOG_FORMAT=text",
	}
	want := Options{
		NATS: tenants.NewSecret("nats://u:p@n1:4222,tls://n2"), NATSCreds: "/c", NATSCA: "/na",
		Redis: tenants.NewSecret("rediss://:p@r:6380/3"), RedisCA: "/ra", Tenants: "/t.yaml",
		APIAddr: "127.0.0.1:0", OpsAddr: "[::1]:9",
		GraphURL: "http://sandbox:8081/base", GraphVersion: "v26.0", GraphTimeout: 1500 * time.Millisecond,
		BatchSize: 1000, BatchLinger: 0, BatchDeadline: 20 * time.Second, AckWait: 30 * time.Second,
		TenantConcurrency: 16, RetryMin: 2 * time.Second, RetryMax: 2 * time.Second, RetryMaxPending: 0, RetryFor: 167 * time.Hour,
		DedupTTL: 200 * time.Hour, ClickTTL: time.Hour, ClickGrace: 5 * time.Minute,
		QueueMaxBytes: 256 << 20, TenantQueueShare: 1,
		Replicas: 3, Shards: 256, ShardsGiven: true, Streams: StreamsExternal, LogLevel: "debug", LogFormat: LogText,
	}
	got, err := FromEnviron(environ)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, revealed()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	set := strings.Join(environ, "\n")
	for _, v := range Variables() {
		if !strings.Contains("\n"+set, "\n"+v.Name+"=") {
			t.Errorf("%s is not part of this test", v.Name)
		}
	}
}

func TestFromEnvironRefuses(t *testing.T) {
	tests := []struct{ set, want string }{
		{"HOMING_NATS_URL=http://h", "HOMING_NATS_URL: must be comma-separated servers"},
		{"HOMING_NATS_URL=nats://a,,nats://b", "HOMING_NATS_URL: must be comma-separated servers"},
		{"HOMING_NATS_URL=file:", "HOMING_NATS_URL: file: must be followed by a path"},
		{"HOMING_REDIS_URL=http://h", "HOMING_REDIS_URL: must be redis://"},
		{"HOMING_REDIS_URL=redis://a,b/1", "HOMING_REDIS_URL: a Redis cluster has the database 0 only"},
		{"HOMING_API_ADDR=8080", "HOMING_API_ADDR: must be host:port"},
		{"HOMING_API_ADDR=:http", "HOMING_API_ADDR: must be host:port"},
		{"HOMING_OPS_ADDR=:65536", "HOMING_OPS_ADDR: must be host:port"},
		{"HOMING_GRAPH_URL=graph.facebook.com", "HOMING_GRAPH_URL: must be an http or https URL"},
		{"HOMING_GRAPH_URL=https://u:p@graph.facebook.com", "HOMING_GRAPH_URL: must be an http or https URL"},
		{"HOMING_GRAPH_URL=https://h/?access_token=x", "HOMING_GRAPH_URL: must be an http or https URL"},
		{"HOMING_GRAPH_VERSION=25", "HOMING_GRAPH_VERSION: must be a version such as v25.0"},
		{"HOMING_GRAPH_TIMEOUT=10", "HOMING_GRAPH_TIMEOUT: must be a duration such as"},
		{"HOMING_GRAPH_TIMEOUT=0s", "HOMING_GRAPH_TIMEOUT: must be a duration above 0"},
		{"HOMING_GRAPH_TIMEOUT=-1s", "HOMING_GRAPH_TIMEOUT: must be a duration above 0"},
		{"HOMING_GRAPH_TIMEOUT=60s", "HOMING_GRAPH_TIMEOUT: 1m0s must be shorter than HOMING_BATCH_DEADLINE, which is 1m0s"},
		{"HOMING_BATCH_SIZE=0", "HOMING_BATCH_SIZE: must be 1 to 1000"},
		{"HOMING_BATCH_SIZE=1001", "HOMING_BATCH_SIZE: must be 1 to 1000"},
		{"HOMING_BATCH_SIZE=many", "HOMING_BATCH_SIZE: must be a whole number"},
		{"HOMING_BATCH_LINGER=-1ms", "HOMING_BATCH_LINGER: must be a duration of 0 or more"},
		{"HOMING_BATCH_DEADLINE=90s", "HOMING_BATCH_DEADLINE: 1m30s must be shorter than HOMING_ACK_WAIT, which is 1m30s"},
		{"HOMING_BATCH_DEADLINE=0s", "HOMING_BATCH_DEADLINE: must be a duration above 0"}, // and no contradiction with it
		{"HOMING_BATCH_DEADLINE=5s", "HOMING_GRAPH_TIMEOUT: 10s must be shorter than HOMING_BATCH_DEADLINE"},
		{"HOMING_ACK_WAIT=30s", "HOMING_BATCH_DEADLINE: 1m0s must be shorter than HOMING_ACK_WAIT"},
		{"HOMING_TENANT_CONCURRENCY=0", "HOMING_TENANT_CONCURRENCY: must be 1 to 1000"},
		{"HOMING_RETRY_MIN=0s", "HOMING_RETRY_MIN: must be a duration above 0"},
		{"HOMING_RETRY_MIN=16m", "HOMING_RETRY_MIN: 16m0s must not be longer than HOMING_RETRY_MAX, which is 15m0s"},
		{"HOMING_RETRY_MAX_PENDING=-1", "HOMING_RETRY_MAX_PENDING: must be 0 or more"},
		{"HOMING_RETRY_FOR=168h", "HOMING_RETRY_FOR: must be at most 167h"},
		{"HOMING_RETRY_FOR=0s", "HOMING_RETRY_FOR: must be a duration above 0"},
		{"HOMING_DEDUP_TTL=167h59m", "HOMING_DEDUP_TTL: must be at least 168h"},
		{"HOMING_CLICK_TTL=0s", "HOMING_CLICK_TTL: must be a duration above 0"},
		{"HOMING_CLICK_GRACE=-1s", "HOMING_CLICK_GRACE: must be a duration of 0 or more"},
		{"HOMING_QUEUE_MAX_BYTES=10 bananas", "HOMING_QUEUE_MAX_BYTES: must be a size such as"},
		{"HOMING_QUEUE_MAX_BYTES=0", "HOMING_QUEUE_MAX_BYTES: must be a size of 64KiB or more"},
		{"HOMING_QUEUE_MAX_BYTES=9EiB", "HOMING_QUEUE_MAX_BYTES: must be a size such as"},
		{"HOMING_QUEUE_MAX_BYTES=-1GiB", "HOMING_QUEUE_MAX_BYTES: must be a size such as"},
		{"HOMING_TENANT_QUEUE_SHARE=0", "HOMING_TENANT_QUEUE_SHARE: must be above 0 and at most 1"},
		{"HOMING_TENANT_QUEUE_SHARE=1.01", "HOMING_TENANT_QUEUE_SHARE: must be above 0 and at most 1"},
		{"HOMING_TENANT_QUEUE_SHARE=NaN", "HOMING_TENANT_QUEUE_SHARE: must be above 0 and at most 1"},
		{"HOMING_TENANT_QUEUE_SHARE=25%", "HOMING_TENANT_QUEUE_SHARE: must be a number such as 0.25"},
		{"HOMING_REPLICAS=2", "HOMING_REPLICAS: must be 1, 3 or 5"},
		{"HOMING_SHARDS=0", "HOMING_SHARDS: must be 1 to 256"},
		{"HOMING_SHARDS=257", "HOMING_SHARDS: must be 1 to 256"},
		{"HOMING_STREAMS=manual", "HOMING_STREAMS: must be auto or external"},
		{"HOMING_LOG_LEVEL=INFO", "HOMING_LOG_LEVEL: must be debug, info, warn or error"},
		{"HOMING_LOG_FORMAT=yaml", "HOMING_LOG_FORMAT: must be json or text"},
		{"HOMING_NATS_URLS=x", "HOMING_NATS_URLS: is not a variable of Homing: did you mean HOMING_NATS_URL?"},
		{"HOMING_NAST_URL=x", "HOMING_NAST_URL: is not a variable of Homing: did you mean HOMING_NATS_URL?"},
		{"HOMING_SOMETHING_ELSE=", "HOMING_SOMETHING_ELSE: is not a variable of Homing"},
		{"HOMING_=x", "HOMING_: is not a variable of Homing"},
	}
	for _, tt := range tests {
		got, err := FromEnviron([]string{tt.set})
		if err == nil {
			t.Errorf("%s is taken", tt.set)
			continue
		}
		if !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s:\ngot  %v\nwant %s", tt.set, err, tt.want)
		}
		if diff := cmp.Diff(Options{}, got, revealed()); diff != "" {
			t.Errorf("%s: options beside an error:\n%s", tt.set, diff)
		}
	}
}

func TestFromEnvironTellsEveryProblem(t *testing.T) {
	_, err := FromEnviron([]string{"HOMING_REPLICA=1", "HOMING_SHARDS=x", "HOMING_GRAPH_TIMEOUT=soon", "HOMING_ACK_WAIT=1s", "HOMING_NATS_URL=:"})
	if err == nil {
		t.Fatal("no error")
	}
	want := []string{
		"HOMING_REPLICA: is not a variable of Homing: did you mean HOMING_REPLICAS?",
		"HOMING_GRAPH_TIMEOUT: must be a duration such as 25ms, 10s or 144h",
		"HOMING_SHARDS: must be a whole number",
		"HOMING_NATS_URL: must be comma-separated servers such as nats://127.0.0.1:4222, or file:PATH that holds them",
		"HOMING_BATCH_DEADLINE: 1m0s must be shorter than HOMING_ACK_WAIT, which is 1s",
	}
	if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNamesOfKubernetesServices(t *testing.T) {
	ignored := []string{
		"HOMING_SERVICE_HOST=10.0.0.1", "HOMING_SERVICE_PORT=8080", "HOMING_SERVICE_PORT_HTTP=8080",
		"HOMING_PORT=tcp://10.0.0.1:8080", "HOMING_PORT_8080_TCP=tcp://10.0.0.1:8080",
		"HOMING_API_SERVICE_HOST=10.0.0.1", "HOMING_API_SERVICE_PORT=80", "HOMING_API_PORT=tcp://10.0.0.1:80",
		"HOMING_API_PORT_80_TCP=x", "HOMING_API_PORT_80_TCP_PROTO=tcp", "HOMING_API_PORT_80_TCP_PORT=80", "HOMING_API_PORT_80_TCP_ADDR=x",
		"HOMING_NATS_PORT_4222_TCP_ADDR=x",
		"PATH=/bin", "OTEL_SERVICE_NAME=homing", "homing_x=1", "MY_HOMING_X=1", "HOMINGX=1",
	}
	got, err := FromEnviron(ignored)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := DefaultOptions()
	if diff := cmp.Diff(want, got, revealed()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, refused := range []string{"HOMING_PORTS=1", "HOMING_API_PORT_TCP=x", "HOMING_PORT_8080=x", "HOMING_API_SERVICE_HOSTS=x"} {
		if _, err := FromEnviron([]string{refused}); err == nil {
			t.Errorf("%s is ignored", refused)
		}
	}
	for _, v := range Variables() {
		if ofService.MatchString(v.Name) {
			t.Errorf("%s looks like a Service's: it could be ignored one day", v.Name)
		}
	}
}

func TestVariables(t *testing.T) {
	vars := Variables()
	if len(vars) != 30 {
		t.Errorf("%d variables, 30 are documented", len(vars))
	}
	for _, v := range vars {
		if !strings.HasPrefix(v.Name, prefix) || v.Meaning == "" {
			t.Errorf("%+v", v)
		}
	}
	if diff := cmp.Diff(Variable{"HOMING_NATS_URL", "nats://127.0.0.1:4222", "NATS servers, comma-separated, or file:PATH that holds them"}, vars[0]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestURLsOfFiles(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return "file:" + path
	}
	natsURL := func(o Options) (string, error) { return o.NATSURL() }
	redisURL := func(o Options) (string, error) { return o.RedisURL() }
	tests := []struct {
		variable, value string
		read            func(Options) (string, error)
		want, wrong     string
	}{
		{"HOMING_NATS_URL", "nats://a", natsURL, "nats://a", ""},
		{"HOMING_NATS_URL", file("n", "nats://u:pa55@a,nats://b\n"), natsURL, "nats://u:pa55@a,nats://b", ""},
		{"HOMING_NATS_URL", file("n-bad", "http://u:pa55@a"), natsURL, "", "must be comma-separated servers"},
		{"HOMING_NATS_URL", file("n-empty", "\n"), natsURL, "", "is empty"},
		{"HOMING_NATS_URL", file("n-large", strings.Repeat("a", maxURLFile+1)), natsURL, "", "is larger than"},
		{"HOMING_NATS_URL", "file:/does/not/exist", natsURL, "", "no such file"},
		{"HOMING_REDIS_URL", "redis://a", redisURL, "redis://a", ""},
		{"HOMING_REDIS_URL", file("r", "redis://:pa55@a/1\n"), redisURL, "redis://:pa55@a/1", ""},
		{"HOMING_REDIS_URL", file("r-bad", "redis://:pa55@"), redisURL, "", "must be redis://"},
		{"HOMING_REDIS_URL", "file:/does/not/exist", redisURL, "", "no such file"},
	}
	for _, tt := range tests {
		o, err := FromEnviron([]string{tt.variable + "=" + tt.value})
		if err != nil {
			t.Errorf("%s: %v", tt.value, err)
			continue
		}
		got, err := tt.read(o)
		if tt.wrong == "" {
			if err != nil || got != tt.want {
				t.Errorf("%s: got %q, %v", tt.value, got, err)
			}
			continue
		}
		if err == nil || !strings.HasPrefix(err.Error(), tt.variable+": ") || !strings.Contains(err.Error(), tt.wrong) {
			t.Errorf("%s: got %v, want %s", tt.value, err, tt.wrong)
		} else if strings.Contains(err.Error(), "pa55") {
			t.Errorf("%s: the error holds the password: %v", tt.value, err)
		}
	}
}

// TestNoPasswordShows prints options and errors that know one.
func TestNoPasswordShows(t *testing.T) {
	o, err := FromEnviron([]string{"HOMING_NATS_URL=nats://u:pa55@h", "HOMING_REDIS_URL=redis://:pa55@h"})
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if text := fmt.Sprintf(verb, o); strings.Contains(text, "pa55") {
			t.Errorf("%s: %s", verb, text)
		}
	}
	for _, bad := range []string{
		"HOMING_NATS_URL=http://u:pa55@h", "HOMING_NATS_URL=nats://u:pa55%zz@h", "HOMING_NATS_URL=nats://u:pa55 @h:x",
		"HOMING_REDIS_URL=redis://:pa55@h:x", "HOMING_GRAPH_URL=https://u:pa55@h", "HOMING_UNKNOWN=pa55", "HOMING_BATCH_SIZE=pa55",
		"HOMING_LOG_LEVEL=pa55", "HOMING_QUEUE_MAX_BYTES=pa55", "HOMING_ACK_WAIT=pa55", "HOMING_API_ADDR=pa55", "HOMING_TENANT_QUEUE_SHARE=pa55",
	} {
		if _, err := FromEnviron([]string{bad}); err == nil || strings.Contains(err.Error(), "pa55") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestValidate(t *testing.T) {
	o, err := DefaultOptions()
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Validate(); err != nil {
		t.Errorf("defaults: %v", err)
	}
	o.Replicas = 4
	if err := o.Validate(); err == nil || err.Error() != "HOMING_REPLICAS: must be 1, 3 or 5" {
		t.Errorf("4 replicas: %v", err)
	}
}

func TestLogLevel(t *testing.T) {
	for level, want := range map[LogLevel]string{"debug": "DEBUG", "info": "INFO", "warn": "WARN", "error": "ERROR"} {
		if got := level.Level().String(); got != want {
			t.Errorf("%s is %s", level, got)
		}
	}
}

// revealed compares secrets by what they hold.
func revealed() cmp.Option {
	return cmp.Options{cmp.Comparer(func(a, b tenants.Secret) bool { return a.Reveal() == b.Reveal() }), cmpopts.EquateEmpty()}
}
