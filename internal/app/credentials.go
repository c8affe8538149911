package app

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"

	"github.com/homing-dev/homing/internal/tenants"
)

// A password in a file may be changed while we run: it is read again whenever a
// connection is made. The addresses stay those of the start.

var errOneLogin = errors.New("must have the same user and password for every server, as it had at the start")

// login is who we are to a server.
type login struct{ user, password string }

// logins reads the login of a variable whose value is in a file.
type logins struct {
	variable string
	read     func() (login, error)
	log      *slog.Logger

	mu   sync.Mutex
	last login
}

// get returns what the file says, or what it said last while it can't be read.
func (l *logins) get() login {
	now, err := l.read()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.log.Warn("credentials.unread", "variable", l.variable, "error", err)
		return l.last
	}
	l.last = now
	return now
}

func inFile(value tenants.Secret) bool { return strings.HasPrefix(value.Reveal(), "file:") }

// natsLogin takes the login out of servers where it can be read again. Without a
// file, or where servers have different logins or a token, they stay as they are.
func (o Options) natsLogin(servers string, log *slog.Logger) (string, []nats.Option) {
	bare, first, ok := splitLogin(servers)
	if !inFile(o.NATS) || !ok {
		return servers, nil
	}
	l := &logins{variable: "HOMING_NATS_URL", log: log, last: first, read: func() (login, error) {
		text, err := o.NATSURL()
		if err != nil {
			return login{}, err
		}
		_, now, ok := splitLogin(text)
		if !ok {
			return login{}, errOneLogin
		}
		return now, nil
	}}
	return bare, []nats.Option{nats.UserInfoHandler(func() (string, string) {
		now := l.get()
		return now.user, now.password
	})}
}

// splitLogin takes one login out of a list of servers; ok says that it is the same
// everywhere.
func splitLogin(servers string) (bare string, one login, ok bool) {
	var bares []string
	for i, server := range strings.Split(servers, ",") {
		server = strings.TrimSpace(server)
		if !strings.Contains(server, "://") {
			server = "nats://" + server
		}
		u, err := url.Parse(server)
		if err != nil || u.User == nil {
			return servers, login{}, false
		}
		password, has := u.User.Password()
		now := login{u.User.Username(), password}
		if !has || i > 0 && now != one {
			return servers, login{}, false
		}
		one, u.User = now, nil
		bares = append(bares, u.String())
	}
	return strings.Join(bares, ","), one, true
}

// redisLogin makes the client read its login again, where it is in a file.
func (o Options) redisLogin(client *redis.UniversalOptions, log *slog.Logger) {
	if !inFile(o.Redis) || client.Password == "" {
		return
	}
	l := &logins{variable: "HOMING_REDIS_URL", log: log, last: login{client.Username, client.Password}, read: func() (login, error) {
		text, err := o.RedisURL()
		if err != nil {
			return login{}, err
		}
		now, err := parseRedis(text)
		if err != nil {
			return login{}, err
		}
		return login{now.Username, now.Password}, nil
	}}
	client.CredentialsProviderContext = func(context.Context) (string, string, error) {
		now := l.get()
		return now.user, now.password, nil
	}
}
