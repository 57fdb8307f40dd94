import socket
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from huggingface_hub import constants

from runner.hub import HubUnreachable, require_hub


@pytest.fixture(autouse=True)
def _online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def closed_endpoint() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def test_closed_port_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = closed_endpoint()
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    started = time.monotonic()
    with pytest.raises(HubUnreachable) as caught:
        require_hub("someone/something", "model")
    assert time.monotonic() - started < 5
    message = str(caught.value)
    assert 'hub model "someone/something"' in message
    assert endpoint in message
    assert "model.base" in message


def test_endpoint_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        with pytest.raises(HubUnreachable, match="cannot be reached"):
            require_hub("someone/something", "dataset")
        assert 2 < time.monotonic() - started < 5


def test_offline_mode_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubUnreachable, match="HF_HUB_OFFLINE is set"):
        require_hub("someone/something", "dataset")


@pytest.mark.parametrize(("status", "is_there"), [(200, True), (404, True), (503, False)])
def test_any_answer_but_a_server_error_counts(status: int, is_there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Answer(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        if is_there:
            require_hub("someone/something", "dataset")
        else:
            with pytest.raises(HubUnreachable, match="it answered 503"):
                require_hub("someone/something", "dataset")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
