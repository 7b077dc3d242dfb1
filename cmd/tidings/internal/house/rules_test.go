package house

// A place says on which floor a package stands and what it may import from its own floor.
type place struct {
	packages string   // a path, or all children of one: web/*
	floor    int      // imports point to lower floors only
	also     []string // packages of the same floor it may import all the same
	why      string   // the reason for also, or for narrow
	narrow   []string // where given, the only packages of the module it may import
}

var places = []place{
	{packages: "events", floor: 0},
	{packages: "hub/schema", floor: 0},

	{packages: "consent", floor: 1},
	{packages: "subscriptions", floor: 1, also: []string{"consent"},
		why: "what a party subscribed to is bounded by what it may be told"},

	{packages: "hub", floor: 2},

	{packages: "subscriptions/delivery", floor: 3},
	{packages: "subscriptions/receiver", floor: 3, narrow: []string{"events"},
		why: "the SDK runs in strangers' programs: it brings the formats with it, never the hub"},
	{packages: "hub/store/*", floor: 3},
	{packages: "hub/store/postgres/pgtest", floor: 3},
	{packages: "hub/source/*", floor: 3},
	{packages: "web", floor: 3},
	{packages: "web/*", floor: 3, also: []string{"web"},
		why: "the faces share the router, the caller and the error table, and nothing of each other"},

	{packages: "cmd/tidings", floor: 4, also: []string{"cmd/tidings/demo", "cmd/tidings/internal/*", "cmd/relyingparty/website"},
		why: "the demo runs the sample website"},
	{packages: "cmd/tidings/demo", floor: 4, also: []string{"cmd/relyingparty/website"},
		why: "the demo runs the sample website"},
	{packages: "cmd/tidings/internal/*", floor: 4},
	{packages: "cmd/tidings/internal/conformance", floor: 4, narrow: []string{"hub/store/postgres/pgtest"},
		why: "it knows of the program what a receiver knows: with its parsers it would share its mistakes"},
	{packages: "cmd/relyingparty", floor: 4, also: []string{"cmd/relyingparty/website"},
		why: "the program is the website and its flags"},
	{packages: "cmd/relyingparty/website", floor: 4, narrow: []string{"events", "subscriptions/receiver"},
		why: "it is the example of a stranger's program: it has what a stranger has"},
}

// testHelp are packages of ordinary Go files that exist for tests: only tests import them.
var testHelp = []string{"hub/store/storetest", "hub/store/postgres/pgtest"}

// A ban says who may not import what. All patterns are paths; a trailing /... adds everything below.
type ban struct {
	who    []string
	except []string
	what   []string
	but    []string // of what, still allowed
	reason string
}

var (
	rules    = []string{"events", "hub/schema", "consent", "subscriptions"}
	anywhere = []string{"..."}
)

var bans = []ban{
	{who: rules,
		what: []string{"net/...", "os/...", "io/fs", "io/ioutil", "embed", "syscall", "log/...", "plugin",
			"database/sql/...", "expvar", "flag"},
		but:    []string{"net/url", "net/netip", "net/mail", "net/textproto"}, // parsers: text in, values out
		reason: "rules do no I/O: values in, values out, so that every case can be tried in a table"},
	{who: rules,
		what:   []string{"context", "sync/...", "golang.org/x/sync/..."},
		reason: "rules have no goroutines and nothing to wait for: what takes no time needs no context and no lock"},
	{who: rules, except: []string{"events"},
		what:   []string{"crypto/rand", "math/rand/..."},
		reason: "rules give the same answer every time; only events draws random numbers, for jti and signatures"},
	{who: []string{"hub"},
		what:   []string{"database/sql/...", "net/http/...", "net", "html/template"},
		reason: "the hub knows no SQL, HTTP or LDAP: stores, sources and faces are edges around it"},
	{who: anywhere, except: []string{"hub/store/sqlite", "hub/store/postgres", "hub/store/postgres/pgtest"},
		what:   []string{"database/sql/..."},
		reason: "SQL stays inside the two drivers: whoever could write a query could go around the grant"},
	{who: anywhere, except: testHelp,
		what:   []string{"testing/..."},
		reason: "the program carries no test code"},
}

// A home says where a library may be imported by the program; tests import what they need, except for JOSE.
// Nothing below floor 3 touches the world, so most homes are edges.
type home struct {
	library string
	in      []string
	reason  string
}

var edges = []string{"web/...", "hub/source/...", "subscriptions/delivery", "subscriptions/receiver", "cmd/..."}

var homes = []home{
	{"github.com/lestrrat-go/jwx/v2", []string{"events"},
		"tokens are made, signed and verified in one place: two that differ in one check are a hole"},
	{"golang.org/x/text", append([]string{"hub", "hub/source/..."}, rules...),
		"folding decides what equals what: rules and their engine do it once, edges take the result"},
	{"golang.org/x/sync", append([]string{"hub", "hub/store/..."}, edges...), "goroutines belong to engine and edges"},
	{"github.com/jackc/pgx/v5", []string{"hub/store/postgres", "hub/store/postgres/pgtest"}, "PostgreSQL is known to its driver only"},
	{"modernc.org/sqlite", []string{"hub/store/sqlite"}, "SQLite is known to its driver only"},
	{"github.com/ncruces/go-sqlite3", []string{"hub/store/sqlite"}, "SQLite is known to its driver only"},
	{"github.com/go-chi/chi/v5", edges, "routing is a matter of the HTTP faces"},
	{"github.com/gorilla/websocket", edges, "sockets are a matter of the edges"},
	{"code.dny.dev/ssrf", []string{"web/...", "subscriptions/delivery", "cmd/tidings"}, "only who dials a stranger's address checks it"},
	{"github.com/prometheus/client_golang", []string{"web/...", "subscriptions/delivery", "cmd/tidings"},
		"metrics are read off the engine by the edges"},
	{"github.com/alecthomas/kong", []string{"cmd/..."}, "command lines are a matter of the programs"},
	{"github.com/BurntSushi/toml", []string{"cmd/..."}, "configuration is a matter of the programs"},
	{"golang.org/x/time", []string{"web"}, "how often callers come is counted at the door"},
	{"golang.org/x/term", []string{"cmd/..."}, "terminals are a matter of the programs"},
	{"github.com/schollz/progressbar/v3", []string{"cmd/..."}, "terminals are a matter of the programs"},
	{"github.com/chromedp/chromedp", nil, "a browser drives tests, never the program"},
	{"pgregory.net/rapid", []string{"hub/store/storetest"}, "random sequences drive tests, never the program"},
}

// jose are the marks of JOSE libraries' import paths. Their only place is jwx/v2 in events; tests, which may
// import any other library, may use jwx/v2 but no second implementation.
var jose = []string{"jwx", "jose", "jwt", "jws", "jwk", "jwe", "golang-jwt", "go-jose", "jose2go", "keyfunc"}

const joseReason = "jwx/v2 is the only JOSE library: each further one is one more parser of hostile tokens to watch"

// clock are the functions of package time that read or run a clock; the rest of the package is values.
var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"}

const (
	clockReason     = "rules are told the time: an hour that passes in a test must not pass on the wall"
	goroutineReason = "rules start no goroutines: they end before they return"
)
