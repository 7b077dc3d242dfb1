package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io/fs"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"tidings/hub/store/postgres/pgtest"
)

// shell runs commands in a folder of its own.
type shell struct {
	t      testing.TB
	folder string
	env    []string
}

func newShell(t testing.TB, env ...string) shell { return shell{t, t.TempDir(), env} }

func (s shell) run(args ...string) (out, stderr string, code int) {
	s.t.Helper()
	var o, e bytes.Buffer
	cmd := newProcess(s.t.Context(), args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.Env = s.folder, &o, &e, append(cmd.Env, s.env...)
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		s.t.Fatal(err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// refuses expects one line on stderr that says what is wrong, an exit status, and nothing else.
func (s shell) refuses(code int, says string, args ...string) {
	s.t.Helper()
	out, stderr, got := s.run(args...)
	line, isLine := strings.CutSuffix(stderr, "\n")
	if got != code || out != "" || !isLine || strings.Contains(line, "\n") || !strings.HasPrefix(line, "tidings: ") || !strings.Contains(line, says) {
		s.t.Errorf("tidings %s\nexit %d, not %d; on stdout %q, on stderr %q, which is to say %q", strings.Join(args, " "), got, code, out, stderr, says)
	}
}

// does expects success and gives what was printed.
func (s shell) does(args ...string) string {
	s.t.Helper()
	out, stderr, code := s.run(args...)
	if code != 0 {
		s.t.Fatalf("tidings %s\nexit %d: %s", strings.Join(args, " "), code, stderr)
	}
	return out
}

func (s shell) write(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.folder, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// files lists the folder.
func (s shell) files() (names []string) {
	s.t.Helper()
	list, err := os.ReadDir(s.folder)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range list {
		names = append(names, f.Name())
	}
	return names
}

// A command that makes no sense is refused in one line with exit status 2, and leaves nothing behind.
func TestMisuse(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	certificate := s.write("cert.pem", "")
	some := "06h01p6594f648fl5p4ki11mtc"
	for _, c := range []struct{ args, says string }{
		{"--nope", "unknown flag --nope"},
		{"nope", "unexpected argument nope"},
		{"party", `"add", "list", "set", "keys", "remove"`},
		{"party add", "--name"},
		{"party add --name x --nope", "unknown flag --nope"},
		{"party add --name x extra", "unexpected argument extra"},
		{"party add --name x --profile best", "--profile"},
		{"party add --name x --subject-format phone", "--subject-format"},
		{"party add --name x --max-age 3x", "durations look like 90m or 30d"},
		{"party add --name x --max-age=-3d", "durations look like 90m or 30d"},
		{"party add --name x --max-age=-1s", "durations look like 90m or 30d"},
		{"party add --name x --max-age 99999999d", "durations look like 90m or 30d"},
		{"party add --name x --store mysql://x", "unknown store URL"},
		{"party add --name x --store sqlite:", "unknown store URL"},
		{"party add --name x --store hub.db", "unknown store URL"},
		{"party add --name x --store postgres://127.0.0.1:1/x", "needs --key-file"},
		{"party set", "<id>"},
		{"party set " + some, "say what to change"},
		{"party set nope --events all", "is not an id"},
		{"policy apply", "<file>"},
		{"policy apply nope.json", "nope.json"},
		{"signal raise --user x --type device-compliance-change --payload {\"previous_status\":\"compliant\",\"current_status\":\"not-compliant\"}", "must name the device"},
		{"signal raise --user x --type session-revoked --member session={\"format\":\"jwt_id\"}", "is no subject identifier"},
		{"party remove", "<id>"},
		{"party keys nope", "is not an id"},
		{"party keys " + some + " --scope ssf.read", "--scope goes with --jwks"},
		{"serve --party-rate 0", "--party-rate"},
		{"party remove nope", "is not an id"},
		{"token add --name x", "--role"},
		{"token add --name x --role party", "--role party and --party ID go together"},
		{"token add --name x --role operator --party " + some, "--role party and --party ID go together"},
		{"token add --name x --role king", "--role"},
		{"token add --role party --party nope", "is not an id"},
		{"token add --name x --role operator --until soon", "--until is a time"},
		{"token revoke nope", "is not an id"},
		{"grant add --user x --party nope --attributes title", "is not an id"},
		{"grant add --user x --attributes title --party " + some + " --purposes sell", "transfer, notify or both"},
		{"grant add --user x --attributes title --party " + some + " --until yesterday", "--until is a time"},
		{"grant add --user x --attributes title --party " + some + " --until 2027-13-01T00:00:00Z", "--until is a time"},
		{"grant revoke nope", "is not an id"},
		{"grant list --party nope", "is not an id"},
		{"import", "<file>"},
		{"changes --after x", "--after"},
		{"changes extra", "unexpected argument extra"},
		{"serve --listen 8420", "--listen: an address looks like"},
		{"serve --listen 0.0.0.0:0", "without TLS"},
		{"serve --listen :0", "without TLS"},
		{"serve --listen [::]:0", "without TLS"},
		{"serve --listen hub.example.com:0", "without TLS"},
		{"serve --tls-cert " + certificate, "go together"},
		{"serve --tls-key " + certificate, "go together"},
		{"serve --listen 0.0.0.0:0 --tls-cert c --tls-key k", "--issuer is needed"},
		{"serve --listen 127.0.0.1:0 --behind-proxy 10.0.0.0/8", "--issuer is needed"},
		{"serve --listen 127.0.0.1:0 --issuer https://hub.example --tls-cert c --tls-key k --behind-proxy 10.0.0.0/8", "either --tls-cert or --behind-proxy"},
		{"serve --listen 127.0.0.1:0 --issuer https://hub.example --behind-proxy 10.0.0.1", "a network looks like"},
		{"serve --listen 127.0.0.1:0 --issuer http://hub.example", "https, except on loopback"},
		{"serve --listen 127.0.0.1:0 --issuer hub.example", "--issuer"},
		{"serve --listen 127.0.0.1:0 --issuer https://hub.example/?x=1", "--issuer"},
		{"serve --listen 127.0.0.1:0 --issuer https://hub.example/#x", "--issuer"},
		{"serve --listen 127.0.0.1:0 --issuer https://a:b@hub.example/", "--issuer"},
		{"serve --listen 127.0.0.1:0 --issuer https://hub.example --allow-insecure-receivers", "for an issuer on loopback"},
	} {
		s.refuses(2, c.says, strings.Fields(c.args)...)
	}
	if got := s.files(); !slices.Equal(got, []string{"cert.pem"}) {
		t.Errorf("left behind: %v", got)
	}
}

// What goes wrong with a store is told in one line with exit status 1, and nothing is half-written.
func TestStoreTrouble(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	nowhere := "/proc/self" // a folder where not even root can write
	for _, c := range []struct{ args, says string }{
		{"fsck", "there is no store at tidings.db"},
		{"changes", "there is no store at tidings.db"},
		{"party list", "there is no store at tidings.db"},
		{"grant list", "there is no store at tidings.db"},
		{"token revoke 06h01p6594f648fl5p4ki11mtc", "there is no store at tidings.db"},
		{"import nowhere.ldif", "no such file"},
		{"import .", "is a folder"},
		{"party add --name x --store sqlite:no/such/hub.db", "no such file or directory"},
		{"party add --name x --store sqlite:" + nowhere + "/hub.db", "open store"},
		{"serve --listen 127.0.0.1:0 --store sqlite:" + nowhere + "/hub.db", "open store"},
		{"party add --name x --store sqlite:.", "open store"},
		{"party add --name x --key-file k --store postgres://u:hush@127.0.0.1:1/x", "connection refused"},
		{"fsck --store postgres://u:hush@127.0.0.1:1/x", "connection refused"},
		{"fsck --store postgres://u:hush@127.0.0.1:none/x", "open store"},
		{"serve --listen 127.0.0.1:0 --issuer https://hub.example --tls-cert nope --tls-key nope", "read certificate"},
		{"party list --config nope.toml", "configuration file"},
	} {
		code := 1
		if strings.Contains(c.args, "--config") {
			code = 2
		}
		s.refuses(code, c.says, strings.Fields(c.args)...)
		if _, stderr, _ := s.run(strings.Fields(c.args)...); strings.Contains(stderr, "hush") {
			t.Errorf("%s: the password is shown", c.args)
		}
	}
	if got := s.files(); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}

	text := s.write("letter.db", "Dear Sir or Madam,\n"+strings.Repeat("hello ", 1000))
	empty := s.write("half.db", "SQLite format 3\x00 and then nothing of it")
	for _, path := range []string{text, empty} {
		before, _ := os.ReadFile(path)
		s.refuses(1, "not a store of this program", "party", "add", "--name", "x", "--store", "sqlite:"+path)
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s was written to (%v)", path, err)
		}
	}
	if got := s.files(); !slices.Equal(got, []string{"half.db", "letter.db"}) {
		t.Errorf("left behind: %v", got)
	}

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s.refuses(1, "cannot listen on "+taken.Addr().String()+": another program does", "serve", "--listen", taken.Addr().String())
	if got := s.files(); !slices.Equal(got, []string{"half.db", "letter.db"}) {
		t.Errorf("a port in use left behind: %v", got)
	}

	// A key file that cannot be made leaves a store that is still unused: the next try, with a good place, succeeds.
	s.refuses(1, "make key file", "party", "add", "--name", "x", "--key-file", nowhere+"/key")
	s.does("party", "add", "--name", "x", "--key-file", "key")
	s.does("fsck")
}

// The key file decides: missing, wrong and broken ones open nothing, on either store, and change nothing.
func TestKeyFileTrouble(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, site site) {
		s := newShell(t)
		store := site.flags[:2]
		if site.folder() == "" {
			s.refuses(2, "a PostgreSQL store needs --key-file", append([]string{"party", "add", "--name", "x"}, store...)...)
			s.refuses(2, "a PostgreSQL store needs --key-file", append([]string{"serve", "--listen", "127.0.0.1:0"}, store...)...)
			if tables := site.query(site.open(), "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"); len(tables) > 0 {
				t.Errorf("tables were made before: %v", tables)
			}
		}
		with := func(key string, args ...string) []string {
			return append(append(args, store...), "--key-file", filepath.Join(s.folder, key))
		}
		s.does(with("good", "party", "add", "--name", "shop")...)
		info, err := os.Stat(filepath.Join(s.folder, "good"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the key file is made with %v (%v)", info.Mode(), err)
		}
		newShell(t).does("party", "add", "--name", "other", "--key-file", filepath.Join(s.folder, "wrong")) // of another store
		s.write("garbage", "tidings-key-1 AAAA\n")
		s.write("empty", "")
		if err := os.Mkdir(filepath.Join(s.folder, "folder"), 0o700); err != nil {
			t.Fatal(err)
		}
		before, names := site.dump(site.open()), s.files()
		for key, says := range map[string]string{
			"missing": "is missing; without the key",
			"wrong":   "does not belong to this store",
			"garbage": "does not hold a key",
			"empty":   "does not hold a key",
			"folder":  "read key file",
		} {
			s.refuses(1, says, with(key, "party", "add", "--name", "x")...)
			s.refuses(1, says, with(key, "serve", "--listen", "127.0.0.1:0")...)
			s.refuses(1, says, with(key, "party", "list")...)
		}
		if after := site.dump(site.open()); after != before {
			t.Errorf("the store changed: %s", firstDifference(before, after))
		}
		if got := s.files(); !slices.Equal(got, names) {
			t.Errorf("files before %v, after %v", names, got)
		}
		// Neither log nor check need the key.
		s.does(with("missing", "changes")...)
		s.does(with("missing", "fsck")...)
	})
}

// A store that a newer version wrote is left alone.
func TestNewerStore(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, site site) {
		site.tidings(nil, "party", "add", "--name", "shop")
		db := site.open()
		if _, err := db.Exec("UPDATE schema_version SET version = version + 100"); err != nil {
			t.Fatal(err)
		}
		before := site.dump(db)
		s := newShell(t)
		for _, command := range []string{"party list", "party add --name x", "serve --listen 127.0.0.1:0", "fsck", "changes"} {
			s.refuses(1, "written by a newer version", append(strings.Fields(command), site.flags...)...)
		}
		if after := site.dump(db); after != before {
			t.Errorf("the store changed: %s", firstDifference(before, after))
		}
	})
}

// What is asked of a good store and does not exist, or may not be, is told in one line; the log does not move.
func TestWrongNames(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, site site) {
		s := newShell(t)
		var shop, club credential
		site.tidings(&shop, "party", "add", "--name", "shop")
		site.tidings(&club, "party", "add", "--name", "club", "--agreement", "--types", "User", "--attributes", "userName")
		site.tidings(nil, "import", s.write("people.ldif", "dn: uid=anna,dc=example\nobjectClass: inetOrgPerson\nuid: anna\ncn: Anna\nsn: Berg\n"))
		some := "06h01p6594f648fl5p4ki11mtc"
		db := site.open()
		before := site.dump(db)
		for _, c := range []struct{ args, says string }{
			{"grant add --user nobody --attributes title --party " + shop.ID, "nobody of that userName"},
			{"grant add --user anna --attributes title --party " + some, "no such party"},
			{"grant add --user anna --attributes shoeSize --party " + shop.ID, "shoeSize"},
			{"grant add --user anna --attributes title --until 2001-01-01T00:00:00Z --party " + shop.ID, "in the past"},
			{"grant add --user anna --attributes userName --party " + club.ID, "agreement"},
			{"grant revoke " + some, "there is nothing of that name or id"},
			{"party remove " + some, "there is nothing of that name or id"},
			{"token revoke " + some, "there is nothing of that name or id"},
			{"party add --name=", "a name of 1 to 200 characters"},
			{"party add --name x --max-age 10ms", "whole seconds"},
			{"party add --name x --origin shop", "an origin looks like"},
			{"party add --name x --origin https://shop.example/path", "an origin looks like"},
			{"party add --name x --agreement", "names its types and attributes"},
			{"party add --name x --agreement --types Shoe --attributes title", "Shoe"},
			{"party add --name x --agreement --types User --attributes shoeSize", "shoeSize"},
			{"token add --role operator --name=", "a name of 1 to 200 characters"},
			{"token add --role party --party " + some, "there is nothing of that name or id"},
			{"token add --role party --party " + shop.ID + " --scope scim.write", "scope is not allowed"},
			{"token add --role operator --name x --scope everything", "scope is not allowed"},
			{"token add --role operator --name x --until 2001-01-01T00:00:00Z", "in the past"},
		} {
			s.refuses(1, c.says, append(strings.Fields(c.args), site.flags...)...)
		}
		if after := site.dump(db); after != before {
			t.Errorf("the store changed: %s", firstDifference(before, after))
		}
	})
}

// Of a broken file the good records go in, the others are listed with their lines, and the exit status says so.
func TestBrokenLDIF(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, site site) {
		s := newShell(t)
		person := func(uid string) string {
			return "dn: uid=" + uid + ",dc=example\nobjectClass: inetOrgPerson\nuid: " + uid + "\ncn: " + uid + "\nsn: " + uid + "\n"
		}
		file := s.write("people.ldif", person("anna")+"\ndn: uid=b,dc=example\nthis is no line\n\n"+person("carl")+"\ndn: ou=clerks,dc=example\nobjectClass: organizationalUnit\nou: clerks\n\n"+
			"dn: uid=dora,dc=example\nobjectClass: inetOrgPerson\nuid:: !!!\ncn: d\nsn: d\n\n"+person("anna"))
		flags := append([]string{"import", file}, site.flags...)
		for round, want := range []string{"2 created, 0 updated, 0 unchanged", "0 created, 0 updated, 2 unchanged"} {
			out, stderr, code := s.run(flags...)
			if code != 1 || !strings.Contains(out, want) || !strings.Contains(out, "1 containers") || !strings.Contains(out, "line 8: ") || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "records were refused; the rest is in") {
				t.Errorf("round %d: exit %d, %s%s", round, code, out, stderr)
			}
		}
		out, _, code := s.run(append(flags, "--json")...)
		members := keysOf(t, out)
		if code != 1 || members != "containers created dangling read refused unchanged updated" {
			t.Errorf("exit %d, members %s", code, members)
		}
		for _, garbage := range []string{"\x00\x01\x02\xff", "hello\n", strings.Repeat("x", 3<<20)} {
			if out, stderr, code := s.run(append([]string{"import", s.write("garbage.ldif", garbage), "--source", "other"}, site.flags...)...); code != 1 || strings.Count(stderr, "\n") != 1 {
				t.Errorf("garbage: exit %d, %.200s%.200s", code, out, stderr)
			}
		}
		if out, _, _ := s.run(append([]string{"fsck"}, site.flags...)...); out != "clean\n" {
			t.Errorf("fsck: %s", out)
		}
		out, _, _ = s.run(append([]string{"changes"}, site.flags...)...)
		if strings.Count(out, "\n") != 2 {
			t.Errorf("the log: %s", out)
		}
	})
}

// The file knows the names of flags and no others; the environment wins over it, and a flag over both.
func TestConfiguration(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	s.does("party", "add", "--name", "in-flag", "--store", "sqlite:flag.db")
	s.does("party", "add", "--name", "in-environment", "--store", "sqlite:environment.db")
	s.does("party", "add", "--name", "in-file", "--store", "sqlite:file.db")
	s.write("tidings.toml", "# where\nstore = \"sqlite:file.db\"\njson = true\nlisten = \"127.0.0.1:0\"\nbehind-proxy = [\"10.0.0.0/8\", \"127.0.0.0/8\"]\nissuer = \"https://hub.example\"\n")
	inherit := shell{t, s.folder, []string{"TIDINGS_STORE=sqlite:environment.db"}}
	located := shell{t, s.folder, []string{"TIDINGS_CONFIG=tidings.toml"}}
	for want, out := range map[string]string{
		`"in-file"`:               s.does("party", "list", "--config", "tidings.toml"),
		`"in-environment"`:        inherit.does("party", "list", "--config", "tidings.toml"),
		`"in-flag"`:               inherit.does("party", "list", "--config", "tidings.toml", "--store", "sqlite:flag.db"),
		`"name":"in-file"`:        located.does("party", "list"),
		"in-environment  tidings": inherit.does("party", "list"),
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q, not %s", out, want)
		}
	}
	// Lists and flags of one command: a hub behind a proxy, which nobody else reaches.
	hub := site{t, []string{"--config", filepath.Join(s.folder, "tidings.toml"), "--store", "sqlite:" + filepath.Join(s.folder, "file.db")}}.start()
	address := hub.listening(t)
	if status, _ := call("GET", "http://"+address+"/healthz", "", nil, nil); status != http.StatusOK {
		t.Errorf("through the proxy's network: %d", status)
	}
	hub.stop(t)
	far := site{t, []string{"--store", "sqlite:" + filepath.Join(s.folder, "file.db")}}.start("--listen", "127.0.0.1:0", "--behind-proxy", "10.0.0.0/8", "--issuer", "https://hub.example")
	if status, _ := call("GET", "http://"+far.listening(t)+"/healthz", "", nil, nil); status != http.StatusForbidden {
		t.Errorf("around the proxy: %d", status)
	}

	for text, says := range map[string]string{
		"listn = \"x\"":              `unknown name "listn"`,
		"help = true":                `unknown name "help"`,
		"config = \"x\"":             `unknown name "config"`,
		"Store = \"sqlite:a.db\"":    `unknown name "Store"`,
		"[serve]\nlisten = \"x\"":    `unknown name "serve"`,
		"store = ":                   "configuration file",
		"store = \"a\"\nstore=\"b\"": "configuration file",
		"store = \"foo:a\"":          "unknown store URL",
		"json = \"perhaps\"":         "--json",
	} {
		s.write("bad.toml", text+"\n")
		s.refuses(2, says, "party", "list", "--config", "bad.toml")
		shell{t, s.folder, []string{"TIDINGS_CONFIG=bad.toml"}}.refuses(2, says, "party", "list")
	}
	shell{t, s.folder, []string{"TIDINGS_STORE=foo:a"}}.refuses(2, "unknown store URL", "party", "list")
	shell{t, s.folder, []string{"TIDINGS_MAX_AGE=soon"}}.refuses(2, "durations look like", "party", "add", "--name", "x")
}

// listening waits until the hub serves and says where.
func (p *served) listening(t testing.TB) string {
	t.Helper()
	found := regexp.MustCompile(` listen=(\S+)`)
	var match []string
	if !eventually(patience, func() bool { match = found.FindStringSubmatch(p.log.String()); return match != nil }) {
		t.Fatalf("the hub does not listen:\n%s", p.log)
	}
	return match[1]
}

// --help of every command and flag teaches: it says what it is for and how the environment sets it.
func TestHelp(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	var p program
	model := kong.Must(&p, kong.DefaultEnvars("TIDINGS")).Model
	pages := [][]string{{}}
	for _, leaf := range model.Leaves(false) {
		pages = append(pages, strings.Fields(leaf.FullPath())[1:])
		if leaf.Parent != model.Node {
			pages = append(pages, []string{leaf.Parent.Name})
		}
	}
	if len(pages) < 15 {
		t.Fatalf("only %d commands", len(pages))
	}
	for _, command := range pages {
		out, stderr, code := s.run(append(command, "--help")...)
		if code != 0 || stderr != "" || !strings.HasPrefix(out, "Usage: tidings") || !strings.Contains(out, "($TIDINGS_STORE)") || !strings.Contains(out, "--config=FILE") {
			t.Errorf("%v --help: exit %d\n%s%s", command, code, out, stderr)
		}
	}
	for _, leaf := range model.Leaves(false) {
		if len(leaf.Help) < 10 {
			t.Errorf("%s has no help", leaf.FullPath())
		}
		for _, f := range leaf.Flags {
			if f.Name != "help" && (len(f.Help) < 10 || len(f.Envs) == 0) {
				t.Errorf("%s --%s does not teach", leaf.FullPath(), f.Name)
			}
		}
		for _, a := range leaf.Positional {
			if len(a.Help) < 10 {
				t.Errorf("%s %s does not teach", leaf.FullPath(), a.Name)
			}
		}
	}
	if out, _, code := s.run(); code != 0 || !strings.Contains(out, "tidings demo") {
		t.Errorf("without a command: exit %d, %s", code, out)
	}
	if got := s.files(); len(got) > 0 {
		t.Errorf("help left behind %v", got)
	}
}

// keysOf are the members of the first JSON object in a text, sorted.
func keysOf(t testing.TB, text string) string {
	t.Helper()
	members := object{}
	if err := json.NewDecoder(strings.NewReader(text)).Decode(&members); err != nil {
		t.Errorf("%v in %q", err, text)
	}
	return strings.Join(slices.Sorted(maps.Keys(members)), " ")
}

// --json of every command is JSON with the members that scripts rely on, a line for each thing listed.
func TestJSON(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, site site) {
		s := newShell(t)
		run := func(want string, args ...string) (result object) {
			t.Helper()
			out := s.does(append(append(args, "--json"), site.flags...)...)
			if got := keysOf(t, out); got != want {
				t.Errorf("%v prints the members %s, not %s", args, got, want)
			}
			lines := 0
			for line := range strings.Lines(out) {
				lines++
				if !json.Valid([]byte(line)) {
					t.Errorf("%v prints %q", args, line)
				}
			}
			if lines != 1 {
				t.Errorf("%v prints %d lines", args, lines)
			}
			if err := json.Unmarshal([]byte(out), &result); err != nil {
				t.Fatal(err)
			}
			return result
		}
		token := run("id token", "token", "add", "--role", "directory", "--name", "hr")["id"].(string)
		run("created id kind name role scope", "token", "list")
		run("id revoked", "token", "revoke", token)
		run("created id kind name revoked role scope", "token", "list")
		party := run("audience id token", "party", "add", "--name", "shop", "--profile", "caep", "--max-age", "90m", "--origin", "https://shop.example")
		run("containers created dangling read refused unchanged updated", "import",
			s.write("people.ldif", "dn: uid=anna,dc=example\nobjectClass: inetOrgPerson\nuid: anna\ncn: Anna\nsn: Berg\nmanager: uid=nobody,dc=example\n"))
		id := party["id"].(string)
		grant := run("id subject", "grant", "add", "--user", "ANNA", "--party", id, "--attributes", "title,manager", "--until", "30d")
		if subject, _ := grant["subject"].(object); subject["format"] != "scim" || !strings.HasPrefix(subject["uri"].(string), "/Users/") {
			t.Errorf("the subject is %v", subject)
		}
		run("agreement audience created id name profile", "party", "list")
		listed := run("attributes entry given id opt party purposes state until", "grant", "list")
		if listed["id"] != grant["id"] || listed["party"] != id || listed["state"] != "live" || !slices.Equal(listed["purposes"].([]any), []any{"transfer", "notify"}) {
			t.Errorf("listed: %v", listed)
		}
		if given, err := time.Parse(time.RFC3339, listed["given"].(string)); err != nil || time.Since(given).Abs() > time.Minute {
			t.Errorf("given %v", listed["given"])
		}
		run("id revoked", "grant", "revoke", grant["id"].(string))
		run("id removed", "party", "remove", id)
		run("clean problems", "fsck")
		var kinds []string
		for line := range strings.Lines(s.does(append([]string{"changes", "--json", "--after", "1"}, site.flags...)...)) {
			c := parseChange(t, line)
			if c.Position != int64(len(kinds)+2) {
				t.Errorf("line %d stands at %d", len(kinds), c.Position)
			}
			kinds = append(kinds, c.Kind)
		}
		if want := []string{"created", "granted", "revoked", "party-removed"}; !slices.Equal(kinds, want) {
			t.Errorf("the log tells %q, not %q", kinds, want)
		}
		if out := s.does(append([]string{"party", "list", "--json"}, site.flags...)...); out != "" {
			t.Errorf("nobody is listed as %q", out)
		}
		s.refuses(1, "there is nothing of that name or id", append([]string{"party", "remove", id}, site.flags...)...)
		s.refuses(1, "no such party", append([]string{"grant", "add", "--user", "anna", "--party", id, "--attributes", "title"}, site.flags...)...)
	})
}

// certify writes a new certificate for 127.0.0.1 with its key, and gives a client that trusts it alone.
func (s shell) certify(serial int64) *http.Client {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "hub " + strconv.FormatInt(serial, 10)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		s.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
	cert := s.write("cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	when := time.Now().Add(time.Duration(serial) * time.Second) // file times may be coarse
	if err := os.Chtimes(cert, when, when); err != nil {
		s.t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		s.t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AddCert(parsed)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}, DisableKeepAlives: true}}
}

// TLS is served from 1.2 on, the certificate is loaded anew when its file changes, and a broken one leaves the old in use.
func TestTLS(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	first := s.certify(1)
	cert, key := filepath.Join(s.folder, "cert.pem"), filepath.Join(s.folder, "key.pem")
	hub := site{t, []string{"--store", "sqlite:" + filepath.Join(s.folder, "hub.db")}}.start("--listen", "127.0.0.1:0",
		"--issuer", "https://hub.example", "--tls-cert", cert, "--tls-key", key)
	at := "https://" + hub.listening(t)
	serves := func(c *http.Client) bool {
		resp, err := c.Get(at + "/.well-known/ssf-configuration")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK && resp.Header.Get("Strict-Transport-Security") != ""
	}
	if !serves(first) {
		t.Fatalf("nothing over TLS: %s", hub.log)
	}
	if resp, err := http.Get("http" + strings.TrimPrefix(at, "https") + "/healthz"); err == nil {
		resp.Body.Close()
		if resp.StatusCode < 400 {
			t.Errorf("in the clear: %d", resp.StatusCode)
		}
	}
	if conn, err := tls.Dial("tcp", strings.TrimPrefix(at, "https://"), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}); err == nil {
		conn.Close()
		t.Error("TLS 1.1 is served")
	}
	second := s.certify(2)
	if !serves(second) || serves(first) {
		t.Error("the new certificate is not in use")
	}
	s.write("cert.pem", "-----BEGIN NOTHING-----")
	for range 20 {
		if !serves(second) {
			t.Fatal("a broken certificate ended the service")
		}
	}
	if n := strings.Count(hub.log.String(), "cannot be reloaded"); n == 0 || n > 10 {
		t.Errorf("a broken certificate was told %d times", n) // at most once a second
	}
	third := s.certify(3)
	if !serves(third) {
		t.Error("after a broken certificate a good one is not taken")
	}
	hub.stop(t)

	s.certify(4)
	s.write("key.pem", "nonsense")
	shell := newShell(t)
	shell.refuses(1, "read certificate", "serve", "--listen", "127.0.0.1:0", "--issuer", "https://hub.example", "--tls-cert", cert, "--tls-key", key)
	if got := shell.files(); len(got) > 0 {
		t.Errorf("a bad certificate left behind %v", got)
	}
}

// A PostgreSQL store that names a database which is not there, or a password that is wrong, is told without the secret.
func TestUnknownDatabase(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	where, err := url.Parse(pgtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	secret, _ := where.User.Password()
	add := []string{"party", "add", "--name", "x", "--key-file", "k", "--store"}
	missing, wrong := *where, *where
	missing.Path += "_not_there"
	wrong.User = url.UserPassword(where.User.Username(), "not-"+secret)
	for says, at := range map[string]string{"does not exist": missing.String(), "password authentication failed": wrong.String()} {
		s.refuses(1, says, append(add, at)...)
		if _, stderr, _ := s.run(append(add, at)...); strings.Contains(stderr, secret) {
			t.Error("the password is shown")
		}
	}
	if _, err := os.Stat(filepath.Join(s.folder, "k")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a key file was made: %v", err)
	}
}
