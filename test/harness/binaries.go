package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	// What is built is run, not imported; without this a cached result would
	// outlive a change of the product.
	_ "github.com/homing-dev/homing/internal/app"
)

// Binaries are the commands under test, each built when it is first asked for.
type Binaries struct {
	tags string
	dir  string

	mu    sync.Mutex
	built map[string]error
}

// NewBinaries builds into a folder that lasts until Remove; tags are build tags.
func NewBinaries(tags string) (*Binaries, error) {
	dir, err := os.MkdirTemp("", "homing-test-")
	if err != nil {
		return nil, err
	}
	return &Binaries{tags: tags, dir: dir, built: map[string]error{}}, nil
}

// Remove deletes what was built.
func (b *Binaries) Remove() { _ = os.RemoveAll(b.dir) }

// Path returns the executable of a package: "cmd/api", or the import path of a
// main package of another module.
func (b *Binaries) Path(t testing.TB, pkg string) string {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	err, done := b.built[pkg]
	out := filepath.Join(b.dir, fmt.Sprintf("%x", pkg))
	if !done {
		from := pkg
		if filepath.Dir(pkg) == "cmd" {
			from = "github.com/homing-dev/homing/" + pkg
		}
		cmd := exec.Command("go", "build", "-tags", b.tags, "-o", out, from)
		var text []byte
		if text, err = cmd.CombinedOutput(); err != nil {
			err = fmt.Errorf("go build %s: %w\n%s", from, err, text)
		}
		b.built[pkg] = err
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}
