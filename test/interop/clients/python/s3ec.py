"""The S3 Encryption Client for Python, spoken to in lines of JSON: see ../../client.ts for the words."""

import hashlib
import importlib.metadata
import json
import sys

import boto3
from botocore.config import Config
from s3_encryption import S3EncryptionClient, S3EncryptionClientConfig
from s3_encryption.materials.kms_keyring import KmsKeyring
from s3_encryption.materials.materials import AlgorithmSuite, CommitmentPolicy

COMMITTING = AlgorithmSuite.ALG_AES_256_GCM_HKDF_SHA512_COMMIT_KEY
PLAIN_GCM = AlgorithmSuite.ALG_AES_256_GCM_IV12_TAG16_NO_KDF

clients = {}


def boto(service, clouds):
    config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
    return boto3.client(
        service,
        endpoint_url=clouds[service],
        region_name=clouds["region"],
        aws_access_key_id=clouds["accessKeyId"],
        aws_secret_access_key=clouds["secretAccessKey"],
        config=config,
    )


def settings(request):
    """What this client is configured with for a request: suite, policy, and whether legacy modes are on."""
    if request["op"] == "write":
        if request["generation"] == 3:
            return COMMITTING, CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT, False
        return PLAIN_GCM, CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT, False
    if request["mode"] == "default":
        return COMMITTING, CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT, False
    return COMMITTING, CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT, True


def client_for(clouds, request):
    suite, policy, legacy = settings(request)
    known = (suite, policy, legacy, request["kmsKey"])
    if known not in clients:
        keyring = KmsKeyring(boto("kms", clouds), request["kmsKey"], enable_legacy_wrapping_algorithms=legacy)
        config = S3EncryptionClientConfig(
            keyring=keyring,
            encryption_algorithm=suite,
            commitment_policy=policy,
            enable_legacy_unauthenticated_modes=legacy,
        )
        clients[known] = S3EncryptionClient(boto("s3", clouds), config)
    return clients[known]


def answer(clouds, request):
    client = client_for(clouds, request)
    place = {"Bucket": request["bucket"], "Key": request["key"]}
    if request["context"]:
        place["EncryptionContext"] = request["context"]
    if request["op"] == "write":
        with open(request["file"], "rb") as file:
            client.put_object(Body=file.read(), **place)
        return {}
    plaintext = client.get_object(**place)["Body"].read()
    return {"sizeBytes": len(plaintext), "sha256": hashlib.sha256(plaintext).hexdigest()}


def reason(error):
    """With its causes: the client wraps what KMS said."""
    words = []
    while error is not None:
        words.append(f"{type(error).__name__}: {error}")
        error = error.__cause__
    return " <- ".join(words)


def main():
    clouds = json.loads(sys.stdin.readline())
    version = importlib.metadata.version("amazon-s3-encryption-client-python")
    print(json.dumps({"version": version}), flush=True)
    for line in sys.stdin:
        try:
            said = answer(clouds, json.loads(line))
        except Exception as error:
            said = {"error": reason(error)}
        print(json.dumps(said), flush=True)


main()
