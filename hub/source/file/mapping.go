package file

import (
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"tidings/hub"
	"tidings/hub/schema"
)

// The canonical names that the mapping knows, per type. A report is full over them and leaves the others alone. Whatever
// is not listed here is not read, passwords above all.
var (
	userNames = []string{
		"externalId", "userName", "name.formatted", "name.familyName", "name.givenName", "displayName", "title",
		"preferredLanguage", "userType", "emails", "phoneNumbers", enterprise("employeeNumber"),
		enterprise("organization"), enterprise("department"), enterprise("manager"),
	}
	groupNames = []string{"externalId", "displayName", "members"}
)

func enterprise(name string) string { return schema.EnterpriseUser + ":" + name }

// kind is what an object is to the hub.
type kind int

const (
	container kind = iota // neither person nor group: organizational units, domains, services
	person
	group
)

var groupClasses = []string{"groupofnames", "groupofuniquenames", "groupofmembers", "group"}

// object is a record as the mapping reads it.
type object struct {
	record Record
	name   dn
	key    string // its normalised DN
	err    error  // the first thing that does not fit
}

func readObject(r Record) (*object, error) {
	name, err := parseDN(r.DN)
	if err != nil {
		return nil, errors.New("dn is not a distinguished name")
	}
	key, err := name.normal()
	if err != nil {
		return nil, errors.New("dn is too long")
	}
	return &object{record: r, name: name, key: key}, nil
}

// kind goes by the object's classes; directories derive their own from person. A computer of Active Directory has the
// class person and is none.
func (o *object) kind() kind {
	is := container
	for _, c := range o.values("objectclass") {
		switch c = strings.ToLower(strings.Trim(c, " ")); {
		case c == "computer":
			return container
		case strings.HasSuffix(c, "person"):
			is = person
		case is == container && slices.Contains(groupClasses, c):
			is = group
		}
	}
	if is == container && o.text("uid") != "" && o.text("sn") != "" {
		return person
	}
	return is
}

// values are the values of an attribute, each once, that are not empty. Where there are only values in a language, those stand in:
// cn;lang-de is a cn (RFC 4512 section 2.5.2.1, RFC 3866).
func (o *object) values(name string) (plain []string) {
	var tagged []string
	for _, v := range o.record.Values {
		base, options, _ := strings.Cut(v.Attribute, ";")
		switch {
		case base != name || v.Text == "":
		case options == "":
			plain = append(plain, v.Text)
		case strings.HasPrefix(options, "lang-") && !strings.Contains(options, ";"):
			tagged = append(tagged, v.Text)
		}
	}
	if plain == nil {
		plain = tagged
	}
	seen := map[string]bool{}
	plain = slices.DeleteFunc(plain, func(v string) bool {
		twice := seen[v]
		seen[v] = true
		return twice
	})
	for _, v := range plain {
		if !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
			o.fail(name + " is not UTF-8 text")
		}
	}
	return plain
}

// text is the one value for an attribute that has many here and one in SCIM: that of the RDN, by which the directory
// itself tells the object from others, else the first.
func (o *object) text(name string) string {
	values := o.values(name)
	if len(values) == 0 {
		return ""
	}
	for _, p := range o.rdn() {
		if p.kind != name || p.ber {
			continue
		}
		for _, v := range values {
			if fold(v) == fold(p.value) {
				return v
			}
		}
	}
	return values[0]
}

func (o *object) rdn() []part {
	if len(o.name) == 0 {
		return nil
	}
	return o.name[0]
}

// rdnText is the value of the RDN, for objects that have no other name.
func (o *object) rdnText() string {
	for _, p := range o.rdn() {
		if p.value != "" && !p.ber && utf8.ValidString(p.value) {
			return p.value
		}
	}
	return ""
}

func (o *object) fail(reason string) {
	if o.err == nil {
		o.err = errors.New(reason)
	}
}

// references are the objects that the values of an attribute point to, by normalised DN. The empty DN, with which
// directories fill groups that must have a member, points to nobody.
func (o *object) references(name string) (keys []any) {
	for _, v := range o.values(name) {
		if name == "uniquemember" {
			v = withoutUID(v)
		}
		key, err := NormalizeDN(v)
		if err != nil {
			o.fail(name + " is not a distinguished name")
		}
		if key != "" {
			keys = append(keys, map[string]any{"value": key})
		}
	}
	return keys
}

// withoutUID drops the bit string that may follow a DN (RFC 4517 section 3.3.21): dn#'0101'B.
func withoutUID(v string) string {
	i := strings.LastIndex(v, "#'")
	if i < 0 || !strings.HasSuffix(v, "'B") || strings.Trim(v[i+2:len(v)-2], "01") != "" {
		return v
	}
	return v[:i]
}

// report is what the hub is told of the object; ok is false for containers. The error names attributes, never values.
func (o *object) report() (r hub.Report, ok bool, err error) {
	var body map[string]any
	switch o.kind() {
	case person:
		r.Type, r.Names, body = schema.User, userNames, o.person()
	case group:
		r.Type, r.Names, body = schema.Group, groupNames, o.group()
	default:
		return hub.Report{}, false, o.err
	}
	if o.key == "" {
		o.fail("dn is empty")
	}
	r.Key, r.Aliases = o.key, []string{o.key}
	if id := strings.ToLower(o.text("entryuuid")); id != "" {
		if !isUUID(id) {
			o.fail("entryuuid is not a UUID")
		}
		r.Key = id
	}
	body["externalId"] = r.Key
	if o.err != nil {
		return hub.Report{}, true, o.err
	}
	resource, err := schema.Normalize(r.Type, body)
	r.Resource = &resource
	return r, true, err
}

func isUUID(s string) bool {
	for i := range len(s) {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		if dash != (s[i] == '-') || !dash && strings.IndexByte("0123456789abcdef", s[i]) < 0 {
			return false
		}
	}
	return len(s) == 36
}

func (o *object) person() map[string]any {
	mails := o.values("mail")
	userName := o.text("uid")
	if userName == "" && len(mails) > 0 {
		userName = mails[0]
	}
	if userName == "" {
		userName = o.rdnText()
	}
	if len(userName) > maxDN { // an index key in the store, as DNs are
		o.fail("the user name is too long")
	}
	emails := typed(mails, "work")
	if len(emails) > 0 {
		emails[0].(map[string]any)["primary"] = true
	}
	var manager any
	if managers := o.references("manager"); len(managers) > 0 {
		manager = managers[0]
	}
	return map[string]any{
		"userName": userName,
		"name": map[string]any{
			"formatted":  o.text("cn"),
			"familyName": o.text("sn"),
			"givenName":  o.text("givenname"),
		},
		"displayName":       o.text("displayname"),
		"title":             o.text("title"),
		"preferredLanguage": o.text("preferredlanguage"),
		"userType":          o.text("employeetype"),
		"emails":            emails,
		"phoneNumbers":      append(typed(o.values("telephonenumber"), "work"), typed(o.values("mobile"), "mobile")...),
		schema.EnterpriseUser: map[string]any{
			"employeeNumber": o.text("employeenumber"),
			"organization":   o.text("o"),
			"department":     o.text("departmentnumber"),
			"manager":        manager,
		},
	}
}

func (o *object) group() map[string]any {
	name := o.text("cn")
	if name == "" {
		name = o.rdnText()
	}
	return map[string]any{
		"displayName": name,
		"members":     append(o.references("member"), o.references("uniquemember")...),
	}
}

func typed(values []string, kind string) (elements []any) {
	for _, v := range values {
		elements = append(elements, map[string]any{"value": v, "type": kind})
	}
	return elements
}
