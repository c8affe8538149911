package tenants

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Limits of what is read: far above any real use, and below what would hurt.
const (
	maxFileBytes  = 16 << 20
	maxTenants    = 100_000
	maxAPIKeys    = 100   // of a tenant
	maxWABAs      = 1000  // of a tenant or an app secret
	maxAppSecrets = 64    // each costs an HMAC over every webhook's body
	maxRateLimit  = 1e6   // requests per second
	maxProblems   = 20    // told of one file
	maxTextBytes  = 2048  // of a value that is no secret
	maxSecretText = 16384 // of a secret's text
)

// Load reads the tenants file at path and every file that it names. env looks
// up the variables that it names, like os.LookupEnv. The error tells every
// problem (20 at most), with its line, and never a secret.
func Load(path string, env func(string) (string, bool)) (*Set, error) {
	set, _, err := load(path, env)
	return set, err
}

// Check tells what is wrong with the tenants file at path: it is Load for those
// who want the verdict only.
func Check(path string, env func(string) (string, bool)) error {
	_, err := Load(path, env)
	return err
}

// Parse is Load for the bytes of a tenants file; errors call it name.
func Parse(name string, data []byte, env func(string) (string, bool)) (*Set, error) {
	return parse(name, data, env, make(reads))
}

func load(path string, env func(string) (string, bool)) (*Set, reads, error) {
	seen := make(reads)
	data, err := seen.file(path)
	if err != nil {
		return nil, seen, fmt.Errorf("%s: %w", path, err)
	}
	set, err := parse(path, data, env, seen)
	return set, seen, err
}

// fingerprint is what a file held when it was read; the zero fingerprint is of
// a file that could not be read.
type fingerprint struct {
	readable bool
	sum      digest
}

// reads is what a load has read, by path: what has to be looked at again to
// know whether another load would give something else.
type reads map[string]fingerprint

func (r reads) file(path string) ([]byte, error) {
	data, err := readFile(path)
	r[path] = fingerprintOf(data, err)
	return data, err
}

func fingerprintOf(data []byte, err error) fingerprint {
	if err != nil {
		return fingerprint{}
	}
	return fingerprint{readable: true, sum: sha256.Sum256(data)}
}

// readFile reads a regular file: a named pipe would block for ever. Its errors
// leave the path to the caller.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, withoutPath(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, withoutPath(err)
	}
	if len(data) > maxFileBytes {
		return nil, fmt.Errorf("is larger than %d bytes", maxFileBytes)
	}
	return data, nil
}

func withoutPath(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("cannot be read: %w", pe.Err)
	}
	return err
}
