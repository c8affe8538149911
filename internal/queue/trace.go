package queue

// Trace is the W3C trace context as it travels in the headers of a message. A
// pointer to it is a carrier for OpenTelemetry's propagators: propagation's own
// HeaderCarrier would write Traceparent, which nobody who reads JetStream's
// case-sensitive headers would find.
type Trace struct{ Parent, State string }

// Get returns the value of key, which is traceparent or tracestate.
func (t *Trace) Get(key string) string {
	switch key {
	case HeaderTraceParent:
		return t.Parent
	case HeaderTraceState:
		return t.State
	default:
		return ""
	}
}

// Set sets the value of key; a key that does not travel is ignored.
func (t *Trace) Set(key, value string) {
	switch key {
	case HeaderTraceParent:
		t.Parent = value
	case HeaderTraceState:
		t.State = value
	}
}

// Keys lists the keys that have a value.
func (t *Trace) Keys() []string {
	var keys []string
	if t.Parent != "" {
		keys = append(keys, HeaderTraceParent)
	}
	if t.State != "" {
		keys = append(keys, HeaderTraceState)
	}
	return keys
}
