package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
)

// doubts are the events of which nobody can know whether Meta has them, as the
// test saw it: that they were in a call when a worker died, or that an answer
// was lost. Whatever else ends unsure is a fault.
type doubts struct {
	mu   sync.Mutex
	keys map[events.Key]string // why
}

func (d *doubts) add(why string, keys ...events.Key) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.keys == nil {
		d.keys = map[events.Key]string{}
	}
	for _, k := range keys {
		d.keys[k] = why
	}
}

func (d *doubts) has(k events.Key) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.keys[k]
	return ok
}

func (d *doubts) len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.keys)
}

// Doubts is how many events may end unsure, for what has happened so far.
func (s *Stack) Doubts() int { return s.doubts.len() }

// DoubtClaimed says why the events that a claim covers now may end unsure, and
// returns how many they are.
func (s *Stack) DoubtClaimed(why string) int {
	s.T.Helper()
	keys := s.claimed(0)
	s.doubts.add(why, keys...)
	return len(keys)
}

// DoubtHandedOut is DoubtClaimed for all that JetStream has handed to any worker
// and has not back: what there is to go by once the claims are forgotten.
func (s *Stack) DoubtHandedOut(why string) int {
	s.T.Helper()
	err := s.NATS.AwaitGone()
	var keys []events.Key
	if err == nil {
		keys, err = handedOut(s.JetStream())
	}
	if err != nil {
		s.T.Errorf("which events are handed out is not known: %v", err)
	}
	s.doubts.add(why, keys...)
	return len(keys)
}

// DoubtSlow is DoubtClaimed, again and again until enough is called, for the
// claims that are older than a call should take. It looks once more then.
func (s *Stack) DoubtSlow(why string, age time.Duration) (enough func()) {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(poll)
		defer tick.Stop()
		for {
			s.doubts.add(why, s.claimed(age)...)
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(stop)
		<-done
		s.doubts.add(why, s.claimed(age)...)
	})
}

// Still stops the workers while f runs, so that f sees what is in flight and
// nothing of it moves.
func (s *Stack) Still(f func()) {
	for _, w := range s.Workers {
		w.Signal(syscall.SIGSTOP)
	}
	f()
	for _, w := range s.Workers {
		w.Signal(syscall.SIGCONT)
	}
}

// claimed returns the events that some worker's claim covers now, for so long at
// least: those of calls in flight, and of calls whose worker died.
func (s *Stack) claimed(age time.Duration) (keys []events.Key) {
	const prefix = "homing:ev:"
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for cursor := uint64(0); ; {
		page, next, err := s.Redis.Client.Scan(ctx, cursor, prefix+"*", 2000).Result()
		if err != nil {
			return keys // Redis is away, and its claims with it
		}
		var values []any
		if len(page) > 0 {
			values, _ = s.Redis.Client.MGet(ctx, page...).Result()
		}
		for i, v := range values {
			text, _ := v.(string) // settled meanwhile
			if r, err := dedup.DecodeRecord(text); err == nil && r.State == dedup.Claimed && time.Since(r.At) >= age {
				keys = append(keys, events.Key(strings.TrimPrefix(page[i], prefix)))
			}
		}
		if cursor = next; cursor == 0 {
			return keys
		}
	}
}

// handedOut returns the events that were handed to a worker and are not acked.
func handedOut(js jetstream.JetStream) (keys []events.Key, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, stream := range []string{streamEvents, "HOMING_RETRY"} {
		st, err := js.Stream(ctx, stream)
		if err != nil {
			return nil, err
		}
		reached := map[string]uint64{} // by the subjects of a consumer
		list := st.ListConsumers(ctx)
		for c := range list.Info() {
			reached[strings.TrimSuffix(c.Config.FilterSubject, ">")] = c.Delivered.Stream
		}
		if err := list.Err(); err != nil {
			return nil, err
		}
		err = eachMessage(js, stream, func(m *jetstream.RawStreamMsg) error {
			for subjects, last := range reached {
				if strings.HasPrefix(m.Subject, subjects) && m.Sequence <= last {
					tenant := m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]
					keys = append(keys, events.MakeKey(tenant, events.Name(m.Header.Get("Homing-Event-Name")), m.Header.Get("Homing-Event-Id")))
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// witness stands before the judge. It notes what came in calls whose answer got
// lost, and keeps what Meta is sent beside the body: the token is where it
// belongs, and is left out.
type witness struct {
	next   http.Handler
	doubts *doubts
	tenant func(dataset string) Tenant

	mu    sync.Mutex
	texts map[string]bool
}

func (h *witness) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := r.Header.Clone()
	header.Del("Authorization")
	header.Del("Traceparent") // another one for every call
	text := fmt.Sprintf("%s %v", r.URL, header)
	h.mu.Lock()
	h.texts[text] = true
	h.mu.Unlock()

	body, err := io.ReadAll(r.Body)
	r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), failing{err}))
	answered := false
	defer func() {
		if !answered || r.Context().Err() != nil {
			h.doubts.add("an answer of Meta was lost", h.events(r.URL.Path, body)...)
		}
	}()
	h.next.ServeHTTP(w, r) // panics to cut the caller off
	answered = true
}

// failing is the end of a body that did not come whole.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) {
	if f.err == nil {
		return 0, io.EOF
	}
	return 0, f.err
}

// events names what a call brought: /VERSION/DATASET/events.
func (h *witness) events(path string, body []byte) (keys []events.Key) {
	var call struct {
		Data []struct {
			Name events.Name `json:"event_name"`
			ID   string      `json:"event_id"`
		} `json:"data"`
	}
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if json.Unmarshal(body, &call) != nil || len(parts) != 3 {
		return nil // nothing that could have been taken
	}
	for _, e := range call.Data {
		keys = append(keys, events.MakeKey(h.tenant(parts[1]).ID, e.Name, e.ID))
	}
	return keys
}

func (h *witness) search(l *leaks) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for text := range h.texts {
		l.look("a request to Meta", text)
	}
}
