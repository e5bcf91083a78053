// Receivers in Go: the published library for Standard Webhooks, and the standard library's ed25519
// for v1a, which the library does not know.
//
// Reads cases from stdin, one JSON object a line: headers, body (base64), and secret or jwks (the
// document at /.well-known/webhooks/{id}/jwks.json). Prints a line for each: "accepted", or
// "refused: " and the reason.
package main

import (
	"bufio"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const tolerance = 5 * time.Minute

type request struct {
	Headers map[string]string `json:"headers"`
	Body    []byte            `json:"body"`
	Secret  string            `json:"secret"`
	Jwks    *keySet           `json:"jwks"`
}

type keySet struct {
	Keys []struct {
		X string `json:"x"`
	} `json:"keys"`
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var given request
		if err := json.Unmarshal(lines.Bytes(), &given); err != nil {
			panic(err)
		}
		if err := verify(given); err != nil {
			fmt.Println("refused:", err)
		} else {
			fmt.Println("accepted")
		}
	}
	if err := lines.Err(); err != nil {
		panic(err)
	}
}

func verify(given request) error {
	headers := http.Header{}
	for name, value := range given.Headers {
		headers.Set(name, value)
	}
	if given.Jwks != nil {
		return verifyV1a(given.Jwks, headers, given.Body)
	}
	webhook, err := standardwebhooks.NewWebhook(given.Secret)
	if err != nil {
		panic(err)
	}
	return webhook.Verify(given.Body, headers)
}

func verifyV1a(jwks *keySet, headers http.Header, body []byte) error {
	id, timestamp := headers.Get("webhook-id"), headers.Get("webhook-timestamp")
	list := headers.Get("webhook-signature")
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if id == "" || list == "" || err != nil {
		return errors.New("missing required headers")
	}
	age := time.Since(time.Unix(seconds, 0)).Seconds()
	if math.Abs(age) > tolerance.Seconds() {
		return fmt.Errorf("%.0f seconds too old or too new", age)
	}
	signed := append([]byte(id+"."+timestamp+"."), body...)
	for _, one := range strings.Split(list, " ") {
		encoded, isV1a := strings.CutPrefix(one, "v1a,")
		signature, err := base64.StdEncoding.DecodeString(encoded)
		if !isV1a || err != nil {
			continue
		}
		for _, key := range jwks.Keys {
			public, err := base64.RawURLEncoding.DecodeString(key.X)
			if err != nil || len(public) != ed25519.PublicKeySize {
				return errors.New("the key set has a key that is none")
			}
			if ed25519.Verify(public, signed, signature) {
				return nil
			}
		}
	}
	return errors.New("no matching signature found")
}
