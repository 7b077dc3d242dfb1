package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// shownDemo is what `tidings demo --json` prints.
type shownDemo struct {
	Hub, Website, Person, Card string
	PartyToken                 string `json:"party_token"`
	DirectoryToken             string `json:"directory_token"`
	Curl                       []string
}

// startDemo runs the demo until the test ends, and then makes sure that it left nothing behind and complained of nothing.
func startDemo(t *testing.T) shownDemo {
	t.Helper()
	folder := t.TempDir()
	t.Setenv("TMPDIR", folder)
	ctx, stop := context.WithCancel(context.Background())
	reader, writer := io.Pipe()
	complaints := &lockedBuffer{}
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"demo", "--json", "--listen", "127.0.0.1:0", "--website", "127.0.0.1:0"}, writer, complaints)
		writer.Close()
	}()
	t.Cleanup(func() {
		stop()
		if got := <-code; got != 0 {
			t.Errorf("demo exits with %d: %s", got, complaints)
		}
		if text := complaints.String(); strings.Contains(text, "level=ERROR") || strings.Contains(text, "level=WARN") {
			t.Errorf("demo complained: %s", text)
		}
		if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
			t.Errorf("demo left %v in the temporary folder (%v)", left, err)
		}
	})
	var d shownDemo
	if err := json.NewDecoder(reader).Decode(&d); err != nil {
		t.Fatalf("demo printed no JSON (%v): %s", err, complaints)
	}
	go func() { _, _ = io.Copy(io.Discard, reader) }()
	return d
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

// tab is one page in a browser.
type tab struct {
	t   *testing.T
	ctx context.Context
}

// newBrowser starts a browser and opens its first tab.
func newBrowser(t *testing.T) tab {
	t.Helper()
	options := []chromedp.ExecAllocatorOption{chromedp.ExecPath("chromium"), chromedp.UserDataDir(t.TempDir()), chromedp.Env("TMPDIR=" + t.TempDir())}
	for _, flag := range []string{"headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run",
		"disable-background-networking", "disable-component-update", "disable-sync"} {
		options = append(options, chromedp.Flag(flag, true))
	}
	ctx, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	first := tab{t, ctx}
	return first.another()
}

// another opens one more tab.
func (b tab) another() tab {
	b.t.Helper()
	ctx, stop := chromedp.NewContext(b.ctx)
	b.t.Cleanup(stop)
	next := tab{b.t, ctx}
	if err := chromedp.Do(ctx); err != nil {
		b.t.Fatalf("start browser: %v", err)
	}
	go func() {
		for message, err := range chromedp.Console(ctx) {
			if err != nil {
				return // the tab was closed
			}
			b.t.Errorf("page says on its console: %v", message)
		}
	}()
	return next
}

func (b tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 20*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("browser: %v", err)
	}
}

// eval evaluates an expression in the page; a promise is awaited.
func eval[T any](b tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 20*time.Second)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v; the page shows: %s", expression, err, b.text())
	}
	return v
}

// until waits for a condition, looking whenever the page changes.
func (b tab) until(condition string) {
	b.t.Helper()
	eval[bool](b, fmt.Sprintf(`new Promise((done) => {
		const look = () => (%s) && (watch.disconnect(), done(true));
		const watch = new MutationObserver(look);
		watch.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
		look();
	})`, condition))
}

func (b tab) text() string {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body.innerText"))
	if err != nil {
		return err.Error()
	}
	return text
}

// fact is the text of one line of the website's card.
func fact(name string) string {
	return fmt.Sprintf(`document.querySelector('#card [data-fact="%s"]')?.textContent`, name)
}

// TestDemoInABrowser follows one edit from the directory's form over log and token to the website's card, which updates
// without being loaded anew, empties when the grant is revoked, and fills when it is given again.
func TestDemoInABrowser(t *testing.T) {
	d := startDemo(t)
	card := newBrowser(t)
	log, hub := card.another(), card.another()

	log.do(chromedp.Navigate(d.Hub))
	log.until(`document.querySelector("#log-state").textContent === "live"`)
	card.do(chromedp.Navigate(d.Card))
	card.until(`document.querySelector("#state").dataset.state === "live"`)
	eval[bool](card, `(window.stayed = true)`)

	const title, phone = "Keeper of the Foghorn", "+44 1632 960999"
	hub.do(chromedp.Navigate(d.Person),
		chromedp.SetValue(chromedp.CSS(`input[name=title]`), title),
		chromedp.SetValue(chromedp.CSS(`input[name=phone]`), phone),
		chromedp.Click(chromedp.CSS(`button.main`)))
	hub.do(chromedp.WaitVisible(chromedp.CSS(`#trail .trail`)))
	hub.until(`document.querySelectorAll("#trail li.done").length === 3`)

	card.until(fact("title") + `?.includes("` + title + `")`)
	card.until(fact("phoneNumbers") + `?.includes("` + phone + `")`)
	card.until(`[...document.querySelectorAll("#mail li")].some((l) => l.textContent.includes("prov:patch:notice") && l.textContent.includes("phoneNumbers, title") && l.textContent.includes("verified"))`)
	log.until(`[...document.querySelectorAll("#log .new")].some((l) => l.textContent.includes("phoneNumbers"))`)
	if text := eval[string](log, `document.body.textContent`); strings.Contains(text, title) || strings.Contains(text, phone) {
		t.Error("the log shows a value")
	}

	hub.do(chromedp.Click(chromedp.CSS(`form[action$="/revoke"] button`)))
	card.until(`document.querySelector("#card [data-ended]") && !document.querySelector("#card [data-fact]")`)
	card.until(`document.querySelector("#mail").textContent.includes("feed:remove")`)
	log.until(`document.querySelector("#log .new .revoked")`)

	hub.do(chromedp.Click(chromedp.CSS(`form[action$="/give"] button`)))
	card.until(fact("title") + `?.includes("` + title + `")`)
	if !eval[bool](card, `window.stayed === true`) {
		t.Error("the card's page was loaded anew")
	}
}

// TestDemoCurlLines runs what the demo prints, in a shell.
func TestDemoCurlLines(t *testing.T) {
	d := startDemo(t)
	if len(d.Curl) != 3 {
		t.Fatalf("%d lines to try", len(d.Curl))
	}
	for i, want := range []string{`"change":"added"`, `"title":"Head of Gulls"`, `"title":"Head of Gulls"`} {
		out, err := exec.Command("sh", "-c", d.Curl[i]).Output()
		if err != nil || !json.Valid(out) || !bytes.Contains(out, []byte(want)) {
			t.Errorf("line %d: %v, %s", i+1, err, out)
		}
	}
}

// TestDemoStaysOnLoopback: nothing is served to other machines, and the refusal is one line and exit status 2.
func TestDemoStaysOnLoopback(t *testing.T) {
	for _, args := range [][]string{
		{"--listen", "0.0.0.0:0"}, {"--listen", ":0"}, {"--listen", "[::]:0"}, {"--listen", "192.0.2.1:8420"},
		{"--listen", "example.com:8420"}, {"--listen", "8420"}, {"--website", "0.0.0.0:0"},
	} {
		var out, errOut bytes.Buffer
		if code := run(t.Context(), append([]string{"demo"}, args...), &out, &errOut); code != 2 {
			t.Errorf("%v: exit %d", args, code)
		}
		if text := errOut.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, args[0]) || out.Len() > 0 {
			t.Errorf("%v: %q, %q", args, text, out.String())
		}
	}
}

// TestDemoPortInUse: an address that was given has to be free; the usual ones need not be.
func TestDemoPortInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	var out, errOut bytes.Buffer
	if code := run(t.Context(), []string{"demo", "--listen", taken.Addr().String()}, &out, &errOut); code != 1 || !strings.Contains(errOut.String(), "another program does") {
		t.Errorf("exit %d: %s", code, errOut.String())
	}
	l, err := listenOnLoopback("--listen", "", taken.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

// TestDemoRefusesStrangersPages: a page of another origin can neither write nor, under a name that leads here, read.
func TestDemoRefusesStrangersPages(t *testing.T) {
	d := startDemo(t)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ask := func(method, at string, change func(*http.Request)) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, at, strings.NewReader(url.Values{"title": {"x"}, "version": {"1"}}.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		change(r)
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response
	}
	foreign := func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }
	renamed := func(r *http.Request) { r.Host = "rebound.example" }
	for _, at := range []string{d.Person, d.Card + "/ticket"} {
		if got := ask("POST", at, foreign).StatusCode; got != http.StatusForbidden {
			t.Errorf("POST from another origin to %s: %d", at, got)
		}
		if got := ask("POST", at, renamed).StatusCode; got != http.StatusMisdirectedRequest {
			t.Errorf("POST under another name to %s: %d", at, got)
		}
	}
	for _, at := range []string{d.Person, d.Card} {
		if got := ask("GET", at, renamed); got.StatusCode != http.StatusTemporaryRedirect || got.Header.Get("Location") != at {
			t.Errorf("GET under another name of %s: %d to %s", at, got.StatusCode, got.Header.Get("Location"))
		}
		policy := ask("GET", at, func(*http.Request) {}).Header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("policy of %s: %s", at, policy)
		}
	}
}
