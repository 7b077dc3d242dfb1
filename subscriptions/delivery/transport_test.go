package delivery

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"tidings/hub"
)

// TestPublicOnly: PU-09, CR-10. Only addresses of the public internet are connected to.
func TestPublicOnly(t *testing.T) {
	publicOnly := Outward{}.guardian().Safe
	for address, public := range map[string]bool{
		"93.184.215.14:443": true, "93.184.215.14:8443": true, "[2606:2800:21f:cb07:6820:80da:af6b:8b2c]:443": true,
		"127.0.0.1:443": false, "127.255.255.254:443": false, "[::1]:443": false, // loopback
		"10.0.0.1:443": false, "172.16.0.1:443": false, "192.168.1.1:443": false, "[fc00::1]:443": false, "[fd12::1]:443": false, // private
		"100.64.0.1:443": false, "100.100.100.200:80": false, // shared, and a metadata service there
		"169.254.169.254:80": false, "[fe80::1]:443": false, "[fe80::1%eth0]:443": false, // link-local, metadata
		"[fd00:ec2::254]:80": false, "168.63.129.16:80": false, "192.0.0.192:80": false, // metadata of other clouds
		"224.0.0.1:443": false, "239.255.255.250:1900": false, "[ff02::1]:443": false, // multicast
		"0.0.0.0:443": false, "[::]:443": false, "255.255.255.255:443": false, "240.0.0.1:443": false, // unspecified, broadcast, reserved
		"[::ffff:127.0.0.1]:443": false, "[::ffff:10.0.0.1]:443": false, "[::127.0.0.1]:443": false, // IPv4 in IPv6
		"[64:ff9b::7f00:1]:443": false, "[64:ff9b:1::a00:1]:443": false, "[64:ff9b::5db8:d70e]:443": false, // NAT64
		"[2002:7f00:1::1]:443": false, "[2002:a00:1::]:443": false, "[2001:0:4136:e378:8000:63bf:3fff:fdd2]:443": false, // 6to4, Teredo
		"198.18.0.1:443": false, "203.0.113.1:443": false, "[2001:db8::1]:443": false, "[2001:db8::1%lo]:443": false, // tests, documentation
	} {
		network := "tcp6"
		if netip.MustParseAddrPort(address).Addr().Is4() {
			network = "tcp4"
		}
		if err := publicOnly(network, address, nil); (err == nil) != public {
			t.Errorf("%s: %v, public: %v", address, err, public)
		}
	}
	if publicOnly("unix", "/run/secret.sock", nil) == nil {
		t.Error("a unix socket is public")
	}
}

// TestAnswerChangesBetweenCheckAndDial: the name of a receiver first stands for a public address and then, when it is
// connected to, for this machine. The address that is dialled is the one that is judged.
func TestAnswerChangesBetweenCheckAndDial(t *testing.T) {
	var reached atomic.Int32
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer inside.Close()
	port := inside.Listener.Addr().(*net.TCPAddr).Port
	names := newNames(t, netip.MustParseAddr("93.184.215.14"), netip.MustParseAddr("127.0.0.1"))

	if found := must(names.LookupNetIP(t.Context(), "ip4", "hook.example."))(t); !found[0].IsGlobalUnicast() || found[0].IsPrivate() {
		t.Fatalf("the check finds %v", found)
	}
	p := NewPusher(nil, Outward{}, quiet())
	p.client = client(newTransport(Outward{}, names))
	url := (&netipURL{"https", "hook.example.", port}).String()
	if a := p.post(t.Context(), hub.Endpoint{URL: url}, []byte("a.b.c")); a.Failure != "blocked" {
		t.Errorf("%+v", a)
	}
	if a := p.post(t.Context(), hub.Endpoint{URL: inside.URL}, []byte("a.b.c")); a.Failure != "blocked" {
		t.Errorf("plain http: %+v", a)
	}
	if reached.Load() > 0 {
		t.Error("this machine was connected to")
	}
	// The same names without the check do lead there: the test would notice.
	p = NewPusher(nil, Outward{Insecure: true}, quiet())
	p.client = client(newTransport(Outward{Insecure: true}, newNames(t, netip.MustParseAddr("127.0.0.1"))))
	url = (&netipURL{"http", "hook.example.", port}).String()
	if a := p.post(t.Context(), hub.Endpoint{URL: url}, []byte("a.b.c")); a.Status != 200 || reached.Load() != 1 {
		t.Errorf("without the check: %+v", a)
	}
}

type netipURL struct {
	scheme, host string
	port         int
}

func (u *netipURL) String() string {
	return u.scheme + "://" + net.JoinHostPort(u.host, netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(u.port)).String()[len("0.0.0.0:"):])
}

// newNames is a resolver that gives each A question the next of the answers, the last one for good.
func newNames(t *testing.T, answers ...netip.Addr) *net.Resolver {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var g errgroup.Group
	t.Cleanup(func() { server.Close(); g.Wait() })
	g.Go(func() error {
		asked := 0
		buf := make([]byte, 1024)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return err
			}
			end := 12
			for buf[end] != 0 {
				end += int(buf[end]) + 1
			}
			end += 5 // the root, type and class
			answer := append([]byte{}, buf[:min(end, n)]...)
			copy(answer[2:], []byte{0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0})
			if binary.BigEndian.Uint16(buf[end-4:]) == 1 {
				a := answers[min(asked, len(answers)-1)].As4()
				asked++
				answer[7] = 1
				answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, a[0], a[1], a[2], a[3])
			}
			server.WriteTo(answer, from)
		}
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
}

// TestFailures: what goes wrong below HTTP is told in one word, and within its time.
func TestFailures(t *testing.T) {
	p := NewPusher(nil, Outward{Insecure: true}, quiet())
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	secure.StartTLS()
	defer secure.Close()
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		// To the end of the body: only then does the server notice that the client has gone.
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	defer silent.Close()
	broken := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer broken.Close()
	closed := httptest.NewServer(nil)
	closed.Close()
	for url, want := range map[string]string{
		secure.URL:                         "tls", // signed by nobody we know (PU-07)
		"https" + silent.URL[len("http"):]: "tls",
		silent.URL:                         "timeout",
		broken.URL:                         "connection",
		closed.URL:                         "refused",
	} {
		limit := 20 * time.Second
		if want == "timeout" {
			limit = 300 * time.Millisecond
		}
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		if a := p.post(ctx, hub.Endpoint{URL: url}, []byte("a.b.c")); a.Failure != want || a.Status != 0 {
			t.Errorf("%s: %+v, want %s", url, a, want)
		}
		cancel()
	}
	p.client = client(newTransport(Outward{Insecure: true}, &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no name server")
	}}))
	if a := p.post(t.Context(), hub.Endpoint{URL: "https://hook.example./"}, []byte("a.b.c")); a.Failure != "dns" {
		t.Errorf("%+v", a)
	}
}
