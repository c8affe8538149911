package tenants

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// charset says which characters a secret may have.
type charset func(string) bool

// visibleOnly is for what travels in an HTTP header: ASCII without spaces.
func visibleOnly(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < '!' || r > '~' })
}

// printable is for what a person made up.
func printable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// secret reads env:NAME, file:PATH or a literal. Paths are relative to the
// working directory. The problems it tells never hold the text, nor a name that
// may be a mistyped one.
func (p *parser) secret(n *yaml.Node, field string, allowed charset) Secret {
	text, ok := p.text(n, field)
	if !ok {
		return Secret{}
	}
	source := "the text"
	if name, found := strings.CutPrefix(text, "env:"); found {
		if !envName.MatchString(name) {
			p.at(n, field, "env: must be followed by the name of an environment variable")
			return Secret{}
		}
		source = "environment variable " + name
		if text, ok = p.env(name); !ok {
			p.at(n, field, "%s is not set", source)
			return Secret{}
		}
	} else if path, found := strings.CutPrefix(text, "file:"); found {
		if path == "" || !printable(path) || len(path) > maxTextBytes {
			p.at(n, field, "file: must be followed by a path")
			return Secret{}
		}
		source = "file " + path
		data, err := p.reads.file(path)
		if err != nil {
			p.at(n, field, "%s %v", source, err)
			return Secret{}
		}
		text = strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	}
	switch {
	case text == "":
		p.at(n, field, "%s is empty", source)
	case len(text) > maxSecretText:
		p.at(n, field, "%s is longer than %d bytes", source, maxSecretText)
	case !allowed(text):
		p.at(n, field, "%s has a space, a control character or another one that does not belong there", source)
	default:
		return NewSecret(text)
	}
	return Secret{}
}

func (p *parser) webhooks(n *yaml.Node) {
	if isNull(n) {
		return
	}
	met := p.fields(n, "webhooks", map[string]func(*yaml.Node){"whatsapp": p.whatsapp})
	p.require(n, met, "whatsapp")
}

func (p *parser) whatsapp(n *yaml.Node) {
	met := p.fields(n, "webhooks.whatsapp", map[string]func(*yaml.Node){
		"verify_token": func(v *yaml.Node) { p.set.webhook.verifyToken = p.secret(v, "verify_token", printable) },
		"app_secrets": func(v *yaml.Node) {
			for _, item := range p.list(v, "app_secrets", maxAppSecrets) {
				p.set.webhook.appSecrets = append(p.set.webhook.appSecrets, p.appSecret(item))
			}
		},
	})
	p.require(n, met, "verify_token", "app_secrets")
}

// appSecret reads a secret for all accounts, or {secret, waba_ids}.
func (p *parser) appSecret(n *yaml.Node) (a appSecret) {
	if n.Kind == yaml.ScalarNode {
		a.secret = p.secret(n, "app_secrets", visibleOnly)
		return a
	}
	met := map[string]bool{}
	p.entries(n, "app_secrets", func(key, value *yaml.Node) {
		met[key.Value] = true
		switch key.Value {
		case "secret":
			a.secret = p.secret(value, "app_secrets", visibleOnly)
		case "waba_ids":
			a.wabas = p.boundWABAs(value)
		default: // may be a secret in the wrong place, so it is not named
			p.at(key, "app_secrets", "an item must be a secret, or a mapping of secret and waba_ids")
		}
	})
	p.require(n, met, "secret")
	return a
}

// boundWABAs reads the accounts an app may speak for. They may be nobody's: an
// app can be set up before its tenant is.
func (p *parser) boundWABAs(n *yaml.Node) []string {
	lines := make(map[string]int)
	var wabas []string
	for _, item := range p.list(n, "app_secrets", maxWABAs) {
		wabas = append(wabas, p.unique(item, "app_secrets", lines, metaID, "waba_ids must be 1 to 32 digits each"))
	}
	return wabas
}
