package sandbox

import (
	"cmp"
	"slices"
	"time"
)

// The oldest event that Meta takes, in general and from a physical shop.
const (
	maxAge     = 7 * 24 * time.Hour
	maxAgeShop = 62 * 24 * time.Hour
)

// judge holds an event against Meta's rules, in the order in which Meta was
// seen to check: shape, event name, arguments, accounts, and the click last,
// so that 2804087 alone says that all else is right.
func (s *Sandbox) judge(d *dataset, e *event, now time.Time) *refusal {
	if e.bad != nil {
		return e.bad
	}
	if r := e.required(); r != nil {
		return r
	}
	if string(e.source) == "business_messaging" {
		return s.judgeMessaging(d, e, now)
	}
	return s.judgeOther(e, now)
}

func (s *Sandbox) judgeMessaging(d *dataset, e *event, now time.Time) *refusal {
	switch string(e.channel) {
	case "whatsapp", "messenger", "instagram":
	case "":
		return invalid(subChannel, "messaging_channel")
	default:
		return malformed("messaging_channel", "must be whatsapp, messenger or instagram")
	}
	if !messagingName(e.name) {
		return invalid(subEventType, "event_name")
	}
	if e.user&browserFields != 0 {
		return invalid(subArgument, "user_data")
	}
	return cmp.Or(s.judgeTime(e, now), e.judgeCustom(), e.judgeExtras(), judgeAccounts(d, e), s.judgeClick(e))
}

func (s *Sandbox) judgeOther(e *event, now time.Time) *refusal {
	switch {
	case e.channel != nil:
		return malformed("messaging_channel", "belongs to action_source business_messaging; the sandbox is stricter than Meta here")
	case !customName(e.name):
		return malformed("event_name", "must be 1 to 50 letters, digits, blanks, dashes or underscores")
	}
	return cmp.Or(s.judgeTime(e, now), e.judgeCustom(), e.judgeExtras(), e.judgePerson())
}

// required names what is missing from any event.
func (e *event) required() *refusal {
	const missing = "is required"
	switch {
	case e.name == nil:
		return malformed("event_name", missing)
	case !e.hasTime:
		return malformed("event_time", missing)
	case e.source == nil:
		return malformed("action_source", missing)
	case !actionSource(e.source):
		return malformed("action_source", "is not one that Meta knows, such as business_messaging or system_generated")
	case !e.hasUser:
		return malformed("user_data", missing)
	case e.id == nil:
		return malformed("event_id", "is required; the sandbox is stricter than Meta here")
	case len(e.id) > 256:
		return malformed("event_id", "is longer than 256 bytes; the sandbox is stricter than Meta here")
	}
	return nil
}

func (s *Sandbox) judgeTime(e *event, now time.Time) *refusal {
	oldest := maxAge
	if string(e.source) == "physical_store" {
		oldest = maxAgeShop
	}
	// In seconds, so that no event_time however wild can overflow.
	switch {
	case e.time < now.Add(-oldest).Unix():
		return invalid(subTooOld, "event_time")
	case e.time > now.Add(s.opts.ClockSkew).Unix():
		return invalid(subFuture, "event_time")
	}
	return nil
}

// judgeCustom holds value, currency and contents against the rules.
func (e *event) judgeCustom() *refusal {
	name := string(e.name)
	switch {
	case e.contentsBare:
		return invalid(subContentID, "custom_data.contents")
	case name == "OrderCreated" && !e.hasCurrency:
		return invalid(subOrderCurrency, "custom_data.currency")
	case (name == "Purchase" || name == "OrderCreated") && !e.hasValue:
		return invalid(subValue, "custom_data.value")
	case e.hasCurrency && !knownCurrency(e.currency), name == "Purchase" && !e.hasCurrency:
		return invalid(subCurrency, "custom_data.currency")
	case e.hasValue && !e.hasCurrency:
		return invalid(subValueAlone, "custom_data.currency")
	}
	return nil
}

// judgeExtras holds the parameters against the rules that only few events have.
func (e *event) judgeExtras() *refusal {
	switch {
	case e.dpo && !(e.dpoCountry && e.dpoState):
		return invalid(subDataProcessing, "data_processing_options")
	case e.user&userLeadID != 0 && (len(e.lead) < 15 || len(e.lead) > 17 || !isDigits(e.lead)):
		return invalid(subLeadID, "user_data.lead_id")
	case e.extinfo && e.extinfoBad, !e.extinfo && string(e.source) == "app":
		return invalid(subExtinfo, "app_data.extinfo")
	}
	return nil
}

// judgeAccounts checks that the event names an account of the dataset's kind.
func judgeAccounts(d *dataset, e *event) *refusal {
	if string(e.channel) == "instagram" {
		switch {
		case e.igAccount == nil:
			return invalid(subIGAccount, "user_data.ig_account_id")
		case e.igSID == nil:
			return invalid(subIGSID, "user_data.ig_sid")
		case !slices.Contains(d.InstagramAccounts, string(e.igAccount)):
			return invalid(subNoIGAccountLink, "user_data.ig_account_id")
		}
		return nil
	}
	waba := string(e.channel) == "whatsapp" && e.waba != nil
	switch {
	case e.page == nil && !waba:
		return invalid(subNoAccount, "user_data")
	case e.page != nil && !slices.Contains(d.Pages, string(e.page)):
		return invalid(subNoPage, "user_data.page_id")
	case waba && !isDigits(e.waba):
		return malformed("user_data.whatsapp_business_account_id", "must be made of digits")
	case waba && !d.anyWABA() && !slices.Contains(d.WABAs, string(e.waba)):
		return invalid(subNoWABA, "user_data.whatsapp_business_account_id")
	}
	return nil
}

// judgeClick checks the click id, and that it belongs to the Page.
func (s *Sandbox) judgeClick(e *event) *refusal {
	switch string(e.channel) {
	case "instagram":
		return nil
	case "messenger":
		if e.clid == nil && e.psid == nil {
			return invalid(subNoClick, "user_data.ctwa_clid")
		}
		if e.clid == nil {
			return nil
		}
	}
	if e.clid == nil {
		return invalid(subNoClick, "user_data.ctwa_clid")
	}
	if !plausibleClid(e.clid) {
		return invalid(subClid, "user_data.ctwa_clid")
	}
	if len(s.opts.KnownClids) == 0 {
		return nil
	}
	page, known := s.opts.KnownClids[string(e.clid)]
	switch {
	case !known:
		return invalid(subClid, "user_data.ctwa_clid")
	case e.page != nil && page != "" && page != string(e.page):
		return invalid(subOtherPage, "user_data.page_id")
	}
	return nil
}

// plausibleClid refuses what can only be a click id that was tampered with: one
// with blanks, or one that was hashed.
func plausibleClid(clid []byte) bool {
	if len(clid) > 1024 || isHash(clid) {
		return false
	}
	for _, c := range clid {
		if c <= ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

// judgePerson checks that user_data can match one person, which outside
// messaging a click id alone cannot.
func (e *event) judgePerson() *refusal {
	const name = userFn | userLn
	switch {
	case e.user&keyFields != 0, e.user&(userIP|userAgent) == userIP|userAgent:
	case e.user&name == name && e.user&(userDb|userZp|userCt) != 0:
	default:
		return invalid(subCustomerInfo, "user_data")
	}
	return nil
}
