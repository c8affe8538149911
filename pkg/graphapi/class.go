package graphapi

import "net/http"

// classOfCode is what a Graph error code means by itself. Meta puts these codes
// under any HTTP status (190 and 17 have been seen with a 500), so the status
// has no say. ok is false for a code that nobody has told us about.
func classOfCode(code, subcode int) (c Class, ok bool) {
	switch {
	case code == 1, code == 2: // unknown error, service down
		return Transient, true
	case code == 4, code == 17, code == 32, code == 341, code == 613,
		code >= 80000 && code <= 80014: // application, user, page, business use case
		return Throttled, true
	case code == 100 && subcode == 33: // "does not exist or missing permissions": cured by granting access
		return Auth, true
	case code == 100:
		return Invalid, true
	case code == 190, code == 102, code == 3, code == 10,
		code >= 200 && code <= 299: // token, session, capability, permissions
		return Auth, true
	default:
		return 0, false
	}
}

// classOf is what a whole answer that did not take the events means. g is nil
// when its body held no Graph error.
func classOf(status int, g *graphError) Class {
	if g == nil {
		switch status {
		case http.StatusTooManyRequests:
			return Throttled
		case http.StatusServiceUnavailable:
			return Transient
		default: // a proxy or a load balancer spoke; Meta may have acted
			return Unknown
		}
	}
	if c, ok := classOfCode(g.code, g.subcode); ok {
		return c
	}
	if !g.transient && status == http.StatusTooManyRequests {
		return Throttled
	}
	return Transient // Meta spoke, and refused for a reason that we do not know
}
