// Package crash marks the places where a process may die: one on either side of
// every write, publish, ack and call on the way of an event.
//
// In the product a point is an empty function. Built with the tag faults, a
// process kills itself at the one that CRASH_AT names, for test/faults to see
// what is left.
package crash

// Point is a place in the program.
type Point string

// The points of the api.
const (
	BeforeLook         Point = "before-look" // at a key, which leaves a note
	AfterLook          Point = "after-look"
	BeforePublishEvent Point = "before-publish-event"
	AfterPublishEvent  Point = "after-publish-event"
	BeforeForget       Point = "before-forget" // a note, since the queue refused
	AfterForget        Point = "after-forget"
	BeforePublishClick Point = "before-publish-click"
	AfterPublishClick  Point = "after-publish-click"
)

// The points of the api and the worker.
const (
	BeforePutClick Point = "before-put-click"
	AfterPutClick  Point = "after-put-click"
	BeforeMark     Point = "before-mark" // that the memory is whole
	AfterMark      Point = "after-mark"
)

// The points of the worker, in the order of an event's way.
const (
	BeforeClaim   Point = "before-claim"
	AfterClaim    Point = "after-claim"
	BeforePost    Point = "before-post" // to Meta
	AfterPost     Point = "after-post"
	BeforeRelease Point = "before-release"
	AfterRelease  Point = "after-release"
	BeforeSettle  Point = "before-settle"
	AfterSettle   Point = "after-settle"
	BeforeBury    Point = "before-bury"
	AfterBury     Point = "after-bury"
	BeforeRecord  Point = "before-record"
	AfterRecord   Point = "after-record"
	BeforeRetry   Point = "before-retry"
	AfterRetry    Point = "after-retry"
	BeforePark    Point = "before-park"
	AfterPark     Point = "after-park"
	BeforeAck     Point = "before-ack"
	AfterAck      Point = "after-ack"
	BeforeNak     Point = "before-nak"
	AfterNak      Point = "after-nak"
	BeforeUnpark  Point = "before-unpark"
	AfterUnpark   Point = "after-unpark"
	BeforePurge   Point = "before-purge" // of events that were unparked
	AfterPurge    Point = "after-purge"
	BeforeRestore Point = "before-restore" // of a memory that was lost
	AfterRestore  Point = "after-restore"
)

// The points of an operator's command.
const (
	BeforeReplay  Point = "before-replay" // of a dead letter
	AfterReplay   Point = "after-replay"
	BeforeDiscard Point = "before-discard" // of a letter that was replayed
	AfterDiscard  Point = "after-discard"
)

// Points returns every point, in the order above.
func Points() []Point {
	return []Point{
		BeforeLook, AfterLook, BeforePublishEvent, AfterPublishEvent, BeforeForget, AfterForget,
		BeforePublishClick, AfterPublishClick, BeforePutClick, AfterPutClick, BeforeMark, AfterMark,
		BeforeClaim, AfterClaim, BeforePost, AfterPost, BeforeRelease, AfterRelease, BeforeSettle, AfterSettle,
		BeforeBury, AfterBury, BeforeRecord, AfterRecord, BeforeRetry, AfterRetry, BeforePark, AfterPark,
		BeforeAck, AfterAck, BeforeNak, AfterNak, BeforeUnpark, AfterUnpark, BeforePurge, AfterPurge,
		BeforeRestore, AfterRestore, BeforeReplay, AfterReplay, BeforeDiscard, AfterDiscard,
	}
}
