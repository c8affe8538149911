// Package sandbox is a fake of Meta's Graph API, as far as the Conversions API
// for Business Messaging goes: POST /{version}/{dataset}/events. It is an
// http.Handler and needs neither a network nor an account at Meta.
//
// It is strict, so that it can be the judge of a client: an event that Meta
// would refuse is refused with Meta's code and subcode, and with it its whole
// batch. In a few places it is stricter than Meta, and says so in the answer:
// parameters that nobody knows, a missing event_id, plain text where a hash is
// due. It never deduplicates, because Meta does not either; it counts, and
// tells what it was sent twice.
//
// It is scriptable: a Fault delays, refuses, cuts or hangs the calls that it
// matches, by Go (AddFault) or by HTTP (POST /_sandbox/faults).
//
// It can be asked: Events, Doubles and Stats, or GET /_sandbox/events and
// GET /_sandbox/stats, or the page at /.
//
// # Concurrency
//
// One Sandbox serves any number of calls at once. Decoding and judging share
// nothing; counting takes one lock per call, not per event. An event is counted
// before its answer is written, so who has the answer sees the count.
package sandbox
