package tenants

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/homing-dev/homing/pkg/events"
)

var (
	tenantID = regexp.MustCompile(`^[a-z0-9_-]{1,64}$`)
	metaID   = regexp.MustCompile(`^[0-9]{1,32}$`)
	testCode = regexp.MustCompile(`^[A-Za-z0-9_-]{0,64}$`)
)

// parser reads one tenants file.
type parser struct {
	problems
	env   func(string) (string, bool)
	reads reads

	set *Set
	// Where each thing that must be unique was seen first, by line.
	ids, datasets, wabas map[string]int
	keys                 map[digest]int
}

func parse(file string, data []byte, env func(string) (string, bool), seen reads) (*Set, error) {
	root, err := document(file, data)
	if err != nil {
		return nil, err
	}
	p := &parser{
		problems: problems{file: file},
		env:      env,
		reads:    seen,
		set: &Set{
			byID:   make(map[string]*Tenant),
			byWABA: make(map[string]*Tenant),
			keys:   make(map[digest]apiKey),
		},
		ids:      make(map[string]int),
		datasets: make(map[string]int),
		wabas:    make(map[string]int),
		keys:     make(map[digest]int),
	}
	if p.plain(root); len(p.errs) > 0 {
		return nil, p.err()
	}
	met := p.fields(root, "the file", map[string]func(*yaml.Node){
		"tenants":  p.tenants,
		"webhooks": p.webhooks,
	})
	p.require(root, met, "tenants")
	if err := p.err(); err != nil {
		return nil, err
	}
	slices.SortFunc(p.set.sorted, func(a, b *Tenant) int { return cmp.Compare(a.ID, b.ID) })
	return p.set, nil
}

func (p *parser) tenants(n *yaml.Node) {
	for _, item := range p.list(n, "tenants", maxTenants) {
		p.tenant(item)
	}
}

func (p *parser) tenant(n *yaml.Node) {
	t := &Tenant{}
	met := p.fields(n, "a tenant", map[string]func(*yaml.Node){
		"id": func(v *yaml.Node) {
			t.ID = p.unique(v, "id", p.ids, tenantID, "must be 1 to 64 of a-z, 0-9, _ and -")
		},
		"api_keys": func(v *yaml.Node) { p.apiKeys(v, t) },
		"dataset_id": func(v *yaml.Node) {
			t.DatasetID = p.unique(v, "dataset_id", p.datasets, metaID, "must be 1 to 32 digits")
		},
		"access_token": func(v *yaml.Node) { t.token = p.secret(v, "access_token", visibleOnly) },
		"app_secret":   func(v *yaml.Node) { t.appSecret = p.secret(v, "app_secret", visibleOnly) },
		"waba_ids": func(v *yaml.Node) {
			for _, item := range p.list(v, "waba_ids", maxWABAs) {
				id := p.unique(item, "waba_ids", p.wabas, metaID, "must be 1 to 32 digits")
				t.WABAs = append(t.WABAs, id)
				p.set.byWABA[id] = t
			}
		},
		"test_event_code": func(v *yaml.Node) { t.TestEventCode = p.testEventCode(v) },
		"rate_limit":      func(v *yaml.Node) { t.RateLimit = p.rateLimit(v) },
		"on_unknown":      func(v *yaml.Node) { p.onUnknown(v, t) },
		"events":          func(v *yaml.Node) { p.mappings(v, t) },
	})
	p.require(n, met, "id", "api_keys", "dataset_id", "access_token", "waba_ids")
	t.version = secretVersion(t.DatasetID, t.token, t.appSecret)
	p.set.byID[t.ID] = t
	p.set.sorted = append(p.set.sorted, t)
}

// require reports the keys of a mapping that are missing.
func (p *parser) require(n *yaml.Node, met map[string]bool, keys ...string) {
	if n.Kind != yaml.MappingNode {
		return // already told
	}
	for _, key := range keys {
		if !met[key] {
			p.at(n, key, "is missing")
		}
	}
}

// unique reads a text of a given form that no other entry of lines has.
func (p *parser) unique(n *yaml.Node, field string, lines map[string]int, form *regexp.Regexp, rule string) string {
	text, ok := p.short(n, field)
	if !ok {
		return ""
	}
	if !form.MatchString(text) {
		p.at(n, field, "%s", rule)
		return ""
	}
	if line, twice := lines[text]; twice {
		p.at(n, field, "%s is already on line %d", text, line)
		return ""
	}
	lines[text] = n.Line
	return text
}

func (p *parser) apiKeys(n *yaml.Node, t *Tenant) {
	for _, item := range p.list(n, "api_keys", maxAPIKeys) {
		sum, ok := p.apiKey(item)
		if !ok {
			continue
		}
		if line, twice := p.keys[sum]; twice {
			p.at(item, "api_keys", "the same key is already on line %d", line)
			continue
		}
		p.keys[sum] = item.Line
		p.set.keys[sum] = apiKey{sum: sum, owner: t}
	}
}

// apiKey reads a key, or the hash of one: only the hash is kept.
func (p *parser) apiKey(n *yaml.Node) (digest, bool) {
	if n.Kind == yaml.ScalarNode {
		if text, hashed := strings.CutPrefix(n.Value, "sha256:"); hashed {
			sum, err := hex.DecodeString(text)
			if err != nil || len(sum) != sha256.Size {
				p.at(n, "api_keys", "sha256: must be followed by the 64 hex digits of the key's SHA-256")
				return digest{}, false
			}
			return digest(sum), true
		}
	}
	key := p.secret(n, "api_keys", visibleOnly)
	return sha256.Sum256([]byte(key.Reveal())), !key.IsZero()
}

func (p *parser) testEventCode(n *yaml.Node) string {
	if isNull(n) {
		return ""
	}
	code, ok := p.short(n, "test_event_code")
	if ok && !testCode.MatchString(code) {
		p.at(n, "test_event_code", "must be a code as Meta's Events Manager shows it, such as TEST12345")
	}
	return code
}

func (p *parser) rateLimit(n *yaml.Node) float64 {
	rate, err := strconv.ParseFloat(n.Value, 64)
	number := n.Kind == yaml.ScalarNode && (n.ShortTag() == "!!int" || n.ShortTag() == "!!float")
	if !number || err != nil || math.IsNaN(rate) || rate < 0 || rate > maxRateLimit {
		p.at(n, "rate_limit", "must be a number of requests per second, 0 (no limit) to %d", int(maxRateLimit))
		return 0
	}
	return rate
}

func (p *parser) onUnknown(n *yaml.Node, t *Tenant) {
	if isNull(n) {
		return
	}
	t.policies = make(map[events.Name]Policy)
	p.entries(n, "on_unknown", func(key, value *yaml.Node) {
		name, known := events.ParseName(key.Value)
		if !known && key.Value != "default" {
			p.at(key, "on_unknown", "%s is neither default nor the name of an event, written as in the documentation", brief(key.Value))
			return
		}
		text, _ := p.short(value, "on_unknown")
		policy := Policy(text)
		switch {
		case policy != Hold && policy != Resend:
			p.at(value, "on_unknown", "%s must be hold or resend", key.Value)
		case known:
			t.policies[name] = policy
		default:
			t.policyElse = policy
		}
	})
}

func (p *parser) mappings(n *yaml.Node, t *Tenant) {
	if isNull(n) {
		return
	}
	t.mappings = make(map[events.Name]events.Mapping)
	p.entries(n, "events", func(key, value *yaml.Node) {
		name, known := events.ParseName(key.Value)
		if !known {
			p.at(key, "events", "%s is not the name of an event, written as in the documentation", brief(key.Value))
			return
		}
		t.mappings[name] = p.mapping(value, name)
	})
}

// mapping reads how one name is sent. Where only a new name is given, the
// action source is the one that the new name has by default.
func (p *parser) mapping(n *yaml.Node, name events.Name) events.Mapping {
	var action, as, source string
	text := func(to *string) func(*yaml.Node) {
		return func(v *yaml.Node) { *to, _ = p.short(v, "events") }
	}
	met := p.fields(n, "an entry of events", map[string]func(*yaml.Node){
		"action": text(&action), "as": text(&as), "action_source": text(&source),
	})
	m := events.DefaultMapping(name)
	switch {
	case len(met) == 0:
		if n.Kind == yaml.MappingNode {
			p.at(n, "events", "%s says nothing: give it an action, as or action_source", name)
		}
		return m
	case met["action"] && action != "send" && action != "reject":
		p.at(n, "events", "action of %s must be send or reject", name)
		return m
	case action == "reject":
		if met["as"] || met["action_source"] {
			p.at(n, "events", "%s is rejected, so it takes neither as nor action_source", name)
		}
		return events.Mapping{Reject: true}
	}
	if met["as"] {
		target, known := events.ParseName(as)
		if !known {
			p.at(n, "events", "as of %s is not the name of an event, written as in the documentation", name)
			return m
		}
		m = events.Mapping{As: as, ActionSource: events.DefaultMapping(target).ActionSource}
	}
	if met["action_source"] {
		m.ActionSource = events.ActionSource(source)
		if m.ActionSource != events.BusinessMessaging && m.ActionSource != events.SystemGenerated {
			p.at(n, "events", "action_source of %s must be %s or %s", name, events.BusinessMessaging, events.SystemGenerated)
			return m
		}
	}
	if !m.AcceptedBy() {
		p.at(n, "events", "Meta refuses %s as %s: send %s under another name, with action_source %s, or reject it",
			m.As, m.ActionSource, name, events.SystemGenerated)
	}
	return m
}
