package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"tidings/cmd/relyingparty/website"
)

// program is the command line. The token has no flag: what stands in a command line is seen by everybody on the machine.
type program struct {
	Hub    string `help:"Issuer of the hub." required:"" placeholder:"URL"`
	Listen string `help:"Address to listen on. It serves plain HTTP: on loopback, or behind a proxy that ends TLS." default:"127.0.0.1:8421" placeholder:"HOST:PORT"`
	URL    string `help:"Public URL of this website. Default: http://LISTEN." placeholder:"URL"`
	Name   string `help:"What the website calls itself." default:"Sample website"`
	Token  string `kong:"-"`
}

const tokenVariable = "RELYINGPARTY_TOKEN"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Getenv(tokenVariable), os.Stdout, os.Stderr))
}

// run parses and runs one command line and gives the exit status: 1 for a failure, 2 for a command that makes no sense.
func run(ctx context.Context, args []string, token string, out, errOut io.Writer) int {
	p := program{Token: token}
	exited := -1
	parser := kong.Must(&p, kong.Name("relyingparty"), kong.DefaultEnvars("RELYINGPARTY"), kong.Writers(out, errOut),
		kong.Description("A sample website of a relying party. Its token stands in the environment as "+tokenVariable+"."),
		kong.Exit(func(code int) { exited = code }))
	_, err := parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if err == nil && p.Token == "" {
		err = fmt.Errorf("the token that the hub's operator gave is expected in %s", tokenVariable)
	}
	if err != nil {
		fmt.Fprintf(errOut, "relyingparty: %v\n", err)
		return 2
	}
	if err := p.serve(ctx, out, errOut); err != nil {
		fmt.Fprintf(errOut, "relyingparty: %v\n", err)
		return 1
	}
	return 0
}

func (p program) serve(ctx context.Context, out, errOut io.Writer) error {
	listener, err := net.Listen("tcp", p.Listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	if p.URL == "" {
		p.URL = "http://" + listener.Addr().String()
	}
	site, err := website.New(website.Config{
		Name: p.Name, URL: p.URL, Hub: p.Hub, Token: p.Token, Log: slog.New(slog.NewTextHandler(errOut, nil)),
	})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(out, "%s is at %s\n", p.Name, p.URL); err != nil {
		return err
	}
	return site.Serve(ctx, listener)
}
