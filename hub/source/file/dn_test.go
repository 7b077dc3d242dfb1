package file_test

import (
	"errors"
	"strings"
	"testing"

	"tidings/hub/schema"
	"tidings/hub/source/file"
)

func TestNormalizeDN(t *testing.T) {
	for in, want := range map[string]string{
		"":                               "",
		"cn=Runa Holt,dc=Example,dc=org": "cn=runa holt,dc=example,dc=org",
		" CN = Runa   Holt , DC=example,  dc = ORG ":           "cn=runa holt,dc=example,dc=org",
		"2.5.4.3=Runa Holt,OID.0.9.2342.19200300.100.1.25=org": "cn=runa holt,dc=org",
		"commonName=a,organizationalUnitName=b,userid=c":       "cn=a,ou=b,uid=c",
		"1.3.6.1.4.1.1466.0=#04024869,o=x":                     "1.3.6.1.4.1.1466.0=hi,o=x",
		"cn=#0C024869":                                         "cn=hi",
		"cn=#300306012a":                                       "cn=#300306012a",
		"cn=#0402":                                             "cn=#0402",
		`cn=\ff\fe`:                                            "cn=#0402fffe",
		"cn=#0402fffe":                                         "cn=#0402fffe",
		`cn=Holt\, Runa,o=x`:                                   `cn=holt\, runa,o=x`,
		`cn=Holt\2C Runa,o=x`:                                  `cn=holt\, runa,o=x`,
		`cn=\23 one,o=a=b`:                                     `cn=\# one,o=a\=b`,
		`cn=C\#`:                                               `cn=c#`,
		`cn=\ a\ ,o=\20\20b`:                                   `cn=a,o=b`,
		`cn=a\0ab`:                                             `cn=a\0ab`,
		`cn=a\00b`:                                             `cn=a\00b`,
		`cn=a\\b\"\;\<\>`:                                      `cn=a\\b\"\;\<\>`,
		`cn=R\C3\A9a`:                                          "cn=réa",
		"cn=RE\u0301A":                                         "cn=réa",
		"cn=Straße":                                            "cn=strasse",
		"uid=b+cn=A,o=x":                                       "cn=a+uid=b,o=x",
		"cn=,o=":                                               "cn=,o=",
		"cn=a\u037e":                                           `cn=a\;`, // composes to a semicolon
	} {
		got, err := file.NormalizeDN(in)
		if err != nil || got != want {
			t.Errorf("%q: %q %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{
		"x", "=x", ",", "cn=a,", ",cn=a", "cn=a,,o=b", "cn=a+", "cn=a;o=b", `cn="a, b"`, `cn=a\`, `cn=a\4`, `cn=a\zz`, "cn=#", "cn=#4", "cn=#zz",
		"cn=#04024869x", "1a=b", "-a=b", "a.b=c", "c n=a", "cn=a\x00", "cn=\xff", "cn=" + strings.Repeat("x", 1100), strings.Repeat(" ", 5000) + "cn=a",
	} {
		if got, err := file.NormalizeDN(in); !errors.Is(err, file.ErrDN) {
			t.Errorf("%.40q: %q %v, want ErrDN", in, got, err)
		}
	}
}

// FuzzNormalizeDN: normalising twice is normalising once, also after the hub's folding; blanks and case do not matter.
func FuzzNormalizeDN(f *testing.F) {
	for _, seed := range []string{
		"cn=Runa Holt,dc=Example", `uid=a\2c+cn=#0402fffe`, "2.5.4.3=\u212a", `cn=\+\"\ \00`, "cn=a\u037e", "cn=İ\u0345\u0301", "cn=#1e020041",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		once, err := file.NormalizeDN(in)
		if err != nil {
			return
		}
		if len(once) > 1024 {
			t.Fatalf("%d bytes", len(once))
		}
		if twice, err := file.NormalizeDN(once); err != nil || twice != once {
			t.Fatalf("%q → %q → %q %v", in, once, twice, err)
		}
		if blanks, err := file.NormalizeDN("  " + in + " "); len(in) < 4000 && !strings.HasSuffix(in, `\`) && (err != nil || blanks != once) {
			t.Fatalf("with blanks %q → %q %v, without %q", in, blanks, err, once)
		}
		if folded, err := file.NormalizeDN(schema.Fold(once)); err == nil && folded != once && strings.IndexByte(once, '#') < 0 && ascii(once) {
			t.Fatalf("folded %q → %q", once, folded)
		}
	})
}

func ascii(s string) bool { return strings.IndexFunc(s, func(r rune) bool { return r > 127 }) < 0 }
