package conformance

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"slices"
	"strings"

	"github.com/lestrrat-go/jwx/v2/jwk"
)

// metadata: what a receiver reads first (SSF 1.0 section 7).
func metadata(t *try) {
	a := t.call("GET", wellKnown(t.program.issuer), "", nil)
	t.need(a.status == 200, "WK-01 WK-03 MD-21", "the metadata answers %v", a)
	t.check(a.media() == "application/json", "WK-03", "the metadata is %s", a.media())
	doc, err := strictObject(a.body)
	t.need(err == nil, "WK-03", "the metadata: %v", err)
	t.check(doc["spec_version"] == "1_0", "MD-01 CI-02", "spec_version is %v", doc["spec_version"])
	t.check(doc["issuer"] == t.program.issuer, "MD-02 WK-04", "issuer is %v", doc["issuer"])
	for member, rows := range map[string]string{
		"jwks_uri": "MD-03 CI-04", "configuration_endpoint": "MD-05 CI-05", "status_endpoint": "MD-06 CI-06", "verification_endpoint": "MD-09 CI-07",
		"add_subject_endpoint": "MD-07", "remove_subject_endpoint": "MD-08",
	} {
		url, _ := doc[member].(string)
		t.check(strings.HasPrefix(url, base(t.program.issuer)+"/") && !strings.ContainsAny(url, "?#"), rows+" MD-23", "%s is %v", member, doc[member])
	}
	methods := texts(doc["delivery_methods_supported"])
	t.check(slices.Contains(methods, "urn:ietf:rfc:8935") && slices.Contains(methods, "urn:ietf:rfc:8936"), "MD-04 CI-03", "delivery_methods_supported is %v", methods)
	schemes, _ := doc["authorization_schemes"].([]any)
	oauth := false
	for _, s := range schemes {
		scheme, _ := s.(object)
		urn, _ := scheme["spec_urn"].(string)
		t.check(urn != "", "MD-11", "a scheme without spec_urn: %v", s)
		oauth = oauth || urn == "urn:ietf:rfc:6749"
	}
	t.check(oauth, "MD-11 CI-08", "authorization_schemes is %v", doc["authorization_schemes"])
	t.check(doc["default_subjects"] == "ALL", "MD-12 CI-11", "default_subjects is %v", doc["default_subjects"])
	critical, _ := doc["critical_subject_members"].([]any)
	t.check(slices.Contains(critical, any("user")), "MD-10", "critical_subject_members is %v", critical)
	_, has := doc["events_supported"]
	t.check(!has, "MD-13", "events_supported belongs to the stream")
	for name, value := range doc {
		list, isList := value.([]any)
		t.check(!isList || len(list) > 0, "MD-20", "%s is an empty array", name)
	}
	legacy := t.call("GET", base(t.program.issuer)+"/.well-known/risc-configuration", "", nil)
	t.check(legacy.status == 404, "WK-05", "the legacy path answers %v", legacy)
}

// keySet: what tokens are verified with.
func keySet(t *try) {
	a := t.call("GET", t.endpoint("jwks_uri"), "", nil)
	t.need(a.status == 200, "MD-23", "the JWKS answers %v", a)
	keys, err := jwk.Parse(a.body)
	t.need(err == nil && keys.Len() > 0, "MD-23 MD-03", "the JWKS: %v", err)
	doc := a.object()
	list, _ := doc["keys"].([]any)
	for _, k := range list {
		key, _ := k.(object)
		kid, _ := key["kid"].(string)
		t.check(kid != "", "MD-24", "a key without kid: %v", key)
		for _, secret := range []string{"d", "p", "q", "dp", "dq", "qi", "k"} {
			t.check(key[secret] == nil, "MD-23", "a key shows %s", secret)
		}
	}
}

// onTheInternet: the program behind TLS, whose issuer has a path and a slash at its end.
func onTheInternet(t *try) {
	at := base(t.program.issuer)
	for _, path := range []string{"/.well-known/ssf-configuration/tenant", "/.well-known/ssf-configuration/tenant/"} {
		a := t.call("GET", at+path, "", nil)
		t.need(a.status == 200, "WK-02 WK-01", "%s answers %v", path, a)
		t.check(a.object()["issuer"] == t.program.issuer, "WK-04 MD-02", "issuer is %v", a.object()["issuer"])
		for _, name := range []string{"jwks_uri", "configuration_endpoint", "status_endpoint", "verification_endpoint"} {
			url, _ := a.object()[name].(string)
			t.check(strings.HasPrefix(url, "https://"), "MD-23 CI-01", "%s is %s", name, url)
		}
	}
	for _, path := range []string{"/.well-known/ssf-configuration", "/.well-known/ssf-configuration/other", "/tenant/.well-known/ssf-configuration"} {
		a := t.call("GET", at+path, "", nil)
		t.check(a.status == 404, "WK-06 WK-01", "%s answers %v", path, a)
	}
	// A Host that is not ours changes no URL.
	req, err := http.NewRequestWithContext(t.ctx, "GET", wellKnown(t.program.issuer), nil)
	if err != nil {
		panic(err)
	}
	req.Host = "evil.example"
	res, err := t.client.Do(req)
	t.need(err == nil, "WK-06", "a request with another Host: %v", err)
	body := readAll(res)
	t.check(!strings.Contains(string(body), "evil.example"), "WK-06", "another Host gets %s", body)

	pool := x509.NewCertPool()
	pool.AddCert(must(x509.ParseCertificate(t.program.certificate.Certificate[0])))
	dial := t.client.Transport.(*http.Transport).DialContext
	for version, welcome := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		conn, err := dial(t.ctx, "tcp", "")
		if err != nil {
			panic(err)
		}
		secured := tls.Client(conn, &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS10, MaxVersion: version})
		err = secured.HandshakeContext(t.ctx)
		t.check((err == nil) == welcome, "CI-01 EV-07 PB-17", "a handshake of %s: %v", tls.VersionName(version), err)
		secured.Close()
	}

	// The rest of the endpoints are where the metadata says, below the path.
	stream := t.create(object{})
	t.check(stream["iss"] == t.program.issuer, "MD-02 SC-02", "iss of a stream is %v", stream["iss"])
	a := t.verify(stream, "path")
	t.check(a.status == 204, "VE-01", "verify answered %v", a)
	t.next(stream, "VE-13", ofType("/verification"))

	for _, url := range []string{
		"http://receiver.example/events", "https://127.0.0.1/events", "https://localhost/events", "https://10.1.2.3/events", "https://192.168.1.1/",
		"https://169.254.169.254/latest", "https://[::1]/", "https://[fd00::1]/", "https://[::ffff:127.0.0.1]/", "https://0.0.0.0/",
	} {
		a := t.manage("POST", t.streams(), object{"delivery": object{"method": "urn:ietf:rfc:8935", "endpoint_url": url}})
		t.check(a.status == 400, "CR-10 PU-01 PU-09", "a stream that pushes to %s: %v", url, a)
	}
	a = t.manage("POST", t.streams(), object{"delivery": object{"method": "urn:ietf:rfc:8935", "endpoint_url": "https://receiver.example/events"}})
	t.check(a.status == 201, "CR-10", "a stream that pushes to a public host: %v", a)
}
