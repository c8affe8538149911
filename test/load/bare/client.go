package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// client posts one event a call, which is all that fully interleaved tenants
// leave to anybody.
func client(ctx context.Context, o options) error {
	c := newClient(o)
	now := time.Now()
	at := now.Unix() - 60
	var next atomic.Int64
	var once sync.Once
	var failed error
	var wg sync.WaitGroup
	for range o.inFlight {
		wg.Go(func() {
			for ctx.Err() == nil {
				n := next.Add(1) - 1
				if n >= int64(o.count) {
					return
				}
				if err := post(ctx, c, o.meta, oneEvent(n, at)); err != nil {
					once.Do(func() { failed = err })
					return
				}
			}
		})
	}
	wg.Wait()
	if failed != nil {
		return failed
	}
	return report{Events: o.count, Calls: o.count, Begin: now, End: time.Now()}.print()
}

// oneEvent is the body of a call with one event.
func oneEvent(n, at int64) []byte {
	return fmt.Appendf(nil, `{"data":[{"event_name":"Purchase","event_time":%d,"event_id":"bare-client-%09d","action_source":"business_messaging",`+
		`"messaging_channel":"whatsapp","user_data":{"whatsapp_business_account_id":"9100000","ctwa_clid":"ARAkLkA8rmlFeiCktEJQ-%09d",`+
		`"ph":["6cc1fc1a4ee92a8c4a3cbf0d4d2b4a0c1f4b7ac5e6f1b1d2c3a4958676859401"]},`+
		`"custom_data":{"currency":"EUR","value":129.90,"order_id":"%08d","content_type":"product"}}],"partner_agent":"bare"}`, at, n, n, n)
}
