package integration

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/homing-dev/homing/test/harness"
)

var errNotYet = errors.New("not yet")

func TestWrongEnvironment(t *testing.T) {
	t.Parallel()
	tenants := filepath.Join(t.TempDir(), "tenants.yaml")
	if err := os.WriteFile(tenants, []byte("tenants: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		env   string // space-separated
		blame string
	}{
		{"HOMING_RETRYMIN=1s", "HOMING_RETRYMIN"},
		{"HOMING_ACK_WAIT=soon", "HOMING_ACK_WAIT"},
		{"HOMING_GRAPH_TIMEOUT=60s", "HOMING_GRAPH_TIMEOUT"},
		{"HOMING_BATCH_DEADLINE=90s", "HOMING_BATCH_DEADLINE"},
		{"HOMING_RETRY_MIN=2m HOMING_RETRY_MAX=1m", "HOMING_RETRY_MIN"},
		{"HOMING_RETRY_FOR=168h", "HOMING_RETRY_FOR"},
		{"HOMING_DEDUP_TTL=167h", "HOMING_DEDUP_TTL"},
		{"HOMING_REPLICAS=2", "HOMING_REPLICAS"},
		{"HOMING_BATCH_SIZE=1001", "HOMING_BATCH_SIZE"},
		{"HOMING_QUEUE_MAX_BYTES=much", "HOMING_QUEUE_MAX_BYTES"},
		{"HOMING_TENANT_QUEUE_SHARE=2", "HOMING_TENANT_QUEUE_SHARE"},
		{"HOMING_NATS_URL=http://nats", "HOMING_NATS_URL"},
		{"HOMING_REDIS_URL=nats://redis", "HOMING_REDIS_URL"},
		{"HOMING_TENANTS=nowhere.yaml", "HOMING_TENANTS"},
	} {
		for _, cmd := range []string{"cmd/api", "cmd/worker"} {
			p := harness.NewProcess(t, cmd, binaries.Path(t, cmd),
				append([]string{"HOMING_TENANTS=" + tenants}, strings.Fields(tt.env)...))
			p.Start()
			if code := p.Exit(10 * time.Second); code != 2 || !strings.Contains(p.Output(), tt.blame) {
				t.Errorf("%s with %s: exit %d, want 2 and a word about %s:\n%s", cmd, tt.env, code, tt.blame, p.Output())
			}
		}
	}
}

// TestKubernetesNamesAreIgnored: Kubernetes adds these for a Service "homing-api".
func TestKubernetesNamesAreIgnored(t *testing.T) {
	t.Parallel()
	s := start(t, "HOMING_API_SERVICE_HOST=10.0.0.1", "HOMING_API_SERVICE_PORT=80", "HOMING_API_SERVICE_PORT_HTTP=80",
		"HOMING_API_PORT=tcp://10.0.0.1:80", "HOMING_API_PORT_80_TCP=tcp://10.0.0.1:80", "HOMING_API_PORT_80_TCP_ADDR=10.0.0.1")
	s.AwaitReady(s.API)
}
