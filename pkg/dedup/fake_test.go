package dedup_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/dedup/deduptest"
)

// fakeRedis answers the store's pipelines from a map, inside the client, so that
// the model decides what is lost and what comes between two of them. That it
// answers as Redis does is what the suite shows: it runs over both.
type fakeRedis struct {
	data map[string]string
	// fault is asked once per pipeline; nil for a healthy network.
	fault func() fault
	// between runs before a pipeline of a call that drew interleaved.
	between func()
	// prefix is how much of a torn pipeline of n commands is executed.
	prefix func(n int) int
	forgot bool            // the script cache
	late   [][]redis.Cmder // pipelines still on their way, though nobody waits for them
}

// fault is what goes wrong with one pipeline.
type fault int

const (
	healthy     fault = iota
	lostRequest       // never executed
	lostReply         // executed, and nobody learns
	torn              // executed in part, and nobody learns
	late              // executed some time later, when nobody waits for it any more
	repeated          // executed twice, as the client library does after a lost reply
	interleaved       // other workers' commands come first
)

var errNetwork = errors.New("fake: connection lost")

func newFake(t testing.TB) (*fakeRedis, redis.UniversalClient) {
	t.Helper()
	f := &fakeRedis{data: map[string]string{}}
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
	rdb.AddHook(f)
	t.Cleanup(func() { _ = rdb.Close() })
	return f, rdb
}

// DialHook implements redis.Hook: nothing is ever dialled.
func (f *fakeRedis) DialHook(redis.DialHook) redis.DialHook {
	return func(context.Context, string, string) (net.Conn, error) { return nil, io.ErrClosedPipe }
}

// ProcessHook implements redis.Hook.
func (f *fakeRedis) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(_ context.Context, cmd redis.Cmder) error {
		f.execute(cmd)
		return cmd.Err()
	}
}

// ProcessPipelineHook implements redis.Hook.
func (f *fakeRedis) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(_ context.Context, cmds []redis.Cmder) error {
		what := healthy
		if f.fault != nil {
			what = f.fault()
		}
		n := len(cmds)
		switch what {
		case lostRequest, late:
			n = 0
		case torn:
			n = f.prefix(n)
		case interleaved:
			f.between()
		}
		f.run(cmds[:n])
		switch what {
		case repeated:
			f.run(cmds)
		case lostRequest, lostReply, torn, late:
			if what == late {
				f.late = append(f.late, frozen(cmds))
			}
			for _, cmd := range cmds {
				cmd.SetErr(errNetwork)
			}
			return errNetwork
		}
		for _, cmd := range cmds {
			if cmd.Err() != nil {
				return cmd.Err()
			}
		}
		return nil
	}
}

// frozen copies commands with their arguments as they are now.
func frozen(cmds []redis.Cmder) []redis.Cmder {
	out := make([]redis.Cmder, len(cmds))
	for i, cmd := range cmds {
		args := slices.Clone(cmd.Args())
		for n, a := range args {
			if text, ok := a.(*string); ok {
				args[n] = *text
			}
		}
		out[i] = redis.NewStringCmd(context.Background(), args...)
	}
	return out
}

// land executes the i-th of the late pipelines.
func (f *fakeRedis) land(i int) {
	cmds := f.late[i]
	f.late = slices.Delete(f.late, i, i+1)
	f.run(cmds)
}

func (f *fakeRedis) run(cmds []redis.Cmder) {
	for _, cmd := range cmds {
		f.execute(cmd)
	}
}

// execute knows the store's own commands and refuses every other.
func (f *fakeRedis) execute(cmd redis.Cmder) {
	arg := func(i int) string {
		if text, ok := cmd.Args()[i].(*string); ok {
			return *text
		}
		return fmt.Sprint(cmd.Args()[i])
	}
	reply := func(found string) {
		cmd.SetErr(nil)
		if found == "" {
			cmd.SetErr(redis.Nil)
		}
		if c, ok := cmd.(*redis.StringCmd); ok {
			c.SetVal(found)
		}
	}
	switch name := arg(0); name {
	case "get":
		reply(f.data[arg(1)])
	case "set":
		found := f.data[arg(1)]
		if len(cmd.Args()) < 6 { // the marker: SET key value
			f.data[arg(1)] = arg(2)
		} else if found == "" {
			f.data[arg(1)] = arg(2)
		}
		reply(found)
		if _, status := cmd.(*redis.StatusCmd); status {
			cmd.SetErr(nil)
		}
	case "unlink":
		delete(f.data, arg(1))
		cmd.SetErr(nil)
	case "eval", "evalsha":
		if name == "evalsha" && f.forgot {
			cmd.SetErr(redis.ErrNoScript)
			return
		}
		found := f.data[arg(3)]
		var lands bool
		switch arg(1) {
		case dedup.SwapSource, dedup.SwapHash():
			lands = found == arg(4)
		case dedup.SettleSource, dedup.SettleHash():
			lands = strings.HasPrefix(found, "L") && strings.Contains(found+" ", arg(4)+" ")
		default:
			cmd.SetErr(errors.New("fake: a script that it does not know"))
			return
		}
		if !lands {
			reply(found)
			cmd.SetErr(nil) // the script answers "", not nil
			return
		}
		f.data[arg(3)] = arg(5)
		if arg(5) == "" {
			delete(f.data, arg(3))
		}
		reply("")
	default:
		cmd.SetErr(fmt.Errorf("fake: unexpected command %q", name))
	}
}

func (f *fakeRedis) snapshot() map[string]string { return maps.Clone(f.data) }

// fakeHarness runs the suite over the fake.
func fakeHarness(t testing.TB) (deduptest.Harness, *dedup.Redis, *fakeRedis) {
	t.Helper()
	f, rdb := newFake(t)
	h, store := harness(t, rdb)
	h.Wipe = func() { clear(f.data) }
	h.Garble = func(key string) { f.data["homing:ev:"+key] = "D9 from=the-future" }
	return h, store, f
}
