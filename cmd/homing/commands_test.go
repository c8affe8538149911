package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/events"
)

func TestStreamsFromNothing(t *testing.T) {
	s := servers(t)
	if r := s.wants(1, nil, "dlq", "list"); !strings.Contains(r.err, "homing streams apply") {
		t.Errorf("without streams: %s", r.err)
	}
	s.wants(0, []string{"create stream HOMING_EVENTS\n", "11 changes to make; 2 lanes afterwards"}, "streams", "apply", "--dry-run")
	s.wants(0, []string{"11 changes made; 2 lanes"}, "streams", "apply")
	s.wants(0, []string{"nothing to change; 2 lanes"}, "streams", "apply")
	s.wants(0, []string{"update stream HOMING_EVENTS: ", "3 lanes afterwards"}, "streams", "apply", "--shards", "3", "--dry-run")
	s.wants(0, []string{`"dry_run":false,"shards":3,`}, "streams", "apply", "--shards", "3", "-o", "json")
	s.environ = append(s.environ, "HOMING_SHARDS=3")
	if r := s.wants(1, nil, "streams", "apply", "--shards", "2"); !strings.Contains(r.err, "lanes can only be added") {
		t.Errorf("fewer lanes: %s", r.err)
	}
	s.wants(0, []string{
		"STREAM MESSAGES BYTES LIMIT OLDEST PENDING IN HAND AGAIN\n",
		"HOMING_EVENTS 0 0 B 64.0 MiB - 0 0 0\n", "HOMING_RETRY 0 0 B - - 0 0 0\n", "HOMING_DEAD 0 0 B 1.0 GiB",
	}, "streams", "status")
	s.wants(0, []string{"\n ev-2 - - - - 0 0 0\n", "\n clicks "}, "streams", "status", "--consumers")
	r := s.wants(0, []string{`{"stream":"HOMING_EVENTS","messages":0,"bytes":0,"limit_bytes":67108864,"oldest":null,`}, "streams", "status", "-o", "json")
	if n := strings.Count(r.out, "\n"); n != 6 {
		t.Errorf("%d lines of json, want 6", n)
	}
}

func TestDeadLetters(t *testing.T) {
	s := streams(t)
	s.finish(s.accept("acme", 1), events.Dead, events.ReasonRejectedByMeta)
	s.finish(s.accept("umbra", 2), events.Held, events.ReasonDeliveryUnknown)
	s.finish(s.accept("acme", 3), events.Dead, events.ReasonRejectedByMeta)

	list := s.wants(0, []string{
		"ID TENANT EVENT EVENT ID OUTCOME REASON ATTEMPTS UNSURE DEAD AT LEFT ERROR\n" +
			"1 acme Purchase order-1 dead rejected_by_meta 1 - TIME LEFT Invalid parameter\n" +
			"2 umbra Purchase order-2 held delivery_unknown 1 - TIME LEFT Invalid parameter\n" +
			"3 acme Purchase order-3 dead rejected_by_meta 1 - TIME LEFT Invalid parameter\n",
	}, "dlq", "list")
	if list.err != "" {
		t.Errorf("it says: %s", list.err)
	}
	lines := s.wants(0, nil, "dlq", "list", "--tenant", "acme", "--event-name", "purchase", "--since", "1h", "-o", "json")
	var ids []int
	for dec := json.NewDecoder(strings.NewReader(lines.out)); dec.More(); {
		var l struct {
			ID     int    `json:"id"`
			Tenant string `json:"tenant"`
		}
		if err := dec.Decode(&l); err != nil || l.Tenant != "acme" {
			t.Fatalf("%+v, %v", l, err)
		}
		ids = append(ids, l.ID)
	}
	if len(ids) != 2 || ids[0] != 1 || ids[1] != 3 {
		t.Errorf("ids %v", ids)
	}
	s.wants(0, []string{"event id: order-2\n", "Meta takes it for: LEFT\n", `"Homing-Reason": "delivery_unknown"`, `"ctwa_clid": "ARAk"`}, "dlq", "show", "2")
	s.wants(0, []string{`"event":{"tenant":"umbra",`}, "dlq", "show", "2", "-o", "json")
	if r := s.wants(1, nil, "dlq", "show", "9"); !strings.Contains(r.err, "no such dead letter") {
		t.Errorf("show 9: %s", r.err)
	}

	s.wants(0, []string{"acme dead rejected_by_meta 2\n", "would replay 2 of 3 letters\n", "left 1 where they are: held"}, "dlq", "replay", "--dry-run")
	s.wants(1, []string{"replayed 0 of 1 letters", "--yes-meta-does-not-have-it"}, "dlq", "replay", "2")
	s.wants(0, []string{"umbra held delivery_unknown 1\n", "replayed 1 of 1 letters"}, "dlq", "replay", "2", "--yes-meta-does-not-have-it")
	s.wants(0, []string{"replayed 0 of 0 letters\n1 ids are not there"}, "dlq", "replay", "2")
	r := s.wants(0, []string{`{"dry_run":false,"matched":1,"replayed":1,"groups":[{"tenant":"acme","outcome":"dead","reason":"rejected_by_meta","letters":1}],"refused":{},`},
		"dlq", "replay", "--tenant", "acme", "--limit", "1", "-o", "json")
	if !strings.Contains(r.err, "replayed 1, 0 failed") {
		t.Errorf("no progress: %s", r.err)
	}

	s.wants(0, []string{"would discard 1 letters"}, "dlq", "discard", "--dry-run")
	s.wants(0, []string{"discarded 1 letters"}, "dlq", "discard", "--tenant", "acme", "--yes")
	s.wants(0, []string{`{"dry_run":false,"matched":0,"discarded":0,"groups":[],"gone":1}`}, "dlq", "discard", "3", "--yes", "-o", "json")
}

func TestAudit(t *testing.T) {
	s := streams(t)
	s.finish(s.accept("acme", 1), events.Delivered, "")
	s.accept("umbra", 2)
	s.wants(0, []string{
		"TENANT ACCEPTED DELIVERED DUPLICATE NO_CLICK DEAD HELD WAITING RETRYING PARKED NOWHERE TWICE FORGOTTEN\n" +
			"acme 1 1 0 0 0 0 0 0 0 0 0 0\n" +
			"umbra 1 0 0 0 0 0 1 0 0 0 0 0\n" +
			"TOTAL 2 1 0 0 0 0 1 0 0 0 0 0\n" +
			"every acceptance is accounted for\n",
	}, "audit", "--patience", "0s")
	s.remove(queue.StreamOutcomes, 1)
	s.wants(1, []string{"TOTAL 2 0 0 0 0 0 1 0 0 1 0 0\nnowhere: 1\n"}, "audit", "--patience", "0s")
	r := s.wants(1, []string{`"nowhere":[{"from":1,"to":1}],"twice":[],`}, "audit", "--patience", "0s", "-o", "json")
	if strings.Count(r.out, "\n") != 1 || !strings.Contains(r.err, "reading HOMING_OUTCOMES") {
		t.Errorf("%s%s", r.out, r.err)
	}
}

func TestEvent(t *testing.T) {
	s := streams(t)
	s.finish(s.accept("acme", 1), events.Dead, events.ReasonRejectedByMeta)
	s.wants(0, []string{
		"ledger acme Purchase dead rejected_by_meta 1 0 - TIME TIME - - - -\n" +
			"letter 1 acme Purchase dead rejected_by_meta 1 0 - TIME TIME - - - -\n",
	}, "event", "order-1")
	s.wants(0, []string{`{"states":[],"ledger":[{"tenant":"acme",`}, "event", "order-1", "--tenant", "acme", "--event-name", "Purchase", "-o", "json")
	if r := s.wants(1, nil, "event", "order-9"); !strings.Contains(r.err, "nothing is known") {
		t.Errorf("an unknown event: %s", r.err)
	}
	s.environ = append(s.environ, "HOMING_TENANTS=/nowhere")
	if r := s.wants(2, nil, "event", "order-1"); !strings.Contains(r.err, "--tenant") {
		t.Errorf("without tenants: %s", r.err)
	}
	s.environ = append(s.environ, "HOMING_REDIS_URL=redis://:s3cr3t@127.0.0.1:1/0")
	if r := s.wants(0, []string{"ledger acme"}, "event", "order-1", "--tenant", "acme"); !strings.Contains(r.err, "Redis could not be asked") {
		t.Errorf("with Redis away: %s", r.err)
	}
}

func TestClicksRebuild(t *testing.T) {
	s := streams(t)
	err := s.q.PublishClicks(s.ctx, []events.Click{{Tenant: "acme", Persons: []events.Person{"p1"}, Clid: "ARAk", At: 1}})
	if err != nil {
		t.Fatal(err)
	}
	s.wants(0, []string{"stored 1 clicks\n"}, "clicks", "rebuild")
	s.wants(0, []string{`{"clicks":1}`}, "clicks", "rebuild", "-o", "json")
}
