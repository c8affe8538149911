package tenants

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// problems collects what is wrong with a file, each with its line.
type problems struct {
	file string
	errs []error
	more int
}

func (p *problems) at(n *yaml.Node, field, format string, args ...any) {
	if len(p.errs) == maxProblems {
		p.more++
		return
	}
	p.errs = append(p.errs, fmt.Errorf("%s:%d: %s: %s", p.file, n.Line, field, fmt.Sprintf(format, args...)))
}

func (p *problems) err() error {
	if p.more > 0 {
		return errors.Join(append(slices.Clip(p.errs), fmt.Errorf("%s: and %d more", p.file, p.more))...)
	}
	return errors.Join(p.errs...)
}

var (
	yamlLine   = regexp.MustCompile(`^yaml: line (\d+): `)
	yamlQuoted = regexp.MustCompile("[`'][^`']*[`']")
)

// document returns the root of the one YAML document in data.
func document(file string, data []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s:1: tenants: the file is empty", file)
	} else if err != nil {
		return nil, syntaxError(file, err)
	}
	var second yaml.Node
	if err := dec.Decode(&second); err == nil {
		return nil, fmt.Errorf("%s:%d: the file holds a second YAML document: keep one", file, second.Line)
	} else if !errors.Is(err, io.EOF) {
		return nil, syntaxError(file, err)
	}
	if len(doc.Content) != 1 {
		return nil, fmt.Errorf("%s:1: tenants: the file is empty", file)
	}
	return doc.Content[0], nil
}

// syntaxError rewrites an error of the YAML library, which may quote the file:
// an access token that starts with "*" is an unknown anchor to it.
func syntaxError(file string, err error) error {
	text, line := err.Error(), ""
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		text, line = text[len(m[0]):], ":"+m[1]
	}
	text = strings.TrimPrefix(text, "yaml: ")
	if strings.Contains(text, "anchor") {
		text = "anchors and aliases are not supported: a value that starts with & or * needs quotes"
	}
	return fmt.Errorf("%s%s: not YAML: %s", file, line, yamlQuoted.ReplaceAllString(text, "(...)"))
}

// plain refuses what a tenants file has no use for and an attacker may have:
// anchors and aliases, which make a small file large, and tags.
func (p *problems) plain(n *yaml.Node) {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		p.at(n, "yaml", "anchors and aliases are not supported: a value that starts with & or * needs quotes")
		return
	case n.Style&yaml.TaggedStyle != 0:
		p.at(n, "yaml", "tags are not supported: a value that starts with ! needs quotes")
		return
	}
	for _, c := range n.Content {
		p.plain(c)
	}
}

// fields walks a mapping and hands the value of each key to its reader. It
// returns the keys that it met.
func (p *problems) fields(n *yaml.Node, what string, readers map[string]func(*yaml.Node)) map[string]bool {
	met := make(map[string]bool, len(readers))
	p.entries(n, what, func(key, value *yaml.Node) {
		read, known := readers[key.Value]
		if !known {
			p.at(key, brief(key.Value), "is not a key of %s", what)
			return
		}
		met[key.Value] = true
		read(value)
	})
	return met
}

// entries walks a mapping whose keys are words, each at most once.
func (p *problems) entries(n *yaml.Node, what string, visit func(key, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		p.at(n, what, "must be a mapping of keys and values")
		return
	}
	lines := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			p.at(key, what, "a key must be a word")
			continue
		}
		if line, twice := lines[key.Value]; twice {
			p.at(key, brief(key.Value), "is already on line %d", line)
			continue
		}
		lines[key.Value] = key.Line
		visit(key, value)
	}
}

// list returns the items of a sequence of 1 to limit items.
func (p *problems) list(n *yaml.Node, field string, limit int) []*yaml.Node {
	switch {
	case n.Kind != yaml.SequenceNode:
		p.at(n, field, "must be a list")
		return nil
	case len(n.Content) == 0:
		p.at(n, field, "must not be empty")
		return nil
	case len(n.Content) > limit:
		p.at(n, field, "has %d items, at most %d are allowed", len(n.Content), limit)
		return nil
	}
	return n.Content
}

// text returns a scalar as it is written. A number is taken by its digits, so
// that an unquoted id is no trap; whatever YAML would turn into something else
// needs quotes.
func (p *problems) text(n *yaml.Node, field string) (string, bool) {
	switch tag := n.ShortTag(); {
	case n.Kind != yaml.ScalarNode:
		p.at(n, field, "must be a text")
	case tag == "!!null":
		p.at(n, field, "has no value")
	case tag != "!!str" && tag != "!!int":
		p.at(n, field, "must be a text: put it in quotes")
	default:
		return n.Value, true
	}
	return "", false
}

// short is text for values that are no secret.
func (p *problems) short(n *yaml.Node, field string) (string, bool) {
	text, ok := p.text(n, field)
	if ok && len(text) > maxTextBytes {
		p.at(n, field, "is longer than %d bytes", maxTextBytes)
		return "", false
	}
	return text, ok
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// brief quotes a key of the file for an error, cut to a sane length.
func brief(key string) string {
	const limit = 40
	if len(key) > limit {
		key = key[:limit] + "..."
	}
	return strconv.Quote(key)
}
