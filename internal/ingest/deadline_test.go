package ingest

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestDeadlineIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d deadline
		first := d.within(160 * time.Millisecond)
		<-time.After(10 * time.Millisecond)
		if d.within(160*time.Millisecond) != first {
			t.Error("nobody shares it")
		}
		<-time.After(time.Millisecond)
		second := d.within(160 * time.Millisecond)
		if second == first {
			t.Error("what is shared ends too early")
		}
		other := d.within(80 * time.Millisecond)
		<-time.After(149*time.Millisecond - 1)
		synctest.Wait()
		if first.Err() != nil || second.Err() != nil || !errors.Is(other.Err(), context.DeadlineExceeded) {
			t.Errorf("before its time: %v, %v, %v", first.Err(), second.Err(), other.Err())
		}
		<-time.After(1)
		synctest.Wait()
		if !errors.Is(first.Err(), context.DeadlineExceeded) || second.Err() != nil {
			t.Errorf("at its time: %v, %v", first.Err(), second.Err())
		}
		<-time.After(11 * time.Millisecond)
		synctest.Wait()
		if !errors.Is(second.Err(), context.DeadlineExceeded) {
			t.Errorf("the second: %v", second.Err())
		}
	})
}
