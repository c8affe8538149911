package dedup_test

import (
	"context"
	"fmt"
	"log"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/homing-dev/homing/pkg/dedup"
)

// A worker claims an event as the last step before it sends, and settles it as
// the first step after.
func Example() {
	server, err := miniredis.Run()
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer func() { _ = rdb.Close() }()

	ctx := context.Background()
	store := dedup.New(rdb, dedup.Options{})
	if err := store.Mark(ctx, dedup.Marker{}); err != nil { // once its memory is whole
		log.Fatal(err)
	}

	first := dedup.Message{Key: "4be1", Accept: "0198c1", Stream: "HOMING_EVENTS", Seq: 1, Deliveries: 1}
	claims, err := store.Claim(ctx, []dedup.Message{first})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("first:", claims[0].Result)

	second := dedup.Message{Key: "4be1", Accept: "0198c2", Stream: "HOMING_EVENTS", Seq: 2, Deliveries: 1}
	others, err := store.Claim(ctx, []dedup.Message{second})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("second, meanwhile:", others[0].Result)

	// ... Meta took it.
	settled, err := store.Settle(ctx, []dedup.Verdict{{
		Message: &first, Claim: &claims[0],
		Next: dedup.Record{State: dedup.Decided, Outcome: "delivered"},
	}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("stands:", settled[0].Stands, "unsure:", settled[0].Record.Unsure)

	if others, err = store.Claim(ctx, []dedup.Message{second}); err != nil {
		log.Fatal(err)
	}
	fmt.Println("second, afterwards:", others[0].Result)
	// Output:
	// first: fresh
	// second, meanwhile: taken
	// stands: true unsure: false
	// second, afterwards: duplicate
}
