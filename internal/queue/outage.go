package queue

import (
	"context"
	"log/slog"
	"time"
)

// outage tells the log of trouble once when it begins and once when it is over,
// and slows the tries in between.
type outage struct {
	log   *slog.Logger
	what  string
	tries int
}

const (
	outageFirst = 50 * time.Millisecond
	outageMax   = 2 * time.Second
)

func (o *outage) wait(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	o.tries++
	// The first failure is often a restart that is over in a moment.
	if o.tries == 2 {
		o.log.Warn("queue: "+o.what+" can't be read, trying again", "error", err)
	}
	_ = pause(ctx, min(outageFirst<<min(o.tries, 8), outageMax)) // the caller looks at ctx
}

func (o *outage) over() {
	if o.tries >= 2 {
		o.log.Info("queue: " + o.what + " is read again")
	}
	o.tries = 0
}
