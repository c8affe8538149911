package main

import (
	"context"
	"fmt"
	"math"
)

// cost is what one of something takes of a store.
type cost struct {
	What  string  `json:"what"`
	Of    string  `json:"of"`
	Bytes float64 `json:"bytes"`
	// Steps are the slopes between the fillings.
	Steps []float64 `json:"steps"`
}

// filling puts things into a store and knows how full that is.
type filling struct {
	what, of string
	put      func(w *world, ctx context.Context, from, n int) error
	used     func(w *world, ctx context.Context) (float64, error)
}

// steps are the fillings' sizes, in multiples of the first.
func steps() []int { return []int{1, 2, 4} }

// maxBend is how far the slopes may lie apart.
const maxBend = 0.10

// measure fills one store step by step.
func (w *world) measure(ctx context.Context, f filling, n int) (cost, error) {
	c := cost{What: f.what, Of: f.of}
	before, err := f.used(w, ctx)
	if err != nil {
		return c, err
	}
	from, first := 0, before
	for _, times := range steps() {
		if err := f.put(w, ctx, from, n*times); err != nil {
			return c, err
		}
		from += n * times
		now, err := f.used(w, ctx)
		if err != nil {
			return c, err
		}
		c.Steps = append(c.Steps, (now-before)/float64(n*times))
		before = now
	}
	c.Bytes = (before - first) / float64(from)
	return c, c.straight()
}

// straight reports whether the slopes are one: Redis's hash table, which doubles
// now and then, may bend the line, so each slope is held against the mean.
func (c cost) straight() error {
	for _, s := range c.Steps {
		if c.Bytes <= 0 || math.Abs(s-c.Bytes)/c.Bytes > maxBend {
			return fmt.Errorf("%.0f bytes on average, but %.0f in one of the steps %.0f: not a cost of each", c.Bytes, s, c.Steps)
		}
	}
	return nil
}
