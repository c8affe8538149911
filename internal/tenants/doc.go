// Package tenants knows the merchants: who they are, which secrets are theirs
// and how their events are sent. It is the only holder of secrets.
//
// A tenants file is read whole or refused whole: [Load] gives an immutable
// [Set] or every problem it found. A [Directory] follows the file and the files
// that it names, and swaps the set when a new one is good.
//
// # Concurrency
//
// A Set and its Tenants never change once made, so they may be shared freely. A
// Directory may be used by many goroutines; Run belongs to one of them, and
// subscribers are called by it, one after the other.
package tenants
