package graphapi

import (
	"encoding/json"
	"strconv"
)

// answer is what the body of a response says.
type answer struct {
	received  int // events_received; -1 when the body names none
	fbtraceID string
	err       *graphError
}

// graphError is Meta's error object.
type graphError struct {
	code, subcode      int
	transient          bool
	message            string
	userTitle, userMsg string
	fbtraceID          string
}

// decodeAnswer reads a whole body. Each field is read for itself, so that one of
// an unexpected type does not hide the code beside it. error_data, which is an
// object or a string that holds one, is not read at all. ok is false when the
// body is not JSON, or holds something else than an object.
func decodeAnswer(body []byte) (a answer, ok bool) {
	var raw struct {
		Received  json.RawMessage `json:"events_received"`
		FbtraceID json.RawMessage `json:"fbtrace_id"`
		Error     json.RawMessage `json:"error"`
	}
	if json.Unmarshal(body, &raw) != nil {
		return answer{received: -1}, false
	}
	a.received = -1
	if n, ok := decodeInt(raw.Received); ok && n >= 0 {
		a.received = n
	}
	a.fbtraceID = decodeString(raw.FbtraceID)
	a.err = decodeGraphError(raw.Error)
	if a.err != nil && a.err.fbtraceID != "" {
		a.fbtraceID = a.err.fbtraceID
	}
	return a, true
}

// decodeGraphError returns nil for anything that is not an object with a code:
// a proxy's {"error":"bad gateway"} is not Meta speaking.
func decodeGraphError(body json.RawMessage) *graphError {
	var raw struct {
		Code      json.RawMessage `json:"code"`
		Subcode   json.RawMessage `json:"error_subcode"`
		Transient json.RawMessage `json:"is_transient"`
		Message   json.RawMessage `json:"message"`
		UserTitle json.RawMessage `json:"error_user_title"`
		UserMsg   json.RawMessage `json:"error_user_msg"`
		FbtraceID json.RawMessage `json:"fbtrace_id"`
	}
	if json.Unmarshal(body, &raw) != nil {
		return nil
	}
	code, ok := decodeInt(raw.Code)
	if !ok {
		return nil
	}
	subcode, _ := decodeInt(raw.Subcode)
	return &graphError{
		code:      code,
		subcode:   subcode,
		transient: string(unquoted(raw.Transient)) == "true",
		message:   decodeString(raw.Message),
		userTitle: decodeString(raw.UserTitle),
		userMsg:   decodeString(raw.UserMsg),
		fbtraceID: decodeString(raw.FbtraceID),
	}
}

// decodeInt takes a whole number or a string of one.
func decodeInt(raw json.RawMessage) (int, bool) {
	n, err := strconv.Atoi(string(unquoted(raw)))
	return n, err == nil
}

func decodeString(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// unquoted drops the quotes of a plain JSON string; another value stays as it is.
func unquoted(raw json.RawMessage) []byte {
	if len(raw) >= 2 && raw[0] == '"' {
		return raw[1 : len(raw)-1]
	}
	return raw
}
