package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// program is the command line. Each flag can be set as TIDINGS_<FLAG> in the environment too, and by its name in the
// configuration file; the flag wins over the environment, the environment over the file.
type program struct {
	Store   storeURL   `help:"Where everything is kept: sqlite:PATH or postgres://user@host/database." default:"sqlite:tidings.db" placeholder:"URL"`
	KeyFile string     `help:"File with the key that opens the store's secrets. Default for SQLite: PATH.key, made at first start. Required for PostgreSQL." type:"path" placeholder:"FILE"`
	JSON    bool       `help:"Print results as JSON, for scripts." name:"json"`
	Config  configFile `help:"Read settings from this file: 'name = value' lines (TOML) with the names of flags. Unknown names are refused." placeholder:"FILE"`
	Verbose bool       `help:"Log more."`

	Demo   demoCommand   `cmd:"" help:"Show the whole thing on loopback, with sample people, a sample website and a temporary store of its own."`
	Serve  serveCommand  `cmd:"" help:"Run the hub."`
	Import importCommand `cmd:"" help:"Read people and groups from an LDIF file; only real differences become changes."`
	Party  struct {
		Add    partyAdd    `cmd:"" help:"Register a relying party and print its token, once."`
		List   partyList   `cmd:"" help:"List relying parties."`
		Set    partySet    `cmd:"" help:"Change what a relying party's streams may ask for and how its events name people."`
		Keys   partyKeys   `cmd:"" help:"Register or list the public keys with which a party's server gets access tokens (private_key_jwt)."`
		Remove partyRemove `cmd:"" help:"End a relying party: its token, streams and grants are dead at once."`
	} `cmd:"" help:"Relying parties: the websites that keep copies."`
	Token struct {
		Add    tokenAdd    `cmd:"" help:"Make a token for a party, a directory (may write SCIM) or an operator, and print it, once."`
		List   tokenList   `cmd:"" help:"List tokens: what each may, until when, and when it was last used; never their secrets."`
		Revoke tokenRevoke `cmd:"" help:"End a token at once."`
	} `cmd:"" help:"Tokens: what parties, directories and operators call with."`
	Grant struct {
		Add    grantAdd    `cmd:"" help:"Record a person's yes: which attributes a party may fetch, be notified of, until when."`
		List   grantList   `cmd:"" help:"List grants."`
		Revoke grantRevoke `cmd:"" help:"End a grant: the party is told so, and nothing after it."`
		Opt    grantOpt    `cmd:"" help:"Move what a person says of account and session events for a party (RISC opt-in and opt-out)."`
	} `cmd:"" help:"Grants: what people agreed to."`
	Stream struct {
		List    streamList    `cmd:"" help:"List the streams of all parties: status, who set it and why, and how pushing goes."`
		Show    streamShow    `cmd:"" help:"Show one stream."`
		Pause   streamPause   `cmd:"" help:"Stop a stream and hold what comes. Its receiver is told, last of all, and cannot undo it."`
		Resume  streamResume  `cmd:"" help:"Let a stream go on where it stood. Its receiver is told first of all."`
		Disable streamDisable `cmd:"" help:"Stop a stream and drop what waits: what happens until it is resumed is not told on it."`
		Replay  streamReplay  `cmd:"" help:"Have a stream tell again what changed since a time or a cursor."`
	} `cmd:"" help:"Streams: what parties subscribed to."`
	Keys struct {
		List   keysList   `cmd:"" help:"List the keys that sign tokens, with what is owed under each; never their private parts."`
		Rotate keysRotate `cmd:"" help:"Publish new signing keys, which take over after a while."`
		Retire keysRetire `cmd:"" help:"Take a key out of the published set before its time."`
	} `cmd:"" help:"Signing keys: what receivers check tokens with."`
	Signal struct {
		Raise signalRaise `cmd:"" help:"Ask every party that may be notified to do something once about a person."`
	} `cmd:"" help:"Signals: what parties should do once."`
	Policy struct {
		Show  policyShow  `cmd:"" help:"Print the policy as JSON: what may be told, how long a copy may be kept, whether values may travel in events."`
		Apply policyApply `cmd:"" help:"Put a policy from a JSON file in force. Every party's cursors begin anew."`
	} `cmd:"" help:"The policy: the operator's bounds on what any party may learn."`
	Deadletter struct {
		List   letterList   `cmd:"" help:"List what receivers refused for good, the newest first."`
		Show   letterShow   `cmd:"" help:"Show one, with what its receiver said."`
		Replay letterReplay `cmd:"" help:"Put one, or all of a stream, back in line."`
		Drop   letterDrop   `cmd:"" help:"Forget one, or all of a stream."`
	} `cmd:"" help:"Dead letters: deliveries that were given up. They are kept for 30 days."`
	Changes changesCommand `cmd:"" help:"Print the log, a line for each change: names of attributes, never values."`
	Fsck    fsckCommand    `cmd:"" help:"Verify the whole store."`
}

const description = `Tidings tells relying parties, by signed security event tokens, that something they care about changed in a
directory, and lets them fetch just that, with the consent of the people concerned.

Start with 'tidings demo', or:

  tidings party add --name shop                      a website, and its token
  tidings token add --role directory --name hr       who may write people
  tidings import people.ldif                         or let a directory write SCIM to /scim/v2
  tidings grant add --user anna --party ID --attributes emails,name
  tidings serve --listen 127.0.0.1:8420 --issuer http://127.0.0.1:8420`

// runtime is what every command is given.
type runtime struct {
	*program
	ctx    context.Context
	out    io.Writer
	errOut io.Writer
	log    *slog.Logger
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal is not waited for: it ends the program at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run parses and runs one command line and gives the exit status.
func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	var p program
	exited := -1
	parser := kong.Must(&p,
		kong.Name("tidings"), kong.Description(description), kong.UsageOnError(),
		kong.DefaultEnvars("TIDINGS"),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}),
		kong.Writers(out, errOut), kong.Exit(func(code int) { exited = code }),
	)
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if err != nil {
		fmt.Fprintf(errOut, "tidings: %v\n", err)
		return 2
	}
	level := slog.LevelInfo
	if p.Verbose {
		level = slog.LevelDebug
	}
	rt := &runtime{program: &p, ctx: ctx, out: out, errOut: errOut,
		log: slog.New(slog.NewTextHandler(errOut, &slog.HandlerOptions{Level: level}))}
	if err := parsed.Run(rt); err != nil {
		fmt.Fprintf(errOut, "tidings: %s\n", explain(err))
		var misuse *misuse
		if errors.As(err, &misuse) {
			return 2
		}
		return 1
	}
	return 0
}

// misuse is a command that makes no sense as it was given.
type misuse struct{ reason string }

func (m *misuse) Error() string { return m.reason }

func misused(format string, args ...any) error { return &misuse{fmt.Sprintf(format, args...)} }
