// Package ingest is the HTTP edge: it takes conversions, clicks and WhatsApp
// webhooks, and answers how an event fared.
//
// A 2xx means that JetStream has it. Redis only helps: it names the click and
// knows duplicates, and when it is away events are accepted all the same.
//
// # Concurrency
//
// A [Server] serves any number of requests at once. What requests share is the
// tenants' rate limits and two breakers that remember for a moment that a store
// is away; both guard themselves.
package ingest
