package file_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"tidings/hub/source/file"
)

// readAll reads a file to its end; refusals as "line: reason".
func readAll(t *testing.T, in io.Reader) (records []file.Record, refused []string) {
	t.Helper()
	r := file.NewReader(in)
	for {
		record, err := r.Next()
		bad := (*file.RecordError)(nil)
		switch {
		case err == io.EOF:
			return records, refused
		case errors.As(err, &bad):
			refused = append(refused, fmt.Sprint(bad.Line, ": ", bad.Reason))
			if !reflect.DeepEqual(record, file.Record{}) {
				t.Errorf("line %d: part of a refused record came out", bad.Line)
			}
		case err != nil:
			t.Fatal(err)
		default:
			records = append(records, record)
		}
	}
}

func open(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestReaderKeepsEveryValue: comments, folding, base64, options, controls, CRLF and a byte order mark; values come out as
// they stand in the file, blanks included.
func TestReaderKeepsEveryValue(t *testing.T) {
	want := []file.Record{
		{Line: 7, DN: "cn=Vera Lind,ou=Staff,dc=example,dc=org", Values: []file.Value{
			{"objectclass", "inetOrgPerson"},
			{"cn", "Vera Lind"},
			{"cn;lang-de", "Vera von Lind"},
			{"sn", " Lind "},
			{"description", "two blanks, one of them its own"},
			{"street", "Pier 4 $ Saltmarsh "},
			{"roomnumber", ""},
		}},
		{Line: 22, DN: "cn=Äda Möller,dc=example,dc=org", Values: []file.Value{
			{"objectclass", "person"},
			{"sn", "Möller"},
			{"jpegphoto", "\xff\xd8\xff\x00\x00\x00\xff"},
			{"cn", "Äda Möller"},
		}},
	}
	// One byte at a time: what is read must not depend on where buffers end.
	for name, in := range map[string]io.Reader{
		"whole": open(t, "testdata/shapes.ldif"),
		"bytes": iotest.OneByteReader(open(t, "testdata/shapes.ldif")),
	} {
		got, refused := readAll(t, in)
		if !reflect.DeepEqual(got, want) || refused != nil {
			t.Errorf("%s: got %+v, refused %q", name, got, refused)
		}
	}
}

func TestReaderRefusesOneRecordAndGoesOn(t *testing.T) {
	got, refused := readAll(t, open(t, "testdata/broken.ldif"))
	want := []string{
		"11: values by URL are not read",
		"14: changetype modify is not imported, only add",
		"20: changetype delete is not imported, only add",
		"23: changetype modrdn is not imported, only add",
		"28: the record has a critical control",
		"35: the value is not base64",
		"38: a record must begin with dn",
		"44: dn inside a record: the blank line before it is missing",
		"53: the record has no attributes",
		"55: the line continues nothing",
		"69: changetype must follow dn",
	}
	if !slices.Equal(refused, want) {
		t.Errorf("refused\n%s\nwant\n%s", strings.Join(refused, "\n"), strings.Join(want, "\n"))
	}
	var lines []int
	for _, r := range got {
		lines = append(lines, r.Line)
	}
	if want := []int{3, 48, 58, 62, 72, 77, 82, 87, 92}; !slices.Equal(lines, want) {
		t.Errorf("records at %v, want %v", lines, want)
	}
}

func TestReaderRefuses(t *testing.T) {
	const after = "\n\ndn: dc=org\ndc: org\n"
	for in, want := range map[string]string{
		"dn: dc=x\nchangetype: rename\n" + after:              "2: unknown changetype",
		"dn: dc=x\nno colon\n" + after:                        "2: the line is not of the form attribute: value",
		"dn: dc=x\nöl: x\n" + after:                           "2: the line is not of the form attribute: value",
		"dn: dc=x\n: x\n" + after:                             "2: the line is not of the form attribute: value",
		"dn: dc=x\ncn;: x\n" + after:                          "2: the line is not of the form attribute: value",
		"dn: dc=x\n-\n" + after:                               "2: the line is not of the form attribute: value",
		"dn:: /w==\ncn: x" + after:                            "1: dn is not UTF-8",
		"dn: dc=x\nversion: 1" + after:                        "2: version inside a record: the blank line before it is missing",
		"\n\n# x\n\nversion: 1\nversion: 1\ncn: x\n" + after:  "6: a record must begin with dn",
		"dn: dc=x\ncn: " + strings.Repeat("x", 4<<20) + after: "2: the line is longer than 4194304 bytes",
		"dn: dc=x\ncn: x\n" + strings.Repeat(" "+strings.Repeat("x", 99)+"\n", 50_000) + "sn: x" + after: "2: the line is longer than 4194304 bytes",
		"dn: dc=x\n" + strings.Repeat("cn: x\n", 600_000) + after:                                        "486297: the record is larger than 33554432 bytes",
	} {
		got, refused := readAll(t, strings.NewReader(in))
		if len(got) != 1 || got[0].DN != "dc=org" || len(refused) != 1 || refused[0] != want {
			t.Errorf("%.40q: %d records, refused %q, want %q", in, len(got), refused, want)
		}
	}
}

// TestReaderTakesLongLines: the limits are of lines and records, not of buffers.
func TestReaderTakesLongLines(t *testing.T) {
	long := strings.Repeat("0123456789", 100_000)
	got, refused := readAll(t, strings.NewReader("# "+strings.Repeat(long, 5)+"\n "+long+"\ndn: dc=x\ncn: "+long+"\r\n "+long))
	if refused != nil || len(got) != 1 || got[0].Line != 3 || got[0].Values[0].Text != long+long {
		t.Errorf("%d records, refused %q", len(got), refused)
	}
}

func TestReaderEndsEarly(t *testing.T) {
	broken := errors.New("disk on fire")
	for name, c := range map[string]struct {
		in   io.Reader
		want error
	}{
		"UTF-16":        {strings.NewReader("\xff\xfed\x00n\x00:\x00"), file.ErrNotLDIF},
		"other version": {strings.NewReader("version: 2\ndn: dc=x\ndc: x\n"), file.ErrNotLDIF},
		"between lines": {io.MultiReader(strings.NewReader("dn: dc=x\ndc: x\n"), iotest.ErrReader(broken)), broken},
		"inside a line": {io.MultiReader(strings.NewReader("dn: dc=x\ndc: "), iotest.ErrReader(broken)), broken},
		"while skipping": {io.MultiReader(strings.NewReader("dn: dc=x\nrubbish\n"),
			iotest.ErrReader(broken)), broken},
	} {
		if record, err := file.NewReader(c.in).Next(); !errors.Is(err, c.want) || record.DN != "" {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// write is the inverse of Reader: every value in base64, folded.
func write(records []file.Record) string {
	var b strings.Builder
	line := func(name, value string) {
		text := name + ":: " + base64.StdEncoding.EncodeToString([]byte(value))
		for ; len(text) > 20; text = " " + text[20:] {
			b.WriteString(text[:20] + "\n")
		}
		b.WriteString(text + "\n")
	}
	for _, r := range records {
		line("dn", r.DN)
		for _, v := range r.Values {
			line(v.Attribute, v.Text)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// FuzzReader: whatever the file, reading ends, lines go up, and what came out of it can be written and read again.
func FuzzReader(f *testing.F) {
	for _, name := range []string{"shapes", "broken", "mapping"} {
		seed, err := os.ReadFile("testdata/" + name + ".ldif")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	f.Add([]byte("dn: a\n :\n\r\n \n#\n dn: x\ncn:<"))
	f.Add([]byte("\r\r\n \n")) // a fold with nothing in it must not trim the line before
	f.Fuzz(func(t *testing.T, in []byte) {
		r := file.NewReader(strings.NewReader(string(in)))
		var records []file.Record
		for last := 0; ; {
			record, err := r.Next()
			line := record.Line
			if bad := (*file.RecordError)(nil); errors.As(err, &bad) {
				line = bad.Line
			} else if err != nil {
				break
			} else {
				records = append(records, record)
			}
			if line <= last {
				t.Fatalf("line %d after line %d", line, last)
			}
			last = line
		}
		if r.Bytes() > int64(len(in)) {
			t.Fatalf("read %d of %d bytes", r.Bytes(), len(in))
		}
		again, refused := readAll(t, strings.NewReader(write(records)))
		if refused != nil || len(again) != len(records) {
			t.Fatalf("%d records became %d, refused %q", len(records), len(again), refused)
		}
		for i := range records {
			if again[i].DN != records[i].DN || !slices.Equal(again[i].Values, records[i].Values) {
				t.Fatalf("%+v became %+v", records[i], again[i])
			}
		}
	})
}
