package events

import (
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/text/currency"
)

const maxValueBytes = 128

// checkValue says whether v is an amount that can be passed on digit for digit.
func checkValue(v jsontext.Value, field string) error {
	fault := ""
	switch {
	case v.Kind() != jsontext.KindNumber:
		fault = "must be a JSON number, without quotes"
	case len(v) > maxValueBytes:
		fault = fmt.Sprintf("must not be longer than %d bytes", maxValueBytes)
	case v[0] == '-':
		fault = "must not be negative"
	default:
		if _, err := strconv.ParseFloat(string(v), 64); err != nil {
			fault = "is too large for a number"
		}
	}
	if fault != "" {
		return invalid(ReasonInvalidValue, field, fault)
	}
	return nil
}

// currencyCode is an upper-case code of ISO 4217.
type currencyCode [3]byte

// parseCurrency returns the code in v, which may be in lower case.
func parseCurrency(v jsontext.Value, field string) (code currencyCode, err error) {
	s, ok := text(v)
	if ok && len(s) == len(code) {
		for i, c := range s {
			if 'a' <= c && c <= 'z' {
				c -= 'a' - 'A'
			}
			code[i] = c
		}
		if isCurrency(string(code[:])) {
			return code, nil
		}
	}
	return code, invalid(ReasonInvalidCurrency, field, "must be a currency code of ISO 4217, such as BRL")
}

func isCurrency(code string) bool {
	switch code {
	case "XXX", "XTS": // no currency, and the code for tests
		return false
	case "MRU", "SLE", "UYW", "VED", "VES", "XAD", "XCG", "ZWG":
		// In ISO 4217 since the tables of golang.org/x/text (CLDR 32, 2017).
		return true
	}
	_, err := currency.ParseISO(code)
	return err == nil
}
