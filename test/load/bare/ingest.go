package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nyaruka/phonenumbers"
	"github.com/redis/go-redis/v9"
)

// conversion is what a merchant posts.
type conversion struct {
	EventName   string          `json:"event_name"`
	PhoneNumber string          `json:"phone_number"`
	EventID     string          `json:"event_id"`
	Currency    string          `json:"currency"`
	Value       json.Number     `json:"value"`
	CustomData  json.RawMessage `json:"custom_data"`
}

// edge is the bare ingest: decode, check the phone, one Redis command, publish,
// wait for the PubAck, answer.
type edge struct {
	js      jetstream.JetStream
	rdb     *redis.AutoPipeliner
	subject string
	lib     bool
}

func ingest(ctx context.Context, o options) error {
	if o.phone != "lib" && o.phone != "none" {
		return fmt.Errorf("-phone is %q: use lib or none", o.phone)
	}
	js, rdb, err := o.servers()
	if err != nil {
		return err
	}
	defer func() { _ = rdb.Close() }()
	pipe, err := rdb.AutoPipeline()
	if err != nil {
		return err
	}
	e := &edge{js: js, rdb: pipe, subject: "bare." + o.stream, lib: o.phone == "lib"}
	srv := &http.Server{Addr: o.listen, Handler: e, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		_ = srv.Close()
	}()
	if err := srv.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (e *edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var c conversion
	if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if e.lib {
		number, err := phonenumbers.Parse(c.PhoneNumber, "")
		if err != nil || !phonenumbers.IsValidNumber(number) {
			http.Error(w, "not a phone number", http.StatusBadRequest)
			return
		}
	}
	if err := e.rdb.SetNX(r.Context(), "bare:ev:"+c.EventID, "Q", time.Hour).Err(); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	data, err := json.Marshal(c)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	future, err := e.js.PublishMsgAsync(&nats.Msg{Subject: e.subject, Data: data, Header: nats.Header{jetstream.MsgIDHeader: {c.EventID}}})
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	select {
	case <-future.Ok():
	case err := <-future.Err():
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"success":true}` + "\n")) // a client that has gone cannot be told
}
