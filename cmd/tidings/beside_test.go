package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tidings/events"
)

// changes reads the whole log by the command.
func (w *world) changes() (lines []changeLine) {
	w.t.Helper()
	out, stderr, code := w.try("changes", "--json")
	if code != 0 {
		w.t.Fatalf("changes: %s", stderr)
	}
	for line := range strings.Lines(out) {
		lines = append(lines, parseChange(w.t, line))
	}
	return lines
}

// parseChange holds a line against its documented form.
func parseChange(t testing.TB, line string) (c changeLine) {
	t.Helper()
	members := object{}
	if err := errors.Join(json.Unmarshal([]byte(line), &members), json.Unmarshal([]byte(line), &c)); err != nil {
		t.Fatalf("%v in %q", err, line)
	}
	delete(members, "party") // the one that may be absent
	if got := strings.Join(slices.Sorted(maps.Keys(members)), " "); got != "actor attributes entry kind position source time txn" {
		t.Errorf("a line has the members %s", got)
	}
	if at, err := time.Parse(time.RFC3339Nano, c.Time); err != nil || time.Since(at).Abs() > 10*time.Minute {
		t.Errorf("a line of time %q", c.Time)
	}
	return c
}

// `changes --follow` prints a line for each change as it comes, names only, and ends when interrupted. Commands beside
// the serving hub are noticed at once: a revoked token and a removed party are dead for every face.
func TestCommandsBesideTheHub(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s site) {
		w := s.world()
		h := w.webhook()
		w.push(h)
		p := w.poller()
		follow := newProcess(context.Background(), append([]string{"changes", "--follow", "--json"}, s.flags...)...)
		out, err := follow.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := follow.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = follow.Process.Kill(); _ = follow.Wait() })
		lines := make(chan string, 100)
		go func() {
			defer close(lines)
			for in := bufio.NewScanner(out); in.Scan(); {
				lines <- in.Text()
			}
		}()
		position := int64(0)
		next := func(kind string) changeLine {
			t.Helper()
			select {
			case line := <-lines:
				c := parseChange(t, line)
				if c.Kind != kind || c.Position != position+1 {
					t.Fatalf("line %+v, not %s at %d", c, kind, position+1)
				}
				position = c.Position
				return c
			case <-time.After(patience):
				t.Fatalf("no line of a change that is %s", kind)
			}
			return changeLine{}
		}
		next("party-added")
		anna := w.person("anna", object{"title": "Clerk"}, "--attributes", "title")
		if c := next("created"); c.Entry != anna.entry || c.Source != "scim" || c.Actor != w.directory.ID || !slices.Contains(c.Attributes, "title") || c.Txn == "" {
			t.Errorf("created: %+v", c)
		}
		if c := next("granted"); c.Party != w.shop.ID || c.Entry != anna.entry || !slices.Equal(c.Attributes, []string{"title"}) {
			t.Errorf("granted: %+v", c)
		}
		visitor := w.browser("ticket=" + w.ticket(anna.subject))
		h.await(t, anna, 1)
		w.patch(anna, object{"title": "Head Clerk", "nickName": "Annie"})
		if c := next("updated"); !slices.Equal(c.Attributes, []string{"nickName", "title"}) || c.Party != "" {
			t.Errorf("updated: %+v", c)
		}
		h.await(t, anna, 2)

		w.tidings(nil, "token", "revoke", w.directory.ID)
		if status, _ := call("GET", w.hub.url+"/scim/v2/Users", w.directory.Token, nil, nil); status != http.StatusUnauthorized {
			t.Errorf("a revoked token is answered with %d", status)
		}
		w.tidings(&w.directory, "token", "add", "--role", "directory", "--name", "hr2")

		ticket := w.ticket(anna.subject)
		w.tidings(nil, "party", "remove", w.shop.ID)
		next("party-removed")
		for path, method := range map[string]string{"/delta": "GET", "/subjects/" + anna.id: "GET", "/ssf/streams": "GET", "/ssf/poll/" + p.stream: "POST", "/live/tickets": "POST"} {
			if status, _ := call(method, w.hub.url+path, w.shop.Token, object{}, nil); status != http.StatusUnauthorized {
				t.Errorf("%s of a removed party: %d", path, status)
			}
		}
		if code := visitor.closed(t); code != events.CloseGoAway {
			t.Errorf("the socket of a removed party was closed with %d", code)
		}
		if b := w.browser("ticket=" + ticket); b.ended == nil {
			t.Error("a removed party's ticket still opens a socket")
		} else if code := b.closed(t); code != events.CloseGoAway && code != events.CloseTicket {
			t.Errorf("a removed party's ticket: %d", code)
		}
		w.patch(anna, object{"title": "Manager"})
		next("updated")
		if got := kinds(h.tokens(anna)); len(got) != 2 {
			t.Errorf("told %q", got)
		}
		if err := follow.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		for range lines {
		}
		if err := follow.Wait(); err != nil {
			t.Errorf("interrupted, changes --follow ends with %v", err)
		}
		w.clean()
		w.hub.stop(t)
		if got := kinds(h.tokens(anna)); len(got) != 2 {
			t.Errorf("after its end the party was told %q", got)
		}
	})
}

// What is secret or personal stays where it belongs: passwords and credentials are nowhere in the store, and neither log
// nor `changes` nor metrics hold a value of anybody.
func TestSecretsStayOut(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s site) {
		w := s.world()
		h := w.webhook()
		h.header = "Bearer marker-header-ZQXJ"
		w.push(h)
		const value = "markervalueKWVP"
		secrets := []string{"marker-header-ZQXJ", w.shop.Token, w.directory.Token}
		secret := func(n int) string {
			text := fmt.Sprintf("markerpassword%dYHGF", n)
			secrets = append(secrets, text)
			return text
		}
		anna := w.person("anna."+value, object{"title": value, "displayName": value, "password": secret(1),
			"emails": []any{object{"value": value + "@example.com", "type": "work"}}}, "--attributes", "title,emails,userName")
		w.patch(anna, object{"password": secret(2), "title": value + "2"})
		w.must("PUT", "/scim/v2/Users/"+anna.entry, w.directory.Token, object{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:User"},
			"userName": "anna." + value, "title": value + "3", "Password": secret(3)}, nil)
		shown := object{}
		w.must("GET", "/scim/v2/Users/"+anna.entry, w.directory.Token, nil, &shown)
		ldif := filepath.Join(t.TempDir(), "people.ldif")
		if err := os.WriteFile(ldif, []byte("dn: uid=bert,dc=example\nobjectClass: inetOrgPerson\nuid: bert."+value+"\ncn: "+value+"\nsn: "+value+
			"\nuserPassword: "+secret(4)+"\nuserPassword;x-old: "+secret(5)+"\n\ndn: uid=broken,dc=example\nobjectClass: inetOrgPerson\nuserPassword: "+secret(6)+"\nno colon "+value+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		imported, stderr, _ := w.try("import", ldif)
		// Requests that go wrong, and quote what must not be quoted.
		for _, bad := range []struct{ method, path, token, body string }{
			{"POST", "/scim/v2/Users", w.directory.Token, `{"userName":"` + value + `","password":"` + secret(7)},
			{"POST", "/scim/v2/Users", w.directory.Token, `{"userName":{"` + value + `":1},"password":["` + secret(8) + `"]}`},
			{"GET", "/scim/v2/Users?filter=" + url.QueryEscape(`userName eq "`+value), w.directory.Token, ""},
			{"PATCH", "/scim/v2/Users/" + anna.entry, w.directory.Token, `{"Operations":[{"op":"add","path":"nope","value":"` + value + `"}]}`},
			{"POST", "/ssf/streams", w.shop.Token, `{"delivery":{"method":"urn:ietf:rfc:8935","endpoint_url":"https://u:` + secret(9) + `@x.example/","authorization_header":"` + secret(10) + `\n"}}`},
			{"GET", "/delta?cursor=" + value, w.shop.Token, ""},
			{"GET", "/subjects/" + value, w.shop.Token, ""},
			{"GET", "/delta?access_token=" + url.QueryEscape(w.shop.Token), "", ""},
			{"GET", "/" + value, w.shop.Token, ""},
			{value, "/delta", w.shop.Token, ""},
			{"GET", "/delta", secret(11), ""},
		} {
			req, err := http.NewRequest(bad.method, w.hub.url+bad.path, strings.NewReader(bad.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Authorization", "Bearer "+bad.token)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			answer, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode < 400 || resp.StatusCode >= 500 {
				t.Errorf("%s %s: %d", bad.method, bad.path, resp.StatusCode)
			}
			stderr += string(answer)
		}
		h.answer(http.StatusBadRequest)
		w.patch(anna, object{"title": value + "4"})
		if !eventually(patience, func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.refused > 0 }) {
			t.Error("the webhook was not asked")
		}
		w.must("GET", "/subjects/"+anna.id, w.shop.Token, nil, nil)
		w.delta(w.shop.Token, "")
		resp, err := http.Get(w.hub.url + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		metrics, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if !bytes.Contains(metrics, []byte("tidings_http_requests_total")) {
			t.Error("no metrics")
		}
		changes, more, _ := w.try("changes")
		changesJSON, _, _ := w.try("changes", "--json")
		grants, _, _ := w.try("grant", "list", "--json")
		tokens, _, _ := w.try("token", "list", "--json")
		w.hub.stop(t)

		public := map[string]string{"the hub's log": w.hub.log.String(), "stderr": stderr + more, "import": imported,
			"changes": changes, "changes --json": changesJSON, "metrics": string(metrics), "grant list": grants, "token list": tokens}
		for where, text := range public {
			if strings.Contains(strings.ToLower(text), strings.ToLower(value)) {
				t.Errorf("%s holds a value", where)
			}
		}
		public["SCIM"] = fmt.Sprint(shown)
		public["the store"] = s.dump(s.open())
		if !strings.Contains(public["the store"], value) {
			t.Error("the dump shows nothing: this test is blind")
		}
		for where, text := range public {
			for _, forbidden := range secrets {
				if strings.Contains(text, forbidden) || strings.Contains(text, fmt.Sprintf("%x", forbidden)) {
					t.Errorf("%s holds the secret %.16s…", where, forbidden)
				}
			}
		}
		if folder := s.folder(); folder != "" { // what no table shows: free pages, the log that is written ahead
			for _, file := range []string{"hub.db", "hub.db-wal"} {
				raw, err := os.ReadFile(filepath.Join(folder, file))
				if err != nil && !errors.Is(err, os.ErrNotExist) {
					t.Fatal(err)
				}
				for _, forbidden := range secrets {
					if bytes.Contains(raw, []byte(forbidden)) {
						t.Errorf("%s holds the secret %.16s…", file, forbidden)
					}
				}
			}
		}
	})
}
