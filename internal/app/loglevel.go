package app

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
)

// getLogLevel tells the least level that is logged.
func (a *App) getLogLevel(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"level": strings.ToLower(a.level.Level().String())})
}

// putLogLevel changes it until the process ends: the body is the word that
// HOMING_LOG_LEVEL would have. Whoever reaches the ops port may do so, as they
// may take a profile.
func (a *App) putLogLevel(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64))
	word := LogLevel(strings.Trim(strings.TrimSpace(string(body)), `"`))
	if err != nil || !word.known() {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "send debug, info, warn or error as the body"})
		return
	}
	before := a.level.Level()
	a.level.Set(word.Level())
	a.log.LogAttrs(r.Context(), slog.LevelWarn, "loglevel", slog.String("before", before.String()), slog.String("now", word.Level().String()))
	a.getLogLevel(w, r)
}
