package receiver

import (
	"context"
	"errors"
	"iter"
	"net/url"
	"strconv"
	"time"

	"tidings/events"
)

// Now is the cursor that means "from here": no snapshot, only what happens later.
const Now = "now"

// Page is a page of changes. Apply it, then store its Cursor, then go on: who does so in this order misses nothing.
type Page struct {
	events.Page
	// Snapshot: the page is part of a snapshot, which tells everything as added. After its last page (More is false)
	// whatever is held and was not told in it is to be dropped. A snapshot that was interrupted begins again with "".
	Snapshot bool
}

// Delta reads what changed since a cursor ("" for a snapshot) page by page, and ends after the last page there is now,
// or with an error. At its end it is called again with the last page's cursor; the hub then waits up to wait (at most a
// minute, whole seconds) for something to happen before it answers with an empty page.
//
// A cursor that has expired leads to a snapshot.
func (c *Client) Delta(ctx context.Context, cursor string, wait time.Duration) iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		snapshot := cursor == ""
		for {
			got, err := c.page(ctx, cursor, wait)
			if errors.Is(err, ErrCursorExpired) && cursor != "" {
				cursor, snapshot = "", true
				continue
			}
			if !yield(Page{got, snapshot}, err) || err != nil || !got.More {
				return
			}
			cursor = got.Cursor
		}
	}
}

// page reads one page.
func (c *Client) page(ctx context.Context, cursor string, wait time.Duration) (events.Page, error) {
	query := url.Values{}
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	if seconds := int(min(wait, time.Minute).Seconds()); seconds > 0 && cursor != "" {
		query.Set("wait", strconv.Itoa(seconds))
	}
	var page events.Page
	_, err := c.call(ctx, request{url: c.at("/delta?" + query.Encode())}, &page)
	return page, wrap("read changes", err)
}
