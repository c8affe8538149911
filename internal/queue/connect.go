package queue

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// Connect opens a connection that comes back by itself, for ever: servers is
// comma-separated, creds a credentials file, ca a PEM file; the last two may be
// empty. A server that can't be reached yet is no error: publishing answers
// ErrUnavailable until it can. No error and no log line repeats a URL,
// which may hold a password.
func Connect(servers, creds, ca string, log *slog.Logger, extra ...nats.Option) (*nats.Conn, error) {
	if err := checkServers(servers); err != nil {
		return nil, err
	}
	var down atomic.Bool // so that an outage is one line, not one per attempt
	opts := []nats.Option{
		nats.Name("homing"),
		nats.MaxReconnects(-1),
		nats.RetryOnFailedConnect(true),
		// A rotated credential heals by itself once the file is replaced.
		nats.IgnoreAuthErrorAbort(),
		nats.ReconnectWait(500 * time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, 500*time.Millisecond),
		// Without a buffer a publish on a broken link fails at once, and the
		// client is told 503 while it waits.
		nats.ReconnectBufSize(-1),
		// A connection of which only our end is left, because a firewall forgot it,
		// is given up after two pings: until then everything is answered 503.
		nats.PingInterval(5 * time.Second),
		nats.ConnectHandler(func(nc *nats.Conn) {
			down.Store(false)
			log.Info("nats connected", "server", nc.ConnectedServerName())
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			down.Store(false)
			log.Info("nats connected again", "server", nc.ConnectedServerName())
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil && !down.Swap(true) {
				log.Warn("nats connection lost, trying again", "error", redact(err))
			}
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) {
			if !down.Swap(true) {
				log.Warn("nats can't be reached, trying again", "error", redact(err))
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			log.Warn("nats reported an error", "error", redact(err))
		}),
	}
	if creds != "" {
		if _, err := os.Stat(creds); err != nil {
			return nil, fmt.Errorf("queue: HOMING_NATS_CREDS: %w", err)
		}
		opts = append(opts, nats.UserCredentials(creds))
	}
	if ca != "" {
		pool, err := readCA(ca)
		if err != nil {
			return nil, err
		}
		opts = append(opts, nats.Secure(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}))
	}
	nc, err := nats.Connect(servers, append(opts, extra...)...)
	if err != nil {
		return nil, fmt.Errorf("queue: connect to HOMING_NATS_URL: %w", redact(err))
	}
	return nc, nil
}

func checkServers(servers string) error {
	for i, s := range strings.Split(servers, ",") {
		s = strings.TrimSpace(s)
		if s == "" {
			continue
		}
		if !strings.Contains(s, "://") {
			s = "nats://" + s
		}
		u, err := url.Parse(s)
		if err != nil || u.Hostname() == "" {
			return fmt.Errorf("queue: HOMING_NATS_URL: server %d is not an address like nats://host:4222", i+1)
		}
		switch u.Scheme {
		case "nats", "tls", "ws", "wss":
		default:
			return fmt.Errorf("queue: HOMING_NATS_URL: server %d: its scheme is none of nats, tls, ws, wss", i+1)
		}
	}
	return nil
}

func readCA(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("queue: HOMING_NATS_CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("queue: HOMING_NATS_CA: %s holds no PEM certificate", file)
	}
	return pool, nil
}

// redact drops the address from an error that repeats it.
func redact(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return errors.New("the address can't be used")
	}
	return err
}
