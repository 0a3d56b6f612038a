"""MLflow's own variables reach the server that the runs are on."""

import base64
import datetime
import http.server
import ipaddress
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from mlflow.exceptions import MlflowException

from locatable.mlflow.settings import TrackingSettings
from locatable.mlflow.store import connect

EXPERIMENT = {"experiment_id": "1", "name": "ours", "lifecycle_stage": "active", "artifact_location": "a"}


class Recorder(http.server.ThreadingHTTPServer):
    """Answers as a tracking server that has one experiment, and keeps what it was sent as credentials."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.credentials: list[str | None] = []
        self.scheme = "https" if context else "http"
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def handle_error(self, *_: object) -> None:
        """A client that does not trust the certificate breaks off."""

    def connect(self) -> str:
        """Connect as a mirror does; returns the id of the experiment."""
        uri = f"{self.scheme}://127.0.0.1:{self.server_port}"
        return connect(TrackingSettings(uri, "ours", Path("mlartifacts")))[1]


class Handler(http.server.BaseHTTPRequestHandler):
    """Has one experiment, whatever it is asked for."""

    server: Recorder

    def do_GET(self) -> None:
        """Answer, and keep the credentials."""
        self.server.credentials.append(self.headers["Authorization"])
        body = json.dumps({"experiment": EXPERIMENT}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(autouse=True)
def _only_these_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TOKEN", "USERNAME", "PASSWORD", "INSECURE_TLS", "SERVER_CERT_PATH"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


@pytest.fixture
def start() -> Iterator[Callable[..., Recorder]]:
    """Starts servers that end with the test."""
    started = []

    def call(context: ssl.SSLContext | None = None) -> Recorder:
        started.append(Recorder(context))
        return started[-1]

    yield call
    for server in started:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate that nobody has signed, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    addresses = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(days=1))
    builder = builder.not_valid_after(now + datetime.timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName(addresses), critical=False)
    signed = builder.sign(key, hashes.SHA256())
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    form = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem = serialization.Encoding.PEM
    file.write_bytes(key.private_bytes(pem, *form) + signed.public_bytes(pem))
    return file


@pytest.fixture
def tls(start: Callable[..., Recorder], certificate: Path) -> Recorder:
    """A server with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return start(context)


def test_a_token_is_sent(start: Callable[..., Recorder], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret")
    server = start()
    server.connect()
    assert set(server.credentials) == {"Bearer secret"}


def test_user_and_password_are_sent(start: Callable[..., Recorder], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    server = start()
    server.connect()
    assert set(server.credentials) == {f"Basic {base64.b64encode(b'ada:secret').decode()}"}


def test_a_certificate_that_nobody_has_signed_is_refused(tls: Recorder) -> None:
    with pytest.raises(MlflowException, match="CERTIFICATE_VERIFY_FAILED"):
        tls.connect()


def test_a_certificate_is_not_checked_where_that_is_asked_for(
    tls: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_INSECURE_TLS", "true")
    assert tls.connect() == "1"


def test_a_certificate_can_be_named(
    tls: Recorder, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(certificate))
    assert tls.connect() == "1"
