package sandbox

import (
	"bytes"
	"strconv"
)

// decodeUser reads user_data.
func (e *event) decodeUser(c *cursor) error {
	return e.object(c, "user_data", func(name []byte) (err error) {
		f := userFieldOf(name)
		e.user |= f
		switch {
		case f == 0:
			e.fail("user_data."+cut(string(name), 40), "is not a customer information parameter; the sandbox is stricter than Meta here")
			return c.skip()
		case f&hashedFields != 0:
			return e.hashes(c, name)
		case f == userLeadID:
			e.lead, err = c.value() // a number or a string, judged later
			if err == nil && e.lead[0] == '"' {
				e.lead = unquote(e.lead)
			}
			return err
		}
		s, ok, err := c.str()
		if err == nil && (!ok || len(s) == 0) {
			e.fail("user_data."+string(name), "must be a string that is not empty")
		}
		switch f {
		case userClid:
			e.clid = s
		case userWABA:
			e.waba = s
		case userPage:
			e.page = s
		case userPSID:
			e.psid = s
		case userIGAccount:
			e.igAccount = s
		case userIGSID:
			e.igSID = s
		}
		return err
	})
}

// hashes reads a hash or a list of hashes. The value is never shown: what is
// not a hash may well be a phone number.
func (e *event) hashes(c *cursor, name []byte) error {
	const what = "must be SHA-256 in 64 lower-case hex digits, or a list of such; the sandbox refuses plain text"
	if c.kind() != '[' {
		s, ok, err := c.str()
		if err == nil && (!ok || !isHash(s)) {
			e.fail("user_data."+string(name), what)
		}
		return err
	}
	if err := c.enter(); err != nil {
		return err
	}
	for n := 0; ; n++ {
		more, err := c.more()
		if err != nil {
			return err
		}
		if !more {
			if n == 0 {
				e.fail("user_data."+string(name), "must not be an empty list")
			}
			return nil
		}
		s, ok, err := c.str()
		if err != nil {
			return err
		}
		if !ok || !isHash(s) {
			e.fail("user_data."+string(name), what)
		}
	}
}

// decodeCustom reads custom_data, which may hold members of the advertiser's own.
func (e *event) decodeCustom(c *cursor) error {
	return e.object(c, "custom_data", func(name []byte) (err error) {
		switch string(name) {
		case "value":
			v, err := c.value()
			if err != nil {
				return err
			}
			e.hasValue = true
			if !amount(v) {
				e.fail("custom_data.value", "must be a JSON number, finite and at least 0")
			}
			return nil
		case "currency":
			e.hasCurrency = true
			s, ok, err := c.str()
			if err == nil && !ok {
				e.fail("custom_data.currency", "must be a string")
			}
			e.currency = s
			return err
		case "contents":
			return e.contents(c)
		case "num_items":
			return e.integer(c, "custom_data.num_items")
		case "content_ids":
			if c.kind() != '[' {
				e.fail("custom_data.content_ids", "must be a list")
			}
		}
		return c.skip()
	})
}

// contents reads the list of what was bought.
func (e *event) contents(c *cursor) error {
	if c.kind() != '[' {
		e.fail("custom_data.contents", "must be a list of objects")
		return c.skip()
	}
	if err := c.enter(); err != nil {
		return err
	}
	for {
		more, err := c.more()
		if err != nil || !more {
			return err
		}
		var id bool
		err = e.object(c, "custom_data.contents", func(name []byte) error {
			if string(name) != "id" {
				return c.skip()
			}
			v, err := c.value()
			id = err == nil && string(v) != "null" && string(v) != `""`
			return err
		})
		if err != nil {
			return err
		}
		e.contentsBare = e.contentsBare || !id
	}
}

// decodeApp reads app_data, of which only extinfo is judged.
func (e *event) decodeApp(c *cursor) error {
	return e.object(c, "app_data", func(name []byte) error {
		if string(name) != "extinfo" {
			return c.skip()
		}
		e.extinfo = true
		if c.kind() != '[' {
			e.extinfoBad = true
			return c.skip()
		}
		if err := c.enter(); err != nil {
			return err
		}
		for n := 0; ; n++ {
			more, err := c.more()
			if err != nil {
				return err
			}
			if !more {
				e.extinfoBad = e.extinfoBad || n != 16
				return nil
			}
			s, ok, err := c.str()
			if err != nil {
				return err
			}
			if !ok || n == 0 && string(s) != "a2" && string(s) != "i2" {
				e.extinfoBad = true
			}
		}
	})
}

// decodeOptions reads data_processing_options; an empty list switches them off.
func (e *event) decodeOptions(c *cursor) error {
	if c.kind() != '[' {
		e.fail("data_processing_options", "must be a list")
		return c.skip()
	}
	if err := c.enter(); err != nil {
		return err
	}
	for {
		more, err := c.more()
		if err != nil || !more {
			return err
		}
		s, ok, err := c.str()
		if err != nil {
			return err
		}
		if !ok || string(s) != "LDU" {
			e.fail("data_processing_options", `knows only "LDU"`)
		}
		e.dpo = true
	}
}

// object reads an object and hands each member's name to member, which reads
// the value.
func (e *event) object(c *cursor, field string, member func(name []byte) error) error {
	if c.kind() != '{' {
		e.fail(field, "must be an object")
		return c.skip()
	}
	if err := c.enter(); err != nil {
		return err
	}
	for {
		more, err := c.more()
		if err != nil || !more {
			return err
		}
		name, err := c.name()
		if err != nil {
			return err
		}
		if err := member(name); err != nil {
			return err
		}
	}
}

// amount reports whether v is a JSON number that can be money.
func amount(v []byte) bool {
	switch c := v[0]; {
	case c != '-' && (c < '0' || c > '9'): // a string, null, ...
		return false
	case c != '-' && len(v) <= 15 && !bytes.ContainsAny(v, "eE"): // nearly always
		return true
	}
	f, err := strconv.ParseFloat(string(v), 64)
	return err == nil && f >= 0
}
