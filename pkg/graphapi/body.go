package graphapi

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"sync"
)

// appSecretProof is what Meta asks of apps that demand proof: the lower-case hex
// HMAC-SHA256 of the token under the app secret.
func appSecretProof(secret, token string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(token)) // a hash never fails
	return hex.EncodeToString(mac.Sum(nil))
}

func quoted(s string) string {
	b, err := json.Marshal(s)
	if err != nil { // a string always marshals
		panic(err)
	}
	return string(b)
}

var errBodyStopped = errors.New("the request was given up")

// What stands before and between the events of a body.
const (
	bodyHead  = `{"data":[`
	bodyComma = `,`
)

// onceBody is a request body that is read at most once, knows whether its last
// byte was handed out, and can be stopped for good: after stop the transport,
// which may go on writing behind RoundTrip's back, gets no further byte. It
// splices the events, untouched, without a copy of its own.
type onceBody struct {
	events [][]byte
	tail   string // what stands behind the events
	size   int    // of all

	mu      sync.Mutex
	left    int // bytes not handed out yet
	part    int // 0 is the head, odd ones are events, commas between, the last is the tail
	off     int // in it
	stopped bool
}

func newBody(events [][]byte, partnerAgent, testEventCode, proof string) *onceBody {
	tail := `],"partner_agent":` + quoted(partnerAgent)
	if testEventCode != "" {
		tail += `,"test_event_code":` + quoted(testEventCode)
	}
	if proof != "" {
		tail += `,"appsecret_proof":"` + proof + `"`
	}
	b := &onceBody{events: events, tail: tail + "}"}
	b.size = len(bodyHead) + len(b.tail) + (len(events)-1)*len(bodyComma)
	for _, e := range events {
		b.size += len(e)
	}
	b.left = b.size
	return b
}

// Read implements io.Reader.
func (b *onceBody) Read(p []byte) (n int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.left == 0:
		return 0, io.EOF
	case b.stopped:
		return 0, errBodyStopped
	}
	for n < len(p) && b.left > 0 {
		var took, of int
		switch last := 2 * len(b.events); {
		case b.part%2 == 1:
			event := b.events[b.part/2]
			took, of = copy(p[n:], event[b.off:]), len(event)
		case b.part == 0:
			took, of = copy(p[n:], bodyHead[b.off:]), len(bodyHead)
		case b.part == last:
			took, of = copy(p[n:], b.tail[b.off:]), len(b.tail)
		default:
			took, of = copy(p[n:], bodyComma[b.off:]), len(bodyComma)
		}
		n, b.left, b.off = n+took, b.left-took, b.off+took
		if b.off == of {
			b.part, b.off = b.part+1, 0
		}
	}
	return n, nil
}

// Close implements io.Closer; net/http closes the body once it is written or
// given up.
func (b *onceBody) Close() error {
	b.stop()
	return nil
}

// stop reports whether every byte had been handed out.
func (b *onceBody) stop() (whole bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = true
	return b.left == 0
}
