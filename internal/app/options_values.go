package app

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/dustin/go-humanize"

	"github.com/homing-dev/homing/internal/tenants"
)

// Size is a number of bytes.
type Size int64

// String gives the size as it is configured: 10 GiB.
func (s Size) String() string { return humanize.IBytes(uint64(max(s, 0))) }

// Streams says who makes the streams and consumers.
type Streams string

// The makers of streams.
const (
	StreamsAuto     Streams = "auto"     // the processes, at start
	StreamsExternal Streams = "external" // homing streams apply
)

// LogLevel is the least level that is logged.
type LogLevel string

// Level implements slog.Leveler.
func (l LogLevel) Level() slog.Level {
	switch l {
	case "debug":
		return slog.LevelDebug
	case "warn":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	default:
		return slog.LevelInfo
	}
}

// LogFormat is the form of log lines.
type LogFormat string

// The forms of log lines.
const (
	LogJSON LogFormat = "json"
	LogText LogFormat = "text" // for a person
)

// errSyntax stands for whatever a parser says: its words are Go's, and they
// repeat the value.
var errSyntax = errors.New("syntax")

func parsers() map[reflect.Type]env.ParserFunc {
	return map[reflect.Type]env.ParserFunc{
		reflect.TypeFor[tenants.Secret](): func(v string) (any, error) { return tenants.NewSecret(v), nil },
		reflect.TypeFor[Size]():           func(v string) (any, error) { return parseSize(v) },
	}
}

func parseSize(text string) (Size, error) {
	n, err := humanize.ParseBytes(text)
	if err != nil || n > math.MaxInt64 {
		return 0, errSyntax
	}
	return Size(n), nil
}

// expectation says what a value of type t looks like.
func expectation(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "a duration such as 25ms, 10s or 144h"
	case reflect.TypeFor[Size]():
		return "a size such as 256MiB or 10GiB"
	case reflect.TypeFor[int]():
		return "a whole number"
	default:
		return "a number such as 0.25"
	}
}

// rephrase tells the errors of the environment library in our words: the
// variable instead of the field, and what is expected instead of the value. bad
// are the variables it tells of.
func rephrase(err error) (errs []error, bad map[string]bool) {
	all, _ := errors.AsType[env.AggregateError](err)
	bad = make(map[string]bool)
	for _, e := range all.Errors {
		pe, ok := errors.AsType[env.ParseError](e)
		if !ok {
			errs = append(errs, e) // a wrong tag: ours to mend
			continue
		}
		field, _ := reflect.TypeFor[Options]().FieldByName(pe.Name)
		variable := field.Tag.Get("env")
		bad[variable] = true
		errs = append(errs, fmt.Errorf("%s: must be %s", variable, expectation(field.Type)))
	}
	return errs, bad
}

const maxURLFile = 64 << 10

// resolve returns the text of a variable, or of the file that it names.
func resolve(variable string, value tenants.Secret) (string, error) {
	path, found := strings.CutPrefix(value.Reveal(), "file:")
	if !found {
		return value.Reveal(), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", variable, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxURLFile+1))
	if err != nil {
		return "", fmt.Errorf("%s: %w", variable, err)
	}
	text := strings.TrimSpace(string(data))
	switch {
	case len(data) > maxURLFile:
		return "", fmt.Errorf("%s: %s is larger than %d bytes", variable, strconv.Quote(path), maxURLFile)
	case text == "":
		return "", fmt.Errorf("%s: %s is empty", variable, strconv.Quote(path))
	}
	return text, nil
}
