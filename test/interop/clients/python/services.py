"""The two key services by their own requests, for libraries that leave that to the application."""

import base64
import json
import urllib.request

import boto3

_kms = {}


def amazon(clouds):
    if clouds["kms"] not in _kms:
        _kms[clouds["kms"]] = boto3.client(
            "kms",
            endpoint_url=clouds["kms"],
            region_name=clouds["region"],
            aws_access_key_id=clouds["accessKeyId"],
            aws_secret_access_key=clouds["secretAccessKey"],
        )
    return _kms[clouds["kms"]]


def seal_amazon(clouds, arn, plaintext, context=None):
    return amazon(clouds).encrypt(KeyId=arn, Plaintext=plaintext, EncryptionContext=context or {})["CiphertextBlob"]


def open_amazon(clouds, arn, ciphertext, context=None):
    return amazon(clouds).decrypt(KeyId=arn, CiphertextBlob=ciphertext, EncryptionContext=context or {})["Plaintext"]


def seal_google(clouds, name, plaintext, additional=b""):
    return _google(clouds, f"{name}:encrypt", {"plaintext": plaintext, "additionalAuthenticatedData": additional}, "ciphertext")


def open_google(clouds, name, ciphertext, additional=b""):
    return _google(clouds, f"{name}:decrypt", {"ciphertext": ciphertext, "additionalAuthenticatedData": additional}, "plaintext")


def _google(clouds, path, fields, result):
    body = {name: base64.b64encode(value).decode() for name, value in fields.items() if value}
    headers = {"content-type": "application/json"}
    asked = urllib.request.Request(f"{clouds['gcpKms']}/v1/{path}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(asked) as answered:
        return base64.b64decode(json.load(answered).get(result, ""))
