package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// flushEvery is after how many rows a table is printed so far: a long one is not
// kept waiting, and its columns still fit mostly.
const flushEvery = 1000

// table prints rows in columns.
type table struct {
	w    *tabwriter.Writer
	rows int
}

func newTable(w io.Writer, columns ...string) *table {
	t := &table{w: tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	t.line(columns)
	return t
}

// row adds a row; an empty cell shows as a dash.
func (t *table) row(cells ...any) error {
	texts := make([]string, len(cells))
	for i, c := range cells {
		texts[i] = cell(c)
	}
	t.line(texts)
	if t.rows++; t.rows%flushEvery == 0 {
		return t.w.Flush()
	}
	return nil
}

func (t *table) line(texts []string) { fmt.Fprintln(t.w, strings.Join(texts, "\t")) }

func (t *table) flush() error { return t.w.Flush() }

func cell(c any) string {
	s := ""
	switch c := c.(type) {
	case time.Time:
		s = clock(&c)
	case *time.Time:
		s = clock(c)
	case time.Duration:
		s = span(c)
	case bool:
		s = map[bool]string{true: "yes"}[c]
	default:
		s = fmt.Sprint(c)
	}
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7F {
			return ' ' // a tab or a line break would begin another cell
		}
		return r
	}, s)
	if s == "" {
		return "-"
	}
	return s
}

// clock shows a time to the second.
func clock(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

// span shows a duration as a person would say it: 6d2h, 2h5m, 40s.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch d = d.Truncate(time.Second); {
	case d <= 0:
		return "0s"
	case d >= day:
		return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	default:
		return d.String()
	}
}

// short cuts a text that would not fit a line.
func short(s string) string {
	const fits = 80
	r := []rune(s)
	if len(r) <= fits {
		return s
	}
	return string(r[:fits-1]) + "…"
}

// bytesText shows a number of bytes in the unit that fits.
func bytesText(n uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	f, u := float64(n), 0
	for ; f >= 1024 && u < len(units)-1; u++ {
		f /= 1024
	}
	if u == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[u])
}

// printJSON prints one object on one line.
func (s *shell) printJSON(v any) error {
	e := json.NewEncoder(s.out)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// printLines prints an object a line.
func printLines[T any](s *shell, objects []T) error {
	for _, o := range objects {
		if err := s.printJSON(o); err != nil {
			return err
		}
	}
	return nil
}

// facts prints names and values below each other.
func (s *shell) facts(pairs ...any) error {
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	for i := 0; i+1 < len(pairs); i += 2 {
		fmt.Fprintf(w, "%s:\t%s\n", pairs[i], cell(pairs[i+1]))
	}
	return w.Flush()
}
