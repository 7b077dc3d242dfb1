package file

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"tidings/hub"
	"tidings/hub/schema"
)

const (
	// maxReports bounds the reports of one call of Ingest: some of the hub's batches, since it decides one while it
	// commits another.
	maxReports = 2000
	// maxValues bounds the values in them, as a group may be large.
	maxValues = 50_000
	// maxDangling bounds the references that a summary lists.
	maxDangling = 100_000
)

// Ingester is what an import needs of the hub.
type Ingester interface {
	Ingest(ctx context.Context, reports ...hub.Report) ([]hub.Result, error)
	Unresolved(ctx context.Context, source string, limit int) ([]hub.Reference, error)
}

// Options of an import.
type Options struct {
	Source   string                         // name of the source that the entries belong to; "" is "file"
	Actor    string                         // who is named in the log; "" is "import"
	Progress func(bytes int64, records int) // called now and then with what was read so far; nil for none
}

// Summary is what became of the records of a file: each is counted in Read and in exactly one of Created, Updated,
// Unchanged, Containers and Refused.
type Summary struct {
	Read, Created, Updated, Unchanged int
	Containers                        int // neither person nor group
	Refused                           []Refusal
	Dangling                          []Dangling // at most 100,000
}

// Refusal is a record that did not go in. The DN is for whoever runs the import, and for no log: it holds a name.
type Refusal struct {
	Line   int    `json:"line"`
	DN     string `json:"dn,omitempty"` // "" if the record could not be read
	Reason string `json:"reason"`
}

// Dangling is a reference from an imported record to an object that the hub does not know.
type Dangling struct {
	Line      int    `json:"line"`      // of the record it stands in
	Attribute string `json:"attribute"` // canonical name
	Target    string `json:"target"`    // normalised DN
}

// Import reads an LDIF file and reports its people and groups to the hub. A bad record, a DN or entryUUID that stood in
// the file before and a userName that another entry has are refused, and the rest goes in. An error (of reading,
// ErrNotLDIF, of the hub, of the context) ends the import early; the summary then tells how far it came, and importing the file
// again is harmless.
func Import(ctx context.Context, r io.Reader, to Ingester, opts Options) (Summary, error) {
	if opts.Source == "" {
		opts.Source = "file"
	}
	if opts.Actor == "" {
		opts.Actor = "import"
	}
	i := &importer{
		in: NewReader(r), to: to, opts: opts, txn: rand.Text(),
		seen: map[digest]bool{}, lines: map[hub.ID]int{},
	}
	err := i.run(ctx)
	slices.SortStableFunc(i.sum.Refused, func(a, b Refusal) int { return a.Line - b.Line })
	if err != nil {
		return i.sum, fmt.Errorf("import: %w", err)
	}
	return i.sum, nil
}

type importer struct {
	in   *Reader
	to   Ingester
	opts Options
	txn  string // names the import in the log
	sum  Summary

	seen  map[digest]bool // names of the objects so far
	lines map[hub.ID]int  // of the entries that point to others

	reports []hub.Report
	from    []Record // what the reports were made of, without values
	values  int
}

// digest stands for a name: of a million objects the names themselves would fill the memory.
type digest [16]byte

func digestOf(name string) digest {
	sum := sha256.Sum256([]byte(schema.Fold(name)))
	return digest(sum[:16])
}

func (i *importer) run(ctx context.Context) error {
	for {
		record, err := i.in.Next()
		bad := (*RecordError)(nil)
		switch {
		case err == io.EOF:
			if err := i.flush(ctx); err != nil {
				return err
			}
			return i.dangling(ctx)
		case errors.As(err, &bad):
			record, err = Record{Line: bad.Line}, errors.New(bad.Reason)
		case err != nil:
			return errors.Join(err, i.flush(ctx)) // what was read whole is good
		default:
			err = i.take(record)
		}
		i.sum.Read++
		if err != nil {
			i.refuse(record, reason(err))
		}
		if len(i.reports) >= maxReports || i.values >= maxValues || i.sum.Read%maxReports == 0 {
			if err := i.flush(ctx); err != nil {
				return err
			}
		}
	}
}

// take maps a record and puts its report into the batch.
func (i *importer) take(record Record) error {
	o, err := readObject(record)
	if err != nil {
		return err
	}
	report, ok, err := o.report()
	if err != nil {
		return err
	}
	names := []digest{digestOf(o.key)}
	if ok && report.Key != o.key {
		names = append(names, digestOf(report.Key))
	}
	for n, name := range names {
		if i.seen[name] {
			return errors.New([]string{"dn", "entryuuid"}[n] + " stood in the file before")
		}
	}
	for _, name := range names {
		i.seen[name] = true
	}
	if !ok {
		i.sum.Containers++
		return nil
	}
	report.Source, report.Actor, report.Txn = i.opts.Source, i.opts.Actor, i.txn
	i.reports = append(i.reports, report)
	i.from = append(i.from, Record{Line: record.Line, DN: record.DN})
	i.values += len(record.Values)
	return nil
}

// flush hands the batch to the hub and counts what became of it.
func (i *importer) flush(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	results, err := i.to.Ingest(ctx, i.reports...)
	if err != nil {
		return err
	}
	for n, result := range results {
		switch {
		case result.Err != nil:
			i.refuse(i.from[n], reason(result.Err))
			continue
		case result.Kind == "":
			i.sum.Unchanged++
		case result.Kind == hub.Created:
			i.sum.Created++
		default:
			i.sum.Updated++
		}
		if len(schema.References(i.reports[n].Type, i.reports[n].Resource.Attributes)) > 0 {
			i.lines[result.Entry.ID] = i.from[n].Line
		}
	}
	i.reports, i.from, i.values = nil, nil, 0
	if i.opts.Progress != nil {
		i.opts.Progress(i.in.Bytes(), i.sum.Read)
	}
	return nil
}

// dangling lists the references of this file that found nobody. Only the hub knows them all: a target may stand in
// a file that was imported before, and in none of them if it was refused.
func (i *importer) dangling(ctx context.Context) error {
	if len(i.lines) == 0 {
		return nil
	}
	unresolved, err := i.to.Unresolved(ctx, i.opts.Source, maxDangling)
	if err != nil {
		return fmt.Errorf("find references that point at nobody: %w", err)
	}
	for _, ref := range unresolved {
		if line, ok := i.lines[ref.From]; ok {
			i.sum.Dangling = append(i.sum.Dangling, Dangling{Line: line, Attribute: ref.Name, Target: ref.Key})
		}
	}
	slices.SortFunc(i.sum.Dangling, func(a, b Dangling) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return strings.Compare(a.Attribute+" "+a.Target, b.Attribute+" "+b.Target)
	})
	return nil
}

func (i *importer) refuse(record Record, why string) {
	i.sum.Refused = append(i.sum.Refused, Refusal{Line: record.Line, DN: record.DN, Reason: why})
}

// reason says an error in words that hold no values.
func reason(err error) string {
	if scim := (*schema.Error)(nil); errors.As(err, &scim) {
		return scim.Detail
	}
	if errors.Is(err, hub.ErrTaken) {
		return "its userName or its dn belongs to another entry"
	}
	return err.Error()
}
