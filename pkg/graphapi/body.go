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

// payload splices the events, untouched, into the body, in one allocation.
func payload(events [][]byte, partnerAgent, testEventCode, proof string) []byte {
	partner, test := quoted(partnerAgent), quoted(testEventCode)
	size := len(`{"data":[],"partner_agent":,"test_event_code":,"appsecret_proof":""}`) +
		len(partner) + len(test) + len(proof) + len(events)
	for _, e := range events {
		size += len(e)
	}
	b := make([]byte, 0, size)
	b = append(b, `{"data":[`...)
	for i, e := range events {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, e...)
	}
	b = append(b, `],"partner_agent":`...)
	b = append(b, partner...)
	if testEventCode != "" {
		b = append(b, `,"test_event_code":`...)
		b = append(b, test...)
	}
	if proof != "" {
		b = append(b, `,"appsecret_proof":"`...)
		b = append(b, proof...)
		b = append(b, '"')
	}
	return append(b, '}')
}

func quoted(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil { // a string always marshals
		panic(err)
	}
	return b
}

var errBodyStopped = errors.New("the request was given up")

// onceBody is a request body that is read at most once, knows whether its last
// byte was handed out, and can be stopped for good: after stop the transport,
// which may go on writing behind RoundTrip's back, gets no further byte.
type onceBody struct {
	mu      sync.Mutex
	data    []byte
	off     int
	stopped bool
}

// Read implements io.Reader.
func (b *onceBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.off == len(b.data):
		return 0, io.EOF
	case b.stopped:
		return 0, errBodyStopped
	}
	n := copy(p, b.data[b.off:])
	b.off += n
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
	return b.off == len(b.data)
}
