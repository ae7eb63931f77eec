"""
Client-side encryption of Azure's blob client for Python, without a blob service: its functions that seal and open a blob. Spoken to in
lines of JSON: see ../../client.ts for the words.
"""

import base64

import lines
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


KEYS = {"aes": AesKey, "rsa": RsaKey}


def answer(request):
    key = KEYS[request["wrap"]]()
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
