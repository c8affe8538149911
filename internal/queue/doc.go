// Package queue is Homing's hold on JetStream: the six streams, the way in
// (Publish), the way out (Consume), what becomes of a message (Settle), dead
// letters and the ledger of outcomes.
//
// Nothing else acknowledges a message. A handler returns a Verdict; Settle
// carries it out, and never acks a message whose copy or outcome is not durable.
//
// # Concurrency
//
// All methods of Queue are safe for concurrent use. Consume takes the context
// for pulling; Settle, Bury and Record take the context for working, which
// outlives the first: after Consume has returned, messages in hand may still be
// settled, and Drain hands back the rest.
package queue
