"""Encrypted connections: whom the client trusts, and that it speaks to nobody else."""

from __future__ import annotations

import datetime
import ipaddress
import pathlib
from typing import NamedTuple

import grpc
import pyarrow as pa
import pytest
import standins
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import hitherto
from hitherto.v1 import models_pb2

QUICK = hitherto.Retry(attempts=1)
GET = "/hitherto.v1.Models/Get"


class Pair(NamedTuple):
    """A certificate that vouches for itself, and its key."""

    certificate: bytes
    key: bytes


def pair(name: str) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    named = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(named).issuer_name(named).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Pair(certificate, key.private_bytes(*form))


def test_grpc_and_flight_trust_whom_they_are_told_to_and_nobody_else(tmp_path: pathlib.Path) -> None:
    server, other = pair("server"), pair("other")
    roots = tmp_path / "ca.pem"
    roots.write_bytes(server.certificate)
    credentials = grpc.ssl_server_credentials([(server.key, server.certificate)])
    with standins.Grpc(credentials) as over_grpc, standins.Flight("grpc+tls", tls_certificates=[server]) as over_flight:
        over_grpc.answers[GET] = lambda _: models_pb2.ModelVersion(name="late", version=1)
        spine = pa.table({"k": [1, 2]})
        with hitherto.Client(f"https://{over_grpc.address}", "secret", tls=roots, retry=QUICK) as client:
            assert client.models.get("late").version == 1
        assert over_grpc.calls[0][2]["authorization"] == "Bearer secret"
        with hitherto.Client(over_flight.address, "secret", tls=server.certificate, retry=QUICK) as client:
            assert client.training_set(spine, feature_set="late").to_arrow().num_rows == 2
        assert over_flight.headers[0]["authorization"] == ["Bearer secret"]

        for tls in (other.certificate, True, None):
            with hitherto.Client(over_grpc.address, tls=tls, retry=QUICK) as client, pytest.raises(hitherto.Unavailable):
                client.models.get("late")
            with hitherto.Client(over_flight.address, tls=tls, retry=QUICK) as client, pytest.raises(hitherto.Unavailable):
                client.training_set(spine, feature_set="late")
        assert (len(over_grpc.calls), len(over_flight.commands)) == (1, 1)


def test_a_certificate_of_the_clients_own_is_shown() -> None:
    server, ours = pair("server"), pair("ours")
    credentials = grpc.ssl_server_credentials([(server.key, server.certificate)], ours.certificate, require_client_auth=True)
    flight_tls = {"tls_certificates": [server], "verify_client": True, "root_certificates": ours.certificate}
    with standins.Grpc(credentials) as over_grpc, standins.Flight("grpc+tls", **flight_tls) as over_flight:
        over_grpc.answers[GET] = lambda _: models_pb2.ModelVersion(name="late", version=1)
        spine = pa.table({"k": [1, 2]})
        tls = hitherto.Tls(roots=server.certificate, certificate=ours.certificate, key=ours.key)
        with hitherto.Client(over_grpc.address, tls=tls, retry=QUICK) as client:
            assert client.models.get("late").version == 1
        with hitherto.Client(over_flight.address, tls=tls, retry=QUICK) as client:
            assert client.training_set(spine, feature_set="late").to_arrow().num_rows == 2
        with hitherto.Client(over_grpc.address, tls=server.certificate, retry=QUICK) as client, pytest.raises(hitherto.Unavailable):
            client.models.get("late")
