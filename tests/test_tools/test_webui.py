import contextlib
import http.client
import importlib.util
import io
import json
import os
import re
import select
import shutil
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import numpy as np
import pytest
import support
import torch
from PIL import Image
from samples import photo

from mmspd.apis import DeblurInferencer, RestoreOptions
from mmspd.errors import UserError

main = support.load_tool('webui.py').main
needs_server = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ('starlette', 'uvicorn'))),
    reason='the page is optional: pip install starlette uvicorn',
)


@pytest.fixture
def inferencer(write_config):
    torch.manual_seed(0)
    return DeblurInferencer(write_config(base='guided'), device='cpu')


@pytest.fixture
def serve():
    """Return a function that serves the page in a thread and returns its address."""
    stop = []

    def start(inferencer, max_bytes=10**6, hosts=(), **limits):
        from mmspd.apis.web_guard import Limits
        from mmspd.apis.web_server import make_server
        from mmspd.apis.webui import make_app

        limits = Limits(**limits)
        app = make_app(inferencer, max_bytes, RestoreOptions(tile=64), hosts, limits)
        server = make_server(app, limits)
        listening = socket.create_server(('127.0.0.1', 0))
        thread = threading.Thread(target=server.run, kwargs=dict(sockets=[listening]))
        thread.start()
        stop.append((server, thread))
        return f'http://127.0.0.1:{listening.getsockname()[1]}/'

    yield start
    for server, thread in stop:
        server.should_exit = True
        thread.join()


def photo_file(shape, dtype=np.uint8, kind='PNG'):
    """The content of a photo's file."""
    pixels = photo(*shape[:2], channels=shape[2]).squeeze().astype(dtype)
    buffer = io.BytesIO()
    Image.fromarray(pixels * (257 if dtype == np.uint16 else 1)).save(buffer, kind)
    return buffer.getvalue()


def post(address, name, data):
    return urllib.request.urlopen(
        f'{address}restore?name={urllib.parse.quote(name)}', data, timeout=30
    )


def frames(response):
    """The frames of a response, each with its ``payload``."""
    answer = []
    for line in response:
        frame = json.loads(line)
        answer.append(dict(frame, payload=response.read(frame['bytes'])))
    return answer


@pytest.mark.slow
@needs_server
@pytest.mark.parametrize(
    ('shape', 'dtype', 'kind', 'description'),
    [
        ((72, 100, 3), np.uint8, 'JPEG', 'JPEG, RGB, 8 bit'),
        ((9, 8, 4), np.uint8, 'WEBP', 'WEBP, RGB with alpha, 8 bit'),
        ((2, 700, 1), np.uint16, 'TIFF', 'TIFF, gray, 16 bit'),
    ],
)
def test_a_response(serve, inferencer, shape, dtype, kind, description):
    data = photo_file(shape, dtype, kind)
    answer = frames(post(serve(inferencer), 'a/ä b.x', data))
    names = [frame['event'] for frame in answer]
    assert names[0] == 'blurry'
    assert names[-3:] == ['restored', 'file', 'prior']
    assert set(names[1:-3]) == {'progress'}
    blurry, *parts, restored, file, prior = answer
    assert (blurry['width'], blurry['height'], blurry['kind']) == (shape[1], shape[0], description)
    assert [part['share'] for part in parts] == sorted(part['share'] for part in parts)
    assert parts[-1]['share'] == 1
    assert file['name'] == 'ä b_restored.x'
    assert restored['seconds'] > 0
    images = [Image.open(io.BytesIO(f['payload'])) for f in (blurry, restored, file, prior)]
    assert [image.format for image in images] == ['JPEG', 'JPEG', kind, 'PNG']
    assert [image.size for image in images[:3]] == [shape[1::-1]] * 3
    assert images[2].mode == Image.open(io.BytesIO(data)).mode


@needs_server
def test_bad_requests(serve, inferencer):
    address = serve(inferencer, max_bytes=3000)
    [error] = frames(post(address, '../notes.txt', b'no photo'))
    assert error['event'] == 'error'
    assert error['sentence'].startswith("'notes.txt' is damaged or not an image of a known kind")
    with pytest.raises(urllib.error.HTTPError) as caught:
        post(address, 'large.png', bytes(3001))
    with caught.value as refusal:
        assert refusal.code == 413
        error = json.load(refusal)['error']
    assert error.startswith("'large.png' is larger than 0.003 MB, the limit of this page; ")
    for path in ('etc/passwd', '../webui.py', 'webui.html', '%2e%2e/webui.py'):
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(address).netloc)
        connection.request('GET', f'/{path}')
        assert connection.getresponse().status == 404
        connection.close()


@needs_server
def test_an_upload_that_stops(serve, write_config, capfd):
    address = serve(DeblurInferencer(write_config(), device='cpu'))
    parts = urllib.parse.urlsplit(address)
    with socket.create_connection((parts.hostname, parts.port)) as leaving:
        leaving.sendall(b'POST /restore HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab')
    assert frames(post(address, 'a.png', b''))[0]['event'] == 'error'
    assert 'Traceback' not in capfd.readouterr().err


@needs_server
def test_a_restorer_without_a_prior(serve, write_config):
    address = serve(DeblurInferencer(write_config(), device='cpu'))
    with urllib.request.urlopen(f'{address}about') as response:
        about = json.load(response)
    assert about == dict(model='tiny', device='cpu', guided=False, max_bytes=10**6)
    assert frames(post(address, 'a.png', photo_file((20, 20, 3))))[-1]['event'] == 'file'


@pytest.mark.slow
@needs_server
def test_photos_are_restored_one_at_a_time_until_the_client_leaves(
    serve, write_config, monkeypatch
):
    inferencer = DeblurInferencer(write_config(), device='cpu')
    at_work, ended = [], []

    def slow(pixels, options, progress):
        assert not at_work, 'two at a time'
        at_work.append(0)
        try:
            while at_work[0] < pixels.shape[1]:
                time.sleep(0.01)
                at_work[0] += 1
                progress(1)
        finally:
            ended.append(at_work.pop())
        return pixels

    monkeypatch.setattr(inferencer, 'deblur', slow)
    address = serve(inferencer)
    left = post(address, 'left.png', photo_file((10, 1000, 3)))
    left.readline()
    left.close()
    data = photo_file((10, 10, 3))
    other = threading.Thread(target=lambda: frames(post(address, 'a.png', data)))
    other.start()
    assert frames(post(address, 'b.png', data))[-1]['event'] == 'file'
    other.join()
    assert ended[0] < 1000
    assert ended[1:] == [10, 10]


def connect(address):
    """A new connection to a server, for requests that no HTTP client sends."""
    parts = urllib.parse.urlsplit(address)
    return socket.create_connection((parts.hostname, parts.port), timeout=10)


def answer_of(connection, method='GET'):
    """The status, the headers and the body of an answer; None if the connection ended."""
    with contextlib.suppress(ConnectionError):
        response = http.client.HTTPResponse(connection, method=method)
        with contextlib.suppress(http.client.RemoteDisconnected):
            response.begin()
            return response.status, response.headers, response.read()
    return None


def ask(address, line, *headers, body=b''):
    """The status, the headers and the body of the answer to a request of any form."""
    host = () if any(header.startswith('Host:') for header in headers) else ('Host: localhost',)
    with connect(address) as connection:
        head = '\r\n'.join((f'{line} HTTP/1.1', *host, *headers, '', ''))
        connection.sendall(head.encode('latin-1') + body)
        return answer_of(connection, line.split()[0])


def upload(address, length=100, sent=b''):
    """A connection with the header of an upload and the start of its body."""
    connection = connect(address)
    head = (
        f'POST /restore?name=a.png HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n'
    )
    connection.sendall(head.encode() + sent)
    return connection


@pytest.fixture
def plain(write_config):
    return DeblurInferencer(write_config(), device='cpu')


@pytest.mark.slow
@needs_server
def test_foreign_names_and_pages_are_refused(serve, plain, monkeypatch):
    monkeypatch.setattr(plain, 'deblur', None)  # would be an error
    address = serve(plain, hosts=['Deblur.lab'])
    own = urllib.parse.urlsplit(address).netloc
    allowed = [
        *(f'Host: {name}' for name in ('localhost', 'LOCALHOST.:80', '127.0.0.1:1', '[::1]:7860')),
        *('Host: 192.168.1.5:7860', 'Host: [fe80::1]', 'Host: deblur.lab:99'),
        *(f'Host: {socket.gethostname()}', f'Host: {socket.gethostname().split(".")[0]}.local'),
        *(f'Sec-Fetch-Site: {site}' for site in ('none', 'same-origin')),
        'Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate',
        *(f'Host: {own}\r\nOrigin: {scheme}://{own}' for scheme in ('http', 'https')),
    ]
    for header in allowed:
        assert ask(address, 'GET /about', header)[0] == 200, header
    names = ['evil.com', 'evil.com:7860', '127.0.0.1.evil.com', 'localhost.evil.com', '']
    names += ['evil@localhost', 'localhost/evil.com', 'xlocalhost', '[::1', '2130706433', 'lab']
    refused = [
        *(f'Host: {name}' for name in names),
        *(f'Sec-Fetch-Site: {site}' for site in ('cross-site', 'same-site')),
        *(f'Origin: {page}' for page in ('http://evil.com', 'null', 'http://localhost:1', 'x')),
        f'Origin: http://{own}',  # the name in the request is localhost
        *(f'Host: {own}\r\nOrigin: {scheme}//{own}' for scheme in ('file:', 'x-app:', '')),
        f'Host: {own}\r\nOrigin: http://{own}\r\nOrigin: http://evil.com',
    ]
    for header in refused:
        for line in ('GET /about', 'POST /restore', 'OPTIONS /restore', 'GET /nothing'):
            # the answer does not wait for the body
            status, _, body = ask(address, line, header, 'Content-Length: 900000')
            assert status == 403, header
            assert re.fullmatch(r'[A-Z][^;]+; .+\.', json.loads(body)['error'])
    navigation = 'Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nContent-Length: 0'
    assert ask(address, 'POST /restore', navigation)[0] == 403


@needs_server
def test_every_answer_is_kept_from_foreign_pages(serve, plain):
    address = serve(plain, max_bytes=10)
    for status, line, *headers in [
        (200, 'GET /'),
        (200, 'HEAD /'),
        (200, 'GET /about'),
        (200, 'POST /restore', 'Content-Length: 0'),
        (404, 'GET /nothing'),
        (405, 'GET /restore'),
        (405, 'OPTIONS /restore', 'Access-Control-Request-Private-Network: true'),
        (403, 'GET /', 'Host: evil.com'),
        (413, 'POST /restore', 'Content-Length: 11'),
    ]:
        got, found, _ = ask(address, line, *headers)
        assert got == status
        assert found['X-Content-Type-Options'] == 'nosniff'
        assert found['X-Frame-Options'] == 'DENY'
        assert "frame-ancestors 'none'" in found['Content-Security-Policy']
        assert found['Cross-Origin-Resource-Policy'] == 'same-origin'
        assert found['Cache-Control'] == 'no-store'
        assert not [name for name in found if name.lower().startswith('access-control')]
    for garbage in (b'\x00\xff\r\n\r\n', b'GET / HTTP/1.1\r\n\r\n', b'a' * 70_000):
        with connect(address) as connection:
            connection.sendall(garbage)
            status, found, _ = answer_of(connection)
            assert (status, found['X-Content-Type-Options']) == (400, 'nosniff')


@needs_server
def test_large_bodies_are_refused_early(serve, plain):
    address = serve(plain, max_bytes=3000)
    too_large = "'a.png' is larger than 0.003 MB, the limit of this page; choose"
    with upload(address, 10**12) as connection:
        status, _, body = answer_of(connection)
    assert (status, json.loads(body)['error'].startswith(too_large)) == (413, True)
    part = b'800\r\n' + bytes(0x800) + b'\r\n'
    for parts in (2, 1000):  # the client may send more than the server reads
        chunked = ask(
            address,
            'POST /restore?name=a.png',
            'Transfer-Encoding: chunked',
            body=parts * part + b'0\r\n\r\n',
        )
        assert chunked[0] == 413
        assert json.loads(chunked[2])['error'].startswith(too_large)
    bad = ask(address, 'POST /restore', 'Transfer-Encoding: chunked', body=b'zz\r\n')
    assert bad is None
    assert frames(post(address, 'a.png', b'x' * 3000))[0]['event'] == 'error'


@needs_server
@pytest.mark.slow
def test_stalled_uploads_are_bounded_in_number_and_time(serve, plain, capfd):
    address = serve(plain, requests=2, body_seconds=1, rate=100)
    start = time.monotonic()
    uploads = [upload(address, 1000, sent) for sent in (b'a', bytes(900))]
    time.sleep(0.1)
    for _ in range(5):
        status, _, body = ask(address, 'POST /restore', 'Content-Length: 10')
        assert status == 503
        assert json.loads(body)['error'].startswith('2 photos are being restored already; try')
    assert ask(address, 'GET /')[0] == 200
    for stalled in uploads:
        with stalled:
            status, _, body = answer_of(stalled)
            assert status == 408
            assert json.loads(body)['error'] == (
                "'a.png' arrives too slowly; use a faster connection to the page."
            )
    assert 0.9 < time.monotonic() - start < 5  # a fast start gives no time to stall
    with upload(address, 1000) as slow:  # a byte now and then does not help
        start = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < start + 5 and not select.select([slow], [], [], 0.05)[0]:
                slow.sendall(b'a')
        assert answer_of(slow)[0] == 408
        assert 0.9 < time.monotonic() - start < 5
    data = photo_file((10, 10, 3))
    assert frames(post(address, 'a.png', data))[-1]['event'] == 'file'
    assert 'Traceback' not in capfd.readouterr().err


@pytest.mark.slow
@needs_server
def test_half_open_connections_end(serve, plain):
    address = serve(plain, connections=4, header_seconds=0.4)
    starts = (b'', b'GET / HT', b'GET / HTTP/1.1\r\nHost: localhost\r\nX-A: ', b'', b'')
    opened = []
    for start in starts:
        opened.append(connect(address))
        opened[-1].sendall(start)
    assert answer_of(opened[4]) is None  # one too many
    assert select.select(opened[:4], [], [], 0) == ([], [], [])
    start = time.monotonic()
    for connection in opened[:4]:
        assert answer_of(connection) is None
        connection.close()
    assert time.monotonic() - start < 5
    with connect(address) as connection:  # the second request is not answered
        connection.sendall(2 * b'GET /about HTTP/1.1\r\nHost: localhost\r\n\r\n')
        assert json.loads(answer_of(connection)[2])['model'] == 'tiny'
        assert connection.recv(1) == b''


@needs_server
@pytest.mark.slow
def test_a_client_that_does_not_read_is_disconnected(serve, plain, monkeypatch):
    from mmspd.apis import webui

    size = 15 * 10**6
    monkeypatch.setattr(webui, '_preview', lambda _: bytes(size))
    address = serve(plain, requests=1, send_seconds=0.5, rate=2 * 10**7)
    data = photo_file((10, 10, 3))
    with upload(address, len(data), data) as connection:
        end = time.monotonic() + 10
        while ask(address, 'POST /restore', 'Content-Length: 0')[0] == 503:
            assert time.monotonic() < end
            time.sleep(0.05)
        read = 0
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(2**20):
                read += len(part)
        assert read < size
    time.sleep(0.1)  # until the server has noticed the end of the last request
    assert frames(post(address, 'a.png', data))[-1]['event'] == 'file'


@needs_server
@pytest.mark.parametrize('error', [MemoryError(), RuntimeError('CUDA error'), ZeroDivisionError()])
def test_any_error_is_a_sentence_and_the_page_lives_on(serve, plain, monkeypatch, error):
    def fail(*_):
        raise error

    address = serve(plain)
    data = photo_file((10, 10, 3))
    with monkeypatch.context() as patch:
        patch.setattr(plain, 'deblur', fail)
        [blurry, frame] = frames(post(address, 'a.png', data))
    assert (blurry['event'], frame['event']) == ('blurry', 'error')
    assert frame['sentence'] == (
        f"'a.png' cannot be restored ({type(error).__name__}); choose another photo, or read the "
        'error in the terminal of the server.'
    )
    assert frames(post(address, 'a.png', data))[-1]['event'] == 'file'


@needs_server
@pytest.mark.slow
def test_the_command_line(start_tool, write_config, tmp_path):
    config = write_config()
    weights = tmp_path / 'epoch_1.pth'
    torch.save({'state_dict': DeblurInferencer(config).model.state_dict()}, weights)
    folder = tmp_path / 'temporary'
    folder.mkdir()
    arguments = [
        '--port=0',
        '--device=cpu',
        '--tile=32',
        '--allow-host=a.lab',
        '--allow-host=b.lab',
    ]
    process = start_tool('webui.py', config, weights, *arguments, TMPDIR=str(folder))
    while not process.log.exists() or 'Open http' not in process.log.read_text():
        assert process.is_alive()
        time.sleep(0.05)
    address = process.log.read_text().partition('Open ')[2].split()[0]
    assert address.startswith('http://127.0.0.1:')
    assert frames(post(f'{address}/', 'a.png', photo_file((40, 40, 3))))[-1]['event'] == 'file'
    assert not [path for path in folder.rglob('*') if path.is_file()]
    for host, status in [('b.lab', 200), ('127.0.0.1', 200), ('c.lab', 403)]:
        assert ask(address, 'GET /about', f'Host: {host}')[0] == status
    os.kill(process.pid, signal.SIGINT)
    process.join(20)
    assert process.exitcode == 0
    assert 'Traceback' not in process.log.read_text()


@needs_server
def test_a_port_in_use():
    with socket.create_server(('127.0.0.1', 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=rf'Cannot listen on 127\.0\.0\.1:{port} .*--port'):
            main(['config', 'weights', f'--port={port}'])


def test_without_the_packages(monkeypatch):
    monkeypatch.setitem(sys.modules, 'uvicorn', None)
    monkeypatch.setitem(sys.modules, 'starlette', None)
    with pytest.raises(UserError, match='needs the package starlette; run pip install starlette'):
        main(['config', 'weights'])


@pytest.fixture
def browser(tmp_path):
    """Headless Chromium that downloads to a folder of the test."""
    webdriver = pytest.importorskip('selenium.webdriver', reason='pip install selenium')
    programs = [shutil.which('chromium'), shutil.which('chromedriver')]
    if None in programs:
        pytest.skip('no Chromium: apt-get install chromium chromium-driver')
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    for argument in ('headless=new', 'disable-dev-shm-usage', 'window-size=1000,900'):
        options.add_argument(f'--{argument}')
    if os.geteuid() == 0:
        options.add_argument('--no-sandbox')  # the sandbox does not work for root
    options.add_experimental_option(
        'prefs', {'download.default_directory': str(tmp_path / 'downloads')}
    )
    options.set_capability('goog:loggingPrefs', {'browser': 'ALL'})
    driver = webdriver.Chrome(options, webdriver.ChromeService(programs[1]))
    yield driver
    driver.quit()


@pytest.mark.slow
@needs_server
def test_the_page_in_a_browser(browser, serve, inferencer, tmp_path):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.support.ui import WebDriverWait

    def element(name):
        return browser.find_element('id', name)

    def wait(condition):
        return WebDriverWait(browser, 20, 0.05).until(lambda _: condition())

    def upload(name, data):
        (tmp_path / name).write_bytes(data)
        element('file').send_keys(str(tmp_path / name))

    def column(share):
        """The pixels of the comparison in the column at a share of its width."""
        shot = np.asarray(Image.open(io.BytesIO(element('compare').screenshot_as_png)))
        return shot[:, int(share * shot.shape[1]), :3].astype(int)

    address = serve(inferencer, max_bytes=50_000)
    browser.get(address)
    upload('ä b.png', photo_file((200, 300, 3)))
    wait(lambda: element('prior').is_displayed() and not element('busy').is_displayed())
    for name in ('blurry', 'restored'):
        assert element(name).get_property('naturalWidth') == 300
    assert element('maps').get_property('naturalWidth') > 300
    assert element('facts').text.startswith('300 × 200 pixels · PNG, RGB, 8 bit · restored in ')

    before = {share: column(share) for share in (0.1, 0.35, 0.8)}
    slider = element('slider')
    quarter = -slider.size['width'] // 4
    ActionChains(browser).drag_and_drop_by_offset(slider, quarter, 0).perform()
    assert float(slider.get_attribute('value')) == pytest.approx(25, abs=2)
    changes = {share: np.abs(column(share) - before[share]).mean() for share in before}
    assert changes[0.35] > 3
    assert changes[0.1] == changes[0.8] == 0

    element('download').click()
    downloaded = tmp_path / 'downloads' / 'ä b_restored.png'
    wait(downloaded.exists)
    [expected] = inferencer(tmp_path / 'ä b.png', tile=64, show_progress=False)['predictions']
    assert np.array_equal(np.asarray(Image.open(downloaded)), expected)

    upload('notes.txt', b'no photo')
    wait(lambda: 'notes.txt' in element('error').text)
    assert element('error').text.startswith(
        "'notes.txt' is damaged or not an image of a known kind"
    )
    assert not element('result').is_displayed()
    upload('large.bin', bytes(50_001))
    wait(lambda: "'large.bin' has 51 kB, but the limit of this page is" in element('error').text)

    fetched = browser.execute_script(
        "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    )
    assert fetched
    assert all(url.startswith((address, f'blob:{address}')) for url in fetched)
    assert not browser.get_log('browser')
