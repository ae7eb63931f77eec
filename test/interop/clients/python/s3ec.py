"""The S3 Encryption Client for Python, spoken to in lines of JSON: see ../../client.ts for the words."""

import boto3
import lines
from botocore.config import Config
from s3_encryption import S3EncryptionClient, S3EncryptionClientConfig
from s3_encryption.materials.kms_keyring import KmsKeyring
from s3_encryption.materials.materials import AlgorithmSuite, CommitmentPolicy

COMMITTING = AlgorithmSuite.ALG_AES_256_GCM_HKDF_SHA512_COMMIT_KEY
PLAIN_GCM = AlgorithmSuite.ALG_AES_256_GCM_IV12_TAG16_NO_KDF

clouds = lines.clouds()
clients = {}


def boto(service):
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


def client_for(request):
    suite, policy, legacy = settings(request)
    known = (suite, policy, legacy, request["kmsKey"])
    if known not in clients:
        keyring = KmsKeyring(boto("kms"), request["kmsKey"], enable_legacy_wrapping_algorithms=legacy)
        config = S3EncryptionClientConfig(
            keyring=keyring,
            encryption_algorithm=suite,
            commitment_policy=policy,
            enable_legacy_unauthenticated_modes=legacy,
        )
        clients[known] = S3EncryptionClient(boto("s3"), config)
    return clients[known]


def answer(request):
    client = client_for(request)
    place = {"Bucket": request["bucket"], "Key": request["key"]}
    if request["context"]:
        place["EncryptionContext"] = request["context"]
    if request["op"] == "write":
        client.put_object(Body=lines.content(request["file"]), **place)
        return {}
    return lines.opened(client.get_object(**place)["Body"].read())


lines.serve("amazon-s3-encryption-client-python", answer)
