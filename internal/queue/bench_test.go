package queue_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/homing-dev/homing/internal/queue"
)

func BenchmarkPublish(b *testing.B) {
	f := start(b, queue.Config{Shards: 8, MaxBytes: 4 << 30})
	data := make([]byte, 400)
	var n atomic.Int64
	b.ReportAllocs()
	b.SetParallelism(32) // 64 goroutines on two cores
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := int(n.Add(1))
			a := event(fmt.Sprintf("tenant-%d", i%16), i)
			a.Data = data
			if _, err := f.q.Publish(f.ctx, a); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkConsumeAndAck(b *testing.B) {
	f := start(b, queue.Config{Shards: 8, MaxBytes: 4 << 30})
	f.fill(b, b.N)
	ctx, cancel := context.WithCancel(f.ctx)
	defer cancel()
	var n atomic.Int64
	b.ReportAllocs()
	b.ResetTimer()
	err := f.q.Consume(ctx, func(msgs []*queue.Message) {
		verdicts := make([]queue.Verdict, len(msgs))
		for i := range verdicts {
			verdicts[i].Action = queue.Ack
		}
		f.q.Settle(f.ctx, msgs, verdicts)
		if n.Add(int64(len(msgs))) >= int64(b.N) {
			cancel()
		}
	})
	if err != nil {
		b.Error(err)
	}
}
