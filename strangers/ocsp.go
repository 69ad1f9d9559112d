// Go's x/crypto/ocsp as a relying party: asks by POST, verifies the answer against the issuer.
//
// usage: read-ocsp URL ISSUER LEAF
package main

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"

	"golang.org/x/crypto/ocsp"
)

func must(err error) {
	if err != nil {
		fmt.Println("FAILED:", err)
		os.Exit(1)
	}
}

func certificate(path string) *x509.Certificate {
	text, err := os.ReadFile(path)
	must(err)
	block, _ := pem.Decode(text)
	found, err := x509.ParseCertificate(block.Bytes)
	must(err)
	return found
}

func main() {
	issuer, leaf := certificate(os.Args[2]), certificate(os.Args[3])
	for _, hash := range []crypto.Hash{crypto.SHA1, crypto.SHA256} {
		ask, err := ocsp.CreateRequest(leaf, issuer, &ocsp.RequestOptions{Hash: hash})
		must(err)
		answer, err := http.Post(os.Args[1], "application/ocsp-request", bytes.NewReader(ask))
		must(err)
		body, err := io.ReadAll(answer.Body)
		must(err)
		// Checks the signature, and that the issuer named the responder.
		said, err := ocsp.ParseResponseForCert(body, leaf, issuer)
		must(err)
		words := map[int]string{ocsp.Good: "good", ocsp.Revoked: "revoked", ocsp.Unknown: "unknown"}
		fmt.Printf("go: %s (%s), good until %s\n", words[said.Status], hash, said.NextUpdate)
	}
}
