package queue

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// What a publish may end in beside success. After either the same MsgID may be
// published again.
var (
	// ErrFull: the stream takes no more; nothing was stored.
	ErrFull = errors.New("queue: full")
	// ErrUnavailable: JetStream did not confirm. The message may be stored all
	// the same; publishing it again under its MsgID can't store it twice within
	// the stream's duplicate window.
	ErrUnavailable = errors.New("queue: unavailable")
	// ErrTooLarge: the message is larger than its stream takes.
	ErrTooLarge = errors.New("queue: message too large")
)

// Error codes of nats-server (server/errors.json).
const (
	codeNotAvailable          jetstream.ErrorCode = 10008 // a cluster without a leader
	codeInsufficientResources jetstream.ErrorCode = 10023
	codeMemoryExceeded        jetstream.ErrorCode = 10028
	codeStorageExceeded       jetstream.ErrorCode = 10047
	codeMessageTooLarge       jetstream.ErrorCode = 10054
	codeStoreFailed           jetstream.ErrorCode = 10077 // maximum bytes or messages exceeded
	codeDuplicateInProcess    jetstream.ErrorCode = 10158 // the first one of this id is not settled yet
)

// publishError makes the error of a publish one of ours; it keeps its cause.
func publishError(err error) error {
	if err == nil || errors.Is(err, ErrFull) || errors.Is(err, ErrUnavailable) || errors.Is(err, ErrTooLarge) {
		return err
	}
	switch errorCode(err) {
	case codeStoreFailed, codeInsufficientResources, codeMemoryExceeded, codeStorageExceeded:
		return fmt.Errorf("%w: %w", ErrFull, err)
	case codeMessageTooLarge:
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	}
	if errors.Is(err, context.Canceled) {
		return err // the caller gave up; that says nothing of the queue
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

func errorCode(err error) jetstream.ErrorCode {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return api.ErrorCode
	}
	var js jetstream.JetStreamError
	if errors.As(err, &js) && js.APIError() != nil {
		return js.APIError().ErrorCode
	}
	return 0
}
