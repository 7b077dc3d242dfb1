package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sync/errgroup"

	"tidings/cmd/relyingparty/website"
	"tidings/cmd/tidings/demo"
	"tidings/hub"
	"tidings/subscriptions/delivery"
	"tidings/web"
)

type demoCommand struct {
	Listen  string `help:"Loopback address of the hub. Default: 127.0.0.1:8420, or a free port if that one is taken." placeholder:"HOST:PORT"`
	Website string `help:"Loopback address of the sample website. Default: 127.0.0.1:8421, or a free port." placeholder:"HOST:PORT"`
}

// Run shows everything at once until it is interrupted. Its store lives in a temporary folder that goes with it.
func (c *demoCommand) Run(rt *runtime) (err error) {
	hubListener, err := listenOnLoopback("--listen", c.Listen, "127.0.0.1:8420")
	if err != nil {
		return err
	}
	defer hubListener.Close()
	siteListener, err := listenOnLoopback("--website", c.Website, "127.0.0.1:8421")
	if err != nil {
		return err
	}
	defer siteListener.Close()
	folder, err := os.MkdirTemp("", "tidings-demo-")
	if err != nil {
		return fmt.Errorf("make temporary folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()

	s := show{rt: rt, hubURL: "http://" + hubListener.Addr().String(), siteURL: "http://" + siteListener.Addr().String()}
	h, done, err := rt.in(folder).openHub(writing, hub.Config{Issuer: s.hubURL, AllowInsecureReceivers: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	return s.run(h, hubListener, siteListener)
}

// in is the runtime with a store of its own in the folder.
func (rt *runtime) in(folder string) *runtime {
	settings, own := *rt.program, *rt
	settings.Store, settings.KeyFile = storeURL("sqlite:"+filepath.Join(folder, "tidings.db")), ""
	own.program = &settings
	return &own
}

// listenOnLoopback listens where it was told to, or else at the preferred address, or else at any free port. The demo's
// pages ask nobody who they are, so other machines must not reach them.
func listenOnLoopback(flag, given, preferred string) (net.Listener, error) {
	address := given
	if address == "" {
		address = preferred
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, misused("%s: an address looks like %s", flag, preferred)
	}
	if !loopback(host) {
		return nil, misused("%s: the demo listens on loopback only, such as %s: its pages let anybody change everything", flag, preferred)
	}
	l, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) && given == "" {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, err
	}
	// "localhost" is whatever this machine says it is.
	if at, ok := l.Addr().(*net.TCPAddr); !ok || !at.IP.IsLoopback() {
		return nil, errors.Join(misused("%s: %s is not on loopback here", flag, host), l.Close())
	}
	return l, nil
}

// show is a running demo.
type show struct {
	rt              *runtime
	hubURL, siteURL string
}

func (s show) run(h *hub.Hub, hubListener, siteListener net.Listener) error {
	cast, err := demo.Fill(s.rt.ctx, h, s.siteURL)
	if err != nil {
		return err
	}
	serving, err := newServing(h, delivery.Outward{Insecure: true}, web.Config{Log: s.rt.log, Limits: web.DefaultLimits()})
	if err != nil {
		return err
	}
	pages, err := demo.New(h, demo.Config{URL: s.hubURL, Site: s.siteURL, Party: cast.Party, Hub: serving.handler, Log: s.rt.log})
	if err != nil {
		return err
	}
	site, err := website.New(website.Config{
		Name: demo.SiteName, URL: s.siteURL, Hub: s.hubURL, Token: cast.PartyToken,
		Note: "Demo: everybody here is invented. Their directory is on the hub's pages.", NoteURL: s.hubURL + "/", Log: s.rt.log,
	})
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(s.rt.ctx)
	g.Go(func() error { return serving.run(ctx, hubListener, pages) })
	g.Go(func() error { return site.Serve(ctx, siteListener) })
	g.Go(func() error {
		select {
		case <-site.Ready():
			return s.announce(ctx, h, cast)
		case <-ctx.Done():
			return nil
		}
	})
	return g.Wait()
}

// announce says where to look and what to try, when all of it works.
func (s show) announce(ctx context.Context, h *hub.Hub, cast demo.Cast) error {
	e, err := h.Entry(ctx, cast.Entry)
	if err != nil {
		return fmt.Errorf("find somebody to show: %w", err)
	}
	subject, err := h.SubjectFor(ctx, cast.Party, e)
	if err != nil {
		return fmt.Errorf("find somebody to show: %w", err)
	}
	known := strings.TrimPrefix(subject.Member("uri"), "/Users/")
	result := struct {
		Hub            string   `json:"hub"`
		Website        string   `json:"website"`
		Person         string   `json:"person"`
		Card           string   `json:"card"`
		PartyToken     string   `json:"party_token"`
		DirectoryToken string   `json:"directory_token"`
		Curl           []string `json:"curl"`
	}{
		s.hubURL + "/", s.siteURL + "/", s.hubURL + "/demo/people/" + cast.Entry.String(), s.siteURL + "/members/" + known,
		cast.PartyToken, cast.DirectoryToken,
		[]string{
			fmt.Sprintf(`curl -s -H 'Authorization: Bearer %s' '%s/delta?limit=3'`, cast.PartyToken, s.hubURL),
			fmt.Sprintf(`curl -s -H 'Authorization: Bearer %s' -X PATCH -H 'Content-Type: application/scim+json' -d '{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"title","value":"Head of Gulls"}]}' %s/scim/v2/Users/%s`,
				cast.DirectoryToken, s.hubURL, cast.Entry),
			fmt.Sprintf(`curl -s -H 'Authorization: Bearer %s' %s/subjects/%s`, cast.PartyToken, s.hubURL, known),
		},
	}
	return s.rt.print(result, `Tidings demo. Everybody in it is invented; it is gone when you press Ctrl-C.

  the hub, and its log as it moves  %s
  a person to change                %s
  their card, which follows         %s
  the whole website                 %s

Open the person and their card side by side, change the title and save: the card follows. Revoke, and it empties.

Or as the programs do it: what the website may know, a change by the directory, and what the website then gets.

  %s

  %s

  %s

`, result.Hub, result.Person, result.Card, result.Website, result.Curl[0], result.Curl[1], result.Curl[2])
}
