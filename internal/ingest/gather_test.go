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
			askers = append(askers, g.start([]int{10 * i, 10*i + 1}))
			synctest.Wait()
		}
		for i, a := range askers {
			if answers, err := a.wait(t.Context()); err != nil || !slices.Equal(answers, []int{10 * i, 10*i + 1}) {
				t.Errorf("asker %d got %v, %v", i, answers, err)
			}
		}
		if len(*flights) != 2 || len((*flights)[1]) != 10 {
			t.Errorf("flights carried %v", *flights)
		}
		synctest.Wait()
		if g.flights != 0 || g.waiting != nil {
			t.Errorf("%d flights, %v waiting after the last answer", g.flights, g.waiting)
		}
	})
}

func TestGatherTellsEachOfAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := echoes(errDown)
		for _, a := range []*asked[int, int]{g.start([]int{1}), g.start([]int{2}), g.start([]int{3}), g.start([]int{4})} {
			if answers, err := a.wait(t.Context()); !errors.Is(err, errDown) || answers != nil {
				t.Errorf("got %v, %v", answers, err)
			}
		}
	})
}

// TestGatherFillsFlights has more questions than one flight takes; who alone has
// more is not split.
func TestGatherFillsFlights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, flights := echoes(nil)
		sizes := []int{1, 1, fullFlight - 1, 1, 1, fullFlight + 5, 2}
		var askers []*asked[int, int]
		for _, n := range sizes {
			askers = append(askers, g.start(make([]int, n)))
			synctest.Wait()
		}
		for i, a := range askers {
			if answers, err := a.wait(t.Context()); err != nil || len(answers) != sizes[i] {
				t.Errorf("asker %d got %d answers, %v", i, len(answers), err)
			}
		}
		var carried []int
		for _, f := range *flights {
			carried = append(carried, len(f))
		}
		slices.Sort(carried)
		if want := []int{1, 2, 2, fullFlight, fullFlight + 5}; !slices.Equal(carried, want) {
			t.Errorf("flights carried %v, want %v", carried, want)
		}
	})
}

// TestGatherLeavesTheLate has an asker that doesn't wait: the others get theirs.
func TestGatherLeavesTheLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := echoes(nil)
		hasty, patient := g.start([]int{1}), g.start([]int{2})
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := hasty.wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the hasty one got %v", err)
		}
		if answers, err := patient.wait(t.Context()); err != nil || !slices.Equal(answers, []int{2}) {
			t.Errorf("the patient one got %v, %v", answers, err)
		}
		// The answer has come meanwhile, and counts.
		if answers, err := hasty.wait(ctx); err != nil || !slices.Equal(answers, []int{1}) {
			t.Errorf("the hasty one got %v, %v in the end", answers, err)
		}
	})
}
