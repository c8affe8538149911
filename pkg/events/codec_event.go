package events

import (
	"errors"
	"fmt"
	"strings"
)

// EncodeEvent returns the wire form of e. Its CustomData is spliced in as it is,
// so that no digit of a value ever changes.
func EncodeEvent(e *Event) []byte {
	// Names and quotes take some 150 bytes, each hash 67.
	hashes := len(e.Persons) + len(e.Phones) + len(e.Emails) + len(e.ExternalIDs)
	w := newEncoder(codecVersion, 160+len(e.Tenant)+len(e.Name)+len(e.ID)+len(e.Clid)+len(e.WABA)+67*hashes+len(e.CustomData))
	w.string("tenant", e.Tenant)
	w.string("name", string(e.Name))
	w.string("id", e.ID)
	w.int("time", e.Time)
	w.string("clid", e.Clid)
	w.string("waba", e.WABA)
	encodeList(w, "persons", e.Persons)
	encodeList(w, "ph", e.Phones)
	encodeList(w, "em", e.Emails)
	encodeList(w, "external_id", e.ExternalIDs)
	w.raw("custom_data", e.CustomData)
	return w.done()
}

// DecodeEvent reads what EncodeEvent wrote. An event without tenant, name, id or
// time is an error: it could neither be told apart from others nor sent. Its
// strings share one copy of data, but for the tenant and the names of events
// known here, which may well be kept for longer; its CustomData is a part of data.
func DecodeEvent(data []byte) (*Event, error) {
	e := &Event{}
	err := decoder{shared: string(data)}.decode(data, maxEventBytes, func(d decoder, name []byte) (bool, error) {
		switch string(name) {
		case "tenant":
			return decodeString(d, name, &e.Tenant)
		case "name":
			return decodeString(d, name, &e.Name)
		case "id":
			return decodeString(d, name, &e.ID)
		case "time":
			return decodeInt(d, name, &e.Time)
		case "clid":
			return decodeString(d, name, &e.Clid)
		case "waba":
			return decodeString(d, name, &e.WABA)
		case "persons":
			return decodeList(d, name, &e.Persons)
		case "ph":
			return decodeList(d, name, &e.Phones)
		case "em":
			return decodeList(d, name, &e.Emails)
		case "external_id":
			return decodeList(d, name, &e.ExternalIDs)
		case "custom_data":
			return decodeObject(d, name, (*[]byte)(&e.CustomData))
		default:
			return false, nil
		}
	})
	if err == nil && (e.Tenant == "" || e.Name == "" || e.ID == "" || e.Time <= 0) {
		err = errors.New("tenant, name, id or time is missing")
	}
	if err != nil {
		return nil, fmt.Errorf("events: decode event: %w", err)
	}
	e.Tenant = strings.Clone(e.Tenant)
	if known, ok := ParseName(string(e.Name)); ok {
		e.Name = known
	}
	return e, nil
}

// EncodeClick returns the wire form of c.
func EncodeClick(c *Click) []byte {
	w := newEncoder(codecVersion, 96+len(c.Tenant)+len(c.Clid)+len(c.WABA)+67*len(c.Persons))
	w.string("tenant", c.Tenant)
	encodeList(w, "persons", c.Persons)
	w.string("clid", c.Clid)
	w.int("at", c.At)
	w.string("waba", c.WABA)
	return w.done()
}

// DecodeClick reads what EncodeClick wrote. A click without tenant, persons or
// click id is an error: it could never be found, or would erase a good one.
func DecodeClick(data []byte) (*Click, error) {
	c := &Click{}
	err := decoder{}.decode(data, maxClickBytes, func(d decoder, name []byte) (bool, error) {
		switch string(name) {
		case "tenant":
			return decodeString(d, name, &c.Tenant)
		case "persons":
			return decodeList(d, name, &c.Persons)
		case "clid":
			return decodeString(d, name, &c.Clid)
		case "at":
			return decodeInt(d, name, &c.At)
		case "waba":
			return decodeString(d, name, &c.WABA)
		default:
			return false, nil
		}
	})
	if err == nil && (c.Tenant == "" || len(c.Persons) == 0 || c.Clid == "") {
		err = errors.New("tenant, persons or clid is missing")
	}
	if err != nil {
		return nil, fmt.Errorf("events: decode click: %w", err)
	}
	return c, nil
}
