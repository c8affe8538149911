package deploy_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/homing-dev/homing/test/harness"
)

// TestRotation changes the passwords of NATS under running processes, as
// docs/production.md says: first the files, then the server.
func TestRotation(t *testing.T) {
	c := newCluster(t)
	c.run("streams", "apply")
	api, worker := c.pod("Deployment", "homing-api", "api"), c.pod("Deployment", "homing-worker", "worker")
	c.begin(api)
	c.begin(worker)
	click := map[string]any{"phone_number": "+" + harness.Phone(1), "ctwa_clid": "clid-1"}
	if code, err := c.post(api, harness.PathClicks, click); err != nil || code != http.StatusAccepted {
		t.Fatalf("click: %d %v", code, err)
	}
	for _, role := range roles() {
		c.write(role+"/connections/nats-url", strings.Replace(c.natsURL(role), password, "another-"+password, 1))
		t.Setenv("HOMING_"+strings.ToUpper(role)+"_PASSWORD", "another-"+password+role)
	}
	c.mustPost(api, "before")
	if err := c.nats.Reload(); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*pod{api, worker} {
		harness.Eventually(t, upWithin, p.Name+" is connected again", func() error {
			if !strings.Contains(p.Output(), "nats connected again") {
				return errors.New("it is not")
			}
			return p.asks(p.spec.Spec.Containers[0].Readiness)
		})
	}
	c.mustPost(api, "after")
	c.awaitStatus(api, "before", "delivered")
	c.awaitStatus(api, "after", "delivered")
	if strings.Contains(api.Output()+worker.Output(), password) {
		t.Error("a log tells a password")
	}
}
