package house

import (
	"go/parser"
	"go/token"
	"path"
	"strings"
	"testing"
)

// TestBrokenHouses shows each rule a file that breaks it, and one beside it that does not.
func TestBrokenHouses(t *testing.T) {
	for _, c := range []struct {
		file string // its name
		code string // imports, or a whole body after the package clause
		want string // a part of the only complaint; "" for none
	}{
		{"hub/engine.go", `import "tidings/consent"`, ""},
		{"hub/engine.go", `import "tidings/web"`, "imports point down"},
		{"events/set.go", `import "tidings/hub/schema"`, "same floor"},
		{"consent/grant.go", `import "tidings/subscriptions"`, "same floor"},
		{"subscriptions/stream.go", `import "tidings/consent"`, ""},
		{"hub/source/scim/users.go", `import "tidings/web"`, "same floor"},
		{"hub/store/sqlite/log.go", `import "tidings/hub/store/postgres"`, "same floor"},
		{"web/ssf/stream.go", `import "tidings/web"`, ""},
		{"web/ssf/stream.go", `import "tidings/web/api"`, "same floor"},
		{"web/router.go", `import "tidings/web/api"`, "same floor"},
		{"web/new/deep/a.go", ``, "no place"},
		{"pkg/helper/a.go", ``, "no place"},
		{"tidings.go", ``, "no place"},
		{"hub/engine.go", `import "tidings/util"`, "no place"},
		{"cmd/tidings/main.go", `import "tidings/cmd/relyingparty/website"`, ""},
		{"cmd/relyingparty/main.go", `import "tidings/cmd/tidings"`, "same floor"},

		{"subscriptions/receiver/cache.go", `import "tidings/events"`, ""},
		{"subscriptions/receiver/cache.go", `import "tidings/hub/schema"`, "the SDK"},
		{"cmd/relyingparty/website/page.go", `import "tidings/subscriptions/receiver"`, ""},
		{"cmd/relyingparty/website/page.go", `import "tidings/hub"`, "what a stranger has"},

		{"hub/engine.go", `import "database/sql"`, "no SQL, HTTP or LDAP"},
		{"hub/engine.go", `import "net/http"`, "no SQL, HTTP or LDAP"},
		{"hub/engine.go", `import "github.com/jackc/pgx/v5"`, "driver only"},
		{"hub/engine.go", `import "github.com/go-ldap/ldap/v3"`, "no home"},
		{"web/api/delta.go", `import "database/sql"`, "around the grant"},
		{"hub/store/sqlite/log.go", `import ("database/sql"; _ "modernc.org/sqlite")`, ""},

		{"events/set.go", `import "net"`, "no I/O"},
		{"events/set.go", `import "net/http"`, "no I/O"},
		{"events/set.go", `import "net/url"`, ""},
		{"hub/schema/path.go", `import "os"`, "no I/O"},
		{"consent/grant.go", `import "log/slog"`, "no I/O"},
		{"consent/grant.go", `import "context"`, "no goroutines"},
		{"subscriptions/retry.go", `import "sync/atomic"`, "no goroutines"},
		{"subscriptions/retry.go", `import "math/rand/v2"`, "same answer"},
		{"events/set.go", `import "crypto/rand"`, ""},
		{"consent/grant.go", `import "time"; var T time.Duration`, ""},
		{"consent/grant.go", `import "time"; var T = time.Now()`, "told the time"},
		{"consent/grant.go", `import clock "time"; var T = clock.Now`, "told the time"},
		{"consent/grant.go", `func f() { go f() }`, "start no goroutines"},
		{"hub/engine.go", `import "time"; var T = time.Now; func f() { go f() }`, ""},

		{"events/sign.go", `import "github.com/lestrrat-go/jwx/v2/jws"`, ""},
		{"web/ssf/stream.go", `import "github.com/lestrrat-go/jwx/v2/jwt"`, "in one place"},
		{"web/ssf/stream_test.go", `import "github.com/lestrrat-go/jwx/v2/jwt"`, ""},
		{"events/sign_test.go", `import "github.com/golang-jwt/jwt/v5"`, "only JOSE library"},
		{"events/sign_test.go", `import "gopkg.in/square/go-jose.v2"`, "only JOSE library"},
		{"events/sign_test.go", `import "github.com/lestrrat-go/jwx/v3/jwt"`, "only JOSE library"},

		{"web/router.go", `import "testing"`, "no test code"},
		{"cmd/tidings/main.go", `import "tidings/hub/store/storetest"`, "no test code"},
		{"cmd/tidings/main.go", `import "pgregory.net/rapid"`, "never the program"},
		{"hub/engine_test.go", `import ("tidings/hub/store/sqlite"; "net/http"; "os"; "pgregory.net/rapid")`, ""},
	} {
		syntax, err := parser.ParseFile(token.NewFileSet(), c.file, "package p; "+c.code, 0)
		if err != nil {
			t.Fatalf("%s: %v", c.code, err)
		}
		f := inspect(syntax)
		f.name, f.pkg, f.test = c.file, path.Dir(c.file), strings.HasSuffix(c.file, "_test.go")
		got := f.complaints()
		switch {
		case c.want == "" && len(got) > 0:
			t.Errorf("%s with %s: refused: %s", c.file, c.code, got)
		case c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)):
			t.Errorf("%s with %s: got %q, want one complaint with %q", c.file, c.code, got, c.want)
		}
	}
}
