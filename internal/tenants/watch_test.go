package tenants

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestWatchReadsWhatMayHaveChanged tells a read from a remembered print by
// spoiling the memory.
func TestWatchReadsWhatMayHaveChanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	written := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	stamp := func(at time.Time) {
		t.Helper()
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	stamp(written)
	now := written.Add(time.Second)
	w := newWatch(func() time.Time { return now })
	remembered := func() bool {
		t.Helper()
		s := w.known[path]
		s.print = fingerprint{}
		w.known[path] = s
		return w.look(slices.Values([]string{path}))[path] == fingerprint{}
	}

	want := fingerprintOf([]byte("one"), nil)
	if got := w.look(slices.Values([]string{path}))[path]; got != want {
		t.Fatalf("first look: got %v, want %v", got, want)
	}
	if remembered() {
		t.Error("a file that was just written is believed by its time")
	}
	now = written.Add(time.Minute)
	w.look(slices.Values([]string{path})) // the first look that is late enough
	w.look(slices.Values([]string{path}))
	if !remembered() {
		t.Error("a file that rests is read again")
	}
	stamp(written.Add(time.Second))
	if remembered() {
		t.Error("a file with another time is not read again")
	}
	if got := w.look(slices.Values([]string{"/does/not/exist"})); got["/does/not/exist"].readable {
		t.Error("a file that is not there is readable")
	}
	if len(w.known) != 1 {
		t.Errorf("%d files are remembered, 1 is looked at", len(w.known))
	}
}
