package deploy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	yaml "go.yaml.in/yaml/v3"

	"github.com/homing-dev/homing/test/harness"
)

// natsConfig is what deploy/nats/values.yaml adds to the configuration of the
// chart, with a store of its own.
func natsConfig(t *testing.T) map[string]any {
	t.Helper()
	var values struct {
		Config struct {
			Merge     map[string]any
			JetStream struct{ Merge map[string]any } `yaml:"jetstream"`
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "../../deploy/nats/values.yaml")), &values); err != nil {
		t.Fatal(err)
	}
	config := values.Config.Merge
	config["jetstream"] = values.Config.JetStream.Merge
	values.Config.JetStream.Merge["store_dir"] = t.TempDir()
	return config
}

// withAdministrator adds a user to the account HOMING who may do anything.
func withAdministrator(config map[string]any) {
	homing := config["accounts"].(map[string]any)["HOMING"].(map[string]any)
	homing["users"] = append(homing["users"].([]any), map[string]any{"user": "administrator", "password": password})
}

// writeConfig writes a configuration as the chart does it.
func writeConfig(t *testing.T, config map[string]any) string {
	t.Helper()
	var text bytes.Buffer
	encoder := json.NewEncoder(&text) // the format of nats-server takes JSON
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(config); err != nil {
		t.Fatal(err)
	}
	conf := strings.NewReplacer(`"<< `, "", ` >>"`, "").Replace(text.String())
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// natsServer is a server with the accounts of deploy/nats that remembers what it
// refused.
type natsServer struct {
	*server.Server
	mu      sync.Mutex
	refused []string
}

// startNATS starts a server with what deploy/nats/values.yaml adds to the
// configuration of the chart, and changes to that.
func startNATS(t *testing.T, changes ...func(config map[string]any)) *natsServer {
	t.Helper()
	config := natsConfig(t)
	for _, change := range changes {
		change(config)
	}
	config["listen"] = harness.Addr(t)
	file := writeConfig(t, config)
	for _, role := range roles() {
		t.Setenv("HOMING_"+strings.ToUpper(role)+"_PASSWORD", password+role)
	}
	t.Setenv("SYSTEM_PASSWORD", password+"system")
	opts, err := server.ProcessConfigFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !opts.SyncAlways {
		t.Error("values.yaml does not make the server write what it acknowledges")
	}
	opts.NoSigs = true
	inner, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s := &natsServer{Server: inner}
	inner.SetLoggerV2(s, false, false, false)
	inner.Start()
	t.Cleanup(func() { inner.Shutdown(); inner.WaitForShutdown() })
	if !inner.ReadyForConnections(upWithin) {
		t.Fatal("nats-server does not start")
	}
	return s
}

// Refused returns what was refused so far.
func (s *natsServer) Refused() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.refused)
}

// Errorf takes a line of the server's log. It makes a natsServer a logger,
// together with the methods below.
func (s *natsServer) Errorf(format string, v ...any) {
	if line := fmt.Sprintf(format, v...); strings.Contains(line, "Violation") {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.refused = append(s.refused, line)
	}
}

// Noticef takes a line of the server's log.
func (s *natsServer) Noticef(string, ...any) {}

// Warnf takes a line of the server's log.
func (s *natsServer) Warnf(string, ...any) {}

// Fatalf takes a line of the server's log.
func (s *natsServer) Fatalf(string, ...any) {}

// Debugf takes a line of the server's log.
func (s *natsServer) Debugf(string, ...any) {}

// Tracef takes a line of the server's log.
func (s *natsServer) Tracef(string, ...any) {}
