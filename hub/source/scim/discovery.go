package scim

import (
	"net/http"
	"strings"

	"tidings/events"
	"tidings/hub"
	"tidings/hub/schema"
	"tidings/subscriptions"
)

// discover serves what the service can do (RFC 7644 section 4).
func (p *provider) discover(w http.ResponseWriter, r *http.Request, steps []string) error {
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return notAllowed(w, "GET")
	case r.URL.Query().Has("filter"):
		// A client that filters might take what is left out for not supported (SM-03).
		return &failure{status: http.StatusForbidden, Detail: "these resources take no filter"}
	case len(steps) > 2 || len(steps) == 2 && steps[0] == "ServiceProviderConfig":
		return hub.ErrNotFound
	}
	var all []map[string]any
	switch steps[0] {
	case "ServiceProviderConfig":
		p.write(w, r, http.StatusOK, p.serviceProvider())
		return nil
	case "ResourceTypes":
		for _, t := range schema.ResourceTypes() {
			doc := p.described(steps[0], "ResourceType", t.ID, map[string]any{
				"schemas": t.Schemas, "id": t.ID, "name": t.Name, "endpoint": t.Endpoint,
				"description": t.Description, "schema": t.Schema,
			})
			if len(t.Extensions) > 0 {
				doc["schemaExtensions"] = t.Extensions
			}
			all = append(all, doc)
		}
	case "Schemas":
		for _, s := range schema.Schemas() {
			all = append(all, p.described(steps[0], "Schema", s.ID, map[string]any{
				"schemas": s.Schemas, "id": s.ID, "name": s.Name, "description": s.Description, "attributes": s.Attributes,
			}))
		}
	}
	if len(steps) == 1 {
		writeList(p, w, r, len(all), 1, all)
		return nil
	}
	for _, doc := range all {
		if strings.EqualFold(doc["id"].(string), steps[1]) {
			p.write(w, r, http.StatusOK, doc)
			return nil
		}
	}
	return hub.ErrNotFound
}

// described adds meta, which depends on where a document is served.
func (p *provider) described(path, kind, id string, doc map[string]any) map[string]any {
	doc["meta"] = map[string]any{"resourceType": kind, "location": p.base + "/" + path + "/" + id}
	return doc
}

// serviceProvider says what is offered (SH-09).
func (p *provider) serviceProvider() map[string]any {
	supported := func(yes bool) map[string]any { return map[string]any{"supported": yes} }
	return map[string]any{
		"schemas":        []string{"urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"},
		"patch":          supported(true),
		"bulk":           map[string]any{"supported": false, "maxOperations": 0, "maxPayloadSize": 0},
		"filter":         map[string]any{"supported": true, "maxResults": maxCount},
		"changePassword": supported(false),
		"sort":           supported(false),
		"etag":           supported(true),
		"pagination":     map[string]any{"cursor": false, "index": true, "defaultPaginationMethod": "index", "defaultPageSize": defaultCount, "maxPageSize": maxCount},
		"securityEvents": map[string]any{"asyncRequest": "none", "eventUris": securityEvents()},
		"authenticationSchemes": []map[string]any{{
			"type": "oauthbearertoken", "name": "Bearer token", "description": "A token of the role directory in the Authorization header", "primary": true,
		}},
		"meta": map[string]any{"resourceType": "ServiceProviderConfig", "location": p.base + "/ServiceProviderConfig"},
	}
}

// securityEvents are what streams may tell of resources here (RFC 9967 section 4). Informational: what a stream really
// tells it is asked for, and bounded, by SSF.
func securityEvents() (uris []events.Type) {
	for _, t := range (subscriptions.Offer{Values: true}).Supported() {
		if definition, _ := events.Lookup(t); definition.Family == events.FamilySCIM {
			uris = append(uris, t)
		}
	}
	return uris
}
