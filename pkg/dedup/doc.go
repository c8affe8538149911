// Package dedup decides which delivery of an event may be sent to Meta.
//
// Meta counts every POST of a messaging event, so the only protection against
// counting a conversion twice is to know, before each POST, that nobody else
// sent it. A [Store] keeps one record per key (tenant, event name, event id).
// A worker claims the key as the last step before it sends, and settles it as
// the first step after it knows what became of the call.
//
//	            claim                not taken
//	 none ───────────────▶ L ───────────────────▶ W
//	                   claimed ◀─────────────── waiting
//	                       │         claim
//	                       │
//	delivered, dead,       │ ▲  claim: a replay, or another acceptance
//	  no_click, held       ▼ │  after dead or no_click
//	                       D
//	                    decided
//
// L is taken over by the next delivery of its message, or by any message once it
// is older than 2 x AckWait; a released L becomes again what it was before, counted
// on, and Q where that was nothing.
//
// Beside the record, under a key of its own, the API leaves Q (queued), and a
// worker that puts an event off without having claimed it writes a W over that. It
// tells a client how the event fares, and no claim ever reads what stands there.
//
// A claim that meets another's L does not know whether that worker sent the
// event. Such a claim is [Interrupted] and its record unsure, and unsure is
// never cleared: the caller holds the event for a person or sends it again, as
// the tenant's policy says, and the double is visible in the ledger.
//
// The decisions are tables of pure functions, in claim.go, verdict.go and, for what
// is only shown, deferring.go.
// Redis only stores: a claim is SET NX GET, and every other transition compares
// the record with the one that was decided on and swaps it, or decides again.
// All commands of a cluster name one key, so the keys spread over it.
//
// # Lost memory
//
// Redis may forget; the ledger does not. A marker says that the memory is whole.
// Every claim's pipeline starts and ends with a read of it, and when it is
// missing or was replaced, none of the claims counts: Claim returns
// [ErrIncident]. Whoever recovers waits until no older claim can still be
// sending, restores the decisions of the ledger, and writes the marker with the
// time. For 2 x AckWait from then a redelivered message is never fresh.
//
// In a cluster the marker lives on one node, and a pipeline reaches the nodes in
// no order: that another node lost its memory can't be seen by it, so watch
// every node's run id and connection as well.
//
// A record that nobody can read is treated as another's claim: nothing is sent
// on it, and no verdict but delivered replaces it.
//
// # Concurrency
//
// A [Redis] is safe for concurrent use, in one process and in many, and keeps no
// state of its own. Clocks of different processes are compared only to tell
// whether a claim is older than 2 x AckWait; they must agree within one AckWait.
// That rule holds only when no worker starts a request later than AckWait less
// the call's timeout after it was handed the message.
//
// After an error of Claim nothing is known: see [Store.Claim]. Settle may be
// repeated as it is.
package dedup
