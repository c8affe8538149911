package dedup

import (
	"context"
	"errors"
	"time"
)

// State is the letter a record starts with.
type State byte

// The states of a key.
const (
	None    State = 0
	Queued  State = 'Q' // untouched: beside the record by the API's look; as the record, given back
	Waiting State = 'W' // between two attempts, or before the first
	Claimed State = 'L' // a worker holds it
	Decided State = 'D' // settled; effects may still be under way
)

// Record is what the store remembers of one key.
type Record struct {
	State  State
	Accept string // acceptance that wrote it
	Round  int
	Unsure bool // Meta may have it although no answer said so; never cleared
	// Unknowns counts the calls whose outcome nobody learned.
	Unknowns int
	At       time.Time // when the record was written, to the millisecond

	// Nonce names the claim that wrote the record: a worker knows its own L by
	// it, and its own W or D when it repeats a Settle whose answer was lost.
	Nonce string

	// Claimed only.
	Stream string
	Seq    uint64

	// Tries counts the claims in a row that no verdict ended, this one included; of
	// any other state those that were given back, so that no text stands twice.
	Tries int

	// Waiting and Decided: the words of the outcome and its reason.
	Outcome string
	Reason  string
	NextAt  time.Time // Waiting only: the next attempt; zero when it waits for something else

	Note Note
}

// Note is what the status of an event shows beside its state.
type Note struct {
	Name       string // event name as accepted
	Attempts   int
	Clid       string
	FbtraceID  string
	TraceID    string
	AcceptedAt time.Time
}

// Replay says which kind of dead letter a message was replayed from.
type Replay string

// The kinds of replay; a message that is none has the empty one.
const (
	ReplayDead Replay = "dead"
	ReplayHeld Replay = "held"
)

// Message is one delivery of an event that asks for its key.
type Message struct {
	Key      string // see events.Key
	Accept   string
	Round    int
	Unsure   bool
	Unknowns int
	Replay   Replay
	Stream   string
	Seq      uint64
	// Deliveries is JetStream's NumDelivered; 1 on the first delivery.
	Deliveries uint64
	Note       Note
}

// Result is the row of the claim table that a message met.
type Result int

// The results of a claim. Only Fresh and Interrupted hold the key.
const (
	Unanswered  Result = iota // the call failed; pass the claim to Release once Redis answers
	Leftover                  // row 1: of an older round; ack in silence
	Fresh                     // rows 2, 3, 4, 8, 10: send
	Interrupted               // rows 5, 7: a worker died with it; Meta may have it
	Exhausted                 // rows 5, 7: interrupted more than MaxTries times; held by this claim, to be settled as held
	Taken                     // row 6: another message holds it; nak
	Settled                   // row 9: this acceptance is decided; repeat the effects
	Duplicate                 // row 11: another acceptance was delivered or held
)

// Claim is the answer to one Message.
type Claim struct {
	Result Result
	// Record is the record as it now stands: our own L for Fresh, Interrupted
	// and Exhausted, the found one else. Its Unsure and Unknowns are those of
	// record and message together.
	Record Record
	// Before is what a held claim replaced, nil when that was nothing; Release puts
	// it back.
	Before *Record
}

// Held reports whether the claim holds the key.
func (c *Claim) Held() bool {
	return c != nil && c.Result.holds()
}

// Verdict is what became of a message, to be written as its key's record. Message
// and Claim are large and pointed to: there are a thousand in a batch.
type Verdict struct {
	Message *Message
	// Claim is the answer that Message got; its Record names the nonce.
	Claim *Claim
	// Next is the record to write: Waiting or Decided. Settle fills in Accept, Round,
	// Nonce and At, and merges Unsure and Unknowns with those of the message, of the
	// claim and of what it finds.
	Next Record
}

// Settlement says whether a verdict stands.
type Settlement struct {
	// Stands is false when the key was no longer ours: the caller must neither
	// ack nor nak, the owner of the key decides.
	Stands bool
	// Record is what was written, or what stands in the way. The effects are
	// those of this record, not of Verdict.Next: Unsure may have become true (a
	// delivered event replaced W, a foreign claim or a delivery), and dead or
	// no_click may have become held (Meta may have the event after all). Often it is
	// a part of the verdict.
	Record *Record
}

// ErrIncident is returned by Claim and Marker while the store's memory can't be
// trusted: its marker is missing, or was replaced during the call. Nothing was
// claimed; recover, then claim again.
var ErrIncident = errors.New("dedup: redis may have lost its memory: rebuild it from the ledger, then write the marker")

// Store is the claim automaton over a set of keys. All methods are safe for
// concurrent use. An error of a whole call means that nothing is known of any of
// its keys.
type Store interface {
	// Look writes Q for every key that has no record, and returns for each key
	// the record found before (State None when there was none). One round trip.
	Look(ctx context.Context, keys []Look) ([]Record, error)
	// Forget removes the Q that Look wrote, when the publish was refused.
	Forget(ctx context.Context, keys []Look) error
	// Claim asks for each message's key. The same key twice in one call: the
	// second is Taken, unless neither holds the key. With an error, ErrIncident included, the claims returned
	// are all Unanswered: neither ack nor nak their messages before Release
	// succeeded with them, else a redelivery finds an L and is Interrupted.
	Claim(ctx context.Context, msgs []Message) ([]Claim, error)
	// Release gives up claims whose messages were never sent: where the claim's
	// own L still stands, or may yet come, what it replaced is put back, and Q where
	// that was nothing. Claims that hold nothing are passed over.
	Release(ctx context.Context, msgs []Message, claims []Claim) error
	// Settle writes verdicts, by the verdict table. It may be repeated after an
	// error: a verdict that was written is known by its nonce and stands.
	Settle(ctx context.Context, verdicts []Verdict) ([]Settlement, error)
	// Defer shows that messages wait which nobody claimed: parked at a closed gate,
	// say. It is for the status alone: no claim ever reads it, and where a record
	// says more it shows nothing. What fails may be left so.
	Defer(ctx context.Context, deferred []Deferred) error
	// Get returns what is known of keys: the record; where there is none, or only W or Q,
	// what Look and Defer left beside it, if that is newer; else State None.
	Get(ctx context.Context, keys []string) ([]Record, error)
	// Restore writes decisions read from the ledger, where the store knows less.
	Restore(ctx context.Context, decided []Restored) error

	// Marker returns the marker, or ErrIncident when it is missing.
	Marker(ctx context.Context) (Marker, error)
	// Mark writes the marker: the store's memory is whole again.
	Mark(ctx context.Context, m Marker) error
}

// Look is the API's question about one key.
type Look struct {
	Key    string
	Accept string
	Note   Note
}

// Deferred is a message that waits without having been claimed.
type Deferred struct {
	Message Message
	Outcome string // retrying or parked
	Reason  string
	NextAt  time.Time // zero when it waits for something else than a time
}

// Restored is a decision of the ledger.
type Restored struct {
	Key    string
	Record Record // State Decided
}

// Marker says that the store's memory is whole, since when, and of which server.
type Marker struct {
	// IncidentAt is when the recovery from the last incident ended, which is
	// when claims go on; zero for a store that never had one.
	IncidentAt time.Time
	// RunID is the server's run_id when the marker was written; empty where the
	// server hides it.
	RunID string
}
