"""Tink's envelope AEAD for Python, spoken to in lines of JSON: see ../../client.ts for the words."""

import base64
import json
import urllib.request

import boto3
import lines
from tink import aead

clouds = lines.clouds()
aead.register()

TEMPLATES = {"AES256_GCM": aead.aead_key_templates.AES256_GCM, "AES128_GCM": aead.aead_key_templates.AES128_GCM}


class GoogleKey(aead.Aead):
    """A key of Google's KMS by REST: Tink's own client knows no other address than Google's."""

    def __init__(self, name):
        self.name = name

    def _ask(self, verb, field, data, associated_data, result):
        body = {field: base64.b64encode(data).decode()}
        if associated_data:
            body["additionalAuthenticatedData"] = base64.b64encode(associated_data).decode()
        asked = urllib.request.Request(
            f"{clouds['gcpKms']}/v1/{self.name}:{verb}",
            json.dumps(body).encode(),
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(asked) as answered:
            return base64.b64decode(json.load(answered).get(result, ""))

    def encrypt(self, plaintext, associated_data):
        return self._ask("encrypt", "plaintext", plaintext, associated_data, "ciphertext")

    def decrypt(self, ciphertext, associated_data):
        return self._ask("decrypt", "ciphertext", ciphertext, associated_data, "plaintext")


class AmazonKey(aead.Aead):
    """A key of AWS KMS. As in Tink's own client: no associated data, no context."""

    def __init__(self, arn):
        self.arn = arn
        self.kms = boto3.client(
            "kms",
            endpoint_url=clouds["kms"],
            region_name=clouds["region"],
            aws_access_key_id=clouds["accessKeyId"],
            aws_secret_access_key=clouds["secretAccessKey"],
        )

    def encrypt(self, plaintext, associated_data):
        return self.kms.encrypt(KeyId=self.arn, Plaintext=plaintext, **self._context(associated_data))["CiphertextBlob"]

    def decrypt(self, ciphertext, associated_data):
        found = self.kms.decrypt(KeyId=self.arn, CiphertextBlob=ciphertext, **self._context(associated_data))
        return found["Plaintext"]

    def _context(self, associated_data):
        return {"EncryptionContext": {"associatedData": associated_data.hex()}} if associated_data else {}


def answer(request):
    remote = GoogleKey(request["kmsKey"]) if request["wrap"] == "gcp" else AmazonKey(request["kmsKey"])
    envelope = aead.KmsEnvelopeAead(TEMPLATES[request["variant"]], remote)
    source = lines.content(request["file"])
    associated = request["context"].get("associatedData", "").encode()
    if request["op"] == "open":
        return lines.opened(envelope.decrypt(source, associated))
    lines.save(request["out"], envelope.encrypt(source, associated))
    return {"metadata": {}}


lines.serve("tink", answer)
