package api

import (
	_ "embed"
	"encoding/json"
	"net/http"

	"github.com/watchbill/watchbill/collector/fleet"
)

// document is the OpenAPI description of this API. It is made from the read models and their comments by
// `go test ./collector/api -run OpenAPI -update`; the same test holds it against the handlers.
//
//go:embed openapi.json
var document []byte

// showDocument answers the OpenAPI description, for whoever may read what it describes.
func (a *API) showDocument(r *http.Request, _ fleet.Operator) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	return json.RawMessage(document), nil
}
