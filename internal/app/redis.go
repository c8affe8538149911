package app

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// redisOptions turns a Redis URL, and the file of the authority that signed the
// servers' certificates ("" for the system's), into options of the client.
//
// MaxRetries is 1: a claim names its owner, so one that is repeated finds itself.
// ReadTimeout is short because whoever waits for Redis holds a message.
func redisOptions(rawURL, caFile string) (*redis.UniversalOptions, error) {
	o, err := parseRedis(rawURL)
	if err != nil {
		return nil, fmt.Errorf("HOMING_REDIS_URL: %w", err)
	}
	if caFile != "" {
		if o.TLSConfig == nil {
			return nil, errors.New("HOMING_REDIS_CA: needs a HOMING_REDIS_URL with TLS: rediss:// or rediss+sentinel://")
		}
		if o.TLSConfig.RootCAs, err = readCA(caFile); err != nil {
			return nil, fmt.Errorf("HOMING_REDIS_CA: %w", err)
		}
	}
	o.ClientName = "homing"
	o.ContextTimeoutEnabled = true
	o.DialTimeout = 2 * time.Second
	o.ReadTimeout = time.Second
	o.WriteTimeout = time.Second
	o.MaxRetries = 1
	// Everything is pipelined; a burst of requests must neither wait for a
	// connection nor for one to be made, since a look may take 50 ms in all.
	o.PipelinePoolSize = 64
	o.PoolSize = 64
	o.MinIdleConns = 8
	// It would stretch the time-outs above while a managed Redis moves.
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return o, nil
}

var errRedisURL = errors.New("must be redis:// or rediss:// and host:port (several, comma-separated, for a cluster), " +
	"redis+sentinel://host:port,host:port/master, or file:PATH that holds one; a special character of the password is written as %XX")

// parseRedis reads a Redis URL:
//
//	redis[s]://[[user]:password@]host[:port][,host[:port]...][/database]
//	redis[s]+sentinel://[[user]:password@]host[:port][,...]/master[/database]
//
// User and password are of Redis; those of the Sentinels themselves, if they
// have any, are the parameters sentinel_user and sentinel_password. It is not
// left to net/url, which knows one host only and repeats the URL in its errors.
func parseRedis(text string) (*redis.UniversalOptions, error) {
	scheme, rest, found := strings.Cut(text, "://")
	kind, sentinel := strings.CutSuffix(scheme, "+sentinel")
	if !found || kind != "redis" && kind != "rediss" {
		return nil, errRedisURL
	}
	o := &redis.UniversalOptions{}
	if kind == "rediss" {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	rest, query, _ := strings.Cut(rest, "?")
	hosts, path, _ := strings.Cut(rest, "/")
	if at := strings.LastIndexByte(hosts, '@'); at >= 0 {
		var err error
		if o.Username, o.Password, err = userPassword(hosts[:at]); err != nil {
			return nil, err
		}
		hosts = hosts[at+1:]
	}
	port := "6379"
	if sentinel {
		port = "26379"
	}
	for host := range strings.SplitSeq(hosts, ",") {
		addr, ok := hostPort(host, port)
		if !ok {
			return nil, errRedisURL
		}
		o.Addrs = append(o.Addrs, addr)
	}
	if sentinel {
		if err := sentinelPart(o, path, query); err != nil {
			return nil, err
		}
		return o, nil
	}
	if query != "" {
		return nil, errRedisURL
	}
	var err error
	if o.DB, err = database(path); err != nil {
		return nil, err
	}
	if o.DB != 0 && len(o.Addrs) > 1 {
		return nil, errors.New("a Redis cluster has the database 0 only: leave /N out")
	}
	return o, nil
}

// sentinelPart reads what only a URL of Sentinels has.
func sentinelPart(o *redis.UniversalOptions, path, query string) error {
	master, db, _ := strings.Cut(path, "/")
	var err error
	if o.MasterName, err = url.PathUnescape(master); err != nil || o.MasterName == "" {
		return errors.New("redis+sentinel:// needs the name of the master after the hosts: redis+sentinel://host:port/master")
	}
	if o.DB, err = database(db); err != nil {
		return err
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return errRedisURL
	}
	for name := range values {
		switch name {
		case "sentinel_user":
			o.SentinelUsername = values.Get(name)
		case "sentinel_password":
			o.SentinelPassword = values.Get(name)
		default:
			return errors.New("takes the parameters sentinel_user and sentinel_password only")
		}
	}
	return nil
}

func userPassword(text string) (user, password string, err error) {
	rawUser, rawPassword, _ := strings.Cut(text, ":")
	if user, err = url.PathUnescape(rawUser); err != nil {
		return "", "", errRedisURL
	}
	if password, err = url.PathUnescape(rawPassword); err != nil {
		return "", "", errRedisURL
	}
	return user, password, nil
}

// hostPort completes "host", "host:port", "[::1]" and "[::1]:port".
func hostPort(text, port string) (string, bool) {
	host := strings.TrimSpace(text)
	if h, p, err := net.SplitHostPort(host); err == nil {
		host, port = h, p
	} else if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	} else if strings.ContainsAny(host, ":[]") {
		return "", false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if host == "" || err != nil || n == 0 || strings.ContainsAny(host, " @/\\") {
		return "", false
	}
	return net.JoinHostPort(host, port), true
}

func database(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0, errors.New("the database after the last / must be a number; a / in the password is written as %2F")
	}
	return int(n), nil
}

// readCA reads the certificates of a PEM file.
func readCA(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no PEM certificate", path)
	}
	return pool, nil
}
