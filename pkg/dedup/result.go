package dedup

import "fmt"

// String is the word for r in metrics.
func (r Result) String() string {
	switch r {
	case Unanswered:
		return "unanswered"
	case Leftover:
		return "leftover"
	case Fresh:
		return "fresh"
	case Interrupted:
		return "interrupted"
	case Exhausted:
		return "exhausted"
	case Taken:
		return "taken"
	case Settled:
		return "settled"
	case Duplicate:
		return "duplicate"
	default:
		return fmt.Sprintf("result(%d)", int(r))
	}
}
