"""Downloads are checked, encrypted and atomic, and every weights file is recorded."""

import hashlib
import http.client
import http.server
import io
import logging
import multiprocessing
import threading
import time
import urllib.request

import mmengine.runner.checkpoint
import pytest
import samples
import torch
from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn

import mmspd.engine  # noqa: F401  registers the loader of checkpoints
from mmspd.errors import UserError
from mmspd.weights import download
from mmspd.weights.addresses import parse_address
from mmspd.weights.download import fetch
from mmspd.weights.files import announce_weights, find_weights, loaded_weights
from mmspd.weights.loading import load_backbone_weights, read_state
from mmspd.weights.official import load_official

KEY = 'load_official'


def weights_bytes(value):
    """The content of a weights file for a convolution with one weight and one bias."""
    buffer = io.BytesIO()
    tensor = torch.full((1,), float(value))
    torch.save({'weight': tensor.reshape(1, 1, 1, 1), 'bias': tensor}, buffer)
    return buffer.getvalue()


ONE, TWO = weights_bytes(1), weights_bytes(2)
SHA = hashlib.sha256(ONE).hexdigest()
NAMED = f'weights-{SHA[:8]}.pth'


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A web server for http, and for https without its encryption; the cache is empty."""

    class Handler(http.server.BaseHTTPRequestHandler):
        pages, asked, ranges = {}, [], []
        version = None  # ETag
        sent = None  # number of bytes after which the connection ends
        takes_ranges = True
        delay = 0.0

        def do_GET(self):
            self.asked.append(self.path)
            self.ranges.append(self.headers['Range'])
            time.sleep(self.delay)
            content = self.pages.get(self.path)
            if isinstance(content, str):
                self.send_response(302)
                self.send_header('Location', content)
                content = b''
            elif content is None:
                self.send_response(404)
                content = b''
            else:
                content = self.answer(content)
            lost = 9 if self.path.startswith('/lost') else 0
            if self.path.endswith('.html'):
                self.send_header('Content-Type', 'text/html; charset=utf-8')
            if self.version:
                self.send_header('ETag', self.version)
            self.send_header('Content-Length', str(len(content) + lost))
            self.end_headers()
            self.wfile.write(content[: self.sent])

        def answer(self, content):
            """Send the status of a page, and return the requested part of the page."""
            same = self.headers['If-Range'] == self.version
            if not (self.takes_ranges and self.headers['Range'] and same):
                self.send_response(200)
                return content
            start = int(self.headers['Range'].removeprefix('bytes=').removesuffix('-'))
            self.send_response(206 if start < len(content) else 416)
            self.send_header('Content-Range', f'bytes {start}-{len(content) - 1}/{len(content)}')
            return content[start:]

        def log_message(self, *_):
            pass

    def open_plain(self, request):
        return self.do_open(http.client.HTTPConnection, request)

    monkeypatch.setattr(urllib.request.HTTPSHandler, 'https_open', open_plain)
    monkeypatch.setenv('MMSPD_HOME', str(tmp_path / 'home'))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        Handler.address = f'127.0.0.1:{server.server_address[1]}'
        yield Handler
        server.shutdown()


@pytest.fixture
def log():
    """The text that MMEngine logs."""
    text = io.StringIO()
    with samples.logged_to(logging.StreamHandler(text)):
        yield text


def cached(tmp_path):
    return [path for path in tmp_path.glob('home/weights/*') if path.is_file()]


@pytest.mark.parametrize(
    'name', ['a.pth', NAMED, f'a.pth#sha256={SHA}', f'a.pth#sha256={SHA.upper()}']
)
def test_a_file_is_downloaded_once_and_recorded(site, tmp_path, name):
    site.pages[f'/{name.partition("#")[0]}'] = ONE
    before = len(loaded_weights())
    for _ in range(2):
        assert read_state(f'https://{site.address}/{name}', KEY)['bias'] == 1
    assert site.asked == [f'/{name.partition("#")[0]}']
    address = f'https://{site.address}/{name.partition("#")[0]}'
    assert loaded_weights(before) == [dict(path=address, sha256=SHA)] * 2
    assert len(cached(tmp_path)) == 1


@pytest.mark.parametrize('name', [NAMED, f'a.pth#sha256={SHA}', f'{NAMED}#sha256={SHA}'])
def test_another_content_is_refused_and_not_kept(site, tmp_path, name):
    site.pages[f'/{name.partition("#")[0]}'] = TWO
    with pytest.raises(UserError, match=rf'^{KEY}: https\S+ has the SHA-256 .* but {SHA[:8]}'):
        read_state(f'https://{site.address}/{name}', KEY)
    assert not cached(tmp_path)


@pytest.mark.parametrize('damage', [TWO, ONE[:-1], b''])
def test_a_damaged_file_in_the_cache_is_downloaded_again(site, tmp_path, damage, log):
    address = f'https://{site.address}/{NAMED}'
    file = tmp_path / 'home' / 'weights' / NAMED
    file.parent.mkdir(parents=True)
    file.write_bytes(damage)
    with pytest.raises(UserError, match=rf'{NAMED} cannot be downloaded \(HTTP status 404\)'):
        read_state(address, KEY)
    site.pages[f'/{NAMED}'] = ONE
    assert read_state(address, KEY)['bias'] == 1
    assert file.read_bytes() == ONE
    digest = hashlib.sha256(damage).hexdigest()
    assert f'{file} has the SHA-256 {digest}, but {SHA[:8]} is expected, so' in log.getvalue()


def interrupted(site, content=ONE, version='"1"', address='big.pth'):
    """Interrupt a download after 100 bytes, and return its address and the message."""
    site.pages['/big.pth'], site.version, site.sent = content, version, 100
    with pytest.raises(UserError) as error:
        read_state(f'https://{site.address}/{address}', KEY)
    site.sent = None
    return f'https://{site.address}/{address}', str(error.value)


@pytest.mark.parametrize('address', ['big.pth', f'big.pth#sha256={SHA}'])
def test_an_interrupted_download_is_continued(site, tmp_path, address):
    address, message = interrupted(site, address=address)
    lost = f'only 100 of {len(ONE)} bytes arrived'
    assert f'{lost}); repeat the command to continue the download, or download http' in message
    assert not cached(tmp_path)
    assert read_state(address, KEY)['bias'] == 1
    assert site.ranges == [None, 'bytes=100-']
    assert cached(tmp_path)[0].read_bytes() == ONE
    assert not list(tmp_path.rglob('*.part'))


@pytest.mark.parametrize(
    ('change', 'requests'),
    [
        (dict(version='"2"', pages={'/big.pth': TWO}), [None, 'bytes=100-']),
        (dict(takes_ranges=False), [None, 'bytes=100-']),
        (dict(pages={'/big.pth': ONE[:100]}), [None, 'bytes=100-', None]),
        (dict(start='W/"1"'), [None, None]),
        (dict(start=None), [None, None]),
    ],
    ids=['another version', 'no ranges', 'shorter', 'weak tag', 'no tag'],
)
def test_a_download_that_cannot_be_continued_starts_again(site, tmp_path, change, requests):
    start = change.pop('start', '"1"')
    address, message = interrupted(site, version=start)
    assert ('repeat the command' in message) == (start == '"1"')
    for name, value in change.items():
        setattr(site, name, value)
    fetch(parse_address(address, KEY), KEY, 'copy it')
    assert site.ranges == requests
    assert cached(tmp_path)[0].read_bytes() == site.pages['/big.pth']


def test_a_damaged_record_of_a_part_starts_the_download_again(site, tmp_path):
    address, _ = interrupted(site)
    (record,) = tmp_path.rglob('*.json')
    record.write_bytes(b'\0' * 20)
    assert read_state(address, KEY)['bias'] == 1
    assert site.ranges == [None, None]


def test_a_mixture_of_two_versions_is_downloaded_again(site, tmp_path):
    mixed = bytes(100) + ONE[100:]
    address, _ = interrupted(site, mixed, address=f'big.pth#sha256={SHA}')
    site.pages['/big.pth'] = ONE  # the server states the version of the old content
    assert read_state(address, KEY)['bias'] == 1
    assert site.ranges == [None, 'bytes=100-', None]


def test_two_processes_download_a_file_once(site, tmp_path):
    site.pages['/a.pth'], site.delay = ONE, 0.2
    fork = multiprocessing.get_context('fork')
    address = f'https://{site.address}/a.pth'
    both = [fork.Process(target=read_state, args=(address, KEY)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert site.asked == ['/a.pth']


def test_the_first_download_sets_the_sha256(site, tmp_path, log):
    site.pages['/a.pth'] = ONE
    address = f'https://{site.address}/a.pth'
    read_state(address, KEY)
    assert f'has the SHA-256 {SHA}. It is recorded' in log.getvalue()
    cached(tmp_path)[0].write_bytes(TWO)
    assert read_state(address, KEY)['bias'] == 1  # the changed file is downloaded again
    cached(tmp_path)[0].unlink()
    site.pages['/a.pth'] = TWO
    with pytest.raises(UserError, match=f'but {SHA} is recorded from the first download; do not'):
        read_state(address, KEY)
    assert not cached(tmp_path)


@pytest.mark.parametrize(
    ('variables', 'folder'),
    [
        (dict(MMSPD_HOME='/a', XDG_CACHE_HOME='/b'), '/a/weights'),
        (dict(MMSPD_HOME='', XDG_CACHE_HOME='/b'), '/b/mmspd/weights'),
        (dict(HOME='/c', XDG_CACHE_HOME=''), '/c/.cache/mmspd/weights'),
        (dict(HOME='/c', MMSPD_HOME='~/d'), '/c/d/weights'),
    ],
)
def test_the_folder_of_the_cache(monkeypatch, variables, folder):
    monkeypatch.delenv('MMSPD_HOME', raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert str(download.cache_folder()) == folder


def test_an_unencrypted_address_needs_the_digest(site):
    site.pages['/a.pth'] = site.pages[f'/{NAMED}'] = ONE
    for name in ('a.pth', NAMED):
        with pytest.raises(UserError, match='is not encrypted, .*; use https, or add #sha256='):
            read_state(f'http://{site.address}/{name}', KEY)
    assert not site.asked
    assert read_state(f'http://{site.address}/a.pth#sha256={SHA}', KEY)['bias'] == 1


def test_a_redirect_to_an_unencrypted_address_needs_the_digest(site):
    site.pages.update({'/a.pth': f'http://{site.address}/b.pth', '/b.pth': ONE})
    with pytest.raises(UserError, match=r'a\.pth redirects to http://\S+b\.pth, which is not encr'):
        read_state(f'https://{site.address}/a.pth', KEY)
    assert site.asked == ['/a.pth']
    assert read_state(f'https://{site.address}/a.pth#sha256={SHA}', KEY)['bias'] == 1
    site.pages['/c.pth'] = f'https://{site.address}/b.pth'
    assert read_state(f'https://{site.address}/c.pth', KEY)['bias'] == 1


@pytest.mark.parametrize(
    ('path', 'sentence'),
    [
        ('lost.pth', r'cannot be downloaded \(only \d+ of \d+ bytes arrived\); download'),
        ('page.html', 'is a web page; give the address'),
        ('a b.pth', r'cannot be downloaded \(InvalidURL\)'),
        ('ü.pth', r'cannot be downloaded \(UnicodeEncodeError\)'),
        ('a.pth#sha256=12', 'ends with #sha256=12; write #sha256= and the 64 digits'),
        (f'a.pth#md5={SHA}', 'ends with #md5='),
        ('', 'manually and give its path'),
    ],
)
def test_a_download_that_fails_leaves_no_file(site, tmp_path, path, sentence):
    site.pages.update({'/lost.pth': ONE, '/page.html': b'<html>'})
    with pytest.raises(UserError, match=sentence):
        read_state(f'https://{site.address}/{path}', KEY)
    assert not cached(tmp_path)


@pytest.mark.parametrize(
    'address',
    ['ftp://a.net/a.pth', 's3://a/a.pth', 'data://a/a.pth', 'https://[::/a.pth', 'pavi://a.pth'],
)
def test_other_schemes_are_refused(address):
    with pytest.raises(UserError, match='manually and give its path'):
        read_state(address, KEY)
    with pytest.raises(UserError, match='manually and give its path'):
        CheckpointLoader.load_checkpoint(address)


def test_a_server_that_stops_ends_in_a_sentence(site, tmp_path, monkeypatch):
    monkeypatch.setattr(download, 'TIMEOUT', 0.1)
    monkeypatch.setattr(site, 'end_headers', lambda handler: threading.Event().wait(0.3))
    site.pages['/a.pth'] = ONE
    with pytest.raises(UserError, match=r'a\.pth cannot be downloaded \(TimeoutError\)'):
        read_state(f'https://{site.address}/a.pth', KEY)
    assert not cached(tmp_path)


def test_mmengine_loads_addresses_by_the_same_rules(site, monkeypatch):
    site.pages[f'/{NAMED}'] = ONE
    with pytest.raises(UserError, match='^checkpoint: http://.* is not encrypted'):
        CheckpointLoader.load_checkpoint(f'http://{site.address}/{NAMED}')
    assert CheckpointLoader.load_checkpoint(f'https://{site.address}/{NAMED}')['bias'] == 1
    listed = {'one': f'https://{site.address}/{NAMED}', 'old': f'http://{site.address}/a.pth'}
    for name in ('get_torchvision_models', 'get_external_models', 'get_mmcls_models'):
        monkeypatch.setattr(mmengine.runner.checkpoint, name, lambda: listed)
    site.pages[f'/{NAMED}'] = TWO  # the cache has the file
    for scheme in ('torchvision', 'modelzoo', 'open-mmlab', 'openmmlab'):
        assert CheckpointLoader.load_checkpoint(f'{scheme}://one')['bias'] == 1
        with pytest.raises(UserError, match='is not encrypted'):
            CheckpointLoader.load_checkpoint(f'{scheme}://old')
        with pytest.raises(UserError, match=f'MMEngine knows no weights {scheme}://none;'):
            CheckpointLoader.load_checkpoint(f'{scheme}://none')
    network = nn.Conv2d(1, 1, 1)
    load_backbone_weights(network, 'mmcls://one', dict(type='Conv2d'))
    assert network.bias == 1


def test_the_name_of_a_local_file_is_checked(tmp_path):
    other = hashlib.sha256(TWO).hexdigest()
    for name, content, fits in [
        (NAMED, ONE, True),
        (f'a-{SHA}.safe.pth', ONE, True),
        (NAMED, TWO, False),
        (f'a-{SHA[:8]}.pth.tar', TWO, False),
        (f'a-{SHA[:7]}.pth', TWO, True),  # too short for a digest
        ('run-20230131.pth', TWO, True),  # a date
        ('run-20230131120000.pth', TWO, True),
        (SHA, TWO, False),  # a file of the Hugging Face cache
        (SHA, ONE, True),
    ]:
        path = tmp_path / name
        path.write_bytes(content)
        if fits:
            assert find_weights(str(path), KEY) == path
            continue
        with pytest.raises(UserError, match=rf'{KEY}: the SHA-256 of \S+{name} is {other}, but'):
            read_state(str(path), KEY)
        with pytest.raises(UserError, match=rf'checkpoint: the SHA-256 of \S+{name} is {other}'):
            CheckpointLoader.load_checkpoint(str(path))
        with pytest.raises(UserError, match=rf'{KEY}: the SHA-256 of \S+{name} is {other}'):
            load_official(nn.Conv2d(1, 1, 1), str(path))


def test_secrets_of_an_address_are_not_recorded(site, log):
    site.pages['/a.pth?token=secret'] = ONE
    announce_weights()
    before = len(loaded_weights())
    read_state(f'https://{site.address}/a.pth?token=secret', KEY)
    announce_weights()
    address = f'https://{site.address}/a.pth'
    assert loaded_weights(before) == [dict(path=address, sha256=SHA)]
    output = log.getvalue()
    assert f'The weights {address} have the SHA-256 {SHA}.' in output
    assert 'secret' not in output
