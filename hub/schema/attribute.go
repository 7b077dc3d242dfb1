package schema

// Attributes is the SCIM JSON shape of a resource without schemas, id and meta (externalId is kept) and
// without active and password: canonical attribute names; attributes of an extension under its URN as a nested
// map. Values are string, bool, map[string]any and []any, and json.Number should a schema ever have a number.
type Attributes = map[string]any

// Attribute is the definition of an attribute; it marshals as RFC 7643 §7 has it.
type Attribute struct {
	Name            string      `json:"name"`
	Type            string      `json:"type"`
	MultiValued     bool        `json:"multiValued"`
	Description     string      `json:"description"`
	Required        bool        `json:"required"`
	CaseExact       bool        `json:"caseExact"`
	CanonicalValues []string    `json:"canonicalValues,omitempty"`
	Mutability      string      `json:"mutability"`
	Returned        string      `json:"returned"`
	Uniqueness      string      `json:"uniqueness"`
	ReferenceTypes  []string    `json:"referenceTypes,omitempty"`
	Sub             []Attribute `json:"subAttributes,omitempty"`
}

// Characteristics of RFC 7643 §2.2 and §7.
const (
	TypeString    = "string"
	TypeBoolean   = "boolean"
	TypeDateTime  = "dateTime"
	TypeBinary    = "binary"
	TypeReference = "reference"
	TypeComplex   = "complex"

	ReadOnly  = "readOnly"
	ReadWrite = "readWrite"
	Immutable = "immutable"
	WriteOnly = "writeOnly"

	ReturnedAlways  = "always"
	ReturnedDefault = "default"
	ReturnedNever   = "never"
)

// Schema is a schema document (RFC 7643 §7) without its meta, which depends on where it is served.
type Schema struct {
	Schemas     []string    `json:"schemas"`
	ID          string      `json:"id"`
	Name        string      `json:"name"`
	Description string      `json:"description"`
	Attributes  []Attribute `json:"attributes"`
}

// ResourceType is a resource type document (RFC 7643 §6) without its meta.
type ResourceType struct {
	Schemas     []string    `json:"schemas"`
	ID          string      `json:"id"`
	Name        string      `json:"name"`
	Endpoint    string      `json:"endpoint"`
	Description string      `json:"description"`
	Schema      string      `json:"schema"`
	Extensions  []Extension `json:"schemaExtensions,omitempty"`
}

// Extension names a schema that a resource type may carry.
type Extension struct {
	Schema   string `json:"schema"`
	Required bool   `json:"required"`
}

// complete fills in the defaults of RFC 7643 §2.2, so that the tables need only say what differs. References
// and binaries are case exact (§2.3.6, §2.3.7).
func complete(attributes []Attribute) []Attribute {
	for i := range attributes {
		a := &attributes[i]
		a.Sub = complete(a.Sub)
		if a.Type == "" {
			a.Type = TypeString
		}
		if a.Sub != nil {
			a.Type = TypeComplex
		}
		if a.Type == TypeReference || a.Type == TypeBinary {
			a.CaseExact = true
		}
		if a.Mutability == "" {
			a.Mutability = ReadWrite
		}
		if a.Returned == "" {
			a.Returned = ReturnedDefault
		}
		if a.Uniqueness == "" {
			a.Uniqueness = "none"
		}
	}
	return attributes
}

// find looks an attribute up by a client's spelling (case-insensitive, RFC 7644 §3.10).
func find(attributes []Attribute, name string) *Attribute {
	for i := range attributes {
		if equalFold(attributes[i].Name, name) {
			return &attributes[i]
		}
	}
	return nil
}
