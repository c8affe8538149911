package ingest

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/homing-dev/homing/pkg/events"
)

func TestLargeBatchesWaitForAPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{large: make(chan struct{}, 1)}
		leave, refused := s.admit(t.Context(), 1000, 1000)
		if refused != nil {
			t.Fatal(refused)
		}
		if _, refused := s.admit(t.Context(), largeBatch-1, largeBody-1); refused != nil {
			t.Errorf("a small one was refused: %s", refused.message)
		}

		// One waits no longer than an answer may take, and who has gone not at all.
		began := time.Now()
		if _, refused := s.admit(t.Context(), 1, largeBody); refused == nil || refused.status != http.StatusServiceUnavailable || refused.retryAfter == 0 {
			t.Errorf("while there was no place: %+v", refused)
		}
		if took := time.Since(began); took != admitFor {
			t.Errorf("it waited %v", took)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, refused := s.admit(gone, 1000, 1000); refused == nil {
			t.Error("who has gone was admitted")
		}

		// A place that is given back goes to who waits.
		admitted := make(chan *refusal, 1)
		go func() {
			leave, refused := s.admit(t.Context(), 1000, 1000)
			if refused == nil {
				defer leave()
			}
			admitted <- refused
		}()
		synctest.Wait()
		select {
		case <-admitted:
			t.Error("there was no place")
		default:
		}
		leave()
		if refused := <-admitted; refused != nil {
			t.Errorf("refused although there was a place: %+v", refused)
		}
		synctest.Wait()
		if len(s.large) != 0 {
			t.Errorf("%d places were not given back", len(s.large))
		}
	})
}

// Who gets no place has spent nothing of its rate, and can send again.
func TestNoPlaceForALargeBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		large := "[" + strings.Join(leads(largeBatch), ",") + "]"
		for range cap(h.server.large) {
			h.server.large <- struct{}{}
		}
		refused := h.post(sendEventsPath, large, key(globexKey)).wants(t, http.StatusServiceUnavailable, reasonQueueUnavailable)
		if refused.header.Get("Retry-After") == "" || len(h.queue.all()) != 0 {
			t.Errorf("%v, %d stored", refused.header, len(h.queue.all()))
		}
		// What holds no event needs none to be told so.
		h.post(sendEventsPath, "["+strings.Repeat(" ", largeBody)).wants(t, http.StatusBadRequest, events.ReasonInvalidJSON)
		<-h.server.large
		h.post(sendEventsPath, large, key(globexKey)).wants(t, http.StatusOK, "")
		if len(h.server.large) != cap(h.server.large)-1 {
			t.Error("the place was not given back")
		}
	})
}
