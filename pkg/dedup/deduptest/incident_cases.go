package deduptest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/homing-dev/homing/pkg/dedup"
)

func incidentCases() []testCase {
	return []testCase{
		{"incident: without the marker nothing is claimed, and the event stays queued", func(k *kit) {
			k.Wipe()
			claims, err := k.Store.Claim(context.Background(), []dedup.Message{event("a", 1)})
			if !errors.Is(err, dedup.ErrIncident) {
				k.Fatalf("Claim without a marker: %v, want ErrIncident", err)
			}
			if len(claims) != 1 || claims[0].Result != dedup.Unanswered {
				k.Fatalf("claims %+v, want one unanswered", claims)
			}
			k.stands(k.queued(event("a", 1), 1))
			if _, err := k.Store.Marker(context.Background()); !errors.Is(err, dedup.ErrIncident) {
				k.Fatalf("Marker: %v, want ErrIncident", err)
			}
		}},
		{"incident: the marker keeps when and where", func(k *kit) {
			want := dedup.Marker{IncidentAt: k.Now().Truncate(time.Millisecond), RunID: "run id/%1"}
			k.mark(want)
			got, err := k.Store.Marker(context.Background())
			if err != nil || !got.IncidentAt.Equal(want.IncidentAt) || got.RunID != want.RunID {
				k.Fatalf("Marker = %+v, %v; want %+v", got, err, want)
			}
		}},
		{"row 2: after an incident a redelivered message is interrupted", func(k *kit) {
			k.mark(dedup.Marker{IncidentAt: k.Now()})
			k.Advance(2*k.AckWait - time.Second)
			c := k.claim(redelivered(event("a", 1)), dedup.Interrupted)
			k.unsure(c.Record, true)
			k.stands(c.Record)
		}},
		{"rows 3, 8, 10: after an incident a redelivered message is interrupted", func(k *kit) {
			for i, before := range []dedup.Record{waiting(), decided("dead", "expired"), decided("no_click", "x")} {
				m := event("a", 1)
				m.Key = fmt.Sprintf("key%d", i)
				k.decide(m, before)
				k.mark(dedup.Marker{IncidentAt: k.Now()})
				again := replayed(m, 9, dedup.ReplayDead)
				if i == 2 {
					again.Accept = "b"
				}
				k.unsure(k.claim(redelivered(again), dedup.Interrupted).Record, true)
			}
		}},
		{"row 2: after an incident a first delivery is fresh", func(k *kit) {
			k.mark(dedup.Marker{IncidentAt: k.Now()})
			k.claim(event("a", 1), dedup.Fresh)
		}},
		{"row 2: long after an incident all is as ever", func(k *kit) {
			k.mark(dedup.Marker{IncidentAt: k.Now()})
			k.Advance(2 * k.AckWait)
			k.claim(redelivered(event("a", 1)), dedup.Fresh)
		}},
		{"incident: an answer that comes after it is still the truth", func(k *kit) {
			m := event("a", 1)
			c := k.claim(m, dedup.Fresh)
			k.Wipe()
			k.mark(dedup.Marker{IncidentAt: k.Now()})
			k.unsure(k.settle(m, c, decided("delivered", ""), true), false)
			k.claim(redelivered(m), dedup.Settled)
		}},
	}
}
