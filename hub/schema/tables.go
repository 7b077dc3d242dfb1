package schema

import "fmt"

// Type is a SCIM resource type.
type Type string

// The types of entries the hub knows.
const (
	User  Type = "User"
	Group Type = "Group"
)

// Schema URNs (RFC 7643 §8.7.1).
const (
	CoreUser       = "urn:ietf:params:scim:schemas:core:2.0:User"
	CoreGroup      = "urn:ietf:params:scim:schemas:core:2.0:Group"
	EnterpriseUser = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
)

// ParseType reads a resource type, whatever its case; else ErrUnknownType.
func ParseType(text string) (Type, error) {
	for _, t := range []Type{User, Group} {
		if equalFold(string(t), text) {
			return t, nil
		}
	}
	return "", fmt.Errorf("parse type: %w", ErrUnknownType)
}

// URN is the core schema of the type, "" for an unknown one.
func (t Type) URN() string {
	switch t {
	case User:
		return CoreUser
	case Group:
		return CoreGroup
	}
	return ""
}

// extension is a schema that resources of a type may carry beside their core schema.
type extension struct {
	urn        string
	attributes []Attribute
}

func (t Type) attributes() []Attribute {
	switch t {
	case User:
		return userAttributes
	case Group:
		return groupAttributes
	}
	return nil
}

func (t Type) extensions() []extension {
	if t == User {
		return []extension{{EnterpriseUser, enterpriseAttributes}}
	}
	return nil
}

// extension finds the extension whose URN is text, in any case.
func (t Type) extension(text string) *extension {
	for _, e := range t.extensions() {
		if equalFold(e.urn, text) {
			return &e
		}
	}
	return nil
}

// Schemas returns the schema documents of the hub, for the /Schemas endpoint.
func Schemas() []Schema {
	const urn = "urn:ietf:params:scim:schemas:core:2.0:Schema"
	return []Schema{
		{[]string{urn}, CoreUser, "User", "User Account", userAttributes},
		{[]string{urn}, CoreGroup, "Group", "Group", groupAttributes},
		{[]string{urn}, EnterpriseUser, "EnterpriseUser", "Enterprise User", enterpriseAttributes},
	}
}

// ResourceTypes returns the resource type documents of the hub, for the /ResourceTypes endpoint.
func ResourceTypes() []ResourceType {
	urns := []string{"urn:ietf:params:scim:schemas:core:2.0:ResourceType"}
	return []ResourceType{
		{urns, "User", "User", "/Users", "User Account", CoreUser, []Extension{{Schema: EnterpriseUser}}},
		{urns, "Group", "Group", "/Groups", "Group", CoreGroup, nil},
	}
}

// common are the attributes of every resource (RFC 7643 §3.1, §3); schema documents do not list them.
var common = complete([]Attribute{
	{Name: "externalId", CaseExact: true, Description: "The identifier of the resource as the provisioning client knows it."},
	{Name: "id", CaseExact: true, Mutability: ReadOnly, Returned: ReturnedAlways, Uniqueness: "server", Description: "The identifier of the resource."},
	{Name: "schemas", Type: TypeReference, MultiValued: true, Returned: ReturnedAlways, Mutability: ReadOnly, Description: "The schemas of the resource."},
	{Name: "meta", Mutability: ReadOnly, Description: "Facts about the resource as such.", Sub: []Attribute{
		{Name: "resourceType", CaseExact: true, Mutability: ReadOnly},
		{Name: "created", Type: TypeDateTime, Mutability: ReadOnly},
		{Name: "lastModified", Type: TypeDateTime, Mutability: ReadOnly},
		{Name: "location", Type: TypeReference, Mutability: ReadOnly},
		{Name: "version", CaseExact: true, Mutability: ReadOnly},
	}},
})

// externalId is the one common attribute that clients write.
var externalID = &common[0]

var userAttributes = complete([]Attribute{
	{Name: "userName", Required: true, Uniqueness: "server", Description: "The name with which the User signs in."},
	{Name: "name", Description: "The components of the User's name.", Sub: []Attribute{
		{Name: "formatted", Description: "The full name, formatted for display."},
		{Name: "familyName", Description: "The family name, or last name."},
		{Name: "givenName", Description: "The given name, or first name."},
		{Name: "middleName", Description: "The middle names."},
		{Name: "honorificPrefix", Description: "The title before the name."},
		{Name: "honorificSuffix", Description: "The suffix after the name."},
	}},
	{Name: "displayName", Description: "The name shown to other people."},
	{Name: "nickName", Description: "The casual way to address the User."},
	{Name: "profileUrl", Type: TypeReference, ReferenceTypes: []string{"external"}, Description: "The location of the User's online profile."},
	{Name: "title", Description: "The User's title, such as Vice President."},
	{Name: "userType", Description: "The relation between the organisation and the User."},
	{Name: "preferredLanguage", Description: "The languages the User prefers, as in Accept-Language."},
	{Name: "locale", Description: "The locale for dates, numbers and currency."},
	{Name: "timezone", Description: "The User's time zone, such as Europe/Paris."},
	{Name: "active", Type: TypeBoolean, Description: "Whether the User's account is enabled."},
	{Name: "password", Mutability: WriteOnly, Returned: ReturnedNever, Description: "The User's password. It is never kept; that it was set is told to those who may know."},
	plural("emails", "Email addresses.", Attribute{}, "work", "home", "other"),
	plural("phoneNumbers", "Telephone numbers.", Attribute{}, "work", "home", "mobile", "fax", "pager", "other"),
	plural("ims", "Instant messaging addresses.", Attribute{}, "aim", "gtalk", "icq", "xmpp", "msn", "skype", "qq", "yahoo"),
	plural("photos", "Locations of photographs.", Attribute{Type: TypeReference, ReferenceTypes: []string{"external"}}, "photo", "thumbnail"),
	{Name: "addresses", MultiValued: true, Description: "Postal addresses.", Sub: []Attribute{
		{Name: "formatted", Description: "The full address, formatted for display."},
		{Name: "streetAddress", Description: "Street, house number and the like."},
		{Name: "locality", Description: "The city."},
		{Name: "region", Description: "The state or region."},
		{Name: "postalCode", Description: "The postal code."},
		{Name: "country", Description: "The country, as in ISO 3166-1 alpha-2."},
		{Name: "type", CanonicalValues: []string{"work", "home", "other"}, Description: "The use of the address."},
		{Name: "primary", Type: TypeBoolean, Description: "Whether this is the preferred address."},
	}},
	{Name: "groups", MultiValued: true, Mutability: ReadOnly, Description: "The groups to which the User belongs.", Sub: []Attribute{
		{Name: "value", CaseExact: true, Mutability: ReadOnly, Description: "The identifier of the group."},
		{Name: "$ref", Type: TypeReference, ReferenceTypes: []string{"User", "Group"}, Mutability: ReadOnly, Description: "The location of the group."},
		{Name: "display", Mutability: ReadOnly, Description: "The display name of the group."},
		{Name: "type", CanonicalValues: []string{"direct", "indirect"}, Mutability: ReadOnly, Description: "Whether the User is a member itself or by another group."},
	}},
	plural("entitlements", "Things the User has.", Attribute{}),
	plural("roles", "Roles of the User.", Attribute{}),
	plural("x509Certificates", "Certificates of the User.", Attribute{Type: TypeBinary}),
})

// plural is a multi-valued attribute with the usual sub-attributes (RFC 7643 §2.4).
func plural(name, description string, value Attribute, types ...string) Attribute {
	value.Name, value.Description = "value", "The value."
	return Attribute{Name: name, MultiValued: true, Description: description, Sub: []Attribute{
		value,
		{Name: "display", Description: "The value as shown to people."},
		{Name: "type", CanonicalValues: types, Description: "The use of the value."},
		{Name: "primary", Type: TypeBoolean, Description: "Whether this is the preferred value."},
	}}
}

// What surrounds the value of a reference ($ref, type, display) is readOnly here, although RFC 7643 §8.7.1
// lets clients write some of it: it follows from the target, clients send it or leave it out from one message to
// the next, and comparing it would make changes where there are none.
var groupAttributes = complete([]Attribute{
	{Name: "displayName", Required: true, Description: "The name of the group."},
	{Name: "members", MultiValued: true, Description: "The members of the group.", Sub: []Attribute{
		{Name: "value", CaseExact: true, Mutability: Immutable, Description: "The identifier of the member."},
		{Name: "$ref", Type: TypeReference, ReferenceTypes: []string{"User", "Group"}, Mutability: ReadOnly, Description: "The location of the member."},
		{Name: "type", CanonicalValues: []string{"User", "Group"}, Mutability: ReadOnly, Description: "The type of the member."},
		{Name: "display", Mutability: ReadOnly, Description: "The display name of the member."},
	}},
})

var enterpriseAttributes = complete([]Attribute{
	{Name: "employeeNumber", Description: "The number given by the organisation."},
	{Name: "costCenter", Description: "The cost center."},
	{Name: "organization", Description: "The organisation."},
	{Name: "division", Description: "The division."},
	{Name: "department", Description: "The department."},
	{Name: "manager", Description: "The User's manager.", Sub: []Attribute{
		{Name: "value", CaseExact: true, Description: "The identifier of the manager."},
		{Name: "$ref", Type: TypeReference, ReferenceTypes: []string{"User"}, Mutability: ReadOnly, Description: "The location of the manager."},
		{Name: "displayName", Mutability: ReadOnly, Description: "The display name of the manager."},
	}},
})
