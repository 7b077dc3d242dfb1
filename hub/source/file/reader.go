package file

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

const (
	// maxLine bounds an unfolded line: a photo in base64 fits.
	maxLine = 4 << 20
	// maxRecord bounds a record: a group of 100,000 members fits.
	maxRecord = 32 << 20
	// valueCost is added to the size of a record for each value, as a value of one byte costs more than that in memory.
	valueCost = 64
)

// ErrNotLDIF: the file as a whole cannot be read: it is in UTF-16 or of another version of LDIF.
var ErrNotLDIF = errors.New("not an LDIF file of version 1 in UTF-8")

// Record is one content record: an object as it stands in the directory.
type Record struct {
	Line   int    // of its dn, from 1
	DN     string // as written
	Values []Value
}

// Value is one value of an attribute, in the order of the file.
type Value struct {
	Attribute string // description in lower case, with its options: "cn;lang-de"
	Text      string // decoded, any bytes
}

// RecordError refuses one record; the next call of Next reads on behind it. Reason quotes no value.
type RecordError struct {
	Line   int
	Reason string
}

func (e *RecordError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Reason) }

func refuse(line int, format string, args ...any) *RecordError {
	return &RecordError{line, fmt.Sprintf(format, args...)}
}

// Reader reads the records of an LDIF file (RFC 2849): content records and changes of type add.
type Reader struct {
	in    *bufio.Reader
	lines int   // read so far
	bytes int64 // read so far
	begun bool  // past the place of the version line
	ended bool  // the blank line after the current record was read, or the end of the file
	size  int   // of the current record
}

// NewReader starts reading.
func NewReader(r io.Reader) *Reader { return &Reader{in: bufio.NewReaderSize(r, 64<<10)} }

// Bytes is how much of the file was read.
func (r *Reader) Bytes() int64 { return r.bytes }

// Next returns the next record, or *RecordError for one that is refused: malformed, too large, with values by URL, with a
// critical control, or a change other than add. io.EOF ends the file; ErrNotLDIF and errors of reading end it early.
func (r *Reader) Next() (Record, error) {
	record, err := r.record()
	if bad := (*RecordError)(nil); errors.As(err, &bad) {
		return Record{}, r.resync(bad)
	}
	return record, err
}

// resync skips the rest of a refused record.
func (r *Reader) resync(bad *RecordError) error {
	for !r.ended {
		if _, err := r.line(); err != nil && !errors.As(err, new(*RecordError)) && err != io.EOF {
			return err
		}
	}
	return bad
}

func (r *Reader) record() (record Record, err error) {
	first, err := r.start()
	if err != nil {
		return Record{}, err
	}
	name, value, err := first.split()
	switch {
	case err != nil:
		return Record{}, err
	case name != "dn":
		return Record{}, refuse(first.number, "a record must begin with dn")
	case !utf8.ValidString(value):
		return Record{}, refuse(first.number, "dn is not UTF-8")
	}
	record = Record{Line: first.number, DN: value}
	changes := true // what belongs to a change stands before the attributes
	for {
		l, err := r.line()
		if err != nil && err != io.EOF {
			return Record{}, err
		}
		if r.ended {
			break
		}
		name, value, err := l.split()
		switch {
		case err != nil:
			return Record{}, err
		case name == "dn" || name == "version":
			return Record{}, refuse(l.number, "%s inside a record: the blank line before it is missing", name)
		case changes && name == "control":
			if err := l.control(value); err != nil {
				return Record{}, err
			}
			continue
		case name == "changetype":
			if err := l.changeType(value, changes); err != nil {
				return Record{}, err
			}
		default:
			record.Values = append(record.Values, Value{name, value})
		}
		changes = false
	}
	if len(record.Values) == 0 {
		return Record{}, refuse(record.Line, "the record has no attributes")
	}
	return record, nil
}

// start finds the first line of the next record.
func (r *Reader) start() (line, error) {
	for {
		r.ended, r.size = false, 0
		first := !r.begun
		l, err := r.line()
		if err != nil {
			return line{}, err
		}
		if r.ended {
			continue
		}
		r.begun = true
		name, value, err := l.split()
		if err != nil || !first || name != "version" {
			return l, nil
		}
		if value != "1" {
			return line{}, fmt.Errorf("line %d: %w", l.number, ErrNotLDIF)
		}
	}
}

// line is a line of the file, unfolded.
type line struct {
	number int
	text   []byte
}

// line returns the next line that is no comment; at a blank line and at the end of the file it sets ended, and at the end
// it returns io.EOF.
func (r *Reader) line() (line, error) {
	for {
		l := line{number: r.lines + 1}
		fits, err := r.physical(&l.text)
		if err != nil {
			r.ended = true
			return line{}, err
		}
		if l.number == 1 {
			if l.text, err = withoutMark(l.text); err != nil {
				r.ended = true
				return line{}, err
			}
		}
		if len(bytes.TrimRight(l.text, " ")) == 0 && fits {
			r.ended = true
			return line{}, nil
		}
		comment := l.text[0] == '#'
		for {
			folded, err := r.folded()
			if err != nil {
				return line{}, err
			}
			if !folded {
				break
			}
			more, err := r.physical(&l.text)
			if err != nil && err != io.EOF {
				return line{}, err
			}
			fits = fits && more
			if comment {
				l.text = l.text[:1]
			}
		}
		if comment {
			continue
		}
		r.size += len(l.text) + valueCost
		switch {
		case !fits:
			return line{}, refuse(l.number, "the line is longer than %d bytes", maxLine)
		case r.size > maxRecord:
			return line{}, refuse(l.number, "the record is larger than %d bytes", maxRecord)
		}
		return l, nil
	}
}

// folded says whether the line goes on, and steps over the blank that says so.
func (r *Reader) folded() (bool, error) {
	next, err := r.in.Peek(1)
	if err != nil && err != io.EOF {
		return false, fmt.Errorf("read: %w", err)
	}
	if len(next) == 0 || next[0] != ' ' {
		return false, nil
	}
	r.bytes++
	_, err = r.in.Discard(1)
	return true, err
}

// physical appends one line as it stands in the file, without its end, to text. What would make text longer than
// maxLine is dropped, and fits is false. At the end of the file it returns io.EOF.
func (r *Reader) physical(text *[]byte) (fits bool, err error) {
	fits = true
	before := len(*text)
	for begun := false; ; begun = true {
		part, err := r.in.ReadSlice('\n')
		r.bytes += int64(len(part))
		switch {
		case err == io.EOF && len(part) == 0 && !begun:
			return fits, io.EOF
		case err != nil && err != io.EOF && err != bufio.ErrBufferFull:
			return fits, fmt.Errorf("read: %w", err)
		}
		if keep := maxLine + 2 - len(*text); len(part) > keep { // 2: its end
			part, fits = part[:max(keep, 0)], false
		}
		*text = append(*text, part...)
		if err == bufio.ErrBufferFull {
			continue
		}
		r.lines++
		if fits {
			own := bytes.TrimSuffix((*text)[before:], []byte("\n"))
			*text = (*text)[:before+len(bytes.TrimSuffix(own, []byte("\r")))]
		}
		return fits, nil
	}
}

// withoutMark drops the byte order mark that some editors put before UTF-8.
func withoutMark(first []byte) ([]byte, error) {
	if bytes.HasPrefix(first, []byte{0xff, 0xfe}) || bytes.HasPrefix(first, []byte{0xfe, 0xff}) {
		return nil, fmt.Errorf("line 1: %w", ErrNotLDIF)
	}
	return bytes.TrimPrefix(first, []byte("\ufeff")), nil
}

// split reads "name: text", "name:: base64"; "name:< url" is refused, as a file must not make the importer open others.
func (l line) split() (name, value string, err error) {
	before, after, found := bytes.Cut(l.text, []byte(":"))
	switch {
	case l.text[0] == ' ':
		return "", "", refuse(l.number, "the line continues nothing")
	case !found || !isDescription(before):
		return "", "", refuse(l.number, "the line is not of the form attribute: value")
	}
	name = strings.ToLower(string(before))
	switch {
	case bytes.HasPrefix(after, []byte("<")):
		return "", "", refuse(l.number, "values by URL are not read")
	case bytes.HasPrefix(after, []byte(":")):
		raw, err := base64.StdEncoding.DecodeString(string(bytes.Trim(after[1:], " ")))
		if err != nil {
			return "", "", refuse(l.number, "the value is not base64")
		}
		return name, string(raw), nil
	}
	return name, string(bytes.TrimLeft(after, " ")), nil
}

// isDescription says whether b is a name or OID with options (RFC 4512 section 2.5); some servers allow underscores.
func isDescription(b []byte) bool {
	for i, part := range bytes.Split(b, []byte(";")) {
		if len(part) == 0 {
			return false
		}
		for _, c := range part {
			if !isAlnum(c) && c != '-' && c != '_' && (c != '.' || i > 0) {
				return false
			}
		}
	}
	return true
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// control lets controls pass that may be passed over (RFC 4511 section 4.1.11).
func (l line) control(value string) error {
	if fields := strings.Fields(value); len(fields) > 1 && strings.HasPrefix(strings.ToLower(fields[1]), "true") {
		return refuse(l.number, "the record has a critical control")
	}
	return nil
}

func (l line) changeType(value string, inPlace bool) error {
	switch kind := strings.ToLower(strings.TrimRight(value, " ")); {
	case !inPlace:
		return refuse(l.number, "changetype must follow dn")
	case kind == "add":
		return nil
	case kind == "modify" || kind == "modrdn" || kind == "moddn" || kind == "delete":
		return refuse(l.number, "changetype %s is not imported, only add", kind)
	}
	return refuse(l.number, "unknown changetype")
}
