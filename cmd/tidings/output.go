package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"tidings/hub"
)

// print writes one result: as JSON, or as the text that a person reads.
func (rt *runtime) print(result any, text string, args ...any) error {
	if rt.JSON {
		return json.NewEncoder(rt.out).Encode(result)
	}
	_, err := fmt.Fprintf(rt.out, text, args...)
	return err
}

// table writes rows under a head for people, or one JSON object a line.
func table[T any](rt *runtime, rows []T, head string, cells func(T) []string) error {
	if rt.JSON {
		encode := json.NewEncoder(rt.out)
		for _, r := range rows {
			if err := encode.Encode(r); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(rt.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, strings.ReplaceAll(head, " ", "\t"))
	for _, r := range rows {
		fmt.Fprintln(w, strings.Join(cells(r), "\t"))
	}
	return w.Flush()
}

// stamp writes a time of the store as RFC 3339.
func stamp(micros int64) string {
	if micros == 0 {
		return ""
	}
	return time.UnixMicro(micros).UTC().Format(time.RFC3339)
}

// duration is a time span such as 90m or 30d.
type duration time.Duration

// UnmarshalText reads it.
func (d *duration) UnmarshalText(text []byte) error {
	if days, ok := strings.CutSuffix(string(text), "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil || n < 0 || n > 36500 {
			return errors.New("durations look like 90m or 30d")
		}
		*d = duration(time.Duration(n) * 24 * time.Hour)
		return nil
	}
	v, err := time.ParseDuration(string(text))
	if err != nil || v < 0 {
		return errors.New("durations look like 90m or 30d")
	}
	*d = duration(v)
	return nil
}

// id reads the id of something on the command line.
func id(what, text string) (hub.ID, error) {
	v, err := hub.ParseID(text)
	if err != nil {
		return v, misused("%s: %q is not an id; ids are what 'tidings … list' prints", what, text)
	}
	return v, nil
}

// explain turns an error into the one line that tells what to do next.
func explain(err error) string {
	var op *net.OpError
	switch {
	case errors.Is(err, hub.ErrWrongKey):
		return "the key file does not belong to this store; give the right one with --key-file"
	case errors.Is(err, hub.ErrKeyFile):
		return "the key file does not hold a key; it is one line that begins with tidings-key-1"
	case errors.Is(err, hub.ErrNotFound):
		return "there is nothing of that name or id, or it has ended; the list commands show what there is"
	case errors.Is(err, hub.ErrNewer):
		return "the store was written by a newer version of tidings; run that version"
	case errors.As(err, &op) && errors.Is(err, syscall.EADDRINUSE):
		return "cannot listen on " + op.Addr.String() + ": another program does"
	}
	var lines []string
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); !slices.Contains(lines, line) { // one cause for each of a host's addresses
			lines = append(lines, line)
		}
	}
	return strings.ReplaceAll(strings.Join(lines, "; "), ":; ", ": ")
}
