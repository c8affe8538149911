package graphapi

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// maxWait bounds every wait that a header asks for: an absurd one must not
	// park a tenant for a year.
	maxWait = 24 * time.Hour
	// maxPercent keeps a usage that Meta lets run over 100 % readable.
	maxPercent = 1000
	// maxUsageHeader bounds what is parsed of one usage header.
	maxUsageHeader = 64 << 10
)

// load is one set of counters in a usage header. Meta's rate-limit pages write
// them as whole percents; a string of one is taken too.
type load struct {
	CallCount    lenient `json:"call_count"`
	CPUTime      lenient `json:"total_cputime"`
	Time         lenient `json:"total_time"`
	AdAccount    lenient `json:"acc_id_util_pct"`
	ResetSeconds lenient `json:"reset_time_duration"`
	RegainMinute lenient `json:"estimated_time_to_regain_access"`
}

// readUsage takes the largest of what the three usage headers name. A header
// that cannot be read counts as absent: usage is advice.
func readUsage(h http.Header) Usage {
	var u Usage
	for _, name := range []string{"X-App-Usage", "X-Ad-Account-Usage"} {
		for _, v := range h.Values(name) {
			var l load
			if len(v) <= maxUsageHeader && json.Unmarshal([]byte(v), &l) == nil {
				u.add(l)
			}
		}
	}
	for _, v := range h.Values("X-Business-Use-Case-Usage") {
		var cases map[string][]load
		if len(v) > maxUsageHeader || json.Unmarshal([]byte(v), &cases) != nil {
			continue
		}
		for _, loads := range cases {
			for _, l := range loads {
				u.add(l)
			}
		}
	}
	return u
}

func (u *Usage) add(l load) {
	for _, p := range []lenient{l.CallCount, l.CPUTime, l.Time, l.AdAccount} {
		u.Percent = max(u.Percent, min(float64(p), maxPercent))
	}
	u.RegainIn = max(u.RegainIn, wait(float64(l.RegainMinute)*60))
	// The ad account's reset is named at any usage; it is a wait only once the
	// account is used up.
	if l.AdAccount >= 100 {
		u.RegainIn = max(u.RegainIn, wait(float64(l.ResetSeconds)))
	}
}

// retryAfter reads Retry-After: seconds or an HTTP date (RFC 9110). Meta does
// not document it for the Graph API; a proxy before it may send it.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return 0
	}
	if seconds, err := strconv.ParseFloat(v, 64); err == nil {
		return wait(seconds)
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxWait)
}

// wait makes a bounded duration of seconds; NaN and less than nothing are none.
func wait(seconds float64) time.Duration {
	if !(seconds > 0) {
		return 0
	}
	if seconds >= maxWait.Seconds() {
		return maxWait
	}
	return time.Duration(seconds * float64(time.Second))
}

// lenient is a number, a string of one, or 0 for whatever else stands there.
type lenient float64

// UnmarshalJSON never fails: one odd field must not hide its neighbours.
func (n *lenient) UnmarshalJSON(raw []byte) error {
	f, err := strconv.ParseFloat(string(unquoted(raw)), 64)
	if err != nil || math.IsNaN(f) || f < 0 {
		f = 0
	}
	*n = lenient(f)
	return nil
}
