package events

import (
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

const maxWABADigits = 32

// ParseClick parses the body of one posted click, and returns warnings for its
// sender beside it. The click's Tenant is left empty. The error is always a
// *FieldError.
func ParseClick(src []byte, now time.Time) (*Click, []string, error) {
	var phone, user, clid, clickedAt, waba jsontext.Value
	warnings, err := readBody(src, func(b *body, name []byte) (bool, error) {
		var dst *jsontext.Value
		switch string(name) {
		case "phone_number":
			dst = &phone
		case "wa_user_id":
			dst = &user
		case "ctwa_clid":
			dst = &clid
		case "clicked_at":
			dst = &clickedAt
		case "waba_id":
			dst = &waba
		default:
			return false, nil
		}
		return true, b.into(dst)
	})
	if err != nil {
		return nil, nil, err
	}

	c := &Click{At: now.Unix()}
	if user != nil {
		p, err := parseUserID(user)
		if err != nil {
			return nil, nil, err
		}
		c.Persons = append(c.Persons, p)
	}
	if phone != nil {
		p, err := parsePhone(phone, "phone_number")
		if err != nil {
			return nil, nil, err
		}
		c.Persons = append(c.Persons, p.Person())
	}
	if len(c.Persons) == 0 {
		return nil, nil, missing("phone_number", "is required, unless wa_user_id is given")
	}
	if clid == nil {
		return nil, nil, missing("ctwa_clid", "is required")
	}
	if c.Clid, err = parseClid(clid); err != nil {
		return nil, nil, err
	}
	if clickedAt != nil {
		at, fault := parseTime(clickedAt, now)
		if fault == "" && at <= 0 {
			fault = "must be a time after 1970"
		}
		if fault != "" {
			return nil, nil, invalid(ReasonInvalidField, "clicked_at", fault)
		}
		c.At = at
	}
	if waba != nil {
		b, ok := text(waba)
		s := string(b)
		if !ok || s == "" || len(s) > maxWABADigits || !allDigits(s) {
			return nil, nil, invalid(ReasonInvalidField, "waba_id",
				fmt.Sprintf("must be a string of 1 to %d digits", maxWABADigits))
		}
		c.WABA = s
	}
	return c, warnings, nil
}
