package live

import (
	"crypto/sha256"
	_ "embed" // the script stands beside this file
	"encoding/hex"
	"net/http"

	"tidings/web"
)

//go:embed live.js
var script string

// tag changes with the script and with nothing else: every node of a hub gives the same.
var tag = func() string {
	sum := sha256.Sum256([]byte(script))
	return `"` + hex.EncodeToString(sum[:8]) + `"`
}()

// Routes are the endpoints of this face.
func Routes() []web.Route {
	return []web.Route{{Method: http.MethodGet, Pattern: "/live.js", Handler: http.HandlerFunc(serve), Open: true}}
}

// serve answers with the script. A browser may use it for an hour without asking, then asks whether it is current.
func serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "public, max-age=3600")
	h.Set("ETag", tag)
	// Pages that isolate themselves (Cross-Origin-Embedder-Policy) include it too.
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", "text/javascript; charset=utf-8")
	// A browser that does not take its answer has gone.
	_, _ = w.Write([]byte(script))
}
