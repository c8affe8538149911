//go:build faults

package crash

import "testing"

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		text  string
		point Point
		left  int64
		ok    bool
	}{
		{"", "", 0, true},
		{"after-post", AfterPost, 1, true},
		{"after-post:3", AfterPost, 3, true},
		{"after-post:0", "", 0, false},
		{"after-post:x", "", 0, false},
		{"nowhere", "", 0, false},
	} {
		c, err := parse(tt.text)
		if (err == nil) != tt.ok {
			t.Errorf("%q: %v", tt.text, err)
		} else if tt.ok && (c.point != tt.point || c.left.Load() != tt.left) {
			t.Errorf("%q: %q, %d passes", tt.text, c.point, c.left.Load())
		}
	}
}
