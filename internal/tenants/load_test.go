package tenants_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/homing-dev/homing/internal/tenants"
)

// TestParseRefuses has one fault per case, made by replacing a text of a good
// file; the error must name line and field.
func TestParseRefuses(t *testing.T) {
	const second = `  - id: umbra
    api_keys: ["s3cr3t-umbra-key"]
    dataset_id: "2222"
    access_token: "s3cr3t-umbra-token"
    waba_ids: ["222"]
`
	const hooks = `webhooks:
  whatsapp:
    verify_token: "s3cr3t v"
    app_secrets: ["s3cr3t-a"]
`
	base := minimal + second + hooks
	tests := []struct{ name, old, new, want string }{
		{"unknown key of the file", "webhooks:", "webhook:", `t.yaml:12: "webhook": is not a key of the file`},
		{"unknown key of a tenant", "    dataset_id", "    colour: red\n    dataset_id", `t.yaml:4: "colour": is not a key of a tenant`},
		{"unknown key of webhooks", "  whatsapp:", "  telegram: {}\n  whatsapp:", `t.yaml:13: "telegram": is not a key`},
		{"unknown key of whatsapp", "    verify_token", "    verify: x\n    verify_token", `t.yaml:14: "verify": is not a key`},
		{"a key twice", "    dataset_id", "    id: other\n    dataset_id", `t.yaml:4: "id": is already on line 2`},
		{"merge key", "    dataset_id", "    <<: {id: x}\n    dataset_id", `t.yaml:4: "<<": is not a key of a tenant`},

		{"duplicate id", "id: umbra", "id: acme", "t.yaml:7: id: acme is already on line 2"},
		{"duplicate key", `"s3cr3t-umbra-key"`, `"s3cr3t-acme-key"`, "t.yaml:8: api_keys: the same key is already on line 3"},
		{"duplicate key by hash", `"s3cr3t-umbra-key"`, `"sha256:` + sha(acmeKey) + `"`, "t.yaml:8: api_keys: the same key is already on line 3"},
		{"duplicate key of one tenant", `["s3cr3t-umbra-key"]`, `[s3cr3t-x, s3cr3t-x]`, "t.yaml:8: api_keys: the same key is already on line 8"},
		{"duplicate dataset", "2222", "1111", "t.yaml:9: dataset_id: 1111 is already on line 4"},
		{"duplicate WABA", `["222"]`, `["222", "111"]`, "t.yaml:11: waba_ids: 111 is already on line 6"},

		{"bad id", "id: acme", "id: Acme", "t.yaml:2: id: must be 1 to 64 of"},
		{"long id", "id: acme", "id: " + strings.Repeat("a", 65), "t.yaml:2: id: must be 1 to 64 of"},
		{"empty id", "id: acme", `id: ""`, "t.yaml:2: id: must be"},
		{"null id", "id: acme", "id:", "t.yaml:2: id: has no value"},
		{"id is a list", "id: acme", "id: [acme]", "t.yaml:2: id: must be a text"},
		{"id is a bool", "id: acme", "id: true", "t.yaml:2: id: must be a text: put it in quotes"},
		{"bad dataset", `"1111"`, `"11 11"`, "t.yaml:4: dataset_id: must be 1 to 32 digits"},
		{"dataset is a float", `"1111"`, `1e3`, "t.yaml:4: dataset_id: must be a text: put it in quotes"},
		{"bad WABA", `["111"]`, `["x"]`, "t.yaml:6: waba_ids: must be 1 to 32 digits"},
		{"WABAs not a list", `["111"]`, `"111"`, "t.yaml:6: waba_ids: must be a list"},
		{"no WABA", `["111"]`, `[]`, "t.yaml:6: waba_ids: must not be empty"},
		{"no id", "id: acme", "rate_limit: 1", "t.yaml:2: id: is missing"},
		{"no keys", `    api_keys: ["s3cr3t-acme-key"]` + "\n", "", "t.yaml:2: api_keys: is missing"},
		{"no token", `    access_token: "s3cr3t-acme-token"` + "\n", "", "t.yaml:2: access_token: is missing"},
		{"empty keys", `["s3cr3t-acme-key"]`, "[]", "t.yaml:3: api_keys: must not be empty"},
		{"null keys", `["s3cr3t-acme-key"]`, "", "t.yaml:3: api_keys: must be a list"},
		{"key not in a list", `["s3cr3t-acme-key"]`, "s3cr3t-acme-key", "t.yaml:3: api_keys: must be a list"},
		{"key is a mapping", `["s3cr3t-acme-key"]`, "[{s3cr3t: x}]", "t.yaml:3: api_keys: must be a text"},
		{"empty key", `["s3cr3t-acme-key"]`, `[""]`, "t.yaml:3: api_keys: the text is empty"},
		{"key with a space", `["s3cr3t-acme-key"]`, `["s3cr3t key"]`, "t.yaml:3: api_keys: the text has a space"},
		{"short hash", `["s3cr3t-acme-key"]`, `["sha256:abcd"]`, "t.yaml:3: api_keys: sha256: must be followed by the 64 hex digits"},
		{"key is a number with a meaning", `["s3cr3t-acme-key"]`, `[1.5]`, "t.yaml:3: api_keys: must be a text: put it in quotes"},

		{"unset variable", `"s3cr3t-acme-token"`, `"env:NOT_SET"`, "t.yaml:5: access_token: environment variable NOT_SET is not set"},
		{"empty variable", `"s3cr3t-acme-token"`, `"env:EMPTY"`, "t.yaml:5: access_token: environment variable EMPTY is empty"},
		{"no variable", `"s3cr3t-acme-token"`, `"env:"`, "t.yaml:5: access_token: env: must be followed by the name"},
		{"variable that is a secret", `"s3cr3t-acme-token"`, `"env:s3cr3t-token"`, "t.yaml:5: access_token: env: must be followed by the name"},
		{"variable of two lines", `"s3cr3t-acme-token"`, `"env:MULTILINE"`, "t.yaml:5: access_token: environment variable MULTILINE has a space, a control character"},
		{"no file", `"s3cr3t-acme-token"`, `"file:/does/not/exist"`, "t.yaml:5: access_token: file /does/not/exist cannot be read: no such file"},
		{"a directory", `"s3cr3t-acme-token"`, `"file:/"`, "t.yaml:5: access_token: file / is not a regular file"},
		{"no path", `"s3cr3t-acme-token"`, `"file:"`, "t.yaml:5: access_token: file: must be followed by a path"},
		{"long token", "s3cr3t-acme-token", strings.Repeat("s3cr3t", 4000), "t.yaml:5: access_token: the text is longer than"},
		{"empty app secret", "    dataset_id", "    app_secret: ''\n    dataset_id", "t.yaml:4: app_secret: the text is empty"},

		{"negative rate", "    dataset_id", "    rate_limit: -1\n    dataset_id", "t.yaml:4: rate_limit: must be a number"},
		{"endless rate", "    dataset_id", "    rate_limit: .inf\n    dataset_id", "t.yaml:4: rate_limit: must be a number"},
		{"no rate", "    dataset_id", "    rate_limit: [1]\n    dataset_id", "t.yaml:4: rate_limit: must be a number"},
		{"rate in quotes", "    dataset_id", "    rate_limit: '1'\n    dataset_id", "t.yaml:4: rate_limit: must be a number"},
		{"bad test code", "    dataset_id", "    test_event_code: a b\n    dataset_id", "t.yaml:4: test_event_code: must be a code"},

		{"policy", "    dataset_id", "    on_unknown: {default: drop}\n    dataset_id", "t.yaml:4: on_unknown: default must be hold or resend"},
		{"policy of a name", "    dataset_id", "    on_unknown: {Lead: ''}\n    dataset_id", "t.yaml:4: on_unknown: Lead must be hold or resend"},
		{"policy of no name", "    dataset_id", "    on_unknown: {lead: hold}\n    dataset_id", `t.yaml:4: on_unknown: "lead" is neither default nor`},
		{"policy alone", "    dataset_id", "    on_unknown: hold\n    dataset_id", "t.yaml:4: on_unknown: must be a mapping"},
		{"event name", "    dataset_id", "    events: {Foo: {action: send}}\n    dataset_id", `t.yaml:4: events: "Foo" is not the name of an event`},
		{"event action", "    dataset_id", "    events: {Lead: {action: drop}}\n    dataset_id", "t.yaml:4: events: action of Lead must be send or reject"},
		{"event as", "    dataset_id", "    events: {Lead: {as: Foo}}\n    dataset_id", "t.yaml:4: events: as of Lead is not the name of an event"},
		{"event source", "    dataset_id", "    events: {Lead: {action_source: website}}\n    dataset_id", "t.yaml:4: events: action_source of Lead must be"},
		{"event key", "    dataset_id", "    events: {Lead: {to: x}}\n    dataset_id", `t.yaml:4: "to": is not a key of an entry of events`},
		{"event empty", "    dataset_id", "    events: {Lead: {}}\n    dataset_id", "t.yaml:4: events: Lead says nothing"},
		{"event null", "    dataset_id", "    events: {Lead: }\n    dataset_id", "t.yaml:4: an entry of events: must be a mapping"},
		{"event rejected and sent", "    dataset_id", "    events: {Lead: {action: reject, as: Purchase}}\n    dataset_id", "t.yaml:4: events: Lead is rejected, so"},
		{"event that Meta refuses", "    dataset_id", "    events: {Subscribe: {action_source: business_messaging}}\n    dataset_id", "t.yaml:4: events: Meta refuses Subscribe as business_messaging"},
		{"event as one that Meta refuses", "    dataset_id", "    events: {Purchase: {as: Lead}}\n    dataset_id", "t.yaml:4: events: Meta refuses Lead as business_messaging"},

		{"no verify token", "    verify_token: \"s3cr3t v\"\n", "", "t.yaml:14: verify_token: is missing"},
		{"no app secrets", `    app_secrets: ["s3cr3t-a"]`, "", "t.yaml:14: app_secrets: is missing"},
		{"empty app secrets", `["s3cr3t-a"]`, "[]", "t.yaml:15: app_secrets: must not be empty"},
		{"app secret for no account", `["s3cr3t-a"]`, "[{secret: s3cr3t, waba_ids: []}]", "t.yaml:15: app_secrets: must not be empty"},
		{"app secret without a secret", `["s3cr3t-a"]`, `[{waba_ids: ["1"]}]`, "t.yaml:15: secret: is missing"},
		{"app secret as a key", `["s3cr3t-a"]`, `[{s3cr3t-a}]`, "t.yaml:15: app_secrets: an item must be a secret, or"},
		{"app secret's account", `["s3cr3t-a"]`, `[{secret: s3cr3t, waba_ids: [x]}]`, "t.yaml:15: app_secrets: waba_ids must be 1 to 32 digits"},
		{"webhooks of nothing", base[strings.Index(base, "webhooks"):], "webhooks: {}\n", "t.yaml:12: whatsapp: is missing"},

		{"not a mapping", base, "- a\n", "t.yaml:1: the file: must be a mapping"},
		{"no tenants", base, "webhooks:\n", "t.yaml:1: tenants: is missing"},
		{"empty tenants", base, "tenants: []\n", "t.yaml:1: tenants: must not be empty"},
		{"empty", base, "", "t.yaml:1: tenants: the file is empty"},
		{"comments only", base, "# nothing\n", "t.yaml:1: tenants: the file is empty"},
		{"tenant is a text", base, "tenants: [s3cr3t]\n", "t.yaml:1: a tenant: must be a mapping"},
		{"two documents", "webhooks:", "---\nwebhooks:", "t.yaml:12: the file holds a second YAML document"},
		{"anchor", "id: acme", "id: &a acme", "t.yaml:2: yaml: anchors and aliases are not supported"},
		{"alias", "id: acme", "id: *s3cr3t", "t.yaml: not YAML: anchors and aliases are not supported"},
		{"tag", "id: acme", "id: !!binary YQ==", "t.yaml:2: yaml: tags are not supported"},
		{"own tag", "id: acme", "id: !s3 acme", "t.yaml:2: yaml: tags are not supported"},
		{"broken", "id: acme", "id: \"acme", "not YAML"},
		{"tab", "    dataset_id", "\tdataset_id", "not YAML"},
		{"key that is a list", "    dataset_id", "    [a]: b\n    dataset_id", "t.yaml:4: a tenant: a key must be a word"},
	}
	if _, err := tenants.Parse("t.yaml", []byte(base), environment); err != nil {
		t.Fatalf("the base: %v", err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if !strings.Contains(base, tt.old) {
				t.Fatalf("the base has no %q", tt.old)
			}
			set, err := tenants.Parse("t.yaml", []byte(strings.Replace(base, tt.old, tt.new, 1)), environment)
			if err == nil || set != nil {
				t.Fatalf("got %v, %v; want an error", set, err)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
			assertNoSecret(t, "the error", strings.ReplaceAll(err.Error(), "file:s3cr3t", ""))
		})
	}
}

func TestParseTakes(t *testing.T) {
	tests := []struct{ name, old, new string }{
		{"digits without quotes", `"1111"`, "1111"},
		{"empty sections", "    dataset_id", "    on_unknown:\n    events:\n    test_event_code:\n    dataset_id"},
		{"empty test code", "    dataset_id", "    test_event_code: ''\n    dataset_id"},
		{"no webhooks", "tenants:", "webhooks:\ntenants:"},
		{"JSON", minimal, `{"tenants":[{"id":"acme","api_keys":["k"],"dataset_id":"1","access_token":"t","waba_ids":["1"]}]}`},
		{"hash in upper case", `"s3cr3t-acme-key"`, `"sha256:` + strings.ToUpper(sha(acmeKey)) + `"`},
		{"byte order mark", "tenants:", "\ufefftenants:"},
		{"CRLF", minimal, strings.ReplaceAll(minimal, "\n", "\r\n")},
	}
	for _, tt := range tests {
		if _, err := tenants.Parse("t.yaml", []byte(strings.Replace(minimal, tt.old, tt.new, 1)), environment); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestParseTellsEveryProblem(t *testing.T) {
	text := "tenants:\n"
	for i := range 30 {
		text += fmt.Sprintf("  - {id: BAD%d, api_keys: [k%d], dataset_id: '%d', access_token: t, waba_ids: ['%d']}\n", i, i, i, i)
	}
	_, err := tenants.Parse("t.yaml", []byte(text), environment)
	if err == nil {
		t.Fatal("no error")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 21 || lines[20] != "t.yaml: and 10 more" {
		t.Errorf("got %d lines, the last is %q", len(lines), lines[len(lines)-1])
	}
	if !strings.HasPrefix(lines[0], "t.yaml:2: id:") || !strings.HasPrefix(lines[19], "t.yaml:21: id:") {
		t.Errorf("first %q, twentieth %q", lines[0], lines[19])
	}
}

func TestLoadReadsSecretFiles(t *testing.T) {
	dir := t.TempDir()
	secret, file := filepath.Join(dir, "secret"), filepath.Join(dir, "tenants.yaml")
	write(t, file, strings.Replace(minimal, acmeToken, "file:"+secret, 1))
	tests := []struct{ content, want, wrong string }{
		{content: "tok", want: "tok"},
		{content: "tok\n", want: "tok"},
		{content: "tok\r\n", want: "tok"},
		{content: "tok\n\n", wrong: "has a space, a control character"},
		{content: " tok", wrong: "has a space, a control character"},
		{content: "", wrong: "is empty"},
		{content: "\n", wrong: "is empty"},
		{content: "t\x00k", wrong: "control character"},
		{content: "töken", wrong: "does not belong there"},
	}
	for _, tt := range tests {
		write(t, secret, tt.content)
		set, err := tenants.Load(file, environment)
		switch {
		case tt.wrong != "":
			if err == nil || !strings.Contains(err.Error(), file+":5: access_token: file "+secret) || !strings.Contains(err.Error(), tt.wrong) {
				t.Errorf("%q: got %v, want %s", tt.content, err, tt.wrong)
			}
		case err != nil:
			t.Errorf("%q: %v", tt.content, err)
		default:
			if got := mustTenant(t, set, "acme").Token().Reveal(); got != tt.want {
				t.Errorf("%q: got %q", tt.content, got)
			}
		}
	}
}

func TestLoadRefusesFiles(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large.yaml")
	write(t, large, "")
	if err := os.Truncate(large, 16<<20+1); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none.yaml"): "none.yaml: cannot be read: no such file",
		dir:                             "is not a regular file",
		large:                           "is larger than 16777216 bytes",
	} {
		if err := tenants.Check(path, environment); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", path, err, want)
		}
	}
}
