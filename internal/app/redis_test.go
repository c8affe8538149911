package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

func TestParseRedis(t *testing.T) {
	type parsed struct {
		Addrs                  []string
		User, Password, Master string
		DB                     int
		TLS                    bool
		SentinelUser, SentPass string
	}
	tests := []struct {
		url  string
		want parsed
	}{
		{"redis://127.0.0.1:6379/0", parsed{Addrs: []string{"127.0.0.1:6379"}}},
		{"redis://r", parsed{Addrs: []string{"r:6379"}}},
		{"redis://r/", parsed{Addrs: []string{"r:6379"}}},
		{"rediss://r:6380/15", parsed{Addrs: []string{"r:6380"}, DB: 15, TLS: true}},
		{"redis://[::1]", parsed{Addrs: []string{"[::1]:6379"}}},
		{"redis://[::1]:7/2", parsed{Addrs: []string{"[::1]:7"}, DB: 2}},
		{"redis://:pw@r", parsed{Addrs: []string{"r:6379"}, Password: "pw"}},
		{"redis://me@r", parsed{Addrs: []string{"r:6379"}, User: "me"}},
		{"redis://me:p%40%2F%3A%25%2B+w@r", parsed{Addrs: []string{"r:6379"}, User: "me", Password: "p@/:%++w"}},
		{"redis://me:a:b@c@r", parsed{Addrs: []string{"r:6379"}, User: "me", Password: "a:b@c"}},
		{"redis://a:1,b,c:3", parsed{Addrs: []string{"a:1", "b:6379", "c:3"}}},
		{"rediss://me:pw@a:1,b:2/0", parsed{Addrs: []string{"a:1", "b:2"}, User: "me", Password: "pw", TLS: true}},
		{"redis+sentinel://a:1,b/master", parsed{Addrs: []string{"a:1", "b:26379"}, Master: "master"}},
		{"redis+sentinel://:pw@a/my-master/4", parsed{Addrs: []string{"a:26379"}, Password: "pw", Master: "my-master", DB: 4}},
		{"rediss+sentinel://a/m?sentinel_user=s&sentinel_password=p%26w", parsed{Addrs: []string{"a:26379"}, Master: "m", TLS: true, SentinelUser: "s", SentPass: "p&w"}},
	}
	for _, tt := range tests {
		o, err := redisOptions(tt.url, "")
		if err != nil {
			t.Errorf("%s: %v", tt.url, err)
			continue
		}
		got := parsed{o.Addrs, o.Username, o.Password, o.MasterName, o.DB, o.TLSConfig != nil, o.SentinelUsername, o.SentinelPassword}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.url, diff)
		}
	}
}

func TestRedisClientIsOfTheRightKind(t *testing.T) {
	for url, want := range map[string]string{
		"redis://a":            "client",
		"redis://a,b":          "cluster",
		"redis+sentinel://a/m": "client", // one that asks the Sentinels
	} {
		o, err := redisOptions(url, "")
		if err != nil {
			t.Fatal(err)
		}
		o.MinIdleConns = 0 // they would be dialled at once, and nobody is there
		client := redis.NewUniversalClient(o)
		got := "client"
		if _, ok := client.(*redis.ClusterClient); ok {
			got = "cluster"
		}
		if got != want {
			t.Errorf("%s gives a %s", url, got)
		}
		if c, ok := client.(*redis.Client); ok {
			opt := c.Options()
			if !opt.ContextTimeoutEnabled || opt.ReadTimeout != time.Second || opt.WriteTimeout != time.Second || opt.MaxRetries != 1 {
				t.Errorf("%s: time-outs %v, read %v, write %v, %d retries", url, opt.ContextTimeoutEnabled, opt.ReadTimeout, opt.WriteTimeout, opt.MaxRetries)
			}
			if strings.Contains(url, "sentinel") {
				continue // they have no such setting
			}
			if opt.MaintNotificationsConfig.Mode != maintnotifications.ModeDisabled {
				t.Errorf("%s: notifications of maintenance stretch the time-outs", url)
			}
		}
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestParseRedisRefuses(t *testing.T) {
	const form = "must be redis:// or rediss://"
	tests := []struct{ url, want string }{
		{"", form},
		{"r:6379", form},
		{"http://r", form},
		{"sentinel://r/m", form},
		{"redis+cluster://r", form},
		{"redis://", form},
		{"redis:///0", form},
		{"redis://a,,b", form},
		{"redis://a,", form},
		{"redis://a:0", form},
		{"redis://a:65536", form},
		{"redis://a:x", form},
		{"redis://a:1:2", form},
		{"redis://[::1", form},
		{"redis://a b", form},
		{"redis://:pa55", form},
		{"redis://:pa55%@r", form},
		{"redis://pa55%zz:x@r", form},
		{"redis://:pa55@r:x", form},
		{"redis://:pa55@redis://r", form},
		{"redis://a,redis://b", form},
		{"redis://r?db=1", form},
		{"redis://:pa/55@r", form},
		{"redis://me/pa55@r", "a / in the password is written as %2F"},
		{"redis://r/x", "the database after the last / must be a number"},
		{"redis://r/-1", "the database after the last / must be a number"},
		{"redis://r/1/2", "the database after the last / must be a number"},
		{"redis://a,b/1", "a Redis cluster has the database 0 only"},
		{"redis+sentinel://a", "needs the name of the master"},
		{"redis+sentinel://a/", "needs the name of the master"},
		{"redis+sentinel://a/%zz", "needs the name of the master"},
		{"redis+sentinel://a/m/x", "the database after the last / must be a number"},
		{"redis+sentinel://a/m?pool=pa55", "takes the parameters sentinel_user and sentinel_password only"},
		{"redis+sentinel://a/m?sentinel_password=pa55%zz", form},
	}
	for _, tt := range tests {
		o, err := redisOptions(tt.url, "")
		if err == nil || o != nil {
			t.Errorf("%s: got %v, %v", tt.url, o, err)
			continue
		}
		if !strings.HasPrefix(err.Error(), "HOMING_REDIS_URL: ") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.url, err, tt.want)
		}
		if strings.Contains(err.Error(), "pa55") {
			t.Errorf("%s: the error holds the password: %v", tt.url, err)
		}
	}
}

func TestRedisCA(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.pem"), filepath.Join(dir, "bad.pem")
	for path, content := range map[string][]byte{good: certificate(t), bad: []byte("no certificate")} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o, err := redisOptions("rediss://r", good)
	if err != nil || o.TLSConfig.RootCAs == nil {
		t.Fatalf("got %v, %v", o, err)
	}
	tests := []struct{ url, file, want string }{
		{"redis://r", good, "HOMING_REDIS_CA: needs a HOMING_REDIS_URL with TLS"},
		{"rediss://r", bad, "holds no PEM certificate"},
		{"rediss://r", filepath.Join(dir, "none"), "no such file"},
	}
	for _, tt := range tests {
		if _, err := redisOptions(tt.url, tt.file); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s with %s: got %v, want %s", tt.url, filepath.Base(tt.file), err, tt.want)
		}
	}
}

// certificate makes a self-signed one.
func certificate(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func FuzzParseRedis(f *testing.F) {
	for _, seed := range []string{
		"redis://127.0.0.1:6379/0", "rediss://u:p@a,b", "redis+sentinel://u:p@a:1,b/m/2?sentinel_user=x", "redis://[::1]:7", "redis://", "://", "redis://%",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, url string) {
		o, err := parseRedis(url)
		if (o == nil) != (err != nil) {
			t.Fatalf("got %v and %v", o, err)
		}
		if err == nil && len(o.Addrs) == 0 {
			t.Fatal("no address")
		}
	})
}
