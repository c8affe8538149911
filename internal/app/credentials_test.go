package app

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/homing-dev/homing/internal/tenants"
)

func TestSplitLogin(t *testing.T) {
	for _, test := range []struct {
		servers, bare string
		want          login
		ok            bool
	}{
		{"nats://u:p@a:4222", "nats://a:4222", login{"u", "p"}, true},
		{"tls://u:p%40@a, tls://u:p%40@b", "tls://a,tls://b", login{"u", "p@"}, true},
		{"u:p@a:4222", "nats://a:4222", login{"u", "p"}, true},
		{"nats://a:4222", "nats://a:4222", login{}, false},
		{"nats://token@a", "nats://token@a", login{}, false},
		{"nats://u:p@a,nats://u:q@b", "nats://u:p@a,nats://u:q@b", login{}, false},
		{"nats://u:p@a,nats://b", "nats://u:p@a,nats://b", login{}, false},
	} {
		bare, got, ok := splitLogin(test.servers)
		if bare != test.bare || got != test.want || ok != test.ok {
			t.Errorf("%s: %q %v %t", test.servers, bare, got, ok)
		}
	}
}

// TestRedisLogin changes the password in the file, and then breaks the file.
func TestRedisLogin(t *testing.T) {
	file := filepath.Join(t.TempDir(), "redis-url")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("redis://u:old@a:6379")
	o := Options{Redis: tenants.NewSecret("file:" + file)}
	text, err := o.RedisURL()
	if err != nil {
		t.Fatal(err)
	}
	client, err := redisOptions(text, "")
	if err != nil {
		t.Fatal(err)
	}
	o.redisLogin(client, slog.New(slog.DiscardHandler))
	for _, step := range []struct{ text, want string }{
		{"redis://u:old@a:6379", "old"}, {"redis://u:new@a:6379", "new"}, {"", "new"}, {"nonsense", "new"}, {"redis://u:newer@a", "newer"},
	} {
		write(step.text)
		user, password, err := client.CredentialsProviderContext(t.Context())
		if user != "u" || password != step.want || err != nil {
			t.Errorf("with %q in the file: %q %q %v, want %q", step.text, user, password, err, step.want)
		}
	}
	literal := Options{Redis: tenants.NewSecret("redis://u:p@a")}
	client.CredentialsProviderContext = nil
	if literal.redisLogin(client, slog.New(slog.DiscardHandler)); client.CredentialsProviderContext != nil {
		t.Error("a URL that is in no file is read again")
	}
}
