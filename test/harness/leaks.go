package harness

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
)

// EmailDomain is where all e-mail addresses of the tests are.
const EmailDomain = "secret-mail.example"

// phones are all that Phone makes up.
var phones = regexp.MustCompile(`4915110[0-9]{6}`)

// leaks finds secrets in texts, and keeps the first of each place.
type leaks struct {
	mu      sync.RWMutex
	secrets []string
	found   map[string]string
}

func newLeaks() *leaks {
	return &leaks{secrets: []string{EmailDomain, verifyToken, webhookSecret}, found: map[string]string{}}
}

// guard adds the secrets of tenants to what is looked for.
func (l *leaks) guard(tenants []Tenant) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range tenants {
		for _, secret := range []string{t.Key, t.Token, t.AppSecret} {
			if secret != "" && !slices.Contains(l.secrets, secret) {
				l.secrets = append(l.secrets, secret)
			}
		}
	}
}

// look searches a text that was found somewhere.
func (l *leaks) look(where, text string) {
	what, at := l.search(text)
	if what == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.found[where]; !ok {
		l.found[where] = fmt.Sprintf("%s: %.300q", what, text[max(0, at-150):])
	}
}

// search returns what is in a text that should not be, and where.
func (l *leaks) search(text string) (what string, at int) {
	if span := phones.FindStringIndex(text); span != nil {
		return "the phone number " + text[span[0]:span[1]], span[0]
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, secret := range l.secrets {
		if at := strings.Index(text, secret); at >= 0 {
			return "the secret " + secret, at
		}
	}
	return "", 0
}

// checkLeaks fails the test when a secret stands where it must not: in what the
// processes logged, in a message, in Redis, in a metric, in a span, in a request to
// Meta.
func (s *Stack) checkLeaks() {
	l := s.leaks
	for p, ops := range s.ops {
		for line := range strings.Lines(p.Output()) {
			l.look("the log of "+p.Name, line)
		}
		if !p.Running() {
			continue
		}
		if _, body, err := get(ops + "/metrics"); err == nil {
			for line := range strings.Lines(body) {
				l.look("the metrics of "+p.Name, line)
			}
		}
	}
	s.witness.search(l)
	if s.NATS.Running() {
		l.searchStreams(s)
	}
	if s.Redis.Running() {
		l.searchRedis(s.T, s.Redis.Client)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for where, what := range l.found {
		s.T.Errorf("a leak in %s: %s", where, what)
	}
}

func (l *leaks) searchStreams(s *Stack) {
	js, err := jetStream(s.T, s.NATS.Addr)
	if err != nil {
		s.T.Errorf("the streams could not be searched for leaks: %v", err)
		return
	}
	for _, name := range streams() {
		err := eachMessage(js, name, func(m *jetstream.RawStreamMsg) error {
			l.look("a message of "+name, messageText(m.Subject, m.Header, m.Data))
			return nil
		})
		if err != nil && s.API.Running() {
			s.T.Errorf("%s could not be searched for leaks: %v", name, err)
		}
	}
}

func messageText(subject string, header nats.Header, data []byte) string {
	return fmt.Sprintf("%s %v %s", subject, header, data)
}

func (l *leaks) searchRedis(t testing.TB, rdb *redis.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for cursor := uint64(0); ; {
		keys, next, err := rdb.Scan(ctx, cursor, "*", 2000).Result()
		if err == nil {
			err = l.searchKeys(ctx, rdb, keys)
		}
		if err != nil {
			t.Errorf("Redis could not be searched for leaks: %v", err)
			return
		}
		if cursor = next; cursor == 0 {
			return
		}
	}
}

// searchKeys searches the values of keys, most of which are strings.
func (l *leaks) searchKeys(ctx context.Context, rdb *redis.Client, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	values, err := rdb.MGet(ctx, keys...).Result()
	if err != nil {
		return err
	}
	for i, key := range keys {
		value := values[i]
		if value == nil { // it has expired meanwhile, or is no string
			switch kind, _ := rdb.Type(ctx, key).Result(); kind {
			case "zset":
				value = rdb.ZRange(ctx, key, 0, -1).Val()
			case "hash":
				value = rdb.HGetAll(ctx, key).Val()
			case "none", "string":
			default:
				return fmt.Errorf("it holds a %s, %s, which is not searched", kind, key)
			}
		}
		l.look("Redis", fmt.Sprintf("%s %v", key, value))
	}
	return nil
}

// wiretap searches every message on its way, those too that are gone from their
// stream soon after.
func (l *leaks) wiretap(t testing.TB, addr string) {
	t.Helper()
	nc, err := nats.Connect("nats://"+addr, nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if _, err = nc.Subscribe("homing.>", func(m *nats.Msg) {
		l.look("a message on its way", messageText(m.Subject, m.Header, m.Data))
	}); err != nil {
		t.Fatal(err)
	}
}
