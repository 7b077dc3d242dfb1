package conformance

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidings/hub/store/postgres/pgtest"
)

// folder holds the program for as long as the tests run.
var folder string

func TestMain(m *testing.M) {
	var err error
	if folder, err = os.MkdirTemp("", "tidings-conformance-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(folder)
	os.Exit(code)
}

// build makes the program as it is shipped: races are looked for by the tests of its own packages, and here hundreds of
// commands are run.
var build = sync.OnceValues(func() (string, error) {
	if err := lookAtSource(); err != nil {
		return "", err
	}
	binary := filepath.Join(folder, "tidings")
	if out, err := exec.Command("go", "build", "-o", binary, "tidings/cmd/tidings").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return binary, nil
})

// lookAtSource makes the program's source an input of this test: go test would otherwise keep the result of an older
// program, since it does not see what the go command reads here.
func lookAtSource() error {
	return filepath.WalkDir("../../../..", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if strings.HasPrefix(entry.Name(), ".") && entry.Name() != "." && !strings.HasPrefix(entry.Name(), "..") {
				return fs.SkipDir
			}
			return nil
		}
		_, err = os.Stat(name)
		return err
	})
}

// program is the hub in a process of its own, on a store of its own.
type program struct {
	t                   testing.TB
	flags               []string // that lead to the store
	issuer, address     string
	roots               *x509.CertPool // nil for plain HTTP
	certificate         *tls.Certificate
	direct              *http.Client
	directory, operator string // tokens
	log                 *lockedBuffer

	mu    sync.Mutex
	free  map[string][]*party // by profile
	named int
}

// stores are the flags that lead to a new store of either kind.
var stores = map[string]func(testing.TB) []string{
	"sqlite": func(t testing.TB) []string {
		return []string{"--store", "sqlite:" + filepath.Join(t.TempDir(), "hub.db")}
	},
	"postgres": func(t testing.TB) []string {
		return []string{"--store", pgtest.URL(t), "--key-file", filepath.Join(t.TempDir(), "key")}
	},
}

const patience = 40 * time.Second

// plain is the program on loopback, where receivers may be reached by plain HTTP too.
func plain(t testing.TB, store string) *program {
	t.Helper()
	p := start(t, store, &program{}, "--listen", "127.0.0.1:0", "--allow-insecure-receivers")
	var policy object
	p.tidings(&policy, "policy", "show")
	policy["values"] = true // for the streams that ask for them
	file := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(file, []byte(text(policy)), 0o600); err != nil {
		t.Fatal(err)
	}
	p.tidings(nil, "policy", "apply", file)
	return p
}

// secured is the program as it stands on the internet: TLS, receivers by https only, and an issuer that has a path and a
// slash at its end.
func secured(t testing.TB, store string) *program {
	t.Helper()
	p := &program{address: freeAddress(t)}
	p.issuer = "https://" + p.address + "/tenant/"
	certFile, keyFile := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	p.certificate, p.roots = newCertificate(t, certFile, keyFile)
	return start(t, store, p, "--listen", p.address, "--issuer", p.issuer, "--tls-cert", certFile, "--tls-key", keyFile)
}

func start(t testing.TB, store string, p *program, flags ...string) *program {
	t.Helper()
	p.t, p.flags, p.log, p.free = t, stores[store](t), &lockedBuffer{}, map[string][]*party{}
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, append(append([]string{"serve"}, p.flags...), flags...)...)
	cmd.Stderr = p.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(cmd.Process.Signal(os.Interrupt), cmd.Wait()); err != nil {
			t.Errorf("the program stopped with %v:\n%s", err, p.log)
		}
		if strings.Contains(p.log.String(), "level=ERROR") {
			t.Errorf("the program complains of itself:\n%s", p.log)
		}
	})
	if p.issuer == "" {
		if !eventually(patience, func() bool {
			_, rest, found := strings.Cut(p.log.String(), " issuer=")
			issuer, _, ended := strings.Cut(rest, "\n")
			p.issuer, p.address = issuer, strings.TrimPrefix(issuer, "http://")
			return found && ended
		}) {
			t.Fatalf("the program does not start:\n%s", p.log)
		}
	}
	p.direct = clientOf(p.address, p.roots)
	t.Cleanup(p.direct.CloseIdleConnections)
	if !eventually(patience, func() bool {
		res, err := p.direct.Get(strings.TrimSuffix(p.issuer, "/") + "/readyz")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	}) {
		t.Fatalf("the program does not get ready:\n%s", p.log)
	}
	var made struct{ Token string }
	p.tidings(&made, "token", "add", "--role", "directory", "--name", "hr")
	p.directory = made.Token
	p.tidings(&made, "token", "add", "--role", "operator", "--name", "op")
	p.operator = made.Token
	return p
}

// tidings runs a command that has to succeed, and decodes its JSON.
func (p *program) tidings(result any, args ...string) {
	out, err := p.run(args...)
	if err == nil && result != nil {
		err = json.Unmarshal(out, result)
	}
	if err != nil {
		panic(fmt.Sprintf("tidings %s: %v", strings.Join(args, " "), err))
	}
}

// tries runs a command that may fail.
func (p *program) tries(args ...string) error {
	_, err := p.run(args...)
	return err
}

func (p *program) run(args ...string) ([]byte, error) {
	p.t.Helper()
	binary, err := build()
	if err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.Command(binary, append(append(args, "--json"), p.flags...)...)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	return out, err
}

// party is a relying party, with a person that it may be told of.
type party struct {
	id, token, audience string
	person
}

type person struct {
	entry, name string
	grant       string
	uri         string // of the scim subject
}

// opaque is the id by which the party knows the person.
func (p person) opaque() string { return p.uri[strings.LastIndexByte(p.uri, '/')+1:] }

const granted = "title,nickName,emails,phoneNumbers,userName"

// take gives a party that nobody uses at the moment; give takes it back, without streams.
func (p *program) take(profile string) *party {
	p.mu.Lock()
	if list := p.free[profile]; len(list) > 0 {
		p.free[profile] = list[1:]
		p.named++
		title := fmt.Sprint("Clerk ", p.named)
		p.mu.Unlock()
		if list[0].entry != "" {
			p.patch(list[0].person, object{"title": title}) // whatever is set next is a change
		}
		return list[0]
	}
	p.mu.Unlock()
	var made struct{ ID, Token, Audience string }
	if profile == "agreement" {
		p.tidings(&made, "party", "add", "--name", "party", "--agreement", "--types", "User,Group", "--attributes", "title,members,displayName")
		return &party{id: made.ID, token: made.Token, audience: made.Audience}
	}
	flags := []string{"--profile", profile}
	if profile == "claims" {
		flags = []string{"--claims", "job=title"}
	}
	p.tidings(&made, append([]string{"party", "add", "--name", "party"}, flags...)...)
	a := &party{id: made.ID, token: made.Token, audience: made.Audience}
	a.person = p.newPerson(object{"title": "Clerk"})
	a.allow(p, &a.person, granted)
	return a
}

func (p *program) give(profile string, a *party) {
	status, _, body := p.call("GET", "/ssf/streams", a.token, "")
	var streams []struct {
		StreamID string `json:"stream_id"`
	}
	if status != http.StatusOK || json.Unmarshal(body, &streams) != nil {
		panic(fmt.Sprintf("streams: %d %s", status, body))
	}
	for _, s := range streams {
		p.call("DELETE", "/ssf/streams?stream_id="+s.StreamID, a.token, "")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free[profile] = append(p.free[profile], a)
}

// newPerson makes somebody in the directory.
func (p *program) newPerson(attributes object) person {
	p.mu.Lock()
	p.named++
	name := fmt.Sprintf("user%d@people.example", p.named)
	p.mu.Unlock()
	body := object{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:User"}, "userName": name}
	for k, v := range attributes {
		body[k] = v
	}
	status, _, answer := p.call("POST", "/scim/v2/Users", p.directory, text(body))
	var made struct{ ID string }
	if status != http.StatusCreated || json.Unmarshal(answer, &made) != nil {
		panic(fmt.Sprintf("make a person: %d %s", status, answer))
	}
	return person{entry: made.ID, name: name}
}

// allow is the person's grant for the party.
func (a *party) allow(p *program, who *person, attributes string) {
	var made struct {
		ID      string
		Subject struct{ URI string }
	}
	p.tidings(&made, "grant", "add", "--user", who.name, "--party", a.id, "--attributes", attributes)
	who.grant, who.uri = made.ID, made.Subject.URI
}

// patch replaces attributes of a person.
func (p *program) patch(who person, attributes object) {
	status, _, answer := p.call("PATCH", "/scim/v2/Users/"+who.entry, p.directory, text(object{
		"schemas":    []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"},
		"Operations": []any{object{"op": "replace", "value": attributes}},
	}))
	if status != http.StatusOK && status != http.StatusNoContent {
		panic(fmt.Sprintf("patch: %d %s", status, answer))
	}
}

// call asks the program itself, past any proxy.
func (p *program) call(method, path, token, body string) (status int, header http.Header, answer []byte) {
	req, err := http.NewRequest(method, strings.TrimSuffix(p.issuer, "/")+path, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := p.direct.Do(req)
	if err != nil {
		panic(err)
	}
	return res.StatusCode, res.Header, readAll(res)
}

// clientOf talks to one address, whatever host a URL names, and follows no redirects.
func clientOf(address string, roots *x509.CertPool) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:         dialTo(address),
			TLSClientConfig:     &tls.Config{RootCAs: roots},
			MaxIdleConnsPerHost: 16,
			DisableCompression:  true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       patience + 20*time.Second,
	}
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// eventually asks until the answer is yes, or the time is over.
func eventually(within time.Duration, yes func() bool) bool {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(within); time.Now().Before(end); <-tick.C {
		if yes() {
			return true
		}
	}
	return yes()
}

// ports counts the addresses given away: two programs that start at once must not get the same one.
var ports atomic.Int64

// freeAddress is a loopback address that nobody listens on, below the ports that the kernel hands out by itself.
func freeAddress(t testing.TB) string {
	t.Helper()
	for range 5000 {
		port := 25000 + (os.Getpid()+int(ports.Add(1)))%5000
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no free port")
	return ""
}
