package receiver

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Copy is what was granted of one subject, as fetched.
type Copy struct {
	ID       string
	Resource json.RawMessage // a SCIM resource with the granted attributes
	Version  string          // its ETag, which is also the version in events and changes
	Until    time.Time       // it must not be kept or used any longer
}

// Subject fetches what was granted of a subject. With a held copy it asks only whether that is current, which costs the
// hub little, and returns it with its new lifetime if so. ErrEnded: nothing may be known of the subject any more, and
// what is held is to be deleted. ErrNoTransfer: it may be known, but not fetched.
func (c *Client) Subject(ctx context.Context, id string, held *Copy) (Copy, error) {
	q := request{url: c.at("/subjects/" + url.PathEscape(id))}
	if held != nil {
		q.noneMatch = held.Version
	}
	began := c.now() // the lifetime runs from when the hub answered, so not from later than this
	got := Copy{ID: id}
	response, err := c.call(ctx, q, &got.Resource)
	if err != nil {
		var p *Problem
		if errors.As(err, &p) && p.Status == http.StatusNotFound { // the hub has forgotten that it ended
			err = ErrEnded
		}
		return Copy{}, wrap("fetch subject", err)
	}
	if response.StatusCode == http.StatusNotModified {
		if held == nil {
			return Copy{}, errors.New("fetch subject: hub says that nothing changed, and nothing is held")
		}
		got = *held
	} else {
		got.Version = response.Header.Get("ETag")
	}
	got.Until = began.Add(maxAge(response.Header))
	return got, nil
}

// maxAge is the lifetime an answer allows; without one it may not be kept at all.
func maxAge(h http.Header) time.Duration {
	for directive := range strings.SplitSeq(h.Get("Cache-Control"), ",") {
		if value, ok := strings.CutPrefix(strings.TrimSpace(directive), "max-age="); ok {
			if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
				return time.Duration(seconds) * time.Second
			}
		}
	}
	return 0
}
