import http.client
import importlib.util
import io
import json
import os
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

    def start(inferencer, max_bytes=10**6):
        import uvicorn

        from mmspd.apis.webui import make_app

        app = make_app(inferencer, max_bytes, RestoreOptions(tile=64))
        server = uvicorn.Server(uvicorn.Config(app, log_level='warning', log_config=None))
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


@needs_server
@pytest.mark.slow
def test_the_command_line(start_tool, write_config, tmp_path):
    config = write_config()
    weights = tmp_path / 'epoch_1.pth'
    torch.save({'state_dict': DeblurInferencer(config).model.state_dict()}, weights)
    folder = tmp_path / 'temporary'
    folder.mkdir()
    arguments = ['--port=0', '--device=cpu', '--tile=32']
    process = start_tool('webui.py', config, weights, *arguments, TMPDIR=str(folder))
    while not process.log.exists() or 'Open http' not in process.log.read_text():
        assert process.is_alive()
        time.sleep(0.05)
    address = process.log.read_text().partition('Open ')[2].split()[0]
    assert address.startswith('http://127.0.0.1:')
    assert frames(post(f'{address}/', 'a.png', photo_file((40, 40, 3))))[-1]['event'] == 'file'
    assert not [path for path in folder.rglob('*') if path.is_file()]
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
