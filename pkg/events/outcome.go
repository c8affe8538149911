package events

// Outcome is what became of an accepted event. The same word is the metric
// label, the log field, the status and the dead letter's header.
type Outcome string

// The outcomes. The first five are terminal: every accepted event ends in
// exactly one of them.
const (
	Delivered Outcome = "delivered"
	Duplicate Outcome = "duplicate" // the key was settled by another acceptance
	NoClick   Outcome = "no_click"
	Dead      Outcome = "dead" // in the dead letters
	Held      Outcome = "held" // in the dead letters: Meta may have it

	Retrying Outcome = "retrying"
	Parked   Outcome = "parked"
)

// Terminal reports whether o ends the event.
func (o Outcome) Terminal() bool {
	switch o {
	case Delivered, Duplicate, NoClick, Dead, Held:
		return true
	default:
		return false
	}
}

// Reason says why an event has its outcome, or why a request was refused.
type Reason string

// Reasons of outcomes.
const (
	ReasonNone              Reason = ""
	ReasonNoClick           Reason = "no_ctwa_click_id_for_phone"
	ReasonRejectedByMeta    Reason = "rejected_by_meta"
	ReasonExpired           Reason = "expired"
	ReasonUndecodable       Reason = "undecodable"
	ReasonUnknownTenant     Reason = "unknown_tenant"
	ReasonAttemptsExhausted Reason = "attempts_exhausted"
	ReasonDeliveryUnknown   Reason = "delivery_unknown"
	ReasonTransient         Reason = "transient"
	ReasonUnreachable       Reason = "unreachable"
	ReasonAuth              Reason = "auth"
	ReasonThrottled         Reason = "throttled"
	ReasonBusy              Reason = "busy"
)

// Reasons of refused requests.
const (
	ReasonInvalidJSON       Reason = "invalid_json"
	ReasonMissingField      Reason = "missing_field"
	ReasonInvalidEventName  Reason = "invalid_event_name"
	ReasonInvalidPhone      Reason = "invalid_phone_number"
	ReasonInvalidValue      Reason = "invalid_value"
	ReasonInvalidCurrency   Reason = "invalid_currency"
	ReasonInvalidEventID    Reason = "invalid_event_id"
	ReasonInvalidEventTime  Reason = "invalid_event_time"
	ReasonInvalidEmail      Reason = "invalid_email"
	ReasonInvalidField      Reason = "invalid_field"
	ReasonEventNotSupported Reason = "event_not_supported"
	ReasonBodyTooLarge      Reason = "body_too_large"
)

// FieldError is a refusal of one field of a request. Its message is written for
// the sender and never repeats the value.
type FieldError struct {
	Reason  Reason
	Field   string // path such as "custom_data.value"; empty when the body as a whole is at fault
	Message string
}

func (e *FieldError) Error() string {
	if e.Field == "" {
		return string(e.Reason) + ": " + e.Message
	}
	return string(e.Reason) + ": " + e.Field + ": " + e.Message
}
