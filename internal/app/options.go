package app

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/caarlos0/env/v11"

	"github.com/homing-dev/homing/internal/tenants"
)

// Options is the configuration of every process: one field per environment
// variable, with its default and its meaning in the tags.
type Options struct {
	NATS      tenants.Secret `env:"HOMING_NATS_URL" envDefault:"nats://127.0.0.1:4222" doc:"NATS servers, comma-separated, or file:PATH that holds them"`
	NATSCreds string         `env:"HOMING_NATS_CREDS" doc:"NATS credentials file"`
	NATSCA    string         `env:"HOMING_NATS_CA" doc:"PEM file of the authority that signed the NATS servers' certificates"`
	Redis     tenants.Secret `env:"HOMING_REDIS_URL" envDefault:"redis://127.0.0.1:6379/0" doc:"redis:// or rediss:// and one host, or several for a cluster; redis+sentinel://h1,h2/master; or file:PATH that holds it"`
	RedisCA   string         `env:"HOMING_REDIS_CA" doc:"PEM file of the authority that signed the Redis servers' certificates"`
	Tenants   string         `env:"HOMING_TENANTS" envDefault:"tenants.yaml" doc:"tenants file; reloaded when it, or a file that it names, changes"`

	APIAddr string `env:"HOMING_API_ADDR" envDefault:":8080" doc:"public listener of the api"`
	OpsAddr string `env:"HOMING_OPS_ADDR" envDefault:":9090" doc:"listener of health, readiness and metrics; never public"`

	GraphURL     string        `env:"HOMING_GRAPH_URL" envDefault:"https://graph.facebook.com" doc:"Meta's Graph API"`
	GraphVersion string        `env:"HOMING_GRAPH_VERSION" envDefault:"v25.0" doc:"version of the Graph API"`
	GraphTimeout time.Duration `env:"HOMING_GRAPH_TIMEOUT" envDefault:"10s" doc:"the longest one call to Meta may take"`

	BatchSize     int           `env:"HOMING_BATCH_SIZE" envDefault:"200" doc:"events in one call to Meta, 1 to 1000 (and at most 1,000,000 bytes)"`
	BatchLinger   time.Duration `env:"HOMING_BATCH_LINGER" envDefault:"25ms" doc:"how long a batch that is not full waits for more"`
	BatchDeadline time.Duration `env:"HOMING_BATCH_DEADLINE" envDefault:"60s" doc:"the longest a batch may take, bisection included"`
	AckWait       time.Duration `env:"HOMING_ACK_WAIT" envDefault:"90s" doc:"JetStream's AckWait"`

	TenantConcurrency int `env:"HOMING_TENANT_CONCURRENCY" envDefault:"8" doc:"calls to Meta in flight per tenant and worker"`

	RetryMin        time.Duration `env:"HOMING_RETRY_MIN" envDefault:"1s" doc:"bound of the first retry's delay; each further one doubles it"`
	RetryMax        time.Duration `env:"HOMING_RETRY_MAX" envDefault:"15m" doc:"bound of every retry's delay"`
	RetryMaxPending int           `env:"HOMING_RETRY_MAX_PENDING" envDefault:"100000" doc:"events that may wait for a retry; beyond it a failing event is parked"`
	RetryFor        time.Duration `env:"HOMING_RETRY_FOR" envDefault:"144h" doc:"no retry later than this after the event's time: then it is dead-lettered"`

	DedupTTL   time.Duration `env:"HOMING_DEDUP_TTL" envDefault:"168h" doc:"how long a settled event is remembered"`
	ClickTTL   time.Duration `env:"HOMING_CLICK_TTL" envDefault:"2160h" doc:"how long a click is kept"`
	ClickGrace time.Duration `env:"HOMING_CLICK_GRACE" envDefault:"0s" doc:"how long an event without a click is looked up again"`

	QueueMaxBytes    Size    `env:"HOMING_QUEUE_MAX_BYTES" envDefault:"10GiB" doc:"size of the backlog, and of the parked events; when full the api answers 503"`
	TenantQueueShare float64 `env:"HOMING_TENANT_QUEUE_SHARE" envDefault:"0.25" doc:"share of the queue that one tenant may fill, above 0 and at most 1"`

	Replicas int     `env:"HOMING_REPLICAS" envDefault:"1" doc:"JetStream replicas: 1, 3 or 5 (3 in production)"`
	Shards   int     `env:"HOMING_SHARDS" envDefault:"8" doc:"lanes of the backlog, 1 to 256; changed by homing streams apply only"`
	Streams  Streams `env:"HOMING_STREAMS" envDefault:"auto" doc:"auto: the processes make the streams; external: homing streams apply does"`

	LogLevel  LogLevel  `env:"HOMING_LOG_LEVEL" envDefault:"info" doc:"debug, info, warn or error"`
	LogFormat LogFormat `env:"HOMING_LOG_FORMAT" envDefault:"json" doc:"json, or text for a person"`

	// ShardsGiven tells a wish from a default: only a wish can contradict what
	// the streams were made with.
	ShardsGiven bool
}

// DefaultOptions returns what an empty environment gives.
func DefaultOptions() (Options, error) { return FromEnviron(nil) }

// FromEnviron reads the options from an environment in the form of os.Environ.
// An empty variable is as good as none. The error tells every problem, each with
// its variable, and never a URL, which may hold a password.
func FromEnviron(environ []string) (Options, error) {
	given := env.ToMap(environ)
	var o Options
	err := env.ParseWithOptions(&o, env.Options{Environment: given, FuncMap: parsers()})
	unparsed, bad := rephrase(err)
	errs := slices.Concat(unknownVariables(given), unparsed, o.validate(bad))
	if len(errs) > 0 {
		return Options{}, errors.Join(errs...)
	}
	o.ShardsGiven = given["HOMING_SHARDS"] != ""
	return o, nil
}

// Validate reports every value that is out of bounds and every two that
// contradict each other. Options made by FromEnviron are valid.
func (o Options) Validate() error { return errors.Join(o.validate(nil)...) }

// NATSURL returns the NATS servers, read from their file if they have one. They
// may hold a password.
func (o Options) NATSURL() (string, error) {
	text, err := resolve("HOMING_NATS_URL", o.NATS)
	if err != nil {
		return "", err
	}
	if err := checkNATS(text); err != nil {
		return "", fmt.Errorf("HOMING_NATS_URL: %w", err)
	}
	return text, nil
}

// RedisURL returns the Redis URL, read from its file if it has one. It may hold
// a password.
func (o Options) RedisURL() (string, error) {
	text, err := resolve("HOMING_REDIS_URL", o.Redis)
	if err != nil {
		return "", err
	}
	if _, err := parseRedis(text); err != nil {
		return "", fmt.Errorf("HOMING_REDIS_URL: %w", err)
	}
	return text, nil
}

// Variable is one environment variable of Homing.
type Variable struct {
	Name, Default, Meaning string
}

// Variables returns every environment variable, in the order of Options.
func Variables() []Variable {
	t := reflect.TypeFor[Options]()
	var vars []Variable
	for i := range t.NumField() {
		tag := t.Field(i).Tag
		if tag.Get("env") == "" {
			continue
		}
		vars = append(vars, Variable{Name: tag.Get("env"), Default: tag.Get("envDefault"), Meaning: tag.Get("doc")})
	}
	return vars
}
