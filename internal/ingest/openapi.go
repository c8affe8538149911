package ingest

import (
	_ "embed"
	"net/http"
)

//go:embed openapi.yaml
var openAPIText []byte

// openAPI serves the description of this API.
func (s *Server) openAPI(*call) answer {
	return answer{status: http.StatusOK, body: document{contentType: "application/yaml", text: openAPIText}}
}
