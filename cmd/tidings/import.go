package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"tidings/hub"
	"tidings/hub/source/file"
)

type importCommand struct {
	File   string `arg:"" help:"LDIF file; - for standard input."`
	Source string `help:"Name of the source that the entries belong to. The same name again updates them." default:"file"`
}

// shown bounds what a person is shown of a long list; --json has all of it.
const shown = 20

func (c *importCommand) Run(rt *runtime) error {
	in, size, err := c.open()
	if err != nil {
		return err
	}
	defer in.Close()
	h, done, err := rt.openHub(importing, hub.Config{})
	if err != nil {
		return err
	}
	defer done()
	progress, finish := rt.progress(size)
	sum, err := file.Import(rt.ctx, in, h, file.Options{Source: c.Source, Actor: "import", Progress: progress})
	finish()
	if err == nil {
		// Wide lines that the import began are finished here, so that it is done when it says so.
		err = h.FinishEchoes(rt.ctx)
	}
	if err == nil && len(sum.Refused) > 0 {
		err = fmt.Errorf("import: %d of %d records were refused; the rest is in", len(sum.Refused), sum.Read)
	}
	return errors.Join(rt.summary(sum), err)
}

func (c *importCommand) open() (io.ReadCloser, int64, error) {
	if c.File == "-" {
		return io.NopCloser(os.Stdin), -1, nil
	}
	f, err := os.Open(c.File)
	if err != nil {
		return nil, 0, fmt.Errorf("import: %w", err)
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("import: %s is a folder", c.File)
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// progress draws a bar on a terminal, and nothing elsewhere.
func (rt *runtime) progress(size int64) (report func(bytes int64, records int), finish func()) {
	if f, ok := rt.errOut.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) || rt.JSON {
		return nil, func() {}
	}
	bar := progressbar.NewOptions64(size, progressbar.OptionSetWriter(rt.errOut), progressbar.OptionShowBytes(true),
		progressbar.OptionSetDescription("importing"), progressbar.OptionSetWidth(30), progressbar.OptionClearOnFinish())
	return func(bytes int64, records int) {
		bar.Describe(fmt.Sprintf("importing, %d records", records))
		_ = bar.Set64(bytes) // a bar that cannot be drawn stops nothing
	}, func() { _ = bar.Finish() }
}

func (rt *runtime) summary(s file.Summary) error {
	type summary struct {
		Read       int             `json:"read"`
		Created    int             `json:"created"`
		Updated    int             `json:"updated"`
		Unchanged  int             `json:"unchanged"`
		Containers int             `json:"containers"`
		Refused    []file.Refusal  `json:"refused"`
		Dangling   []file.Dangling `json:"dangling"`
	}
	result := summary{s.Read, s.Created, s.Updated, s.Unchanged, s.Containers, s.Refused, s.Dangling}
	if result.Refused == nil {
		result.Refused = []file.Refusal{}
	}
	if result.Dangling == nil {
		result.Dangling = []file.Dangling{}
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%d records read: %d created, %d updated, %d unchanged, %d containers (neither person nor group), %d refused\n",
		s.Read, s.Created, s.Updated, s.Unchanged, s.Containers, len(s.Refused))
	for i, r := range s.Refused {
		if i == shown {
			fmt.Fprintf(&text, "  … and %d more; --json lists all\n", len(s.Refused)-shown)
			break
		}
		fmt.Fprintf(&text, "  line %d: %s%s\n", r.Line, r.Reason, in(r.DN))
	}
	if len(s.Dangling) > 0 {
		fmt.Fprintf(&text, "%d references point at nobody; they are kept, told to no one, and resolve when their target comes:\n", len(s.Dangling))
	}
	for i, d := range s.Dangling {
		if i == shown {
			fmt.Fprintf(&text, "  … and %d more; --json lists all\n", len(s.Dangling)-shown)
			break
		}
		fmt.Fprintf(&text, "  line %d: %s: %s\n", d.Line, d.Attribute, d.Target)
	}
	return rt.print(result, "%s", text.String())
}

func in(dn string) string {
	if dn == "" {
		return ""
	}
	return " (" + dn + ")"
}
