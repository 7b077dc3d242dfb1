package subscriptions

import (
	"fmt"
	"strings"

	"tidings/hub/schema"
)

// claims are the usual names of what identity tokens say of a person (OpenID Connect Core 1.0 section 5.1, RFC 9068 section
// 2.2.3.1), each with the attribute that it is made of.
var claims = map[string]string{
	"name": "displayName", "given_name": "name.givenName", "family_name": "name.familyName", "middle_name": "name.middleName",
	"nickname": "nickName", "preferred_username": "userName", "profile": "profileUrl", "picture": "photos",
	"email": "emails", "phone_number": "phoneNumbers", "zoneinfo": "timezone", "locale": "locale",
	"groups": "groups", "roles": "roles", "entitlements": "entitlements",
}

const maxClaims = 64

// ParseClaims reads which claims a party's tokens hold: a usual name ("email"), or a name and the attribute it is made
// of ("dept=department"). The error is an *Invalid.
func ParseClaims(texts []string) (map[string]string, error) {
	if len(texts) > maxClaims {
		return nil, &Invalid{"claims", fmt.Sprintf("has more than %d", maxClaims)}
	}
	var out map[string]string
	for _, text := range texts {
		name, attribute, given := strings.Cut(text, "=")
		if !given {
			attribute = claims[name]
		}
		canonical, err := schema.ParseName(schema.User, attribute)
		if err != nil || name == "" || len(name) > 100 {
			return nil, &Invalid{"claims", "has one that is neither a usual name nor NAME=ATTRIBUTE"}
		}
		if out == nil {
			out = map[string]string{}
		}
		out[name] = canonical
	}
	return out, nil
}
