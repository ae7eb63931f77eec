// Command s3ec is the S3 Encryption Client for Go, spoken to in lines of JSON: see ../../client.ts for the words.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log"
	"os"
	"runtime/debug"
	"strings"

	"github.com/aws/amazon-s3-encryption-client-go/v4/client"
	"github.com/aws/amazon-s3-encryption-client-go/v4/commitment"
	"github.com/aws/amazon-s3-encryption-client-go/v4/materials"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

type clouds struct {
	S3, Kms, Region, AccessKeyID, SecretAccessKey string
}

type request struct {
	Op, Bucket, Key, File, KmsKey, Mode string
	Generation                          int
	Context                             map[string]string
}

type answer struct {
	Error     string `json:"error,omitempty"`
	SizeBytes int    `json:"sizeBytes"`
	Sha256    string `json:"sha256,omitempty"`
}

func main() {
	lines := bufio.NewReader(os.Stdin)
	said := json.NewEncoder(os.Stdout)
	var where clouds
	must(json.Unmarshal(line(lines), &where))
	must(said.Encode(map[string]string{"version": version()}))
	for text := line(lines); len(text) > 0; text = line(lines) {
		var asked request
		must(json.Unmarshal(text, &asked))
		result, err := serve(where, asked)
		if err != nil {
			result.Error = err.Error()
		}
		must(said.Encode(result))
	}
}

func serve(where clouds, asked request) (answer, error) {
	encrypting, err := clientFor(where, asked)
	if err != nil {
		return answer{}, err
	}
	with := context.Background()
	if len(asked.Context) > 0 {
		with = context.WithValue(with, client.EncryptionContext, asked.Context)
	}
	if asked.Op == "write" {
		plaintext, err := os.ReadFile(asked.File)
		if err != nil {
			return answer{}, err
		}
		_, err = encrypting.PutObject(with, &s3.PutObjectInput{
			Bucket: aws.String(asked.Bucket), Key: aws.String(asked.Key), Body: bytes.NewReader(plaintext),
		})
		return answer{}, err
	}
	object, err := encrypting.GetObject(with, &s3.GetObjectInput{Bucket: aws.String(asked.Bucket), Key: aws.String(asked.Key)})
	if err != nil {
		return answer{}, err
	}
	plaintext, err := io.ReadAll(object.Body)
	if err != nil {
		return answer{}, err
	}
	digest := sha256.Sum256(plaintext)
	return answer{SizeBytes: len(plaintext), Sha256: hex.EncodeToString(digest[:])}, nil
}

func clientFor(where clouds, asked request) (*client.S3EncryptionClientV4, error) {
	who := credentials.NewStaticCredentialsProvider(where.AccessKeyID, where.SecretAccessKey, "")
	legacy := asked.Mode == "legacy"
	store := s3.New(s3.Options{
		Region: where.Region, Credentials: who, UsePathStyle: true, EndpointResolver: s3.EndpointResolverFromURL(where.S3),
	})
	keys := kms.New(kms.Options{
		Region: where.Region, Credentials: who, EndpointResolver: kms.EndpointResolverFromURL(where.Kms),
	})
	keyring := materials.NewKmsKeyring(keys, asked.KmsKey, func(options *materials.KeyringOptions) {
		options.EnableLegacyWrappingAlgorithms = legacy
	})
	manager, err := materials.NewCryptographicMaterialsManager(keyring)
	if err != nil {
		return nil, err
	}
	return client.New(store, manager, func(options *client.EncryptionClientOptions) {
		options.Logger = log.New(io.Discard, "", 0)
		if asked.Op == "write" && asked.Generation < 3 {
			options.CommitmentPolicy = commitment.FORBID_ENCRYPT_ALLOW_DECRYPT
		}
		if legacy {
			options.CommitmentPolicy = commitment.REQUIRE_ENCRYPT_ALLOW_DECRYPT
			options.EnableLegacyUnauthenticatedModes = true
		}
	})
}

// version is that of the client's module, as it was built in.
func version() string {
	built, _ := debug.ReadBuildInfo()
	for _, module := range built.Deps {
		if strings.HasPrefix(module.Path, "github.com/aws/amazon-s3-encryption-client-go/") {
			return strings.TrimPrefix(module.Version, "v")
		}
	}
	return "unknown"
}

// line is empty at the end.
func line(lines *bufio.Reader) []byte {
	text, _ := lines.ReadBytes('\n')
	return text
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
