package ingest

import (
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/homing-dev/homing/internal/tenants"
)

// authenticate returns the tenant whose key the request carries.
func (s *Server) authenticate(c *call) (*tenants.Tenant, *refusal) {
	if sent := c.r.Header.Values("Authorization"); len(sent) == 1 {
		for _, key := range keys(sent[0]) {
			if t, ok := s.directory.Authenticate(key); ok {
				c.told.tenant = t.ID
				return t, nil
			}
		}
	}
	return nil, &refusal{
		status: http.StatusUnauthorized, reason: reasonUnauthorized,
		message: "send an API key of yours as: Authorization: Basic YOUR_API_KEY",
	}
}

// keys returns what may be the key in an Authorization header: the forms are
// "Basic KEY" (raw, as the original documents it), "Basic " and the base64 of
// "KEY:", "Bearer KEY", and a bare "KEY".
func keys(header string) []string {
	header = strings.TrimSpace(header)
	scheme, key, found := strings.Cut(header, " ")
	key = strings.TrimSpace(key)
	switch {
	case header == "":
		return nil
	case !found:
		return []string{header}
	case strings.EqualFold(scheme, "Bearer"):
		return []string{key}
	case strings.EqualFold(scheme, "Basic"):
		if user, ok := basicUser(key); ok {
			return []string{key, user}
		}
		return []string{key}
	default:
		return nil
	}
}

// basicUser returns the user name of HTTP Basic credentials without a password.
func basicUser(credentials string) (string, bool) {
	plain, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(credentials, "="))
	if err != nil {
		return "", false
	}
	return strings.CutSuffix(string(plain), ":")
}
