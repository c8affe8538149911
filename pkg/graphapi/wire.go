package graphapi

import (
	"context"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"
)

// NewTransport returns the transport that New takes when it is given none, for a
// caller who wants to wrap it. It speaks HTTP/2 where TLS offers it, and takes
// its proxy from the environment.
func NewTransport() *http.Transport {
	dial := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dial.DialContext,
		ForceAttemptHTTP2:   true, // a DialContext of one's own switches it off
		TLSHandshakeTimeout: 5 * time.Second,
		MaxIdleConns:        512,
		MaxIdleConnsPerHost: 512, // everything goes to one host
		// Shorter than what load balancers keep: a request must not meet the
		// server's close on its way, for that is an Unknown.
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: 256 << 10,
		DisableCompression:     true, // answers are small, and no bomb gets in
		HTTP2: &http.HTTP2Config{
			// A dead connection is found by a ping, not by one timeout per call.
			SendPingTimeout: 10 * time.Second,
			PingTimeout:     5 * time.Second,
		},
	}
}

// wire watches how much of one request leaves.
type wire struct {
	body *onceBody

	mu       sync.Mutex
	http2    bool
	writeErr error
}

// watch joins w to whatever traces ctx already carries.
func (w *wire) watch(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		// Only HTTP/2 has fields such as :method.
		WroteHeaderField: func(key string, _ []string) {
			if strings.HasPrefix(key, ":") {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.http2 = true
			}
		},
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.writeErr = info.Err
		},
	})
}

// cutByAnswer reports that an answer came before the last byte of the request
// was handed to the transport. No further byte can leave after it.
func (w *wire) cutByAnswer() bool { return !w.body.stop() }

// notSent reports, after RoundTrip has failed, that the last byte of the request
// cannot have left: the server then waits for the rest of Content-Length and
// has no document to act on. Whatever is ambiguous is false.
//
// The transport not having fetched the whole body is proof everywhere. Where it
// has, an error of HTTP/1's writer is proof too: a write that fails was short,
// and the last byte is the last to go. Its silence or success proves nothing. In
// HTTP/2 the end of the body is a flag that may fail after the last byte went.
func (w *wire) notSent() bool {
	if !w.body.stop() {
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.http2 && w.writeErr != nil
}
