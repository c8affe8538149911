package queue

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/homing-dev/homing/internal/crash"
)

// Bury publishes dead letters, each with its event's bytes unchanged, and waits
// until they are durable. The errors are in the order of the letters; nil for a
// letter that is durable. A letter that is buried again under the same acceptance
// and round within the duplicate window is stored once.
func (q *Queue) Bury(ctx context.Context, letters []Letter) []error {
	errs := make([]error, len(letters))
	waiting := make([]*publication, len(letters))
	for i := range letters {
		waiting[i], errs[i] = q.publishLetter(letters[i])
	}
	for i, p := range waiting {
		if p != nil {
			_, errs[i] = q.await(ctx, p)
			crash.At(crash.AfterBury)
		}
	}
	return errs
}

func (q *Queue) publishLetter(l Letter) (*publication, error) {
	if l.Message == nil {
		return nil, errors.New("queue: a letter needs its message")
	}
	if l.Envelope.Accept == "" {
		l.Envelope = l.Message.Envelope
	}
	tenant := l.Envelope.Tenant
	if !isToken(tenant) {
		tenant = strayTenant
	}
	crash.At(crash.BeforeBury)
	return q.publish(&nats.Msg{
		Subject: subjectDead(tenant),
		Header:  l.header(),
		Data:    l.Message.Data,
	}, StreamDead, fmt.Sprintf("%s:%d", l.Envelope.Accept, l.Envelope.Round))
}
