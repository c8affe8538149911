package gather

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
func echoes(err error, opt Options) (g *Group[int, int], flights *[][]int) {
	flights = &[][]int{}
	var mu sync.Mutex
	g = New(func(ctx context.Context, questions []int) ([]int, error) {
		mu.Lock()
		*flights = append(*flights, questions)
		mu.Unlock()
		time.Sleep(time.Second)
		if err != nil {
			return nil, err
		}
		return slices.Clone(questions), ctx.Err()
	}, opt)
	return g, flights
}

func aMinute(int) time.Duration { return time.Minute }

var errDown = errors.New("down")

// TestGather asks one by one while the store is busy: what waits shares a flight,
// and each asker gets the answers to its own questions.
func TestGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, flights := echoes(nil, Options{Limit: aMinute})
		var askers []*Asked[int, int]
		for i := range 6 {
			askers = append(askers, g.Start(t.Context(), []int{10 * i, 10*i + 1}))
			synctest.Wait()
		}
		for i, a := range askers {
			if answers, err := a.Wait(); err != nil || !slices.Equal(answers, []int{10 * i, 10*i + 1}) {
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
		g, _ := echoes(errDown, Options{})
		for _, a := range []*Asked[int, int]{g.Start(t.Context(), []int{1}), g.Start(t.Context(), []int{2}), g.Start(t.Context(), []int{3}), g.Start(t.Context(), []int{4})} {
			if answers, err := a.Wait(); !errors.Is(err, errDown) || answers != nil {
				t.Errorf("got %v, %v", answers, err)
			}
		}
	})
}

// TestGatherFillsFlights has more questions than one flight takes; who alone has
// more goes alone.
func TestGatherFillsFlights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, flights := echoes(nil, Options{Limit: aMinute})
		sizes := []int{1, 1, fullFlight - 1, 1, 1, fullFlight + 5, 2}
		var askers []*Asked[int, int]
		for _, n := range sizes {
			askers = append(askers, g.Start(t.Context(), make([]int, n)))
			synctest.Wait()
		}
		for i, a := range askers {
			if answers, err := a.Wait(); err != nil || len(answers) != sizes[i] {
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
		g, flights := echoes(nil, Options{Limit: aMinute})
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		hasty := g.Start(ctx, []int{1})
		synctest.Wait()
		gone, patient := g.Start(ctx, []int{2}), g.Start(t.Context(), []int{3})
		for _, a := range []*Asked[int, int]{hasty, gone} {
			if _, err := a.Wait(); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a hasty one got %v", err)
			}
		}
		if answers, err := patient.Wait(); err != nil || !slices.Equal(answers, []int{3}) {
			t.Errorf("the patient one got %v, %v", answers, err)
		}
		if answers, err := hasty.Wait(); err != nil || !slices.Equal(answers, []int{1}) {
			t.Errorf("the hasty one got %v, %v in the end", answers, err)
		}
		if len(*flights) != 2 || !slices.Equal((*flights)[1], []int{3}) {
			t.Errorf("flights carried %v", *flights)
		}
	})
}

// TestGatherTrustsNoShortAnswer: whose answers would they be?
func TestGatherTrustsNoShortAnswer(t *testing.T) {
	g := New(func(_ context.Context, questions []int) ([]int, error) { return questions[:1], nil }, Options{})
	if answers, err := g.Start(t.Context(), []int{1, 2}).Wait(); !errors.Is(err, errShort) || answers != nil {
		t.Errorf("got %v, %v", answers, err)
	}
}

// TestGatherFailsAll lets nobody wait for a store that is away, one time-out after
// the other.
func TestGatherFailsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, flights := echoes(errDown, Options{FailAll: true})
		start := time.Now()
		var askers []*Asked[int, int]
		for i := range 1000 {
			askers = append(askers, g.Start(t.Context(), []int{i}))
			if i == 0 {
				synctest.Wait()
			}
		}
		for i, a := range askers {
			if answers, err := a.Wait(); !errors.Is(err, errDown) || answers != nil {
				t.Fatalf("asker %d got %v, %v", i, answers, err)
			}
		}
		if took := time.Since(start); took != time.Second || len(*flights) != 1 {
			t.Errorf("took %v, %d flights", took, len(*flights))
		}
		synctest.Wait()
		if answers, err := g.Start(t.Context(), []int{7}).Wait(); !errors.Is(err, errDown) || answers != nil {
			t.Errorf("the next one got %v, %v", answers, err)
		}
	})
}

// TestGatherHandsOutAnswersWithAnError: what a claim that failed wrote has to be
// released.
func TestGatherHandsOutAnswersWithAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(func(_ context.Context, questions []int) ([]int, error) {
			time.Sleep(time.Second)
			return slices.Clone(questions), errDown
		}, Options{})
		first := g.Start(t.Context(), []int{1})
		synctest.Wait()
		second, third := g.Start(t.Context(), []int{2, 3}), g.Start(t.Context(), []int{4})
		for i, a := range []*Asked[int, int]{first, second, third} {
			want := [][]int{{1}, {2, 3}, {4}}[i]
			if answers, err := a.Wait(); !errors.Is(err, errDown) || !slices.Equal(answers, want) {
				t.Errorf("got %v, %v, want %v", answers, err, want)
			}
		}
	})
}

// TestGatherLetsTheLargeGoAlone: who has enough questions neither waits nor is
// waited for.
func TestGatherLetsTheLargeGoAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, flights := echoes(nil, Options{Alone: 3})
		start := time.Now()
		askers := []*Asked[int, int]{g.Start(t.Context(), []int{1}), g.Start(t.Context(), []int{2, 3, 4}), g.Start(t.Context(), []int{5, 6, 7})}
		for _, a := range askers {
			if _, err := a.Wait(); err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(start); took != time.Second || len(*flights) != 3 {
			t.Errorf("took %v, %d flights", took, len(*flights))
		}
	})
}
