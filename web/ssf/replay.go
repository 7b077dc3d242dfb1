package ssf

import (
	"fmt"
	"net/http"
	"time"

	"tidings/hub"
	"tidings/web"
)

// replay has a stream tell again what was told since a moment, or since a cursor of the party's own /delta.
func (f face) replay(w http.ResponseWriter, r *http.Request, c hub.Caller) error {
	body, err := web.Read(w, r, maxBody)
	if err != nil {
		return err
	}
	id, from, err := readReplay(body)
	if err != nil {
		return err
	}
	if _, err := f.engine.Rewind(r.Context(), c, id, from); err != nil {
		return err
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

func readReplay(body web.Members) (id string, from hub.Rewinding, err error) {
	if id, err = body.Text("stream_id"); err != nil {
		return "", from, err
	}
	if body.Has("since") == body.Has("cursor") {
		return "", from, fmt.Errorf("%w: either since or cursor is needed", hub.ErrBadRequest)
	}
	if body.Has("cursor") {
		from.Cursor, err = body.Text("cursor")
		return id, from, err
	}
	text, err := body.Text("since")
	if err != nil {
		return "", from, err
	}
	if from.Since, err = time.Parse(time.RFC3339, text); err != nil || from.Since.IsZero() {
		return "", from, fmt.Errorf("%w: since is a time such as 2027-01-31T12:00:00Z", hub.ErrBadRequest)
	}
	return id, from, nil
}
