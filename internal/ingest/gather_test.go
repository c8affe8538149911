package ingest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// echoes returns a gather whose answers are its questions, a second later, and
// what its flights carried.
func echoes(err error) (g *gather[int, int], flights *[][]int) {
	flights = &[][]int{}
	var mu sync.Mutex
	g = &gather[int, int]{
		limit: func(int) time.Duration { return time.Minute },
		ask: func(ctx context.Context, questions []int) ([]int, error) {
			mu.Lock()
			*flights = append(*flights, questions)
			mu.Unlock()
			time.Sleep(time.Second)
			if err != nil {
				return nil, err
			}
			return slices.Clone(questions), ctx.Err()
		},
	}
	return g, flights
}

// TestGather asks one by one while the store is busy: what waits shares a flight,
// and each asker gets the answers to its own questions.
func TestGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, flights := echoes(nil)
		var askers []*asked[int, int]
		for i := range 6 {
			askers = append(askers, g.start(t.Context(), []int{10 * i, 10*i + 1}))
			synctest.Wait()
		}
		for i, a := range askers {
			if answers, err := a.wait(); err != nil || !slices.Equal(answers, []int{10 * i, 10*i + 1}) {
				t.Errorf("asker %d got %v, %v", i, answers, err)
			}
		}
		if len(*flights) != 2 || len((*flights)[1]) != 10 {
			t.Errorf("flights carried %v", *flights)
		}
		synctest.Wait()
		if g.flying || g.waiting != nil {
			t.Errorf("flying %v, %v waiting after the last answer", g.flying, g.waiting)
		}
	})
}

func TestGatherTellsEachOfAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := echoes(errDown)
		for _, a := range []*asked[int, int]{g.start(t.Context(), []int{1}), g.start(t.Context(), []int{2}), g.start(t.Context(), []int{3}), g.start(t.Context(), []int{4})} {
			if answers, err := a.wait(); !errors.Is(err, errDown) || answers != nil {
				t.Errorf("got %v, %v", answers, err)
			}
		}
	})
}

// TestGatherFillsFlights has more questions than one flight takes; who alone has
// more goes alone.
func TestGatherFillsFlights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, flights := echoes(nil)
		sizes := []int{1, 1, fullFlight - 1, 1, 1, fullFlight + 5, 2}
		var askers []*asked[int, int]
		for _, n := range sizes {
			askers = append(askers, g.start(t.Context(), make([]int, n)))
			synctest.Wait()
		}
		for i, a := range askers {
			if answers, err := a.wait(); err != nil || len(answers) != sizes[i] {
				t.Errorf("asker %d got %d answers, %v", i, len(answers), err)
			}
		}
		var carried []int
		for _, f := range *flights {
			carried = append(carried, len(f))
		}
		slices.Sort(carried)
		if want := []int{1, 4, fullFlight, fullFlight + 5}; !slices.Equal(carried, want) {
			t.Errorf("flights carried %v, want %v", carried, want)
		}
	})
}

// TestGatherLeavesTheLate has askers that don't wait: one whose question is on its
// way, whose answer counts all the same, and one whose question is never asked.
func TestGatherLeavesTheLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, flights := echoes(nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		hasty := g.start(ctx, []int{1})
		synctest.Wait()
		gone, patient := g.start(ctx, []int{2}), g.start(t.Context(), []int{3})
		for _, a := range []*asked[int, int]{hasty, gone} {
			if _, err := a.wait(); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a hasty one got %v", err)
			}
		}
		if answers, err := patient.wait(); err != nil || !slices.Equal(answers, []int{3}) {
			t.Errorf("the patient one got %v, %v", answers, err)
		}
		if answers, err := hasty.wait(); err != nil || !slices.Equal(answers, []int{1}) {
			t.Errorf("the hasty one got %v, %v in the end", answers, err)
		}
		if len(*flights) != 2 || !slices.Equal((*flights)[1], []int{3}) {
			t.Errorf("flights carried %v", *flights)
		}
	})
}

// TestGatherTrustsNoShortAnswer: whose answers would they be?
func TestGatherTrustsNoShortAnswer(t *testing.T) {
	g := &gather[int, int]{
		limit: func(int) time.Duration { return time.Minute },
		ask:   func(_ context.Context, questions []int) ([]int, error) { return questions[:1], nil },
	}
	if answers, err := g.start(t.Context(), []int{1, 2}).wait(); !errors.Is(err, errShort) || answers != nil {
		t.Errorf("got %v, %v", answers, err)
	}
}
