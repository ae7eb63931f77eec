"""Tink's envelope AEAD for Python, spoken to in lines of JSON: see ../../client.ts for the words."""

import lines
import services
from tink import aead

clouds = lines.clouds()
aead.register()

TEMPLATES = {"AES256_GCM": aead.aead_key_templates.AES256_GCM, "AES128_GCM": aead.aead_key_templates.AES128_GCM}


class GoogleKey(aead.Aead):
    """Tink's own client of Google's KMS knows no other address than Google's."""

    def __init__(self, name):
        self.name = name

    def encrypt(self, plaintext, associated_data):
        return services.seal_google(clouds, self.name, plaintext, associated_data)

    def decrypt(self, ciphertext, associated_data):
        return services.open_google(clouds, self.name, ciphertext, associated_data)


class AmazonKey(aead.Aead):
    """As in Tink's own client: no associated data, no context."""

    def __init__(self, arn):
        self.arn = arn

    def encrypt(self, plaintext, associated_data):
        return services.seal_amazon(clouds, self.arn, plaintext, context(associated_data))

    def decrypt(self, ciphertext, associated_data):
        return services.open_amazon(clouds, self.arn, ciphertext, context(associated_data))


def context(associated_data):
    return {"associatedData": associated_data.hex()} if associated_data else {}


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
