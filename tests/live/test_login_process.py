"""The links that `litestar run` and `litestar login` print, as a user sees them."""

import asyncio
import os
import pty
import shutil
import signal
from pathlib import Path

import httpx
import pytest

from app.state import write_private
from tests.kit.http import TOKEN
from tests.kit.processes import PATIENCE_S, free_port, litestar, said_by


@pytest.mark.slow
async def test_litestar_login_prints_a_link_that_logs_in_and_opens_a_page_that_leads_there(
    tmp_path: Path,
) -> None:
    port = free_port()
    url, url_file = f"http://127.0.0.1:{port}", tmp_path / ".sightline" / "gateway.url"
    opened = tmp_path / "opened"
    (browser := tmp_path / "browser").write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    browser.chmod(0o700)
    process = await litestar(tmp_path, "run", "--port", str(port), SIGHTLINE_LOG_LEVEL="debug")
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)).decode()
        assert line == f"Serving {url}: to log a browser in, run `sightline login` in {tmp_path}\n"
        links = []
        assert url_file.read_text() == f"{url}\n"
        assert url_file.stat().st_mode & 0o777 == 0o600
        for words in (["login"], ["login", "--open"]):
            out, err = await said_by(await litestar(tmp_path, *words, BROWSER=str(browser)))
            assert err == ""
            links.append(out.strip())
        page = tmp_path / ".sightline" / opened.read_text().strip().rpartition("/")[2]
        assert opened.read_text().strip() == page.as_uri()
        assert page.stat().st_mode & 0o777 == 0o600
        assert f'url={links[-1]}"' in page.read_text()
        assert links[-1].partition("#")[2] not in page.name
        (left_over := page.with_name("login-old.html")).touch()
        os.utime(left_over, (0, 0))
        async with httpx.AsyncClient(trust_env=False) as http:
            for link in links:
                assert link.startswith(f"{url}/login#")
                body = {"ticket": link.partition("#")[2]}
                assert (await http.post(f"{url}/api/login", json=body)).status_code == 204
                assert (await http.post(f"{url}/api/login", json=body)).status_code == 401
        assert not page.exists()  # its ticket is spent
        await said_by(await litestar(tmp_path, "login", "--open", BROWSER=str(browser)))
        assert not left_over.exists()
    finally:
        process.send_signal(signal.SIGTERM)
        out, err = await said_by(process)
    assert out == ""
    for link in links:
        assert link.partition("#")[2] not in err
    assert not url_file.exists()
    out, err = await said_by(await litestar(tmp_path, "login"))
    assert "start the gateway in this folder first" in " ".join(err.split())


@pytest.mark.slow
async def test_litestar_login_says_when_the_gateway_does_not_run(tmp_path: Path) -> None:
    state = tmp_path / ".sightline"
    state.mkdir()
    write_private(state / "session.token", TOKEN)
    write_private(state / "gateway.url", url := f"http://127.0.0.1:{free_port()}")
    process = await litestar(tmp_path, "login")
    out, err = await said_by(process)
    assert (process.returncode, out) == (1, "")
    assert url in err
    assert "is it running?" in " ".join(err.split())
    assert TOKEN not in err


@pytest.mark.slow
async def test_with_a_state_folder_elsewhere_the_start_names_it(tmp_path: Path) -> None:
    elsewhere = {"SIGHTLINE_STATE_DIR": "state"}
    process = await litestar(tmp_path, "run", "--port", str(free_port()), **elsewhere)
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)).decode()
        assert line.endswith(f"run `sightline login` with SIGHTLINE_STATE_DIR={tmp_path}/state\n")
    finally:
        process.send_signal(signal.SIGTERM)
        await said_by(process)


@pytest.mark.slow
async def test_on_a_terminal_the_start_prints_a_link_that_logs_in(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    process = await litestar(tmp_path, "run", "--port", str(free_port()), stdout=theirs)
    os.close(theirs)
    reading, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ours, "rb", 0)
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            while "/login#" not in (line := (await reader.readline()).decode()):
                assert line
        url, _, ticket = line.split()[-1].partition("/login#")
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.post(f"{url}/api/login", json={"ticket": ticket})
        assert answer.status_code == 204
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = await said_by(process)
        reading.close()
    assert ticket not in err


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl for a certificate")
async def test_over_tls_the_own_origin_is_https_alone_and_the_cookie_secure(
    tmp_path: Path,
) -> None:
    port = free_port()
    url = f"https://127.0.0.1:{port}"
    make = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 -keyout k.pem -out c.pem"
    making = await asyncio.create_subprocess_exec(*make.split(), cwd=tmp_path)
    assert await making.wait() == 0
    certificate = ["--ssl-certfile=c.pem", "--ssl-keyfile=k.pem"]
    run = ("run", "--port", str(port), *certificate)
    process = await litestar(tmp_path, *run, SIGHTLINE_WORKSPACE="")
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)).decode()
        assert f"Serving {url}:" in line
        certificate = str(tmp_path / "c.pem")
        made, _ = await said_by(await litestar(tmp_path, "login", SSL_CERT_FILE=certificate))
        async with httpx.AsyncClient(trust_env=False, verify=False) as http:
            body = {"ticket": made.strip().partition("#")[2]}
            for origin, status in ((url.replace("https", "http"), 403), (url, 204)):
                answer = await http.post(f"{url}/api/login", json=body, headers={"Origin": origin})
                assert answer.status_code == status
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = await said_by(process)
    assert "; Secure" in answer.headers["set-cookie"]
    assert "https://" in err  # where uvicorn says that it runs
