package sandbox

import (
	"log/slog"
	"time"
)

// Options configure a Sandbox. The zero value is a sandbox that takes any
// non-empty token, any dataset made of digits, any WhatsApp Business Account
// and any click id, and is strict about all the rest.
type Options struct {
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	// Datasets are the datasets that exist, by id. Empty means that any id made
	// of digits exists, and is as AnyDataset says.
	Datasets   map[string]Dataset
	AnyDataset Dataset

	// KnownClids are the click ids that Meta made, each with the id of the Page
	// whose ad made it, or "" where the Page does not matter. When it is not
	// empty, any other click id is refused with 2804087.
	KnownClids map[string]string

	// Versions are the Graph versions that answer; nil means v21.0 to v26.0.
	Versions []string

	// Locale is the language of error_user_title and error_user_msg: en_US,
	// pt_BR, es_ES, da_DK or it_IT. Empty means the request's Accept-Language.
	Locale string

	// Latency delays every answer.
	Latency time.Duration

	// ClockSkew is how far ahead of Now an event_time may be. Meta promises no
	// tolerance at all, so the default is none.
	ClockSkew time.Duration

	// MaxStored bounds the events kept for reading back; the oldest go first.
	// Counting never forgets. Zero means 100,000, below zero none.
	MaxStored int

	// MaxBody bounds a request's body; zero means 1,024,000 bytes, the figure
	// of AWS's proxy for the same call, as Meta names none.
	MaxBody int64

	// Seed makes the fbtrace_ids; the same seed and calls give the same ids.
	Seed uint64

	// Logger gets one line per call, without any secret; nil means none.
	Logger *slog.Logger
}

// Dataset is one dataset and what Meta has linked to it.
type Dataset struct {
	// Token is the access token that may write; "" means any non-empty token.
	Token string

	// AppSecret, when set, makes appsecret_proof required and checked.
	AppSecret string

	// WABAs are the linked WhatsApp Business Accounts. Empty means any, unless
	// Pages, InstagramAccounts or Website say that it is another kind of dataset.
	WABAs []string

	// Pages are the linked Facebook Pages.
	Pages []string

	// InstagramAccounts are the linked Instagram accounts.
	InstagramAccounts []string

	// Website marks a website pixel, to which no WhatsApp account is linked.
	Website bool
}

// anyWABA reports whether every WhatsApp account counts as linked.
func (d *Dataset) anyWABA() bool {
	return len(d.WABAs) == 0 && len(d.Pages) == 0 && len(d.InstagramAccounts) == 0 && !d.Website
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Versions == nil {
		o.Versions = []string{"v21.0", "v22.0", "v23.0", "v24.0", "v25.0", "v26.0"}
	}
	if o.MaxStored == 0 {
		o.MaxStored = 100_000
	}
	if o.MaxBody == 0 {
		o.MaxBody = 1_024_000
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}
