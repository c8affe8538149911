package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
)

// The headers of a message to drain; its data is the event as Meta wants it.
const (
	headerKey    = "Bare-Key"
	headerPerson = "Bare-Person"
)

// fetchSize is how many messages are asked for at once, whatever the size of a
// call.
const fetchSize = 1000

// drainer fetches, claims, posts, settles and acks; what goes wrong ends it.
type drainer struct {
	nc     *nats.Conn
	rdb    *redis.Client
	client *http.Client
	url    string

	mu  sync.Mutex
	rep report
	err error
}

func drain(ctx context.Context, o options) error {
	js, rdb, err := o.servers()
	if err != nil {
		return err
	}
	defer func() { _ = rdb.Close() }()
	consumer, err := js.CreateOrUpdateConsumer(ctx, o.stream, jetstream.ConsumerConfig{
		Durable: "bare", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: -1, AckWait: 90 * time.Second,
	})
	if err != nil {
		return err
	}
	d := &drainer{nc: js.Conn(), rdb: rdb, client: newClient(o), url: o.meta, rep: report{Begin: time.Now()}}
	chunks := make(chan []jetstream.Msg)
	var wg sync.WaitGroup
	for range o.inFlight {
		wg.Go(func() {
			for msgs := range chunks {
				if d.failed() == nil {
					d.fail(d.deliver(ctx, msgs))
				}
			}
		})
	}
	for got := 0; got < o.count && ctx.Err() == nil && d.failed() == nil; {
		msgs, err := fetch(consumer, min(fetchSize, o.count-got))
		if err != nil {
			d.fail(err)
			break
		}
		got += len(msgs)
		for chunk := range slices.Chunk(msgs, o.batch) {
			chunks <- chunk
		}
	}
	close(chunks)
	wg.Wait()
	if err := js.Conn().Flush(); err != nil { // the acks
		return err
	}
	if err := d.failed(); err != nil {
		return err
	}
	d.rep.End = time.Now()
	return d.rep.print()
}

// fetch returns the next messages, none if none came within a second.
func fetch(c jetstream.Consumer, n int) ([]jetstream.Msg, error) {
	batch, err := c.Fetch(n, jetstream.FetchMaxWait(time.Second))
	if err != nil {
		return nil, err
	}
	msgs := make([]jetstream.Msg, 0, n)
	for m := range batch.Messages() {
		msgs = append(msgs, m)
	}
	return msgs, batch.Error()
}

// deliver takes one batch all the way: pipeline, POST, pipeline, ack.
func (d *drainer) deliver(ctx context.Context, msgs []jetstream.Msg) error {
	pipe := d.rdb.Pipeline()
	claims := make([]*redis.BoolCmd, len(msgs))
	clids := make([]*redis.StringCmd, len(msgs))
	for i, m := range msgs {
		claims[i] = pipe.SetNX(ctx, m.Headers().Get(headerKey), "L", time.Hour)
		clids[i] = pipe.Get(ctx, m.Headers().Get(headerPerson))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("claim and look-up: %w", err)
	}
	body := make([]byte, 0, 1_000_000)
	body = append(body, `{"data":[`...)
	sent := 0
	for i, m := range msgs {
		if !claims[i].Val() || clids[i].Val() == "" {
			continue // a duplicate
		}
		if sent > 0 {
			body = append(body, ',')
		}
		body = append(body, m.Data()...)
		sent++
	}
	body = append(body, `],"partner_agent":"bare"}`...)
	if sent > 0 {
		if err := post(ctx, d.client, d.url, body); err != nil {
			return err
		}
	}
	for i, m := range msgs {
		if claims[i].Val() {
			pipe.Set(ctx, m.Headers().Get(headerKey), "D", time.Hour)
		}
	}
	if sent > 0 {
		if _, err := pipe.Exec(ctx); err != nil {
			return fmt.Errorf("settle: %w", err)
		}
	}
	for _, m := range msgs {
		if err := d.nc.Publish(m.Reply(), []byte("+ACK")); err != nil {
			return fmt.Errorf("ack: %w", err)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rep.Events += sent
	d.rep.Calls++
	return nil
}

func (d *drainer) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err == nil {
		d.err = err
	}
}

func (d *drainer) failed() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

func newClient(o options) *http.Client {
	return &http.Client{Timeout: o.timeout, Transport: &http.Transport{MaxIdleConns: o.inFlight, MaxIdleConnsPerHost: o.inFlight}}
}

// post sends one call to Meta; any answer but 200 is an error.
func post(ctx context.Context, client *http.Client, url string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer bare-token")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("meta: %s %s", resp.Status, answer[:min(len(answer), 500)])
	}
	return err
}
