package harness

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
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
	secrets []string

	mu    sync.Mutex
	found map[string]string
}

func newLeaks(tenants []Tenant) *leaks {
	l := &leaks{secrets: []string{EmailDomain, verifyToken, webhookSecret}, found: map[string]string{}}
	for _, t := range tenants {
		l.secrets = append(l.secrets, t.Key, t.Token, t.AppSecret)
	}
	return l
}

// look searches a text that was found somewhere.
func (l *leaks) look(where, text string) {
	what := ""
	if at := phones.FindString(text); at != "" {
		what = "the phone number " + at
	}
	for _, secret := range l.secrets {
		if secret != "" && strings.Contains(text, secret) {
			what = "the secret " + secret
		}
	}
	if what == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.found[where]; !ok {
		l.found[where] = fmt.Sprintf("%s: %.300q", what, text)
	}
}

// checkLeaks fails the test when a secret stands where it must not: in what the
// processes logged, in a message, in Redis, in a metric, in a request to Meta.
func (s *Stack) checkLeaks() {
	l := newLeaks(s.Tenants)
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
	s.tap.search(l)
	s.headers.search(l)
	if s.NATS.Running() {
		l.searchStreams(s)
	}
	if s.Redis.Running() {
		l.searchRedis(s.T, s.Redis.Client)
	}
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
	scan := rdb.Scan(ctx, 0, "*", 1000).Iterator()
	for scan.Next(ctx) {
		key := scan.Val()
		var value any
		switch kind, _ := rdb.Type(ctx, key).Result(); kind {
		case "string":
			value = rdb.Get(ctx, key).Val()
		case "zset":
			value = rdb.ZRange(ctx, key, 0, -1).Val()
		case "hash":
			value = rdb.HGetAll(ctx, key).Val()
		case "none": // it has expired meanwhile
		default:
			t.Errorf("Redis holds a %s, %s, which is not searched for leaks", kind, key)
		}
		l.look("Redis", fmt.Sprintf("%s %v", key, value))
	}
	if err := scan.Err(); err != nil {
		t.Errorf("Redis could not be searched for leaks: %v", err)
	}
}

// wiretap reads every message on its way, those too that are gone from their
// stream soon after.
type wiretap struct {
	mu    sync.Mutex
	texts []string
}

func newWiretap(t testing.TB, addr string) *wiretap {
	t.Helper()
	w := &wiretap{}
	nc, err := nats.Connect("nats://"+addr, nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if _, err = nc.Subscribe("homing.>", func(m *nats.Msg) {
		text := messageText(m.Subject, m.Header, m.Data)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.texts = append(w.texts, text)
	}); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *wiretap) search(l *leaks) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, text := range w.texts {
		l.look("a message on its way", text)
	}
}

// headerLog keeps what Meta is sent beside the body. The token is where it
// belongs, and is left out.
type headerLog struct {
	next http.Handler

	mu    sync.Mutex
	texts []string
}

func (h *headerLog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := r.Header.Clone()
	header.Del("Authorization")
	text := fmt.Sprintf("%s %v", r.URL, header)
	h.mu.Lock()
	h.texts = append(h.texts, text)
	h.mu.Unlock()
	h.next.ServeHTTP(w, r)
}

func (h *headerLog) search(l *leaks) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, text := range h.texts {
		l.look("a request to Meta", text)
	}
}
