package house

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "tidings"

// TestLayering holds the program as it is against the tables of rules_test.go.
func TestLayering(t *testing.T) {
	files := readModule(t)
	if len(files) < 3 {
		t.Fatalf("read %d files: this cannot be the whole module", len(files))
	}
	for _, f := range files {
		for _, complaint := range f.complaints() {
			t.Errorf("%s: %s", f.name, complaint)
		}
	}
}

// file is what the rules need to know of a Go file.
type file struct {
	name    string   // relative to the module
	pkg     string   // the folder, which is the package's path in the module
	test    bool     // _test.go
	imports []string // as written
	clocks  []string // time.Now and the like, as used
	spawns  bool     // contains a go statement
}

func (f file) complaints() []string {
	var out []string
	complain := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }

	for _, imported := range f.imports {
		if isJOSE(imported) && !within(imported, "github.com/lestrrat-go/jwx/v2/...") {
			complain("imports %s: %s", imported, joseReason)
		}
	}
	here, known := placeOf(f.pkg)
	if !known {
		complain("package %s has no place: give it one in rules_test.go, and a reason if it is a new top-level folder", f.pkg)
		return out
	}
	if f.test {
		return out // tests look at the house from all sides
	}
	for _, imported := range f.imports {
		if reason := objection(f.pkg, here, imported); reason != "" {
			complain("imports %s: %s", imported, reason)
		}
	}
	if slices.Contains(rules, f.pkg) {
		for _, use := range f.clocks {
			complain("uses %s: %s", use, clockReason)
		}
		if f.spawns {
			complain("has a go statement: %s", goroutineReason)
		}
	}
	return out
}

// objection returns why pkg, which stands here, must not import what it imports; "" if it may.
func objection(pkg string, here place, imported string) string {
	if inner, ours := strings.CutPrefix(imported, module+"/"); ours {
		return innerObjection(here, inner)
	}
	for _, b := range bans {
		if anyWithin(pkg, b.who) && !anyWithin(pkg, b.except) && anyWithin(imported, b.what) && !anyWithin(imported, b.but) {
			return b.reason
		}
	}
	if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") {
		return "" // the standard library, not banned
	}
	for _, h := range homes {
		if within(imported, h.library+"/...") {
			if anyWithin(pkg, h.in) {
				return ""
			}
			return h.reason
		}
	}
	return "the library has no home in rules_test.go: say where it may be used and why it is worth having"
}

func innerObjection(here place, imported string) string {
	there, known := placeOf(imported)
	switch {
	case !known:
		return "the package has no place in rules_test.go"
	case slices.Contains(testHelp, imported):
		return "the package is for tests, the program carries no test code"
	case here.narrow != nil && !slices.Contains(here.narrow, imported):
		return fmt.Sprintf("it may import %s only: %s", strings.Join(here.narrow, " and "), here.why)
	case here.narrow != nil:
		return ""
	case there.floor > here.floor:
		return fmt.Sprintf("imports point down, this one points from floor %d up to floor %d: let the upper one call", here.floor, there.floor)
	case there.floor == here.floor && !matches(imported, here.also):
		return fmt.Sprintf("both stand on floor %d and the same floor never imports the same floor: let the floor above join them", here.floor)
	}
	return ""
}

func placeOf(pkg string) (place, bool) {
	// The longest pattern first, so that an exact place wins over its parent's children.
	best, found := place{}, false
	for _, p := range places {
		if matches(pkg, []string{p.packages}) && (!found || len(p.packages) > len(best.packages)) {
			best, found = p, true
		}
	}
	return best, found
}

func matches(pkg string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		ok, err := path.Match(pattern, pkg)
		return ok && err == nil
	})
}

// within reports whether p is the pattern or, where the pattern ends in ..., below it.
func within(p, pattern string) bool {
	if pattern == "..." {
		return true
	}
	if parent, ok := strings.CutSuffix(pattern, "/..."); ok {
		return p == parent || strings.HasPrefix(p, parent+"/")
	}
	return p == pattern
}

func anyWithin(p string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return within(p, pattern) })
}

func isJOSE(imported string) bool {
	host, rest, _ := strings.Cut(imported, "/")
	return strings.Contains(host, ".") && slices.ContainsFunc(strings.Split(rest, "/"), func(part string) bool {
		part, _, _ = strings.Cut(part, ".v") // gopkg.in/name.v2
		return slices.Contains(jose, part)
	})
}

// readModule parses every Go file that belongs to a build of the module here.
func readModule(t *testing.T) []file {
	t.Helper()
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for !exists(filepath.Join(root, "go.mod")) {
		if root == filepath.Dir(root) {
			t.Fatal("no go.mod above the test")
		}
		root = filepath.Dir(root)
	}
	var files []file
	err = filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		hidden := strings.HasPrefix(entry.Name(), ".") || strings.HasPrefix(entry.Name(), "_")
		if entry.IsDir() {
			if name != root && (hidden || entry.Name() == "testdata" || exists(filepath.Join(name, "go.mod"))) {
				return fs.SkipDir
			}
			return nil
		}
		if hidden || filepath.Ext(name) != ".go" {
			return nil
		}
		if built, err := build.Default.MatchFile(filepath.Dir(name), entry.Name()); err != nil || !built {
			return err
		}
		parsed, err := readFile(root, name)
		files = append(files, parsed)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func readFile(root, name string) (file, error) {
	syntax, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
	if err != nil {
		return file{}, err
	}
	relative, err := filepath.Rel(root, name)
	if err != nil {
		return file{}, err
	}
	f := inspect(syntax)
	f.name = filepath.ToSlash(relative)
	f.pkg = path.Dir(f.name)
	f.test = strings.HasSuffix(f.name, "_test.go")
	return f, nil
}

func inspect(syntax *ast.File) file {
	var f file
	timeName := "time"
	for _, spec := range syntax.Imports {
		imported, _ := strconv.Unquote(spec.Path.Value) // the parser has checked it
		f.imports = append(f.imports, imported)
		if imported == "time" && spec.Name != nil {
			timeName = spec.Name.Name
		}
	}
	ast.Inspect(syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			f.spawns = true
		case *ast.SelectorExpr:
			if of, ok := n.X.(*ast.Ident); ok && of.Name == timeName && slices.Contains(clock, n.Sel.Name) {
				f.clocks = append(f.clocks, "time."+n.Sel.Name)
			}
		}
		return true
	})
	return f
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}
