package sandbox

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// The Graph codes that the sandbox gives by itself.
const (
	codeService  = 2
	codeParam    = 100
	codeToken    = 190
	codePath     = 2500
	codeThrottle = 80004
)

// The subcodes of code 100 that a request can provoke. What they mean was
// gathered from Meta's pages, its libraries' fixtures and integrators' reports.
const (
	subObject          = 33      // object missing, or no permission
	subTooOld          = 2804003 // event_time more than 7 days ago
	subFuture          = 2804004 // event_time ahead of the clock
	subContentID       = 2804008 // an item of contents without id
	subValue           = 2804009 // Purchase without value
	subCurrency        = 2804011 // currency missing or unknown
	subValueAlone      = 2804023 // value without currency
	subDataProcessing  = 2804030 // data processing options incomplete
	subLeadID          = 2804036 // lead_id malformed
	subExtinfo         = 2804043 // app event with malformed extinfo
	subCustomerInfo    = 2804050 // no, or too broad, customer information
	subChannel         = 2804063 // business_messaging without messaging_channel
	subArgument        = 2804064 // browser fields beside business_messaging
	subEventType       = 2804066 // event name not on the messaging list
	subNoClick         = 2804071 // neither ctwa_clid nor page_scoped_user_id
	subOtherPage       = 2804072 // page_id is not the Page that made the click
	subIGSID           = 2804075 // Instagram without ig_sid
	subIGAccount       = 2804079 // Instagram without ig_account_id
	subOrderCurrency   = 2804081 // OrderCreated without currency
	subClid            = 2804087 // ctwa_clid that Meta did not make
	subNoAccount       = 2804116 // neither page_id nor WhatsApp account
	subNoPage          = 2804131 // dataset without that Page
	subNoWABA          = 2804132 // dataset without that WhatsApp account
	subNoIGAccountLink = 2804133 // dataset without that Instagram account
)

// refusal is an answer that is an error of the Graph API.
type refusal struct {
	status    int
	kind      string // "type"; OAuthException where empty
	code      int
	subcode   int
	transient bool
	message   string // "Invalid parameter" where empty
	field     string // dotted path inside an event, "" where no field is to blame
	index     int    // of the event, -1 where it is the whole request
}

// invalid is a refusal of code 100 by subcode; the event's index is set later.
func invalid(subcode int, field string) *refusal {
	return &refusal{status: http.StatusBadRequest, code: codeParam, subcode: subcode, field: field, index: -1}
}

// malformed is a refusal of code 100 without a subcode, for what Meta words as a
// parameter error; what ends the sentence "data[0].field ...".
func malformed(field, what string) *refusal {
	return &refusal{status: http.StatusBadRequest, code: codeParam, field: field, message: what, index: -1}
}

// refusedRequest is a refusal of the request as a whole.
func refusedRequest(status, code, subcode int, message string) *refusal {
	return &refusal{status: status, code: code, subcode: subcode, message: message, index: -1}
}

// text is the "message" of the answer.
func (r *refusal) text() string {
	switch {
	case r.subcode >= 2804000:
		return "Invalid parameter"
	case r.index >= 0:
		return "(#100) Param data[" + strconv.Itoa(r.index) + "]" + brackets(r.field) + " " + r.message
	case r.field != "":
		return "(#100) Param " + r.field + " " + r.message
	case r.message == "":
		return "Invalid parameter"
	}
	return r.message
}

// reason is the refusal in words for a person, in English.
func (r *refusal) reason() string {
	if t, ok := userText("en", r.subcode); ok {
		return t.title
	}
	if r.index >= 0 {
		return strings.TrimSpace(r.field + " " + r.message)
	}
	return r.text()
}

// brackets writes a.b as ['a']['b'], the way Meta names a parameter.
func brackets(path string) string {
	if path == "" {
		return ""
	}
	return "['" + strings.ReplaceAll(path, ".", "']['") + "']"
}

// graphError is the error object of the Graph API.
type graphError struct {
	Message   string          `json:"message"`
	Type      string          `json:"type"`
	Code      int             `json:"code"`
	Data      json.RawMessage `json:"error_data,omitempty"`
	Subcode   int             `json:"error_subcode,omitempty"`
	Transient bool            `json:"is_transient"`
	UserTitle string          `json:"error_user_title,omitempty"`
	UserMsg   string          `json:"error_user_msg,omitempty"`
	TraceID   string          `json:"fbtrace_id"`
}

// body renders the refusal. Graph sends error_data now as an object, now as a
// string that holds one; dataAsString picks.
func (r *refusal) body(lang, trace string, dataAsString bool) []byte {
	e := graphError{Message: r.text(), Type: r.kind, Code: r.code, Subcode: r.subcode, Transient: r.transient, TraceID: trace}
	if e.Type == "" {
		e.Type = "OAuthException"
	}
	if t, ok := userText(lang, r.subcode); ok {
		e.UserTitle, e.UserMsg = t.title, t.msg
	}
	if r.code == codeParam && r.field != "" {
		e.Data = blame(r.field, dataAsString)
	}
	out, err := json.Marshal(struct {
		Error graphError `json:"error"`
	}{e})
	if err != nil { // strings and numbers only: cannot happen
		return []byte(`{"error":{"message":"An unknown error occurred","type":"OAuthException","code":1}}`)
	}
	return out
}

// blame names the parameter that is at fault, as Graph's error_data does.
func blame(field string, asString bool) json.RawMessage {
	path := append([]string{"data"}, strings.Split(field, ".")...)
	obj, err := json.Marshal(map[string][][]string{"blame_field_specs": {path}})
	if err != nil {
		return nil
	}
	if !asString {
		return obj
	}
	str, err := json.Marshal(string(obj))
	if err != nil {
		return nil
	}
	return str
}
