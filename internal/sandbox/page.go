package sandbox

import (
	"embed"
	"net/http"
)

//go:embed page.html page.css page.js
var pageFiles embed.FS

// servePage serves one of the page's own files. The policy keeps the page from
// loading anything from elsewhere, and from running what a stranger sent.
func servePage(name, contentType string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; frame-ancestors 'none'")
		http.ServeFileFS(w, r, pageFiles, name)
	}
}
