package tenants

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// DemoTenant is the id of the tenant that a laptop starts with.
const DemoTenant = "demo"

// Demo is what the file of a laptop's one tenant holds.
type Demo struct {
	DatasetID, WABA string
	// APIKey is what the merchant sends, AccessToken what Meta is sent.
	APIKey, AccessToken Secret
	// VerifyToken and AppSecret are of the WhatsApp webhook.
	VerifyToken, AppSecret Secret
}

// NewDemo makes the secrets of a demo out of random, which should be
// crypto/rand.Reader.
func NewDemo(random io.Reader) (Demo, error) {
	d := Demo{DatasetID: "1000000000000001", WABA: "2000000000000001"}
	for _, s := range []struct {
		to     *Secret
		prefix string
	}{
		{&d.APIKey, "demo_key_"},
		{&d.AccessToken, "demo_token_"},
		{&d.VerifyToken, "demo_verify_"},
		{&d.AppSecret, ""},
	} {
		var raw [16]byte
		if _, err := io.ReadFull(random, raw[:]); err != nil {
			return Demo{}, fmt.Errorf("making the demo's secrets: %w", err)
		}
		*s.to = NewSecret(s.prefix + hex.EncodeToString(raw[:]))
	}
	return d, nil
}

const demoFile = `# The merchants that this Homing serves. It is read again whenever it changes.
# A secret is env:NAME, file:PATH or, as here, the text itself.
tenants:
  - id: %s
    # What the merchant sends in the Authorization header. Several at once make
    # a rotation; "sha256:" and 64 hex digits keep the key out of this file.
    api_keys: [%q]
    # From Meta's Events Manager. The sandbox takes any.
    dataset_id: %q
    access_token: %q
    # app_secret: "env:DEMO_APP_SECRET"   # adds appsecret_proof to every call
    # The WhatsApp business accounts whose webhooks are this merchant's.
    waba_ids: [%q]
    # test_event_code: "TEST12345"        # shows events as tests in Events Manager
    # rate_limit: 100                     # requests a second; 0 is no limit
    # What to do when Meta's answer never came: Meta does not deduplicate, so a
    # purchase waits for a person and the rest is sent again.
    on_unknown: {default: resend, Purchase: hold, Subscribe: hold}
    # events:
    #   Subscribe: {action: reject}
    #   CompleteRegistration: {as: LeadSubmitted}
webhooks:
  whatsapp:
    verify_token: %q
    app_secrets: [%q]
`

// WriteDemo writes the demo as a tenants file, readable by its owner only. It
// never overwrites one: the error is then fs.ErrExist.
func WriteDemo(path string, d Demo) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("writing the demo tenant: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("writing the demo tenant: %w", err)
	}
	_, err = fmt.Fprintf(f, demoFile, DemoTenant, d.APIKey.Reveal(), d.DatasetID, d.AccessToken.Reveal(), d.WABA,
		d.VerifyToken.Reveal(), d.AppSecret.Reveal())
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("writing the demo tenant: %w", err)
	}
	return nil
}

// ReadDemo reads the demo back from a tenants file, as it was written or as it
// was edited since. APIKey is zero where the file has only its hash.
func ReadDemo(path string, env func(string) (string, bool)) (Demo, error) {
	set, err := Load(path, env)
	if err != nil {
		return Demo{}, err
	}
	t, ok := set.Tenant(DemoTenant)
	if !ok {
		return Demo{}, fmt.Errorf("%s: has no tenant %s: add one, or remove the file to have it written anew", path, DemoTenant)
	}
	d := Demo{DatasetID: t.DatasetID, WABA: t.WABAs[0], AccessToken: t.token, VerifyToken: set.webhook.verifyToken}
	if len(set.webhook.appSecrets) > 0 {
		d.AppSecret = set.webhook.appSecrets[0].secret
	}
	d.APIKey, err = demoKey(path, env)
	return d, err
}

// demoKey reads the first key of the demo, which a Set forgets.
func demoKey(path string, env func(string) (string, bool)) (Secret, error) {
	data, err := readFile(path)
	if err != nil {
		return Secret{}, fmt.Errorf("%s: %w", path, err)
	}
	var file struct {
		Tenants []struct {
			ID   string      `yaml:"id"`
			Keys []yaml.Node `yaml:"api_keys"`
		} `yaml:"tenants"`
	}
	if err := yaml.Unmarshal(data, &file); err != nil {
		return Secret{}, syntaxError(path, err)
	}
	p := parser{problems: problems{file: path}, env: env, reads: make(reads)}
	for _, t := range file.Tenants {
		for i := range t.Keys {
			hashed := strings.HasPrefix(t.Keys[i].Value, "sha256:")
			if t.ID == DemoTenant && !hashed {
				return p.secret(&t.Keys[i], "api_keys", visibleOnly), p.err()
			}
		}
	}
	return Secret{}, nil
}
