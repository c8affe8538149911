package ingest

import (
	"bytes"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReadAll(t *testing.T) {
	text := bytes.Repeat([]byte("homing "), believed/4)
	for _, size := range []int64{0, 1, maxEvent - 1, maxEvent, maxEvent + 1, believed, believed + 1} {
		for _, length := range []int64{size, -1} {
			got, err := readAll(iotest.HalfReader(bytes.NewReader(text[:size])), length)
			if err != nil || !bytes.Equal(got, text[:size]) {
				t.Errorf("%d bytes, %d announced: %d bytes, %v", size, length, len(got), err)
			}
		}
		if size == 0 || size > believed {
			continue
		}
		if _, err := readAll(bytes.NewReader(text[:size-1]), size); err == nil {
			t.Errorf("%d of %d bytes: %v", size-1, size, err)
		}
	}
}

// Who only says that a large body follows does not get the memory for it.
func TestReadAllBelievesWhatComes(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := readAll(strings.NewReader("{"), believed); err == nil {
		t.Fatal("a body that ended early is whole")
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 4*maxEvent {
		t.Errorf("%d bytes were set aside", took)
	}
}
