package ssf

import (
	"net/http"

	"tidings/events"
	"tidings/hub"
	"tidings/web"
)

// addSubject answers 200 without a body (SU-01), removeSubject 204 (SU-04): both also for what was so before (SU-10), and
// for subjects that nobody has or that were not granted (SU-03, PR-01).

func (f face) addSubject(w http.ResponseWriter, r *http.Request, c hub.Caller) error {
	body, err := web.Read(w, r, maxBody)
	if err != nil {
		return err
	}
	id, subject, err := readSubject(body)
	if err != nil {
		return err
	}
	// What a party may be told rests on the person's grant. That the receiver did not verify the identifier (false) takes
	// nothing from that, and that it did gives nothing (SU-02).
	var verified *bool
	if err := body.Get("verified", &verified); err != nil {
		return err
	}
	if err := f.engine.AddSubject(r.Context(), c, id, subject); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func (f face) removeSubject(w http.ResponseWriter, r *http.Request, c hub.Caller) error {
	body, err := web.Read(w, r, maxBody)
	if err != nil {
		return err
	}
	id, subject, err := readSubject(body)
	if err != nil {
		return err
	}
	if err := f.engine.RemoveSubject(r.Context(), c, id, subject); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func readSubject(body web.Members) (stream string, s events.Subject, err error) {
	if stream, err = body.Text("stream_id"); err != nil {
		return "", s, err
	}
	return stream, s, body.Get("subject", &s)
}
