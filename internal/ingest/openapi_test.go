package ingest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	yaml "go.yaml.in/yaml/v3"

	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
)

// apiDocument is the OpenAPI document as tests use it.
type apiDocument struct {
	raw      any // as JSON would be
	compiler *jsonschema.Compiler
	mu       sync.Mutex
}

var openAPIDocument = sync.OnceValue(func() *apiDocument {
	var parsed any
	if err := yaml.Unmarshal(openAPIText, &parsed); err != nil {
		panic(err)
	}
	text, err := json.Marshal(parsed)
	if err != nil {
		panic(err)
	}
	raw, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		panic(err)
	}
	// Clients are to ignore fields they don't know; this test is not: every field
	// of an answer has to be described.
	for name, s := range at(raw, "components", "schemas").(map[string]any) {
		if schema := s.(map[string]any); schema["properties"] != nil && name != "Conversion" && name != "Click" {
			schema["additionalProperties"] = false
		}
	}
	d := &apiDocument{raw: raw, compiler: jsonschema.NewCompiler()}
	d.compiler.AssertFormat()
	if err := d.compiler.AddResource("openapi.json", raw); err != nil {
		panic(err)
	}
	return d
})

// at follows names down from v, references included; nil when there is nothing.
func at(v any, names ...string) any {
	for _, name := range names {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[name]
	}
	return v
}

// deref returns what v refers to, and its JSON pointer.
func (d *apiDocument) deref(v any, pointer string) (any, string) {
	ref, ok := at(v, "$ref").(string)
	if !ok {
		return v, pointer
	}
	pointer = strings.TrimPrefix(ref, "#")
	return at(d.raw, strings.Split(strings.TrimPrefix(pointer, "/"), "/")...), pointer
}

// schema compiles the schema at a JSON pointer.
func (d *apiDocument) schema(pointer string) (*jsonschema.Schema, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.compiler.Compile("openapi.json#" + pointer)
}

var pointerEscape = strings.NewReplacer("~", "~0", "/", "~1")

// pathOf returns the document's path for a request's.
func (d *apiDocument) pathOf(path string) string {
	if strings.HasPrefix(path, statusPath) && path != statusPath {
		return statusPath + "{event_id}"
	}
	return path
}

// checkAnswer holds an answer against the document.
func checkAnswer(t testing.TB, method, path string, r reply) {
	t.Helper()
	d := openAPIDocument()
	path = d.pathOf(path)
	operation := at(d.raw, "paths", path, strings.ToLower(method))
	if operation == nil {
		if r.code != http.StatusNotFound && r.code != http.StatusMethodNotAllowed {
			t.Errorf("%s %s answers %d but is not in openapi.yaml", method, path, r.code)
		}
		checkBody(t, d, "/components/schemas/Error", r.text)
		return
	}
	pointer := fmt.Sprintf("/paths/%s/%s/responses/%d", pointerEscape.Replace(path), strings.ToLower(method), r.code)
	response, pointer := d.deref(at(operation, "responses", fmt.Sprint(r.code)), pointer)
	if response == nil {
		t.Errorf("%s %s: status %d is not in openapi.yaml: %s", method, path, r.code, r.text)
		return
	}
	media, _, _ := strings.Cut(r.header.Get("Content-Type"), ";")
	if at(response, "content", media, "schema") == nil {
		t.Errorf("%s %s: %d as %q is not in openapi.yaml", method, path, r.code, media)
		return
	}
	if media == "application/json" {
		checkBody(t, d, pointer+"/content/application~1json/schema", r.text)
	}
	headers, _ := at(response, "headers").(map[string]any)
	for name, h := range headers {
		h, _ = d.deref(h, "")
		if at(h, "required") == true && r.header.Get(name) == "" {
			t.Errorf("%s %s: %d without %s", method, path, r.code, name)
		}
	}
}

func checkBody(t testing.TB, d *apiDocument, pointer, text string) {
	t.Helper()
	schema, err := d.schema(pointer)
	if err != nil {
		t.Fatal(err)
	}
	body, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if err := schema.Validate(body); err != nil {
		t.Errorf("answer %s\n%v", text, err)
	}
}

func TestOpenAPIHasEveryRoute(t *testing.T) {
	h := newHarness(t)
	served, described := map[string]bool{}, map[string]bool{}
	for _, r := range h.server.routes() {
		served[r.method+" "+r.path] = true
	}
	for path, operations := range at(openAPIDocument().raw, "paths").(map[string]any) {
		for method := range operations.(map[string]any) {
			described[strings.ToUpper(method)+" "+path] = true
		}
	}
	if diff := cmp.Diff(described, served); diff != "" {
		t.Errorf("openapi.yaml (-) and routes.go (+) differ:\n%s", diff)
	}
	h.get("/openapi.yaml").wants(t, http.StatusOK, "")
}

func TestOpenAPIKnowsNamesAndExamples(t *testing.T) {
	d := openAPIDocument()
	var names []string
	for _, n := range at(d.raw, "components", "schemas", "EventName", "enum").([]any) {
		names = append(names, n.(string))
	}
	var want []string
	for _, n := range events.Names() {
		want = append(want, string(n))
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("names of events (-code +openapi.yaml):\n%s", diff)
	}
	found := 0
	d.walk(t, d.raw, "", &found)
	if found < 10 {
		t.Errorf("only %d examples", found)
	}
}

// walk validates every example against the schema beside it.
func (d *apiDocument) walk(t *testing.T, v any, pointer string, found *int) {
	switch v := v.(type) {
	case map[string]any:
		if examples, ok := v["examples"].(map[string]any); ok && v["schema"] != nil {
			for name, e := range examples {
				text, err := json.Marshal(at(e, "value"))
				if err != nil {
					t.Fatal(err)
				}
				*found++
				t.Run(pointer+"/"+name, func(t *testing.T) { checkBody(t, d, pointer+"/schema", string(text)) })
			}
		}
		for name, sub := range v {
			d.walk(t, sub, pointer+"/"+pointerEscape.Replace(name), found)
		}
	case []any:
		for i, sub := range v {
			d.walk(t, sub, fmt.Sprintf("%s/%d", pointer, i), found)
		}
	}
}

// TestOpenAPIEveryAnswer provokes each status that the document describes; do
// holds the answers against it.
func TestOpenAPIEveryAnswer(t *testing.T) {
	const (
		lead  = `{"event_name":"Lead","phone_number":"+919876543210","event_id":"e1"}`
		click = `{"phone_number":"+919876543210","ctwa_clid":"ARA1"}`
	)
	full := func(h *harness) { h.queue.refuseAll(queue.ErrFull); h.queue.err = queue.ErrFull }
	posts := map[string]string{
		sendEventPath: lead, publicPath: lead, sendEventsPath: "[" + lead + "]", clicksPath: click,
	}
	seen := map[string]bool{}
	see := func(route string, r reply) { seen[fmt.Sprintf("%s %d", route, r.code)] = true }
	for path, body := range posts {
		h, route := newHarness(t), "POST "+path
		see(route, h.post(path, body))
		see(route, h.post(path, body, header("Prefer", "respond-async")))
		see(route, h.post(path, "{"))
		see(route, h.post(path, body, key("Bearer wrong")))
		see(route, h.post(path, strings.Repeat(" ", maxBatch+1)))
		see(route, h.post(path, body, header("Content-Encoding", "gzip")))
		for range 12 {
			see(route, h.post(path, body, key(globexKey)))
		}
		full(h)
		see(route, h.post(path, body))
	}

	h := newHarness(t)
	status := "GET " + statusPath + "{event_id}"
	h.post(sendEventPath, lead).wants(t, http.StatusOK, "")
	see(status, h.get(statusPath+"e1"))
	see(status, h.get(statusPath+"e1?event_name=Nope"))
	see(status, h.get(statusPath+"e1", key("no")))
	see(status, h.get(statusPath+"e2"))
	h.memory.settle("acme", events.Purchase, "e1", dedup.Record{State: dedup.Claimed})
	see(status, h.get(statusPath+"e1"))
	h.memory.err = errDown
	see(status, h.get(statusPath+"e1"))

	see("GET "+webhookPath, h.get(webhookPath+"?hub.mode=subscribe&hub.verify_token=verify-me&hub.challenge=123"))
	see("GET "+webhookPath, h.get(webhookPath))
	hook := "POST " + webhookPath
	see(hook, h.hook(`{}`))
	see(hook, h.hook(`{`))
	see(hook, h.post(webhookPath, `{}`))
	see(hook, h.hook(strings.Repeat(" ", maxWebhook+1)))
	see(hook, h.hook(`{}`, header("Content-Encoding", "br")))
	full(h)
	see(hook, h.hook(webhookOf("5550001", `{"from":"919876543210","referral":{"ctwa_clid":"ARA1"}}`)))
	see("GET /openapi.yaml", h.get("/openapi.yaml"))

	for path, operations := range at(openAPIDocument().raw, "paths").(map[string]any) {
		for method, operation := range operations.(map[string]any) {
			for code := range at(operation, "responses").(map[string]any) {
				if answer := strings.ToUpper(method) + " " + path + " " + code; !seen[answer] {
					t.Errorf("openapi.yaml promises %s, which nothing provokes", answer)
				}
			}
		}
	}
}
