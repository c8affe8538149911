// Package graphapi posts events to Meta's Conversions API and says what every
// failure means.
//
// Meta does not deduplicate messaging events: a second POST is a second
// conversion. So the one question that this package answers with care is "may
// Meta have it?". It promises:
//
//   - One call to [Client.Send] writes at most one request. Nothing is sent
//     again behind the caller's back: no retry, no redirect, no replay on a
//     dead keep-alive connection.
//   - A failure is [NotSent] only where the last byte of the request cannot
//     have left. Whatever is in doubt is [Unknown].
//   - Every failure is an [*Error] of one [Class], found by Graph error code
//     first, then is_transient, then HTTP status. Texts are localised and are
//     never looked at.
//   - The token, the app secret and its proof are in no URL, no error text and
//     no field of an [Error], also where Meta's answer repeats them.
//   - An answer is hostile input: it is read up to 1 MiB, its texts are cut at
//     512 bytes, its waits at a day.
//
// An event cut in half is safe to send again because the request carries its
// Content-Length: a server that got fewer bytes has no JSON document to act on.
//
// # Telemetry
//
// The package makes no spans or metrics. Wrap the transport instead:
//
//	Transport: otelhttp.NewTransport(graphapi.NewTransport())
//
// What is watched on the wire travels in the request's context (httptrace) and
// joins any trace that the caller or the wrapper put there. A wrapper must not
// send a request twice; the body can be read only once, so it could not.
//
// # Concurrency
//
// A Client is safe for use by many goroutines at once and keeps no state
// between calls but its connections. Send holds no lock while it waits. The
// slices of a Call are only read, and not after Send has returned.
package graphapi
