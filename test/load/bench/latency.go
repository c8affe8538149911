package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// latencyMeta is how long the fake Meta takes here.
	latencyMeta = 20 * time.Millisecond
	// linger is HOMING_BATCH_LINGER, as by default.
	linger = 25 * time.Millisecond
	// latencyConns carry the open loop: many, so that a slow answer delays no
	// other request.
	latencyConns = 256
)

// measureLatency sends events at a fixed rate, whatever becomes of those before,
// and asks the sandbox when each of them arrived.
func (l *lab) measureLatency(ctx context.Context, b *book) error {
	if err := l.startMeta(ctx, latencyMeta); err != nil {
		return err
	}
	if err := l.startAPI(ctx, true); err != nil {
		return err
	}
	defer l.stopAPI()
	defer l.stopWorker()
	if err := l.forget(ctx); err != nil {
		return err
	}
	if err := l.storeClicks(ctx, 1); err != nil {
		return err
	}
	if err := l.launchWorker(workerOptions{}); err != nil {
		return err
	}
	if err := l.worker.ready(ctx, l.workerOps); err != nil {
		return err
	}
	// The sandbox keeps 100,000 events to read back.
	length := min(2*l.set.length(), 19*time.Second)
	for _, rate := range []int{1000, 5000} {
		name := fmt.Sprintf("open loop, %s/s", figure(float64(rate)))
		l.sayf("latency: %s", name)
		due := &measurement{Part: "latency", Name: name + ", due to Meta", Unit: "events/s"}
		answered := &measurement{Part: "latency", Name: name + ", answer to Meta", Unit: "events/s"}
		api := &measurement{Part: "latency", Name: name + ", due to answer", Unit: "events/s"}
		if err := l.runLatency(ctx, b, rate, length, due, answered, api); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		b.add(due.close(), answered.close(), api.close())
		c := comparison{Part: "latency", Name: "p99 at " + figure(float64(rate)) + "/s, due to Meta", Unit: "ms", Value: due.Latency.P99}
		if rate == 1000 {
			c = c.atMost(millis(linger + latencyMeta + 30*time.Millisecond))
		}
		b.compare(c)
	}
	return nil
}

// runLatency is one rate: a second to warm up, then what counts.
func (l *lab) runLatency(ctx context.Context, b *book, rate int, length time.Duration, due, answered, api *measurement) error {
	if err := l.resetMeta(ctx); err != nil {
		return err
	}
	run := l.nextRun()
	warm := rate
	total := warm + int(float64(rate)*length.Seconds())
	m := newMeter(l.api, l.worker, l.nats, l.redis, l.meta)
	sent, err := l.openLoop(ctx, rate, total, l.singleRequest(run))
	if err != nil {
		return err
	}
	if sent.wrong > 0 {
		b.fault("%s: %d requests were not answered as they should be, the first: %v", due.Name, sent.wrong, sent.err)
	}
	if err := l.awaitEmpty(ctx, total); err != nil {
		return err
	}
	costs := m.read(total)
	arrived, err := l.arrivals(ctx, run, total)
	if err != nil {
		return err
	}
	stats, err := l.metaStats(ctx)
	if err != nil {
		return err
	}
	b.judge(due, stats, total-sent.wrong)
	var toMeta, fromAnswer, toAnswer []time.Duration
	for n := warm; n < total; n++ {
		if arrived[n].IsZero() || sent.answered[n].IsZero() {
			continue // a fault already
		}
		at := sent.start.Add(sent.due(n))
		toMeta = append(toMeta, arrived[n].Sub(at))
		fromAnswer = append(fromAnswer, arrived[n].Sub(sent.answered[n]))
		toAnswer = append(toAnswer, sent.answered[n].Sub(at))
	}
	if len(toMeta) == 0 {
		return errors.New("no event reached Meta")
	}
	done := float64(len(toMeta)) / length.Seconds()
	due.round(done, toMeta, costs)
	answered.round(done, fromAnswer, nil)
	api.round(done, toAnswer, nil)
	return nil
}

// schedule is an open loop: request n is due at start + n/rate.
type schedule struct {
	start    time.Time
	rate     int
	answered []time.Time
	wrong    int
	err      error
}

func (s *schedule) due(n int) time.Duration {
	return time.Duration(n) * time.Second / time.Duration(s.rate)
}

// openLoop sends total requests on time. A request that finds no free connection
// is late, and its latency says so.
func (l *lab) openLoop(ctx context.Context, rate, total int, request maker) (*schedule, error) {
	clients, err := dialAll(ctx, l.apiAddr, latencyConns)
	if err != nil {
		return nil, err
	}
	defer closeAll(clients)
	s := &schedule{rate: rate, answered: make([]time.Time, total)}
	ready := make(chan int, total)
	var wrong atomic.Int64
	var once sync.Once
	var wg sync.WaitGroup
	for _, c := range clients {
		wg.Go(func() {
			for n := range ready {
				_, err := c.do(request, n, rightSingle)
				s.answered[n] = time.Now()
				if err == nil {
					continue
				}
				wrong.Add(1)
				once.Do(func() { s.err = err })
				if !errors.Is(err, errAnswer) {
					return
				}
			}
		})
	}
	s.start = time.Now()
	for n := range total {
		if wait := time.Until(s.start.Add(s.due(n))); wait > 0 {
			time.Sleep(wait)
		}
		if ctx.Err() != nil {
			break
		}
		ready <- n
	}
	close(ready)
	wg.Wait()
	s.wrong = int(wrong.Load())
	return s, ctx.Err()
}

// arrivals asks the sandbox when the events of a run came, by their numbers.
func (l *lab) arrivals(ctx context.Context, run, total int) ([]time.Time, error) {
	body, err := get(ctx, fmt.Sprintf("http://%s/_sandbox/events?limit=%d", l.metaAddr, total))
	if err != nil {
		return nil, err
	}
	var got struct {
		Events []struct {
			ID         string    `json:"event_id"`
			ReceivedAt time.Time `json:"received_at"`
		} `json:"events"`
	}
	if err := json.Unmarshal(body, &got); err != nil {
		return nil, err
	}
	at := make([]time.Time, total)
	for _, e := range got.Events {
		id, err := parseID(e.ID)
		if err != nil {
			return nil, err
		}
		if id.run == run && id.n < total {
			at[id.n] = e.ReceivedAt
		}
	}
	return at, nil
}
