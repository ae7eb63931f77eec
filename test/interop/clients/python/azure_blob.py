"""
Client-side encryption of Azure's blob client for Python, without a blob service: its functions that seal and open a blob. Spoken to in
lines of JSON: see ../../client.ts for the words.
"""

import base64

import lines
import services
from azure.storage.blob import _encryption
from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import padding

clouds = lines.clouds()


class AesKey:
    """The key wrap of RFC 3394 under the bare AES key, as local keys of Azure's clients do it."""

    key = base64.b64decode(clouds["aes"])

    def wrap_key(self, key):
        return keywrap.aes_key_wrap(self.key, key)

    def unwrap_key(self, key, algorithm):
        return keywrap.aes_key_unwrap(self.key, key)

    def get_kid(self):
        return "local:bare"

    def get_key_wrap_algorithm(self):
        return "A256KW"


class RsaKey:
    private = serialization.load_der_private_key(base64.b64decode(clouds["rsa"]), None)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)

    def wrap_key(self, key):
        return self.private.public_key().encrypt(key, self.oaep)

    def unwrap_key(self, key, algorithm):
        return self.private.decrypt(key, self.oaep)

    def get_kid(self):
        return "local:bare"

    def get_key_wrap_algorithm(self):
        return "RSA-OAEP"


class ServiceKey:
    """A key of a key service, bound to nothing, as an application would give it to Azure's client after a move."""

    def __init__(self, wrap, name):
        self.wrap, self.name = wrap, name

    def unwrap_key(self, key, algorithm):
        known = {"kms": "aws-kms", "gcp": "gcp-kms"}[self.wrap]
        if algorithm != known:
            raise ValueError(f"wrapped by {algorithm}, not {known}")
        return services.open_google(clouds, self.name, key) if self.wrap == "gcp" else services.open_amazon(clouds, self.name, key)

    def get_kid(self):
        return f"{ {'kms': 'aws-kms', 'gcp': 'gcp-kms'}[self.wrap] }://{self.name}"


def key_of(request):
    wrap = request["wrap"]
    if wrap in ("kms", "gcp"):
        return ServiceKey(wrap, request["kmsKey"])
    return AesKey() if wrap == "aes" else RsaKey()


def answer(request):
    key = key_of(request)
    source = lines.content(request["file"])
    if request["op"] == "seal":
        data, sealed = _encryption.encrypt_blob(source, key, request["variant"])
        lines.save(request["out"], sealed)
        return {"metadata": {"encryptiondata": data}}
    headers = {"x-ms-meta-encryptiondata": request["metadata"]["encryptiondata"], "x-ms-blob-type": "BlockBlob"}
    # The end counts from the end of the plaintext in the first version, and from its start in the second.
    end = 0 if request["variant"] == "1.0" else len(source)
    nonces = _encryption._GCMRegionNonceValidator()
    plaintext = _encryption.decrypt_blob(True, key, None, source, 0, end, headers, nonce_validator=nonces)
    return lines.opened(bytes(plaintext))


lines.serve("azure-storage-blob", answer)
