"""The AWS Encryption SDK for Python, spoken to in lines of JSON: see ../../client.ts for the words."""

import base64
import os

import lines

clouds = lines.clouds()
# The key provider makes its own clients, and they look here.
os.environ["AWS_ENDPOINT_URL_KMS"] = clouds["kms"]
os.environ["AWS_ACCESS_KEY_ID"] = clouds["accessKeyId"]
os.environ["AWS_SECRET_ACCESS_KEY"] = clouds["secretAccessKey"]
os.environ["AWS_DEFAULT_REGION"] = clouds["region"]

import aws_encryption_sdk  # noqa: E402
from aws_encryption_sdk.identifiers import (  # noqa: E402
    AlgorithmSuite,
    CommitmentPolicy,
    EncryptionKeyType,
    WrappingAlgorithm,
)
from aws_encryption_sdk.internal.crypto.wrapping_keys import WrappingKey  # noqa: E402
from aws_encryption_sdk.key_providers.raw import RawMasterKeyProvider  # noqa: E402
from cryptography.hazmat.primitives import serialization  # noqa: E402


class BareKey(RawMasterKeyProvider):
    """The one key of clients without a KMS, whatever its name."""

    provider_id = "interop"
    wrapping_key = None

    def _get_raw_key(self, key_id):
        return self.wrapping_key


def bare_key(wrap):
    key = base64.b64decode(clouds[wrap])
    if wrap == "aes":
        return WrappingKey(WrappingAlgorithm.AES_256_GCM_IV12_TAG16_NO_PADDING, key, EncryptionKeyType.SYMMETRIC)
    pem = serialization.load_der_private_key(key, None).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return WrappingKey(WrappingAlgorithm.RSA_OAEP_SHA256_MGF1, pem, EncryptionKeyType.PRIVATE)


def provider(request):
    if request["wrap"] == "kms":
        return aws_encryption_sdk.StrictAwsKmsMasterKeyProvider(key_ids=[request["kmsKey"]])
    bare = BareKey()
    bare.wrapping_key = bare_key(request["wrap"])
    bare.add_master_key("bare")
    return bare


def client(request):
    committing = request["variant"].endswith("78") and request["variant"][1] in "45"
    if request["op"] == "open":
        return aws_encryption_sdk.EncryptionSDKClient(commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT)
    policy = CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT if committing else CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT
    return aws_encryption_sdk.EncryptionSDKClient(commitment_policy=policy)


def answer(request):
    source = lines.content(request["file"])
    if request["op"] == "open":
        plaintext, header = client(request).decrypt(source=source, key_provider=provider(request))
        for name, value in request["context"].items():
            if header.encryption_context.get(name) != value:
                raise ValueError(f"the encryption context lacks {name}")
        return lines.opened(plaintext)
    message, _ = client(request).encrypt(
        source=source,
        key_provider=provider(request),
        encryption_context=request["context"],
        algorithm=AlgorithmSuite.get_by_id(int(request["variant"], 16)),
    )
    lines.save(request["out"], message)
    return {"metadata": {}}


lines.serve("aws-encryption-sdk", answer)
