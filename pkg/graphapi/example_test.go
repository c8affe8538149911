package graphapi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/homing-dev/homing/pkg/graphapi"
)

// A failed call says what to do with its events.
func ExampleClient_Send() {
	meta := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error":{"message":"Invalid parameter","code":100,"error_subcode":2804087,"fbtrace_id":"Az"}}`)
	}))
	defer meta.Close()

	client, err := graphapi.New(graphapi.Options{BaseURL: meta.URL})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.CloseIdle()

	_, err = client.Send(context.Background(), graphapi.Call{
		Dataset: "1234567890",
		Token:   "EAAB-system-user-token",
		Events:  [][]byte{[]byte(`{"event_name":"Purchase"}`)},
	})
	fmt.Println(err)

	var failed *graphapi.Error
	if errors.As(err, &failed) && failed.Class == graphapi.Unknown {
		fmt.Println("Meta may have it: do not send it again unasked")
	}
	// Output:
	// graphapi: invalid: HTTP 400: Graph error 100/2804087: Invalid parameter (fbtrace_id Az)
}
