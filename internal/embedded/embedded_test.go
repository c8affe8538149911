package embedded_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/homing-dev/homing/internal/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNATSKeepsItsStreamsOverARestart(t *testing.T) {
	for name, opt := range map[string]embedded.Options{
		"in process": {},
		"loopback":   {Listen: true, MaxStore: 1 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			s, err := embedded.NATS(t.TempDir(), opt)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()

			publish(ctx, t, s, "one")
			url := s.URL()
			if opt.Listen != (url != "") {
				t.Errorf("URL() = %q with Listen %v", url, opt.Listen)
			}
			s.Stop()
			if _, err := s.InProcessConn(); err == nil {
				t.Error("a stopped server took a connection")
			}
			if err := s.Start(); err != nil {
				t.Fatal(err)
			}
			if s.URL() != url {
				t.Errorf("after a restart URL() = %q, want %q", s.URL(), url)
			}
			if seq := publish(ctx, t, s, "two"); seq != 2 {
				t.Errorf("sequence after a restart = %d, want 2: the store was lost", seq)
			}
		})
	}
}

func TestNATSNeedsADirectory(t *testing.T) {
	if _, err := embedded.NATS("", embedded.Options{}); err == nil {
		t.Error("no error without a directory")
	}
}

func TestRedisExpires(t *testing.T) {
	r, err := embedded.Redis()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	opt, err := redis.ParseURL(r.URL())
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(opt)
	defer rdb.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := rdb.Set(ctx, "k", "v", 300*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	for rdb.Exists(ctx, "k").Val() == 1 {
		if ctx.Err() != nil {
			t.Fatal("the key never expired: the clock stands still")
		}
	}
}

func publish(ctx context.Context, t *testing.T, s *embedded.Server, body string) uint64 {
	t.Helper()
	nc, err := nats.Connect(s.URL(), s.ClientOption())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	ack, err := js.Publish(ctx, "s", []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return ack.Sequence
}
